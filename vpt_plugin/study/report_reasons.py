"""Why a training failed, in words that can leave the house.

What an error says may name a study, a patient, a UID or a folder, in ways that nobody can list. So a report
never quotes it: it knows a few kinds of errors and has its own words for them. All others it does not tell.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from types import MappingProxyType

from vpt_plugin.study.cell_records import Failure

HIDDEN = "the reason may name a study; it is in the training's failure.json."
_KILLED = "its process ended before it was done, most often for want of memory."
_MEMORY = "the memory does not suffice for it."
_OF_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "DivergedError": "the loss was no longer a number; try lower learning rates.",
        "DeviceMemoryError": _MEMORY,
        "MemoryError": _MEMORY,
        "OutOfMemoryError": _KILLED,
        "WorkerCrashedError": _KILLED,
        "NodeDiedError": _KILLED,
    }
)
_KIND = re.compile(r"^(?:\w+\.)*(\w+Error)\b", re.MULTILINE)
_KIND_AT_END = re.compile(r": (\w+Error)\.$")


def reason_to_tell(failure: Failure) -> str:
    """Why a cell is not done, as a sentence without a name of anything but other cells."""
    if failure.needs:
        return f"not run: it needs {failure.needs}, which failed."
    # Of a chain of errors the last one is told.
    kinds = _KIND_AT_END.findall(failure.message) or _KIND.findall(failure.trace)
    if kinds and kinds[-1] in _OF_KINDS:
        return _OF_KINDS[kinds[-1]]
    return "the disk is full." if os.strerror(errno.ENOSPC) in failure.message else HIDDEN
