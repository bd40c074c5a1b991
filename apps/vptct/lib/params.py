"""JSON that a client sends: what is not known is refused, so that nothing overrides what a route says."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from .errors import BadRequestError

# What MONAI Label's own clients send along with every request; it changes nothing here.
HARMLESS = ("client_id", "label_info", "result_compress", "result_dtype", "result_extension")

# What copies and shows it calls itself for each level, and Python allows but a thousand such calls.
_MAX_DEPTH = 50


def json_object(text: str | bytes, what: str) -> dict[str, Any]:
    """The JSON object that is in a text; an empty text is an empty object.

    Args:
        text: what the client sent.
        what: the field's name, for messages.

    Raises:
        BadRequestError: not JSON, or no object.
    """
    try:
        values = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        # The message of a wrong encoding can hold all of the text.
        raise BadRequestError(f"{what} is not JSON: {str(error)[:100]}.") from error
    if not isinstance(values, dict):
        raise BadRequestError(f"{what} must be a JSON object.")
    try:
        # What cannot be written again could not be shown to anybody: NaN, 1e999, half a character.
        json.dumps(values, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"{what} holds a number or a character that JSON does not know.") from error
    if _depth(values) > _MAX_DEPTH:
        raise BadRequestError(f"{what} is nested deeper than {_MAX_DEPTH} levels.")
    return values


def _depth(values: object) -> int:
    """How many lists and objects lie in each other; counted without recursion."""
    depth, level = 0, [values]
    while level := [each for each in level if isinstance(each, (dict, list))]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth


def check_known(values: Collection[str], known: Collection[str], what: str, hint: str = "") -> None:
    """Refuse keys that this server does not know: the device, a path or a model are not a client's.

    Raises:
        BadRequestError: names the first unknown key and those that are known.
    """
    if unknown := sorted(set(values) - set(known)):
        raise BadRequestError(
            f"{what} has an unknown key {unknown[0][:100]!r};",
            f"known are {', '.join(known)}. {hint}".rstrip(),
        )


def check_params(params: str) -> None:
    """Refuse ``params`` of a request but for those that change nothing.

    Raises:
        BadRequestError: not a JSON object, or an unknown key in it.
    """
    values = json_object(params, "params")
    check_known(values, HARMLESS, "params", "The study is named by image, session_id or file.")
