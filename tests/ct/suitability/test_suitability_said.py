from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import unsuitable_studies as cases

from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.statistics import count_levels
from vpt_plugin.ct.study_header import StudyHeader
from vpt_plugin.ct.suitability import Check, Distance, Suitability, headers_seen
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.errors import NotHounsfieldError

GOOD = Check("lungs", "fits", "lungs were found")
ODD = Check("kernel", "doubtful", "another kernel")
BAD = Check("body_part", "unfit", "it is a head")
OPEN = Check("air", "unknown", "nothing is known", None, "HU")


def test_the_gravest_check_is_the_verdict_and_the_first_warning() -> None:
    found = Suitability((GOOD, ODD, OPEN, BAD, replace(ODD, name="air", sentence="odd air")))
    assert found.verdict == "unfit"
    assert found.warnings == ("it is a head", "another kernel", "odd air")
    assert (Suitability((GOOD, OPEN)).verdict, Suitability((GOOD, OPEN)).warnings) == ("fits", ())
    assert Suitability().verdict == "fits"
    with pytest.raises(ValueError, match="unknown verdict 'fine'"):
        Check("lungs", "fine", "")


def test_what_is_found_out_later_is_added_and_told() -> None:
    later = Suitability((GOOD,)).with_checks([ODD], Distance(3.1, 2.4, 0.99, 60))
    assert later.to_json() == {
        "verdict": "doubtful",
        "checks": [GOOD.to_json(), ODD.to_json()],
        "distance": {"value": 3.1, "threshold": 2.4, "percentile": 0.99, "studies": 60},
    }
    assert Suitability().to_json() == {"verdict": "fits", "checks": [], "distance": None}


def test_headers_of_a_training_are_counted_without_those_that_say_nothing() -> None:
    said = [StudyHeader(manufacturer="GE", kernel=kernel) for kernel in ("B", "A", "A", "")]
    assert headers_seen([*said, None]) == {"manufacturer": {"GE": 4}, "kernel": {"A": 2, "B": 1}}
    assert headers_seen([None]) == {}


@pytest.mark.parametrize("plain", [True, False])
def test_a_header_is_read_the_same_from_an_ordinary_file_and_by_pydicom(plain: bool, tmp_path: Path) -> None:
    volume = cases.chest()
    said = StudyHeader(
        "CHEST", "Thörax nativ", "B30f", "Ultravist 370", 5.0, "VPTCT phantom", "computed, no patient"
    )
    volume = replace(volume, hu=volume.hu[:4], provenance=replace(volume.provenance, header=said))
    write_dicom(volume, tmp_path / "study")
    if not plain:
        for file in (tmp_path / "study").iterdir():
            slice_ = pydicom.dcmread(file)
            # A deflated file is out of the ordinary, so that pydicom reads it.
            slice_.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
            slice_.save_as(file, write_like_original=False)
    assert read_study(tmp_path / "study").provenance.header == said


def test_levels_are_counted_where_there_are_voxels_enough() -> None:
    sample = np.arange(64 * 64 * 64, dtype=np.int32).reshape(64, 64, 64) % 200 - 1024
    assert count_levels(sample.astype(np.int16)) == 200
    assert count_levels(sample[:3].astype(np.int16)) is None


def test_stored_values_without_their_intercept_are_refused_when_they_are_read(tmp_path: Path) -> None:
    volume = cases.with_hu(cases.chest(), cases.chest().hu.astype(np.int32) + 1024)
    write_dicom(volume, tmp_path / "study")
    with pytest.raises(NotHounsfieldError, match="next to no lung or air"):
        read_study(tmp_path / "study")
