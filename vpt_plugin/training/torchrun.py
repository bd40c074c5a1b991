"""What torchrun tells the processes that it starts. Without torch: the commands ask it, too."""

from __future__ import annotations

import os
from collections.abc import Mapping

_TOLD = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def torchrun_size(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes torchrun started together; 1 where it started none."""
    return int(environment["WORLD_SIZE"]) if all(name in environment for name in _TOLD) else 1


def torchrun_rank(environment: Mapping[str, str] = os.environ) -> int:
    """The number of this process, from 0; 0 where torchrun did not start it."""
    return int(environment["RANK"]) if torchrun_size(environment) > 1 else 0
