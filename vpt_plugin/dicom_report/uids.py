"""UIDs that are made from what they name, and what of a report they are made from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from vpt_plugin.digest import uid_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def uid_of_facts(*facts: str) -> str:
    """The UID of something that is known by these facts: the same facts, the same UID."""
    return uid_of(json.dumps(facts))


def content_text(root: Dataset) -> str:
    """All that the tree of a report says, as one text; the same before and after it was stored somewhere.

    Args:
        root: the report, or its content alone.
    """
    return json.dumps(root["ContentSequence"].to_json_dict(None, 0), sort_keys=True)
