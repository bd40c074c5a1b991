"""A link of a given speed, on this computer: a relay in a process of its own in front of a server.

    with SlowLink(8000, bits_per_second=1e9) as link:
        requests.get(f"{link.url}/info/")

What comes passes in both directions at that speed, by a token bucket for each; what comes sooner waits.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

_PIECE_BYTES = 1 << 18
# So much may pass at once after a pause; a switch holds about as much.
_BURST_SECONDS = 0.002


class SlowLink:
    """A relay, from entering the ``with`` block to leaving it.

    Args:
        port: of the server, on this computer.
        bits_per_second: in each direction; 0 for as fast as it goes.
    """

    def __init__(self, port: int, *, bits_per_second: float) -> None:
        self._command = [sys.executable, str(Path(__file__)), str(port), str(bits_per_second)]

    def __enter__(self) -> SlowLink:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Bucket:
    """Says when bytes may pass."""

    def __init__(self, bits_per_second: float) -> None:
        self._bytes_per_second = bits_per_second / 8
        self._empty_at = 0.0

    def take(self, size_bytes: int) -> None:
        """Wait until so many may pass."""
        if not self._bytes_per_second:
            return
        now = time.perf_counter()
        self._empty_at = max(self._empty_at, now - _BURST_SECONDS) + size_bytes / self._bytes_per_second
        if self._empty_at > now:
            time.sleep(self._empty_at - now)


def serve(port: int, bits_per_second: float) -> None:
    """Relay to a port of this computer until the process is ended; prints its own port first."""
    up, down = Bucket(bits_per_second), Bucket(bits_per_second)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port))
            for source, target, bucket in ((client, server, up), (server, client, down)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=_pass, args=(source, target, bucket), daemon=True).start()


def _pass(source: socket.socket, target: socket.socket, bucket: Bucket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            bucket.take(len(piece))
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
