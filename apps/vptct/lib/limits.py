"""What ``--conf`` says about sizes: how much a request may bring, and how much uploads may take together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from vpt_plugin.data.prepared import DEFAULT_LIMIT_GB
from vpt_plugin.errors import ConfigurationError

KEYS = ("max_upload_gb", "max_sessions_gb", "prepared_gb")
_GB = 10**9
# A client that takes no line for so long has stopped reading, and lets nobody else have a batch.
LINE_TAKEN_SECONDS = 600.0


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes.

    Attributes:
        upload_bytes: the largest request that brings a study.
        sessions_bytes: the most that the studies of all sessions may take on the disk together.
        label_bytes: the largest label. A label of the contract is some hundred bytes.
        small_bytes: the largest of all other requests; what stands around a label in its form fits, too.
        prepared_gb: how large the folder of studies prepared for training may become, in 10^9 bytes.
        files: the most files of one upload. A series of a whole body in thin slices has some thousand.
    """

    upload_bytes: int = 4 * _GB
    sessions_bytes: int = 20 * _GB
    label_bytes: int = 1 << 20
    small_bytes: int = (1 << 20) + (64 << 10)
    prepared_gb: float = DEFAULT_LIMIT_GB
    files: int = 20_000


def read_limits(conf: Mapping[str, str]) -> Limits:
    """This part of the configuration; other keys are passed over.

    Raises:
        ConfigurationError: no number of gigabytes.
    """
    default = Limits()
    return Limits(
        upload_bytes=_bytes(conf, "max_upload_gb", default.upload_bytes),
        sessions_bytes=_bytes(conf, "max_sessions_gb", default.sessions_bytes),
        prepared_gb=_bytes(conf, "prepared_gb", int(default.prepared_gb * _GB)) / _GB,
    )


def _bytes(conf: Mapping[str, str], key: str, default: int) -> int:
    if key not in conf:
        return default
    try:
        gigabytes = float(conf[key])
    except ValueError:
        gigabytes = math.nan
    # Up to a petabyte, which also leaves out nan and inf.
    if not 0 < gigabytes <= 1e6:
        raise ConfigurationError(
            f"--conf {key} {conf[key]}: is no size.", "Give gigabytes, such as 4 or 0.5."
        )
    return int(gigabytes * _GB)
