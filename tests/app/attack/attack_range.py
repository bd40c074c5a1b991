"""What all attacks share: any bytes at all as a request, and what must be as it was afterwards."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
from server_process import ServerProcess

from vpt_plugin.ct.volume import Volume

CANARY = "canary-of-a-file-that-no-client-may-read"
SECRET = "secret-of-the-servers-environment"
# What the system's own files begin with, and what only a stack trace or a path of the installation holds.
_NEVER = ("root:x:0", "root:*:0", "Traceback (most recent", 'File "/', "site-packages", "/usr/lib/python")
_LABEL_FILES = re.compile(
    r"(final|conflicts)/[A-Za-z0-9._-]+/[a-z0-9_]+\.[0-9]{4,9}\.json|(studies-index|examinations)\.json"
    r"|(final|conflicts)(/[A-Za-z0-9._-]+)?"
    r"|worklist(/(leases\.json|history\.jsonl|\.lock))?"
)
_PROCESS = re.compile(r"vptct-process-[0-9a-f]{32}(\.lock)?")
_SESSION = re.compile(r"([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})?")
LABEL = {
    "schema": "vptct.label/1",
    "task": "nodule",
    "findings": {"lung_nodule": {"state": "absent"}},
    "annotator": "anna",
}


@dataclass(frozen=True)
class Answer:
    """What the server said; status 0 where it hung up without a word."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")

    @property
    def json(self) -> dict[str, object]:
        return dict(json.loads(self.body))


def multipart(*parts: tuple[str, str | None, bytes], boundary: str = "xxBOUNDARYxx") -> bytes:
    """A body of parts (field, file name or None, content); names go in as they are, quotes and all."""
    body = b""
    for name, filename, content in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        if filename is not None:
            # surrogateescape: a file name can be bytes that are no text.
            body += b'; filename="' + filename.encode("utf-8", "surrogateescape") + b'"'
            body += b"\r\nContent-Type: application/octet-stream"
        body += b"\r\n\r\n" + content + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


MULTIPART = ("Content-Type", "multipart/form-data; boundary=xxBOUNDARYxx")


@dataclass
class Range:
    """The server under attack and everything it must leave alone.

    Attributes:
        process: the server.
        root: holds the studies, the models, the server's home and the canaries.
        studies: what it serves; ``ct.nii.gz`` is a study in it, with one label of ``nodule``.
        outside: lies beside the studies, holds a study, a label and a text.
        before: all that must stay as it is, and was so at the start.
        kept: what the server itself keeps in its temporary folder.
    """

    process: ServerProcess
    root: Path
    studies: Path
    outside: Path
    before: dict[str, object] = field(default_factory=dict, repr=False)
    kept: frozenset[Path] = field(default=frozenset(), repr=False)

    @property
    def pid(self) -> int:
        """The server's process."""
        return self.process._process.pid

    def send(
        self,
        method: str,
        target: str,
        body: bytes = b"",
        headers: tuple[tuple[str, str], ...] = (),
        timeout: float = 60,
    ) -> Answer:
        """One request, with exactly this target: no client library may tidy it up."""
        host = urlsplit(self.process.url).netloc
        lines = [f"{method} {target} HTTP/1.1"]
        names = {name.lower() for name, _ in headers}
        own = (("Host", host), ("Connection", "close"), ("Content-Length", str(len(body))))
        lines += [f"{name}: {value}" for name, value in (*own, *headers) if (name, value) in headers
                  or name.lower() not in names]  # fmt: skip
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        return self.send_bytes(head + body, method=method, timeout=timeout)

    def send_bytes(self, data: bytes, *, method: str = "GET", timeout: float = 60) -> Answer:
        """These bytes over a connection of their own, and what comes back."""
        with self.connect(timeout) as connection:
            # It may answer, or hang up, before it has heard all.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(data)
            return read_answer(connection, method)

    def connect(self, timeout: float = 60) -> socket.socket:
        address = urlsplit(self.process.url)
        return socket.create_connection((address.hostname, address.port), timeout=timeout)

    def problem(self, answer: Answer, sent: str) -> str:
        """What is wrong with an answer; "" where the server did not fail and told nothing it must not tell.

        Args:
            answer: what came back.
            sent: the request, for the message; what the client itself said may come back to it.
        """
        told = answer.text + "".join(f"{name}: {value}\n" for name, value in answer.headers.items())
        wrong = [word for word in (CANARY, SECRET) if word in told]
        if not (sent.startswith("GET /logs/") and answer.status == 200):
            # The log, where it is switched on, holds what an admin needs.
            folders = (self.root, self.process.temporary.parent, Path(__file__).parents[3])
            said = sent + unquote(sent)
            wrong += [word for word in _NEVER if word in told]
            wrong += [f"the path {each}" for each in folders if str(each) in told and str(each) not in said]
        if not 100 <= answer.status < 500:
            wrong.append("the server failed")
        if "x-injected" in answer.headers:
            wrong.append("a header of the client's making")
        if answer.status >= 400 and answer.body and not _is_told_plainly(answer):
            wrong.append("an error without detail and hint")
        return f"{', '.join(wrong)}: {sent[:300]} -> {answer.status} {answer.text[:300]}" if wrong else ""

    def snapshot(self, fingerprint: Callable[[Path], object]) -> dict[str, object]:
        """Every file and folder that must stay as it is, with what ``fingerprint`` makes of it."""
        server = self.process.temporary.parent
        grows = {
            server / "server.log", server / "app" / "logs", server / "sessions", self.process.temporary,
            self.studies / "labels",
        }  # fmt: skip
        return dict(_fingerprints([self.root, server], grows, fingerprint))

    def assert_unharmed(self, sent: str) -> None:
        """Nothing was written, changed or removed but labels, sessions and the log, and the server lives."""
        after = self.snapshot(times)
        changed = sorted(str(each) for each in after.items() ^ self.before.items())
        assert changed == [], f"{sent}: {changed[:6]}"
        labels = self.studies / "labels"
        grown = [path.relative_to(labels).as_posix() for path in labels.rglob("*")]
        strange = [name for name in grown if not _LABEL_FILES.fullmatch(name)]
        assert strange == [], f"{sent}: {strange}"
        sessions = self.process.temporary.parent / "sessions"
        opened = [path.relative_to(sessions).parts[:2] for path in sessions.rglob("*")]
        strange = [parts for parts in opened if not _is_session(*parts)]
        assert strange == [], f"{sent}: {strange}"
        assert self.send("GET", "/info/").status == 200, sent

    def left_behind(self) -> list[Path]:
        """Uploads that still lie in the server's temporary folder."""
        found = self.process.temporary.rglob("*")
        return sorted(path for path in found if "torchinductor_" not in str(path) and path not in self.kept)


def read_answer(connection: socket.socket, method: str) -> Answer:
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, response.read())
    except (http.client.HTTPException, ConnectionError):
        return Answer(0, {}, b"")
    finally:
        response.close()


def _is_told_plainly(answer: Answer) -> bool:
    if answer.headers.get("content-type") != "application/json":
        # uvicorn's own word, before any app is asked.
        return answer.body == b"Invalid HTTP request received."
    return {"error", "detail", "hint"} <= set(answer.json)


def _is_session(process: str, session: str = "") -> bool:
    """Whether this may lie in the folder of sessions: one folder and lock of the server, sessions in it."""
    return _PROCESS.fullmatch(process) is not None and _SESSION.fullmatch(session) is not None


def times(path: Path) -> tuple[int, ...]:
    """What no program can change a file without changing: quick to ask, unlike the contents."""
    stat = path.lstat()
    # A folder's own time also changes when something in it comes and goes again, which is no harm.
    return (stat.st_ino, stat.st_mode) if path.is_dir() else (stat.st_ino, stat.st_size, stat.st_ctime_ns)


def contents(path: Path) -> str:
    """What is in a file, or where a link leads."""
    if path.is_symlink():
        return f"link to {path.readlink()}"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"


def _fingerprints(
    folders: list[Path], but: set[Path], fingerprint: Callable[[Path], object]
) -> Iterator[tuple[str, object]]:
    pending = list(folders)
    while pending:
        for path in pending.pop().iterdir():
            if path in but:
                continue
            yield str(path), fingerprint(path)
            if path.is_dir() and not path.is_symlink():
                pending.append(path)


def small_ct() -> Volume:
    """16 slices: the smallest study that the network takes."""
    hu = np.random.default_rng(3).integers(-900, -300, (16, 64, 64)).astype(np.int16)
    hu[4:12, 20:44, 20:44] += 600
    return Volume(hu, (2.5, 3.0, 3.0), (-96.0, -96.0, -40.0), np.eye(3)[:, ::-1].copy(), "small")
