"""A real Orthanc, and a badly behaved archive for what Orthanc never does."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from orthanc_process import OrthancProcess

from vpt_plugin.store.archive import ArchiveAddress, DicomArchive

sys.path.insert(0, str(Path(__file__).parent))

from archive_bench import Rude


@pytest.fixture
def orthanc(new_orthanc: Callable[..., OrthancProcess]) -> Iterator[OrthancProcess]:
    """An Orthanc of the test's own, with nothing in it."""
    process = new_orthanc()
    yield process
    process.stop(at_once=True)


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
    with served(archive):
        yield archive


@pytest.fixture
def rude_over_tls(tmp_path: Path) -> Iterator[tuple[Rude, Path]]:
    """An archive behind TLS, and the file of the authority that nobody knows: its own certificate."""
    certificate, key = write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    archive = Rude()
    with served(archive, context):
        yield archive, certificate


@contextmanager
def served(archive: Rude, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    class OfThis(Handler):
        answer = archive.answer

    server = QuietServer(("127.0.0.1", 0), OfThis)
    archive.url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    if tls is not None:
        archive.url = f"https://localhost:{server.server_port}/dicom-web"
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    def handle_error(self, *args: object) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    """Answers with what ``Rude.answer`` says."""

    protocol_version = "HTTP/1.1"
    answer: Callable[[str, dict[str, list[str]]], tuple[int, str, bytes]]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = parts.path.removeprefix("/dicom-web")
        status, content_type, body = type(self).answer(path, parse_qs(parts.query))
        hangs_up = status == 0
        self.close_connection = hangs_up
        self.send_response(200 if hangs_up else status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body) + (100 if hangs_up else 0)))
        if status == 302:
            self.send_header("Location", "http://login.invalid/in?ticket=secret")
        self.end_headers()
        with suppress(ConnectionError):  # the client has lost patience
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, plain)
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    return folder / "certificate.pem", folder / "key.pem"
