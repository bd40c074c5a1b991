"""Sockets of one request, which another thread can close; requests itself has no way to stop one."""

from __future__ import annotations

import socket
import threading
from typing import Any

from requests.adapters import HTTPAdapter

# A server that lost its power says nothing: who waits for its answer notices after about a minute.
_KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))


class Sockets:
    """The sockets of one request."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self.closed_because = ""

    def add(self, opened: socket.socket) -> None:
        """One more; closed at once where all were closed before."""
        with self._lock:
            self._sockets.append(opened)
            closed = bool(self.closed_because)
        if closed:
            _end(opened)

    def close(self, because: str) -> None:
        """End them in both directions: who reads or writes gets an error. The first reason stays."""
        with self._lock:
            self.closed_because = self.closed_because or because
        self.end()

    def end(self) -> None:
        """End them: urllib3 leaves that to Python's memory, where who keeps an error keeps them open."""
        with self._lock:
            sockets = list(self._sockets)
        for each in sockets:
            _end(each)


class ClosableAdapter(HTTPAdapter):
    """requests' adapter, whose connections tell their sockets.

    Args:
        sockets: where they are told.
        stall_seconds: how long a single read or write may take. requests itself takes the time for connecting
            for writes, too.
    """

    def __init__(self, sockets: Sockets, *, stall_seconds: float) -> None:
        self._told = sockets
        self._stall_seconds = stall_seconds
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As requests does, with our connections."""
        super().init_poolmanager(*args, **kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """As requests does, with our connections."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        self._watch(manager)
        return manager

    def _watch(self, manager: Any) -> None:
        """Have a manager's pools make connections that tell their sockets."""
        manager.pool_classes_by_scheme = {
            scheme: type(pool.__name__, (pool,), {"ConnectionCls": self._telling(pool.ConnectionCls)})
            for scheme, pool in manager.pool_classes_by_scheme.items()
        }

    def _telling(self, kind: Any) -> Any:
        told, stall_seconds = self._told, self._stall_seconds

        def connect(connection: Any) -> None:
            kind.connect(connection)
            connection.sock.settimeout(stall_seconds)
            # TLS through a proxy that speaks TLS itself is no socket, but has one.
            opened = getattr(connection.sock, "socket", connection.sock)
            _keep_alive(opened)
            told.add(opened)

        return type(kind.__name__, (kind,), {"connect": connect})


def _keep_alive(opened: socket.socket) -> None:
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # not everywhere
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _end(opened: socket.socket) -> None:
    """End a socket that another thread may be reading; that one closes it."""
    try:
        # Past TLS, whose own goodbye would wait for the thread that reads.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)
    except OSError:
        return  # It has ended already.
