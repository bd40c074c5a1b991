"""However a real server ends, and whatever was going on: nothing of an upload stays for long."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from server_process import ServerProcess

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends signals")


def workspaces(process: ServerProcess) -> list[Path]:
    """The folders of server processes, of temporary files and of sessions, and what lies in them."""
    folder = process.temporary.parent
    return sorted(
        path for part in ("temporary", "sessions") for path in (folder / part).rglob("vptct-process-*")
    )


def busy(process: ServerProcess) -> socket.socket:
    """Open a session, and stop in the middle of another upload."""
    created = requests.put(f"{process.url}/session/", files={"files": ("ct.nii", b"voxels")}, timeout=60)
    assert created.status_code == 200, created.text
    address = urlsplit(process.url)
    upload = socket.create_connection((address.hostname, address.port))
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="ct.nii"\r\n\r\n'
    upload.sendall(
        b"PUT /session/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 50000000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + head + b"x" * 5_000_000
    )
    return upload


def ended(process: ServerProcess, number: int) -> None:
    os.kill(process._process.pid, number)
    process._process.wait(30)


def test_a_server_that_is_stopped_or_killed_leaves_nothing_that_its_next_start_does_not_remove(
    tmp_path: Path,
) -> None:
    conf = {"tasks": "nodule", "models": "tiny", "device": "cpu", "scoring": "off"}
    with ServerProcess(tmp_path, conf=conf) as process:
        first = workspaces(process)
        assert len(first) == 4  # Two folders, each with its lock.
        with busy(process):
            process.kill()
        left = [path for path in workspaces(process) if path.is_dir()]
        assert any(path.name == "ct.nii" for folder in left for path in folder.rglob("*"))

        process.start_again()
        assert len(workspaces(process)) == 4
        assert not set(workspaces(process)) & set(first)
        for number, next_one in ((signal.SIGTERM, process.start_again), (signal.SIGINT, None)):
            upload = busy(process)
            _hang_up_after(upload, 0.3)
            ended(process, number)
            assert workspaces(process) == [], signal.Signals(number).name
            if next_one is not None:
                next_one()


def _hang_up_after(upload: socket.socket, seconds: float) -> None:
    # A server that is asked to stop waits for requests that are being sent.
    time.sleep(seconds)
    upload.close()
