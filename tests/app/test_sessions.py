"""Sessions: what was uploaded is there until it expires, takes no more room than there is, and goes whole."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from lib.errors import BadRequestError, SessionsFullError
from lib.sessions import Sessions
from starlette.datastructures import UploadFile

from vpt_plugin.errors import StudyNotFoundError, UnreadableStudyError


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(tmp_path: Path, clock: Clock) -> Sessions:
    return Sessions(tmp_path, max_seconds=600, max_bytes=100_000, clock=clock)


def upload(data: bytes = b"voxels", name: str = "ct.nii") -> UploadFile:
    return UploadFile(io.BytesIO(data), size=len(data), filename=name)


def zipped(*files: tuple[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return packed.getvalue()


def test_one_file_is_the_study_and_several_are_a_folder_of_slices(sessions: Sessions) -> None:
    one = sessions.create([upload(b"a")])
    several = sessions.create([upload(b"a", "1/IM1"), upload(b"b", "2/IM1")])
    assert (one.study.name, one.study.read_bytes()) == ("ct.nii", b"a")
    assert sorted(path.read_bytes() for path in several.study.iterdir()) == [b"a", b"b"]
    assert several.title == "the uploaded study"


def test_a_session_lasts_as_long_as_it_is_used_and_no_longer(
    sessions: Sessions, clock: Clock, tmp_path: Path
) -> None:
    session = sessions.create([upload()], expiry=100)
    clock.seconds += 99
    assert sessions.find(session.name, used=True) is session
    clock.seconds += 99
    assert sessions.find(session.name) is session
    clock.seconds += 2
    with pytest.raises(StudyNotFoundError, match="there is no such session"):
        sessions.find(session.name)
    assert list(tmp_path.iterdir()) == []


def test_nobody_gets_a_session_for_longer_than_the_server_allows(sessions: Sessions) -> None:
    assert sessions.create([upload()], expiry=10**9).expiry_seconds == 600
    assert sessions.create([upload()], expiry=-1).expiry_seconds == 600


def test_a_study_that_is_being_read_is_not_removed_from_under_its_reader(
    sessions: Sessions, clock: Clock
) -> None:
    session = sessions.create([upload()])
    with sessions.opened(session.name) as opened:
        clock.seconds += 10_000
        assert sessions.remove_expired() == 0
        sessions.remove(session.name)
        with pytest.raises(StudyNotFoundError):
            sessions.find(session.name)
        assert opened.study.read_bytes() == b"voxels"
    assert not session.study.exists()


def test_all_sessions_together_take_no_more_than_their_room(sessions: Sessions, tmp_path: Path) -> None:
    first = sessions.create([upload(b"x" * 60_000)])
    with pytest.raises(SessionsFullError, match=r"more than 0\.0001 GB together"):
        sessions.create([upload(b"x" * 40_001)])
    assert len(list(tmp_path.iterdir())) == 1
    sessions.remove(first.name)
    assert sessions.create([upload(b"x" * 100_000)]).size_bytes == 100_000


def test_what_an_archive_unpacks_to_counts(sessions: Sessions, tmp_path: Path) -> None:
    packed = zipped(("1.dcm", b"a" * 30_000), ("2.dcm", b"b" * 30_000))
    session = sessions.create([upload(packed, "study.zip")], uncompress=True)
    assert session.size_bytes == 30_000 + 30_000 + 4096  # and the folder
    assert sorted(path.name for path in session.study.iterdir()) == ["1.dcm", "2.dcm"]
    assert not session.study.with_name("study.zip").exists()


def test_a_file_of_one_byte_counts_as_the_block_that_it_takes(sessions: Sessions, tmp_path: Path) -> None:
    session = sessions.create([upload(b"x", f"{number}.dcm") for number in range(10)])
    assert session.size_bytes == 10 * 4096
    # 100,000 bytes have room for 24 blocks: 10 are taken, and a folder with 14 files takes 15.
    packed = zipped(*((f"{number}.dcm", b"x") for number in range(14)))
    with pytest.raises(SessionsFullError):
        sessions.create([upload(packed, "study.zip")], uncompress=True)
    assert sessions.left_bytes() == 100_000 - 10 * 4096
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("data", "name", "error"),
    [
        (b"no archive", "study.zip", UnreadableStudyError),
        (zipped(), "study.zip", UnreadableStudyError),
        (zipped(("../out.dcm", b"x")), "study.zip", UnreadableStudyError),
        (b"voxels", "ct.nii", BadRequestError),
    ],
    ids=["broken", "empty", "leads out", "no archive"],
)
def test_what_cannot_be_unpacked_leaves_nothing_and_frees_its_room(
    sessions: Sessions, tmp_path: Path, data: bytes, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        sessions.create([upload(data, name)], uncompress=True)
    assert list(tmp_path.iterdir()) == []
    assert sessions.left_bytes() == 100_000


@pytest.mark.parametrize("session_id", ["", "0" * 36, "00000000-0000-0000-0000-000000000000", "x" * 5000])
def test_a_session_that_was_not_opened_is_not_there(sessions: Sessions, session_id: str) -> None:
    with pytest.raises(StudyNotFoundError, match="there is no such session"):
        sessions.find(session_id)


@pytest.mark.parametrize("session_id", ["..", "../../etc", "a/b", "C:x", "a\0"])
def test_a_session_id_that_looks_like_a_path_is_a_bad_request(sessions: Sessions, session_id: str) -> None:
    with pytest.raises(BadRequestError, match="an id is never a path"):
        sessions.find(session_id)
