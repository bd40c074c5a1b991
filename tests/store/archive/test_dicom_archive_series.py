"""A series is read whole or not at all, and its bytes are those of the archive: with a real Orthanc."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from archive_bench import QUICK, Rude, Series, bytes_in, bytes_of, eventually, file_answer, write_series
from orthanc_process import OrthancProcess

from vpt_plugin.ct.decoding import decode_slice
from vpt_plugin.ct.reader import read_study
from vpt_plugin.errors import (
    ArchiveError,
    ArchiveUnreachableError,
    CancelledError,
    IncompleteSeriesError,
    StudyNotFoundError,
)
from vpt_plugin.store.archive import DicomArchive

ArchiveAt = Callable[..., DicomArchive]


def slices_read(archive: DicomArchive, uid: str) -> dict[str, bytes]:
    with archive.opened(uid) as study:
        return bytes_in(study.path)


def cached(tmp_path: Path, uid: str) -> Path:
    return tmp_path / "cache" / "series" / uid / "slices"


def test_a_series_comes_whole_byte_for_byte_and_can_be_read(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=24)
    orthanc.put(series.files.values())
    with archive_at(orthanc.url).opened(series.uid) as study:
        assert study.notes == ()
        assert bytes_in(study.path) == bytes_of(series)
        from_archive, from_folder = read_study(study.path), read_study(tmp_path / "a")
    assert (from_archive.hu == from_folder.hu).all()
    assert from_archive.origin_mm == from_folder.origin_mm


def test_every_encoding_comes_as_it_is_stored(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path, real_data: Path
) -> None:
    encodings = sorted((real_data / "dicom-encodings").glob("*.dcm"))
    pixels = []
    for number, path in enumerate(encodings):
        # The six files are one and the same slice, so that an archive would keep only one of them.
        slice_ = pydicom.dcmread(path)
        slice_.SeriesInstanceUID, slice_.SOPInstanceUID = f"1.2.3.{number}", f"1.2.3.{number}.1"
        slice_.file_meta.MediaStorageSOPInstanceUID = slice_.SOPInstanceUID
        slice_.save_as(tmp_path / f"{number}.dcm")
    orthanc.put(sorted(tmp_path.glob("*.dcm")))
    archive = archive_at(orthanc.url)
    assert len(archive.ids()) == len(encodings) == 6
    for number in range(6):
        with archive.opened(f"1.2.3.{number}") as study:
            (file,) = study.path.iterdir()
            assert file.read_bytes() == (tmp_path / f"{number}.dcm").read_bytes()
            header = pydicom.dcmread(file, stop_before_pixels=True)
            pixels.append(decode_slice(file, header.Rows, header.Columns, "x"))
    assert all((each == pixels[0]).all() for each in pixels)


def test_what_is_here_is_not_fetched_again_and_half_a_series_is_completed(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=6)
    rude.series = [series]
    assert slices_read(archive_at(rude.url), series.uid) == bytes_of(series)
    for instance in list(series.files)[:3]:
        (cached(tmp_path, series.uid) / f"{instance}.dcm").unlink()
    rude.asked.clear()
    assert slices_read(archive_at(rude.url), series.uid) == bytes_of(series)
    assert sum("/instances/" in path for path in rude.asked) == 3


def test_a_series_that_grew_in_the_archive_is_completed(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=6)
    files = list(series.files.values())
    orthanc.put(files[:4])
    archive = archive_at(orthanc.url)
    assert len(slices_read(archive, series.uid)) == 4
    orthanc.put(files[4:])
    assert slices_read(archive, series.uid) == bytes_of(series)


def test_instances_that_left_the_archive_are_not_read(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=6)
    stored = orthanc.put(series.files.values())
    archive = archive_at(orthanc.url)
    assert len(slices_read(archive, series.uid)) == 6
    orthanc.delete(stored[:2])
    assert slices_read(archive, series.uid).keys() == set(list(series.files)[2:])
    orthanc.delete(stored[2:])
    for _ in range(2):
        with pytest.raises(StudyNotFoundError):
            slices_read(archive, series.uid)
    orthanc.stop(at_once=True)
    with pytest.raises(ArchiveUnreachableError):  # the last listing had it no more
        slices_read(archive_at(orthanc.url), series.uid)
    orthanc.start()
    orthanc.put(series.files.values())
    archive.refresh()
    assert slices_read(archive, series.uid) == bytes_of(series)


def test_a_copy_outlasts_an_archive_that_says_it_has_nothing(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a")
    rude.series = [series]
    archive = archive_at(rude.url)
    assert slices_read(archive, series.uid) == bytes_of(series)
    rude.series = []
    with pytest.raises(StudyNotFoundError):
        slices_read(archive, series.uid)
    rude.series = [series]
    rude.asked.clear()
    archive.refresh()
    assert slices_read(archive, series.uid) == bytes_of(series)
    assert not any("/instances/" in path for path in rude.asked)


def test_what_lies_in_the_cache_but_not_in_the_archive_is_not_read(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a")
    rude.series = [series]
    slices = cached(tmp_path, series.uid)
    slices.mkdir(parents=True)
    for name in ("9.9.9.dcm", ".1.2.dcm.0a1b.tmp", "notes.txt"):
        (slices / name).write_bytes(b"left by a killed process")
    (slices / f"{next(iter(series.files))}.dcm").write_bytes(b"")  # a crash on a disk without hard links
    assert slices_read(archive_at(rude.url), series.uid) == bytes_of(series)


def test_nothing_changes_under_a_reader(rude: Rude, archive_at: ArchiveAt, tmp_path: Path) -> None:
    series = write_series(tmp_path, "a", slices=6)
    rude.series, rude.listed = [series], {series.uid: list(series.files)[:4]}
    rude.row_values = {"00201209": {"vr": "IS", "Value": [4]}}
    archive, later = archive_at(rude.url), []
    with archive.opened(series.uid) as study:
        rude.listed.clear()
        second = threading.Thread(target=lambda: later.append(slices_read(archive, series.uid)))
        second.start()
        assert eventually(lambda: rude.count("/instances") > 2)  # the second one has seen the two new slices
        assert not eventually(lambda: len(bytes_in(study.path)) != 4, seconds=0.3)
    second.join()
    assert later == [bytes_of(series)]


def test_two_who_want_one_series_share_the_download(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=12)
    rude.series = [series]
    archive, read = archive_at(rude.url), []
    threads = [
        threading.Thread(target=lambda: read.append(slices_read(archive, series.uid))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [bytes_of(series)] * 6
    assert sum("/instances/" in path for path in rude.asked) == 12


# Kills itself, as a power cut would, at the moment when a file is brought to the disk for the n-th time.
KILLED = """
import os, signal, sys
from pathlib import Path
url, cache, uid, n = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
from vpt_plugin.store.archive import ArchiveAddress, DicomArchive
archive = DicomArchive(ArchiveAddress.parse(url), cache, threads=2)
archive.ids()
left, fsync = [n], os.fsync
def count_down(descriptor):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)
os.fsync = count_down
archive.opened(uid).__enter__()
print("whole")
"""


@pytest.mark.parametrize("moment", [1, 2, 3, 4, 5, 8, 13])
def test_a_download_that_was_killed_is_completed_and_never_read_before(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path, moment: int
) -> None:
    series = write_series(tmp_path, "a")
    orthanc.put(series.files.values())
    command = [sys.executable, "-c", KILLED, orthanc.url, str(tmp_path / "cache"), series.uid, str(moment)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (killed.returncode, killed.stdout) == (-9, ""), killed.stderr
    orthanc.stop(at_once=True)
    with pytest.raises(ArchiveUnreachableError, match="not whole in the cache"):
        slices_read(archive_at(orthanc.url), series.uid)
    orthanc.start()
    assert slices_read(archive_at(orthanc.url), series.uid) == bytes_of(series)


def test_an_archive_that_does_not_hand_out_a_slice_leaves_the_series_unread(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a")
    rude.series, (bad, *_) = [series], series.files
    archive = archive_at(rude.url, patience=QUICK)
    for answer, cause in (
        ((404, "text/plain", b""), "answers 404"),
        ((500, "text/plain", b""), "answers 500"),
        ((200, "text/html", b"<html>"), "text/html, no DICOM file"),
        ((200, "application/dicom", b"not DICOM at all"), "no DICOM file"),
        (file_answer(list(bytes_of(series).values())[1]), "sent another instance"),
    ):
        rude.before = lambda path, answer=answer: answer if path.endswith(f"/{bad}") else None
        with pytest.raises(IncompleteSeriesError, match=f"5 of 6 slices came .*{cause}"):
            slices_read(archive, series.uid)
    rude.before = lambda path: None
    assert slices_read(archive, series.uid) == bytes_of(series)


def test_an_archive_that_hangs_up_now_and_then_is_asked_again(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a")
    rude.series, seen = [series], set()

    def hang_up_once(path: str) -> tuple[int, str, bytes] | None:
        first = path not in seen
        seen.add(path)
        return (0, "multipart/related; boundary=edge", b"--edge\r\n\r\nDICM") if first else None

    rude.before = hang_up_once
    assert slices_read(archive_at(rude.url, patience=QUICK), series.uid) == bytes_of(series)


def test_an_overloaded_archive_is_asked_again_and_not_for_ever(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=1)
    rude.series = [series]
    archive = archive_at(rude.url, patience=QUICK)
    archive.ids()
    rude.asked.clear()
    rude.before = lambda path: (503, "text/plain", b"") if "/instances/" in path else None
    with pytest.raises(ArchiveUnreachableError, match="0 of 1 slices came and are kept"):
        slices_read(archive, series.uid)
    assert sum("/instances/" in path for path in rude.asked) == 3


def test_an_archive_that_lists_fewer_slices_than_it_counts_is_not_believed(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=6)
    rude.series, rude.listed = [series], {series.uid: list(series.files)[:4]}
    with pytest.raises(IncompleteSeriesError, match="counts 6 slices and lists 4"):
        slices_read(archive_at(rude.url), series.uid)


def test_an_instance_whose_uid_is_a_path_is_refused(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=1)
    rude.series, rude.listed = [series], {series.uid: ["../../evil"]}
    with pytest.raises(IncompleteSeriesError, match="no valid UID"):
        slices_read(archive_at(rude.url), series.uid)
    assert not list(tmp_path.rglob("*evil*"))


def test_who_is_cancelled_stops_and_keeps_what_came(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=12)
    rude.series, cancelled, go_on = [series], threading.Event(), threading.Event()

    def after_four(path: str) -> None:
        if sum("/instances/" in each for each in rude.asked) > 4:
            cancelled.set()
            go_on.wait(0.3)

    rude.before = after_four
    archive = archive_at(rude.url)
    with pytest.raises(CancelledError), archive.opened(series.uid, cancelled=cancelled.is_set):
        pass
    go_on.set()
    assert 0 < len(list(cached(tmp_path, series.uid).iterdir())) < 12
    assert slices_read(archive, series.uid) == bytes_of(series)


def test_who_cancels_is_not_told_of_a_slice_that_is_refused_meanwhile(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=12)
    rude.series, (bad, *_), cancelled = [series], series.files, threading.Event()

    def refuse_late(path: str) -> tuple[int, str, bytes] | None:
        if not path.endswith(f"/{bad}"):
            return None
        cancelled.set()
        time.sleep(0.3)  # until it is noticed
        return 404, "text/plain", b""

    rude.before = refuse_late
    archive = archive_at(rude.url, patience=QUICK, threads=1)
    with pytest.raises(CancelledError), archive.opened(series.uid, cancelled=cancelled.is_set):
        pass


def test_a_file_too_large_for_a_slice_is_refused_while_it_comes(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = write_series(tmp_path, "a")
    rude.series, (bad, *_) = [series], series.files
    monkeypatch.setattr("vpt_plugin.store.archive.client._MOST_FILE_BYTES", 1 << 20)
    rude.before = lambda path: file_answer(bytes(2 << 20)) if path.endswith(f"/{bad}") else None
    with pytest.raises(IncompleteSeriesError, match=r"5 of 6 slices came .* more than 1 MiB for one slice"):
        slices_read(archive_at(rude.url, patience=QUICK), series.uid)


def test_who_waits_for_anothers_download_can_be_cancelled(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a", slices=1)
    rude.series, go_on = [series], threading.Event()
    rude.before = lambda path: ("/instances/" in path and not go_on.wait(5)) or None
    archive = archive_at(rude.url)
    first = threading.Thread(target=lambda: slices_read(archive, series.uid))
    first.start()
    assert eventually(lambda: any("/instances/" in path for path in rude.asked))
    with pytest.raises(CancelledError), archive.opened(series.uid, cancelled=lambda: True):
        pass
    go_on.set()
    first.join()


def test_a_series_too_many_for_the_disk_is_told(
    rude: Rude, archive_at: ArchiveAt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series: Series = write_series(tmp_path, "a")
    rude.series = [series]

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("vpt_plugin.store.archive.cache.write_over", full)
    with pytest.raises(ArchiveError, match="the disk with the cache of the archive is full") as told:
        slices_read(archive_at(rude.url), series.uid)
    assert str(tmp_path) not in str(told.value)
    monkeypatch.undo()
    assert slices_read(archive_at(rude.url), series.uid) == bytes_of(series)


def test_a_cache_folder_that_is_a_file_is_told(rude: Rude, archive_at: ArchiveAt, tmp_path: Path) -> None:
    series = write_series(tmp_path, "a")
    rude.series = [series]
    (tmp_path / "cache").write_text("no folder")
    archive = archive_at(rude.url)
    assert archive.ids() == [series.uid]
    with pytest.raises(ArchiveError, match="cannot be used"):
        slices_read(archive, series.uid)
    (tmp_path / "cache").unlink()
    assert slices_read(archive, series.uid) == bytes_of(series)


def test_what_a_killed_download_began_is_not_read_be_it_empty_or_half(
    orthanc: OrthancProcess, archive_at: ArchiveAt, tmp_path: Path
) -> None:
    series = write_series(tmp_path, "a")
    orthanc.put(series.files.values())
    archive = archive_at(orthanc.url)
    with archive.opened(series.uid) as study:
        folder = study.path
    (folder / ".1.2.dcm.0.tmp").write_bytes(b"")
    (folder / ".1.3.dcm.0.tmp").write_bytes(bytes(200))
    assert slices_read(archive, series.uid) == bytes_of(series)
