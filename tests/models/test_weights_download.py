"""Downloads, from a real server on this computer."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from vpt_plugin.errors import ChecksumError, WeightsError, WeightsLayoutError
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.weights import WeightsFolder, WeightsSource


@dataclass
class Publisher:
    """What the server offers and how it misbehaves."""

    content: bytes
    etag: str = '"version 1"'
    content_type: str = "application/octet-stream"
    status: int = 200
    breaks_off_after: int | None = None
    says_length: bool = True
    knows_ranges: bool = True
    asked_ranges: list[str] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        publisher: Publisher = self.server.publisher  # type: ignore[attr-defined]
        asked = self.headers.get("Range", "")
        publisher.asked_ranges.append(asked)
        first = 0
        if asked and publisher.knows_ranges and self.headers.get("If-Range") == publisher.etag:
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.answer(publisher, first)

    def answer(self, publisher: Publisher, first: int) -> None:
        length = len(publisher.content)
        if first >= length:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{length}")
            self.end_headers()
            return
        self.send_response(206 if first else publisher.status)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{length - 1}/{length}")
        if publisher.etag:
            self.send_header("ETag", publisher.etag)
        if publisher.says_length:
            self.send_header("Content-Length", str(length - first))
        self.send_header("Content-Type", publisher.content_type)
        self.end_headers()
        end = length if publisher.breaks_off_after is None else publisher.breaks_off_after
        self.wfile.write(publisher.content[first:end])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name is http.server's
        """Says nothing."""


@pytest.fixture
def publisher(tmp_path: Path, save_as_published: Callable[..., Path]) -> Iterator[Publisher]:
    file = save_as_published(get_model("tiny").build().state_dict(), "pytorchvideo", tmp_path / "given.pyth")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    publisher = Publisher(file.read_bytes(), url=f"http://127.0.0.1:{server.server_port}/TINY.pyth")
    server.publisher = publisher  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield publisher
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[WeightsFolder]:
    with requests.Session() as session:
        session.trust_env = False  # a proxy of the computer must not come between
        yield WeightsFolder(tmp_path / "weights", session=session)


@pytest.fixture
def source(publisher: Publisher) -> WeightsSource:
    return WeightsSource(
        name="tiny",
        model="tiny",
        pretraining="kinetics",
        url=publisher.url,
        filename="TINY.pyth",
        layout="pytorchvideo",
        licence="Made by the test.",
        bytes=len(publisher.content),
    )


def names(folder: WeightsFolder) -> list[str]:
    return sorted(each.name for each in folder.root.iterdir())


def test_a_download_arrives_whole_reports_progress_and_is_recorded(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher
) -> None:
    seen: list[tuple[int, int | None]] = []
    path = folder.fetch(source, lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == publisher.content
    assert names(folder) == ["TINY.pyth", "TINY.pyth.sha256.json"]
    assert seen[-1] == (len(publisher.content), len(publisher.content))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert folder.load(source).keys() == get_model("tiny").build().state_dict().keys()


def test_what_is_here_already_is_not_downloaded_again(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher
) -> None:
    folder.fetch(source)
    folder.fetch(source)
    assert len(publisher.asked_ranges) == 1


def test_a_download_that_broke_off_goes_on_where_it_stopped(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher
) -> None:
    publisher.breaks_off_after = 500_000
    with pytest.raises(WeightsError, match="Run the same command again, it goes on where it stopped"):
        folder.fetch(source)
    assert not folder.has(source)
    here = (folder.root / "TINY.pyth.part").stat().st_size
    assert 0 < here <= 500_000
    publisher.breaks_off_after = None
    seen: list[tuple[int, int | None]] = []
    path = folder.fetch(source, lambda done, total: seen.append((done, total)))
    assert publisher.asked_ranges == ["", f"bytes={here}-"]
    assert path.read_bytes() == publisher.content
    assert seen[0][0] > here
    assert seen[-1] == (len(publisher.content), len(publisher.content))
    assert names(folder) == ["TINY.pyth", "TINY.pyth.sha256.json"]


def test_a_part_of_an_older_version_is_not_continued_with_the_new_one(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher
) -> None:
    publisher.breaks_off_after = 500_000
    with pytest.raises(WeightsError):
        folder.fetch(source)
    publisher.breaks_off_after, publisher.etag = None, '"version 2"'
    assert folder.fetch(source).read_bytes() == publisher.content


@pytest.mark.parametrize(
    "server", [{"etag": ""}, {"etag": 'W/"weak"'}, {"knows_ranges": False}], ids=["no", "weak", "no ranges"]
)
def test_a_server_that_cannot_continue_is_asked_for_the_whole_file(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher, server: dict[str, object]
) -> None:
    for name, value in server.items():
        setattr(publisher, name, value)
    publisher.breaks_off_after = 500_000
    with pytest.raises(WeightsError):
        folder.fetch(source)
    publisher.breaks_off_after = None
    assert folder.fetch(source).read_bytes() == publisher.content


def test_a_part_that_is_whole_already_is_downloaded_once_more(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher
) -> None:
    # Stopped between the last byte and the file's name: the server refuses to give what follows the end.
    folder.root.mkdir()
    (folder.root / "TINY.pyth.part").write_bytes(publisher.content)
    (folder.root / "TINY.pyth.part.etag").write_text(publisher.etag)
    assert folder.fetch(source).read_bytes() == publisher.content
    assert publisher.asked_ranges == [f"bytes={len(publisher.content)}-", ""]
    assert names(folder) == ["TINY.pyth", "TINY.pyth.sha256.json"]


def test_a_server_that_does_not_say_the_length_is_fine(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher
) -> None:
    publisher.says_length = False
    seen: list[tuple[int, int | None]] = []
    folder.fetch(source, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(publisher.content), None)


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_web_page_instead_of_the_file_is_recognised_and_not_kept(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher, content_type: str
) -> None:
    publisher.content = b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>"
    publisher.content_type = content_type
    with pytest.raises(WeightsError, match=r"web page.*in a browser.*`vpt weights import tiny FILE`"):
        folder.fetch(source)
    assert names(folder) == []


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(
    folder: WeightsFolder, source: WeightsSource
) -> None:
    with pytest.raises(ChecksumError, match=r"TINY.pyth: its SHA-256 begins with"):
        folder.fetch(replace(source, sha256="0" * 64))
    assert names(folder) == []


def test_the_right_checksum_is_accepted(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher
) -> None:
    folder.fetch(replace(source, sha256=hashlib.sha256(publisher.content).hexdigest()))
    assert names(folder) == ["TINY.pyth"]


def test_a_damaged_record_is_told_before_the_download_and_deletes_nothing(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher
) -> None:
    publisher.breaks_off_after = 500_000
    with pytest.raises(WeightsError):
        folder.fetch(source)
    (folder.root / "TINY.pyth.sha256.json").write_text("{")
    before = (folder.root / "TINY.pyth.part").read_bytes()
    publisher.breaks_off_after = None
    with pytest.raises(ChecksumError, match=r"TINY.pyth.sha256.json: is damaged\. Delete it"):
        folder.fetch(source)
    assert len(publisher.asked_ranges) == 1
    assert (folder.root / "TINY.pyth.part").read_bytes() == before
    (folder.root / "TINY.pyth.sha256.json").unlink()
    assert folder.fetch(source).read_bytes() == publisher.content


def test_a_file_that_does_not_fit_the_network_is_refused_and_nothing_is_kept(
    folder: WeightsFolder, source: WeightsSource, tmp_path: Path, publisher: Publisher,
    save_as_published: Callable[..., Path],
) -> None:  # fmt: skip
    other = save_as_published({}, "pytorchvideo", tmp_path / "empty.pyth")
    publisher.content = other.read_bytes()
    with pytest.raises(WeightsLayoutError, match=r"TINY.pyth: does not fit the network; missing"):
        folder.fetch(source)
    assert names(folder) == []


def test_a_refusing_server_and_one_that_is_not_there_are_told_apart_from_a_bad_file(
    folder: WeightsFolder, source: WeightsSource, publisher: Publisher
) -> None:
    publisher.status = 404
    with pytest.raises(
        WeightsError, match=r"downloaded .*the server answers 404 .*vpt weights import tiny FILE"
    ):
        folder.fetch(source)
    nowhere = replace(source, url="http://127.0.0.1:9/TINY.pyth")
    with pytest.raises(WeightsError, match="there is no connection, or it broke off"):
        folder.fetch(nowhere)
    assert not folder.has(source)
