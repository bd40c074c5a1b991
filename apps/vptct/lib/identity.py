"""Who a server is: an id that stays the same under every address, and is nobody else's."""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from contextlib import suppress
from pathlib import Path

from vpt_plugin.durable import make_folder, write_new

_logger = logging.getLogger(__name__)
FILE = "server-id"
_SECRET = re.compile(r"[0-9a-f]{32}")


def server_id(home: Path, studies: str, labels: Path) -> str | None:
    """The id of the server over these studies and labels.

    A client that remembers something of a server, such as which study it loaded from it, knows by this that
    another address leads to the same studies. Two servers that share a home have different studies, so it
    is made of both: a number drawn once, kept in the home, and where studies and labels lie. It tells
    nothing of either.

    Args:
        home: ``vptct_home()``.
        studies: what ``--studies`` says.
        labels: the folder of labels.

    Returns:
        32 characters of 0-9 and a-f; None where nothing can be kept: an id that changes with every start
        would be taken for another server's.
    """
    try:
        drawn = _drawn_once(home / FILE)
    except (OSError, ValueError) as error:
        _logger.warning("this server has no id, for want of a file that keeps it: %s", error)
        return None
    place = "\0".join((drawn, studies, str(labels.absolute())))
    return hashlib.sha256(place.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _drawn_once(path: Path) -> str:
    """The number in a file, which the first who asks draws.

    Raises:
        OSError: it can neither be read nor written.
        ValueError: somebody wrote something else into it.
    """
    if not path.exists():
        make_folder(path.parent)
        with suppress(FileExistsError):  # Another server may be first.
            write_new(path, secrets.token_hex(16).encode("ascii"))
    drawn = path.read_text(encoding="ascii").strip()
    if not _SECRET.fullmatch(drawn):
        raise ValueError(f"{path} holds no id; remove it")
    return drawn
