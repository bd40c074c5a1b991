"""UIDs that are made from what they name, and what of a report they are made from."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


def uid_of(*facts: str) -> str:
    """The UID of something that is known by these facts: the same facts, the same UID.

    Below 2.25, which belongs to whoever has a UUID (PS3.5, B.2; here one of version 8 of RFC 9562, made from
    a SHA-256).
    """
    digest = hashlib.sha256(json.dumps(facts).encode()).digest()
    bits = int.from_bytes(digest[:16], "big")
    bits = bits & ~(0xF << 76) | (8 << 76)
    bits = bits & ~(0x3 << 62) | (2 << 62)
    return f"2.25.{uuid.UUID(int=bits).int}"


def content_text(root: Dataset) -> str:
    """All that the tree of a report says, as one text; the same before and after it was stored somewhere.

    Args:
        root: the report, or its content alone.
    """
    return json.dumps(root["ContentSequence"].to_json_dict(None, 0), sort_keys=True)
