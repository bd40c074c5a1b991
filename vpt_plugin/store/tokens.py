"""TokenFile: who may log in, one line each, for sites without a login service.

::

    # name role sha256-of-the-token
    alice annotator 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08

The file holds no token, only what a token can be recognised by. A token is 256 random bits, so that unlike a
password it needs no slow and salted hash: nobody can try them all.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import stat
import uuid
from pathlib import Path
from typing import NamedTuple

from vpt_plugin.durable import publish_file
from vpt_plugin.errors import TokenFileError

# Each includes those before it.
ROLES = ("user", "annotator", "reviewer", "admin")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TOKEN_BYTES = 32
_MAX_FILE_BYTES = 1 << 20
_HEADER = "# name role sha256-of-the-token; made by: vpt tokens add\n"


class TokenOwner(NamedTuple):
    """Somebody with a token.

    Attributes:
        name: who it is, as labels will name them.
        role: one of ``ROLES``.
    """

    name: str
    role: str


class _Entry(NamedTuple):
    owner: TokenOwner
    digest: str
    line: int


class TokenFile:
    """The tokens in one file. Several threads and processes may read while one writes.

    Every question reads the file, which is small: a token that was removed opens nothing from then on, and
    the server need not be started again.

    Args:
        path: the file; it is made when the first token is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, role: str) -> str:
        """Make a token; only its hash is kept, so this is the only time that it can be seen.

        Raises:
            TokenFileError: the name or the role cannot be, the name has a token already, or the file cannot
                be used.
        """
        if not _NAME.fullmatch(name):
            raise TokenFileError(
                f"{name[:100]!r} cannot be a name here.",
                "Use up to 64 letters, digits and . _ @ -, a letter or a digit first.",
            )
        if role not in ROLES:
            raise TokenFileError(f"unknown role {role[:100]!r};", f"choose from {', '.join(ROLES)}.")
        text = self._text() if self.path.exists() else _HEADER
        if any(entry.owner.name.lower() == name.lower() for entry in self._parse(text)):
            raise TokenFileError(f"{self.path}: {name} has a token already.", "Remove it first.")
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._write(f"{text.rstrip()}\n{name} {role} {_digest(token)}\n")
        return token

    def remove(self, name: str) -> None:
        """Take somebody's token away: it opens nothing any more.

        Raises:
            TokenFileError: nobody of that name has one, or the file cannot be used.
        """
        text = self._text()
        entries = self._parse(text)
        gone = {entry.line for entry in entries if entry.owner.name == name}
        if not gone:
            names = ", ".join(entry.owner.name for entry in entries) or "nobody"
            raise TokenFileError(f"{self.path}: {name[:100]!r} has no token;", f"these have one: {names}.")
        lines = text.splitlines(keepends=True)
        self._write("".join(line for number, line in enumerate(lines, 1) if number not in gone))

    def people(self) -> list[TokenOwner]:
        """Everybody with a token, in the order of the file.

        Raises:
            TokenFileError: the file cannot be used.
        """
        return [entry.owner for entry in self._parse(self._text())]

    def find(self, token: str) -> TokenOwner | None:
        """Whose token this is; None for nobody's.

        How long it takes tells nothing: the token is compared with every entry, and each comparison takes
        the same time wherever the two differ.

        Raises:
            TokenFileError: the file cannot be used.
        """
        digest = _digest(token)
        found = None
        for entry in self._parse(self._text()):
            same = hmac.compare_digest(entry.digest, digest)
            found = entry.owner if same else found
        return found

    def _text(self) -> str:
        try:
            _refuse_writable_by_others(self.path)
            with self.path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
        except FileNotFoundError as error:
            raise TokenFileError(
                f"{self.path}: there is no such file of tokens.",
                f"Make it: vpt tokens add NAME --role annotator --file {self.path}",
            ) from error
        except OSError as error:
            raise TokenFileError(f"{self.path}: cannot be read: {error.strerror or error}.") from error
        if len(data) > _MAX_FILE_BYTES:
            raise TokenFileError(f"{self.path}: is larger than 1 MiB, which no file of tokens is.")
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise TokenFileError(f"{self.path}: is not a text file in UTF-8.") from error

    def _parse(self, text: str) -> list[_Entry]:
        """All entries.

        Raises:
            TokenFileError: names the first line that is none, or that repeats a name or a token.
        """
        entries: list[_Entry] = []
        taken: dict[str, int] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            entry = self._entry(line, number)
            # Two names that differ in capitals only are one person to whoever reads the labels.
            for what in (entry.owner.name.lower(), entry.digest):
                if what in taken:
                    raise self._wrong(number, f"repeats the name or the token of line {taken[what]}")
                taken[what] = number
            entries.append(entry)
        return entries

    def _entry(self, line: str, number: int) -> _Entry:
        # What the line holds is not told: somebody may have put a token into it.
        words = line.split()
        if len(words) != 3:
            raise self._wrong(number, f"has {len(words)} words instead of three: name role sha256")
        name, role, digest = words
        if not _NAME.fullmatch(name):
            raise self._wrong(number, "begins with what cannot be a name")
        if role not in ROLES:
            raise self._wrong(number, f"has an unknown role, choose from {', '.join(ROLES)}")
        if not _DIGEST.fullmatch(digest):
            raise self._wrong(number, "does not end in a SHA-256 of 64 digits 0-9 a-f")
        return _Entry(TokenOwner(name, role), digest, number)

    def _wrong(self, number: int, what: str) -> TokenFileError:
        return TokenFileError(f"{self.path}, line {number}: {what}.", "vpt tokens add makes such lines.")

    def _write(self, text: str) -> None:
        """Put a new file into the place of the old one; as readable as that, else by its owner only."""
        new = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.tmp")
        try:
            new.touch(mode=0o600)
            new.write_text(text, encoding="utf-8", newline="\n")
            _give_to_who_had_it(new, self.path)
            publish_file(new, self.path)
        except OSError as error:
            raise TokenFileError(f"{self.path}: cannot be written: {error.strerror or error}.") from error
        finally:
            new.unlink(missing_ok=True)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", errors="surrogatepass")).hexdigest()


def _give_to_who_had_it(new: Path, old: Path) -> None:
    """The owner and the mode of the old file; without one, the owner of the folder.

    Else ``sudo vpt tokens add`` would lock out the server, which runs as another user.
    """
    if os.name == "nt":
        return
    like = old.stat() if old.exists() else old.parent.stat()
    mine = new.stat()
    if (like.st_uid, like.st_gid) != (mine.st_uid, mine.st_gid):
        try:
            os.chown(new, like.st_uid, like.st_gid)
        except PermissionError:
            return  # only root gives files away; it stays closed to all others
    if old.exists():
        new.chmod(stat.S_IMODE(like.st_mode) | stat.S_IRUSR | stat.S_IWUSR)


def _refuse_writable_by_others(path: Path) -> None:
    """Whoever may write the file, or put another into its place, may let anybody in.

    Windows has no such bits; what its access lists say is left to who set them.

    Raises:
        TokenFileError.
    """
    mode = path.stat().st_mode
    if os.name == "nt":
        return
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TokenFileError(f"{path}: others than its owner may write it.", f"chmod 600 {path}")
    folder = path.resolve().parent
    folder_mode = folder.stat().st_mode
    # In /tmp, which is sticky, nobody may replace another's file.
    if folder_mode & stat.S_IWOTH and not folder_mode & stat.S_ISVTX:
        raise TokenFileError(f"{path}: anybody may write its folder.", f"chmod o-w {folder}")
