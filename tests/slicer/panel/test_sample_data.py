"""The chest CT that the module offers in Slicer's Sample Data. It is not downloaded here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def test_a_chest_ct_is_offered_once_with_its_checksum_and_a_small_picture(panel: Any) -> None:
    import slicer
    from standin.sample_data import registered

    for _ in range(2):
        slicer.app.startupCompleted.emit()
    (sample,) = [each for each in registered if each["category"] == "VPTCT"]
    algorithm, _, digest = sample["checksums"].partition(":")
    assert algorithm == "SHA256"
    assert re.fullmatch("[0-9a-f]{64}", digest)
    # The repository of Slicer's test data names its files by their checksums.
    assert sample["uris"].startswith("https://github.com/Slicer/SlicerTestingData/releases/download/SHA256/")
    assert sample["uris"].endswith(digest)
    picture = Path(sample["thumbnailFileName"])
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert picture.stat().st_size < 20_000
