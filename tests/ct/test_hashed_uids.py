"""Files of RSNA-PE: UIDs that are hashes, of which pydicom warns, in whatever thread it meets them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rsna_set import usual_studies, write_rsna_set

from vpt_plugin.ct.dicom_headers import SliceHeader, read_header
from vpt_plugin.ct.reader import read_study


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = write_rsna_set(tmp_path_factory.mktemp("kaggle") / "rsna", usual_studies(8))
    return sorted((root / "train").iterdir())


def test_a_header_alone_is_read_without_a_warning(studies: list[Path]) -> None:
    assert isinstance(read_header(next(studies[0].rglob("*.dcm"))), SliceHeader)


def test_studies_are_read_at_once_without_a_warning(studies: list[Path]) -> None:
    with ThreadPoolExecutor(8) as threads:
        volumes = list(threads.map(lambda study: read_study(study, name=study.name), studies * 3))
    assert {each.slices for each in volumes} == {8}
