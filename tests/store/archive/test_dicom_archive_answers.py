"""Answers taken apart: pages of a search, and the file in a multipart body."""

from __future__ import annotations

import tracemalloc

import pytest

from vpt_plugin.errors import ArchiveError
from vpt_plugin.store.archive.client import text_of
from vpt_plugin.store.archive.identity import is_uid
from vpt_plugin.store.archive.multipart import dicom_file_of
from vpt_plugin.store.archive.paging import Row, all_rows


class Pages:
    """Rows 0 to count-1, paged as well or as badly as it is told."""

    def __init__(
        self, count: int, *, minds_limit: bool = True, minds_offset: bool = True, most: int = 99
    ) -> None:
        self.rows = [{"uid": str(number)} for number in range(count)]
        self.minds_limit, self.minds_offset, self.most = minds_limit, minds_offset, most
        self.asked: list[tuple[int | None, int | None]] = []

    def __call__(self, limit: int | None, offset: int | None) -> list[Row]:
        self.asked.append((limit, offset))
        rows = self.rows[(offset or 0) if self.minds_offset else 0 :]
        return rows[: min(self.most, limit if limit and self.minds_limit else 99)]

    def all(self, limit: int = 4) -> list[str]:
        return sorted(all_rows(self, lambda row: row["uid"], limit=limit), key=int)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("minds_limit", [True, False])
@pytest.mark.parametrize("minds_offset", [True, False])
def test_every_row_is_found_whatever_the_archive_ignores(
    count: int, minds_limit: bool, minds_offset: bool
) -> None:
    pages = Pages(count, minds_limit=minds_limit, minds_offset=minds_offset)
    assert pages.all() == [str(number) for number in range(count)]
    assert len(pages.asked) <= 4


def test_an_archive_that_sends_fewer_rows_than_asked_for_is_asked_on() -> None:
    pages = Pages(7, most=3)
    assert pages.all(limit=4) == list("0123456")
    assert pages.asked == [(4, 0), (4, 3), (4, 6), (4, 7)]


def test_rows_that_come_twice_count_once() -> None:
    answers = [[{"uid": "a"}, {"uid": "b"}], [{"uid": "b"}, {"uid": "c"}], []]
    assert list(all_rows(lambda *page: answers.pop(0), lambda row: row["uid"], limit=2)) == ["b", "c", "a"]


def test_values_of_dicom_json_are_texts() -> None:
    row = {
        "1": {"vr": "IS", "Value": [133]},
        "2": {"vr": "CS", "Value": ["CT", None, "SR"]},
        "3": {"vr": "LO"},
    }
    assert [text_of(row, tag) for tag in "1234"] == ["133", "CT\\SR", "", ""]


FILE = b"DICM\r\n--almost an edge\r\n\r\n\0"


def multipart(*files: bytes, end: bytes = b"--\r\n") -> bytes:
    parts = b"".join(b"--ed ge\r\nContent-Type: application/dicom\r\n\r\n" + each + b"\r\n" for each in files)
    return parts + b"--ed ge" + end


@pytest.mark.parametrize("before", [b"", b"\r\n", b"preamble\r\n"])
def test_the_file_in_a_multipart_answer_is_taken_byte_for_byte(before: bytes) -> None:
    content_type = 'Multipart/Related; type="application/dicom"; boundary="ed ge"'
    assert dicom_file_of(content_type, bytearray(before + multipart(FILE))) == FILE


def test_a_large_file_is_taken_without_a_third_copy_of_it() -> None:
    body = bytearray(multipart(bytes(32 << 20)))
    tracemalloc.start()
    try:
        assert len(dicom_file_of('multipart/related; boundary="ed ge"', body)) == 32 << 20
        assert tracemalloc.get_traced_memory()[1] < 33 << 20  # the file itself; the body was there before
    finally:
        tracemalloc.stop()


def test_a_bare_file_is_taken_as_it_is() -> None:
    assert dicom_file_of("application/dicom; transfer-syntax=1.2", bytearray(FILE)) == FILE


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("multipart/related; boundary=x", b"--x\r\n\r\nDICM\r\n--", "cut short"),
        ("multipart/related; boundary=x", b"--x\r\n\r\nDICM", "cut short"),
        ("multipart/related; boundary=x", b"", "cut short"),
        ("multipart/related; boundary=x", b"--x\r\nno header's end\r\n--x--", "cut short"),
        ("multipart/related; boundary=x", b"--x\r\n\r\na\r\n--x", "cut short"),
        ("multipart/related; boundary=x", b"no edge\r\n\r\nat all", "cut short"),
        ("multipart/related; boundary=x", b"--x\r\n\r\na\r\n--x\r\n\r\nb\r\n--x--", "2 files instead of one"),
        ("multipart/related", b"--x\r\n\r\na\r\n--x--", "no DICOM file"),
        ("text/html", b"<html>", "text/html, no DICOM file"),
        ("", b"", "no DICOM file"),
    ],
)
def test_what_is_no_whole_file_is_refused(content_type: str, body: bytes, message: str) -> None:
    with pytest.raises(ArchiveError, match=message):
        dicom_file_of(content_type, bytearray(body))


@pytest.mark.parametrize("text", ["1.2.840.10008.1", "2.25.1", "0c1d2e3f", "a" * 64])
def test_uids_of_the_standard_and_of_anonymised_files_are_uids(text: str) -> None:
    assert is_uid(text)


@pytest.mark.parametrize(
    "text", ["", ".", "..", "1..2", ".1", "1.", "1/2", "1\\2", "1 2", "1\n", "a" * 65, "1-2", "é"]
)
def test_what_could_leave_a_folder_is_no_uid(text: str) -> None:
    assert not is_uid(text)
