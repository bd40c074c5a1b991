"""What a client calls its file is shown, and never leads anywhere."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from fastapi import UploadFile
from lib.errors import BadRequestError
from lib.params import check_params
from lib.uploads import uploaded

from vpt_plugin.errors import GeometryError


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("ct.nii.gz", "ct.nii.gz"),
        ("../../etc/cron.d/my ct.nii", "my_ct.nii"),
        ("C:\\Users\\x\\ct.nrrd", "ct.nrrd"),
        ("Müller, Jürgen.zip", "M_ller_J_rgen.zip"),
        ("..", "upload"),
        ("", "upload"),
        (None, "upload"),
        ("x" * 500 + ".nii.gz", "x" * 93 + ".nii.gz"),
        ("a\nb\0.nii", "a_b_.nii"),
    ],
)
def test_an_upload_lies_in_a_folder_of_its_own_under_a_safe_name(
    temporary: Path, filename: str | None, name: str
) -> None:
    with uploaded(UploadFile(io.BytesIO(b"voxels"), filename=filename)) as (path, shown):
        assert (path.name, shown) == (name, name)
        assert path.parent.parent == temporary
        assert path.read_bytes() == b"voxels"
    assert list(temporary.iterdir()) == []


def test_an_upload_is_removed_when_the_study_is_refused(temporary: Path) -> None:
    with pytest.raises(GeometryError), uploaded(UploadFile(io.BytesIO(b"x"), filename="ct.nii")) as (path, _):
        raise GeometryError(path.name, "2 slices are missing.")
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("params", ["", "{}", '{"client_id": "x", "result_dtype": "uint8"}'])
def test_params_of_stock_clients_pass(params: str) -> None:
    check_params(params)


def test_params_that_are_unknown_are_named_with_the_known_ones() -> None:
    with pytest.raises(BadRequestError, match="unknown key 'device'; known are client_id"):
        check_params('{"client_id": "x", "device": "cuda"}')
