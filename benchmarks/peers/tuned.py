"""Peer (c): peer (a)'s network with an allocator that keeps what was freed.

What (a) loses to page faults depends on the machine, and on a virtual one it is much; what is gained over (c)
is gained by computing less or better, and carries over to other machines.
"""

from __future__ import annotations

from typing import Any

from way_process import TUNED_ALLOCATOR, WayProcess


def tuned_process(way: str, settings: dict[str, Any]) -> WayProcess:
    """A way of ``peers.paper`` in a process with the tuned allocator."""
    return WayProcess(f"peers.paper:{way}", settings, TUNED_ALLOCATOR)
