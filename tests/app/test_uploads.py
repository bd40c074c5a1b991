"""What a client calls its file is shown, and never leads anywhere."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest
from fastapi import UploadFile
from lib.errors import BadRequestError, TooLargeError
from lib.notes import Notes
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
        ("nul.nii.gz", "_nul.nii.gz"),
        ("COM1", "_COM1"),
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


@pytest.mark.parametrize(
    "params",
    [
        "",
        "{}",
        '{"label_info": [{"name": "spleen", "idx": 1}]}',
        '{"client_id": "x", "result_dtype": "uint8"}',
    ],
)
def test_params_of_stock_clients_pass(params: str) -> None:
    check_params(params)


def test_params_that_are_unknown_are_named_with_the_known_ones() -> None:
    with pytest.raises(BadRequestError, match="unknown key 'device'; known are client_id"):
        check_params('{"client_id": "x", "device": "cuda"}')


def test_notes_about_all_studies_together_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lib.notes._MAX_BYTES", 100)
    notes = Notes()
    notes.add("a", {"text": "x" * 40})
    notes.add("a", {"text": "y" * 40})
    with pytest.raises(TooLargeError, match="about all studies together"):
        notes.add("b", {"text": "x" * 40})
    assert notes.of("b") == {}


def test_a_disk_that_is_full_while_a_study_is_unpacked_is_507(
    serve, workshop, publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("vpt_plugin.ct.reader.unpack", full)
    publish("nodule", "tiny")
    running = serve({"models_dir": str(workshop.models)})
    answer = running.ask("POST", "/infer/nodule_tiny", files={"file": ("ct.zip", b"PK")})
    assert (answer.status_code, set(answer.json())) == (507, {"error", "detail", "hint"})
