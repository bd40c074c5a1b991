"""What a client calls things: ids that lead nowhere, and file names that are shown but never followed."""

from __future__ import annotations

import re

from vpt_plugin.ct.archive import plain_name

from .errors import BadRequestError

# Separators of Unix and Windows, drive letters and schemes, control characters (NUL among them), what is
# still percent-encoded after the server decoded it once, and the two names that lead upwards.
_LEADS_OUT = re.compile(r"[/\\:\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}|^\.\.?$")
_SHOWN_CHARACTERS = 100
# DICOM PS3.5, 9.1, and the letters of hashed ones.
_UID = re.compile(r"(?=.{1,64}\Z)[0-9A-Za-z]+(\.[0-9A-Za-z]+)*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def checked_id(text: str, what: str) -> str:
    """The id, if it cannot be meant as a path. Whether there is something of this id is not asked here.

    Args:
        text: what the client said.
        what: what it should be the id of, for the message: ``image``, ``label``.

    Raises:
        BadRequestError: it looks as if it should lead out of the store.
    """
    if _LEADS_OUT.search(text):
        raise BadRequestError(
            f"{what} {text[:_SHOWN_CHARACTERS]!r} is no id: an id is never a path.",
            "/datastore/?output=all lists the ids.",
        )
    return text


def checked_uid(text: str) -> str:
    """The DICOM UID, if it has the form of one; anonymised files have letters in theirs, too.

    Raises:
        BadRequestError: it has not.
    """
    if not _UID.fullmatch(text):
        raise BadRequestError(
            f"{text[:_SHOWN_CHARACTERS]!r} is no UID;", "one has up to 64 digits and letters, with dots."
        )
    return text


def plain_text(text: str, what: str) -> str:
    """The text, if a terminal would show it and not obey it.

    Args:
        text: one line that the client wrote.
        what: what it is, for the message.

    Raises:
        BadRequestError: a control character is in it.
    """
    if found := _CONTROL.search(text):
        raise BadRequestError(f"{what} holds the control character {found[0]!a};", "leave it out.")
    return text


def safe_name(filename: str | None) -> str:
    """The client's name for its file with nothing in it that leads anywhere: ``../a ct.nii`` is ``a_ct.nii``.

    Its end is kept, for the extension there says what the file is.
    """
    last = re.split(r"[/\\]", filename or "")[-1]
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", last)[-_SHOWN_CHARACTERS:].lstrip(".") or "upload"
    return plain_name(safe)
