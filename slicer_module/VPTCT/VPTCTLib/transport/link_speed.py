"""LinkSpeed: how fast uploads to a server were, learnt from those themselves."""

from __future__ import annotations

# Smaller ones tell how long a request takes, whatever it brings.
_LEAST_BYTES = 1_000_000


class LinkSpeed:
    """What the latest upload of some size tells.

    Attributes:
        bytes_per_second: None before the first.
    """

    def __init__(self) -> None:
        self.bytes_per_second: float | None = None

    def learn(self, size_bytes: int, seconds: float) -> None:
        """So many bytes took so long, from the first one to the server's answer."""
        if size_bytes >= _LEAST_BYTES and seconds > 0:
            self.bytes_per_second = size_bytes / seconds
