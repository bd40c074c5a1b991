"""LinkSpeed: how fast uploads to a server were, learnt from those themselves."""

from __future__ import annotations

# Smaller ones tell how long a request takes, whatever it brings.
_LEAST_BYTES = 1_000_000


class LinkSpeed:
    """What the latest upload of some size tells.

    Args:
        bytes_per_second: of uploads of an earlier day; None where it is not known.

    Attributes:
        bytes_per_second: None before the first.
    """

    def __init__(self, bytes_per_second: float | None = None) -> None:
        self.bytes_per_second = bytes_per_second

    def learn(self, size_bytes: int, seconds: float) -> None:
        """So many bytes took so long to send, however long they took to make, and the server to answer."""
        if size_bytes >= _LEAST_BYTES and seconds > 0:
            self.bytes_per_second = size_bytes / seconds
