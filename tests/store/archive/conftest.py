"""A real Orthanc, and a badly behaved archive for what Orthanc never does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from orthanc_process import OrthancProcess

from vpt_plugin.store.archive import ArchiveAddress, DicomArchive

sys.path.insert(0, str(Path(__file__).parent))

from archive_bench import Rude


@pytest.fixture
def orthanc(new_orthanc: Callable[..., OrthancProcess]) -> OrthancProcess:
    """An Orthanc of the test's own, with nothing in it."""
    return new_orthanc()


@pytest.fixture
def archive_at(tmp_path: Path) -> Callable[..., DicomArchive]:
    """Makes the archive at an address, over the test's own cache; each call is a restart of the server."""

    def open_it(url: str, **options: Any) -> DicomArchive:
        defaults = {"fresh_seconds": 0.0, "memory_seconds": 0.0}
        return DicomArchive(ArchiveAddress.parse(url), tmp_path / "cache", **{**defaults, **options})

    return open_it


@pytest.fixture
def rude() -> Iterator[Rude]:
    """The badly behaved archive, listening on this computer only."""
    archive = Rude()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            status, content_type, body = archive.answer(
                parts.path.removeprefix("/dicom-web"), parse_qs(parts.query)
            )
            if status == 0:  # it hangs up in the middle
                self.close_connection = True
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body) + 100))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "http://login.invalid/in?ticket=secret")
            self.end_headers()
            with suppress(ConnectionError):  # the client has lost patience
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    archive.url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield archive
    server.shutdown()
    thread.join()
    server.server_close()
