"""An answer of several parts (``multipart/form-data``), as MONAI Label sends a file beside its JSON."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message

from ..errors import ContractError

# Where MONAI Label puts the JSON.
PARAMS = "params"


def parts_of(content_type: str, content: bytes) -> Mapping[str, bytes]:
    """The parts of an answer by their names; of one that is JSON alone, that as ``params``.

    Args:
        content_type: of the answer, with its boundary.
        content: its body.

    Raises:
        ContractError: it was cut short, or a part has no name.
    """
    kind = _header(content_type)
    if kind.get_content_maintype() != "multipart":
        return {PARAMS: content}
    boundary = str(kind.get_param("boundary", ""))
    if not boundary:
        raise _damaged("names no boundary between its parts")
    # RFC 2046, 5.1.1: what separates parts begins with the line break before it; the first has none.
    pieces = (b"\r\n" + content).split(b"\r\n--" + boundary.encode())
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise _damaged("was cut short")
    return dict(_part(piece) for piece in pieces[1:-1])


def _part(piece: bytes) -> tuple[str, bytes]:
    head, blank, body = piece.partition(b"\r\n\r\n")
    for line in head.decode("utf-8", "replace").split("\r\n"):
        field, _, value = line.partition(":")
        name = _header(f"form-data;{value.partition(';')[2]}").get_param("name")
        if field.strip().lower() == "content-disposition" and blank and isinstance(name, str):
            return name, body
    raise _damaged("has a part without a name")


def _header(value: str) -> Message:
    message = Message()
    message["Content-Type"] = value
    return message


def _damaged(what: str) -> ContractError:
    return ContractError(
        f"the server's answer {what}.", "Ask again; if it stays, update this module or the server."
    )
