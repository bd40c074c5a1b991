"""Downloads: what goes wrong is told as everywhere else, and a folder gives its DICOM files only."""

from __future__ import annotations

import errno
import io
import os
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from lib.routes.download import Download

from vpt_plugin.store.source import OpenedStudy


def site_with(serve, tmp_path: Path, name: str, data: bytes):  # type: ignore[no-untyped-def]
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / name).write_bytes(data)
    return serve()


def site_with_folder(serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A server whose one study is a folder with a DICOM file, a report, and a link to a secret."""
    folder = tmp_path / "study"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "1.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (folder / "report.txt").write_text("a name")
    (folder / "2.dcm").symlink_to(tmp_path / "secret.txt")

    @contextmanager
    def opened(image: str, *, cancelled: object = None):  # type: ignore[no-untyped-def]
        yield OpenedStudy(folder)

    site = serve()
    monkeypatch.setattr(site.app.datastore(), "opened", opened)
    return site


@pytest.mark.parametrize("moment", ["before it is looked at", "before it is opened"])
def test_a_file_that_is_removed_while_it_is_downloaded_is_404(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    site = site_with(serve, tmp_path, "a.nii", b"voxels")
    file = tmp_path / "studies" / "a.nii"
    before = Download.__init__, Download.set_stat_headers

    def removed_at_once(self, *args, **options) -> None:  # type: ignore[no-untyped-def]
        before[0](self, *args, **options)
        file.unlink()

    def removed_later(self, stat_result: os.stat_result) -> None:  # type: ignore[no-untyped-def]
        before[1](self, stat_result)
        file.unlink()

    if moment == "before it is looked at":
        monkeypatch.setattr(Download, "__init__", removed_at_once)
    else:
        monkeypatch.setattr(Download, "set_stat_headers", removed_later)
    answer = site.ask("GET", "/datastore/image?image=a.nii")
    assert answer.status_code == 404
    assert "was removed while it was downloaded" in answer.json()["detail"]


@pytest.mark.parametrize(("number", "status"), [(errno.ENOENT, 404), (errno.EIO, 503), (errno.ENOSPC, 507)])
def test_a_folder_that_cannot_be_packed_says_why_and_leaves_nothing(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, status: int
) -> None:
    def fails(*args: object) -> None:
        raise OSError(number, os.strerror(number))

    site = site_with_folder(serve, tmp_path, monkeypatch)
    monkeypatch.setattr(zipfile.ZipFile, "write", fails)
    answer = site.ask("GET", "/datastore/image?image=study")
    assert (answer.status_code, set(answer.json())) == (status, {"error", "detail", "hint"})
    assert site.left_behind() == []


@pytest.mark.parametrize(("asked", "status"), [("bytes=900-", 416), ("bytes=x", 400), ("furlongs=1-2", 400)])
def test_a_wrong_range_is_answered_as_every_error_is(serve, tmp_path: Path, asked: str, status: int) -> None:
    site = site_with(serve, tmp_path, "a.nii", b"voxels")
    answer = site.ask("GET", "/datastore/image?image=a.nii", headers={"Range": asked})
    assert (answer.status_code, set(answer.json())) == (status, {"error", "detail", "hint"})
    assert answer.headers.get("content-range") == ("bytes */6" if status == 416 else None)
    part = site.ask("GET", "/datastore/image?image=a.nii", headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, b"ox")


def test_a_folder_gives_its_dicom_files_and_nothing_that_lies_or_leads_beside_them(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_with_folder(serve, tmp_path, monkeypatch)
    packed = site.ask("GET", "/datastore/image?image=study").content
    assert zipfile.ZipFile(io.BytesIO(packed)).namelist() == ["1.dcm"]
