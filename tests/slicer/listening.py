"""A port of this computer, and a thread for each who connects: what the servers of these tests share."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def listening(serve: Callable[[socket.socket, int], None]) -> Iterator[str]:
    """Listen while the block lasts; gives ``127.0.0.1:PORT``, and waits at its end until all are served.

    Args:
        serve: talks to who connected, and how many came before.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def accept() -> None:
        number = 0
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection, number)))
            threads[-1].start()
            number += 1

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        for thread in (accepting, *threads):
            thread.join(10)
        listener.close()
