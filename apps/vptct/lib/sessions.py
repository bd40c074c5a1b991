"""Sessions: a study is uploaded once and then named by the session's id, until it expires.

They take the place of MONAI Label's own, which unpack any archive to wherever it says, keep what a failed
upload leaves, and do not start over a folder that a killed server has left.
"""

from __future__ import annotations

import logging
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import UploadFile

from vpt_plugin.ct.archive import MAX_BYTES
from vpt_plugin.errors import StudyNotFoundError

from .names import checked_id
from .room import Room
from .uploads import store, unpacked

_logger = logging.getLogger(__name__)
_SESSION_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BLOCK_BYTES = 4096


@dataclass
class Session:
    """A study that was uploaded.

    Attributes:
        name: the session's id.
        study: its path: a file, or a folder of slices.
        expiry_seconds: so long after its last use it is removed.
        size_bytes: what it takes on the disk.
        used_at: when it was used last, by the clock of ``Sessions``.
        users: how many read it at the moment; it is not removed from under them.
        removed: it goes when nobody reads it any more.
        cleared: it has gone from the disk.
    """

    name: str
    study: Path
    expiry_seconds: int
    size_bytes: int
    used_at: float
    users: int = 0
    removed: bool = False
    cleared: bool = False

    @property
    def title(self) -> str:
        """What messages call the study."""
        return self.study.name if self.study.is_file() else "the uploaded study"


class Sessions:
    """The sessions of this process. Several threads may ask.

    Args:
        folder: a folder for nothing else, which goes with the process, see ``Workspace``.
        max_seconds: the longest that a session lasts after its last use.
        max_bytes: the most that all sessions may take on the disk together.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_seconds: int,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._max_seconds = max_seconds
        self._clock = clock
        self._sessions: dict[str, Session] = {}
        self._room = Room(
            max_bytes,
            "the uploaded studies on this server",
            "Remove sessions that are no longer needed, or try again when some have expired.",
        )
        self._lock = threading.Lock()

    def create(self, files: Sequence[UploadFile], *, uncompress: bool = False, expiry: int = 0) -> Session:
        """Keep an uploaded study; nothing of it stays when that fails.

        Args:
            files: one file, or every slice of a series.
            uncompress: the one file is an archive: unpack it now instead of each time it is read.
            expiry: in seconds after the last use; 0 takes the longest there is, which is also the limit.

        Raises:
            SessionsFullError: there is no room for it at the moment.
            BadRequestError, StudyError: see ``unpacked``.
        """
        self.remove_expired()
        # The next one of a version 1 UUID, which MONAI Label takes, can be guessed.
        name = str(uuid.uuid4())
        room = _Share(self._room, sum(_on_disk(file.size or 0) for file in files))
        folder = self._folder / name
        try:
            (folder / "study").mkdir(parents=True)
            study = store(files, folder / "study")
            if uncompress:
                study = unpacked(study, max_bytes=min(MAX_BYTES, room.left()))
                room.change_to(_size_of(study))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            room.change_to(0)
            raise
        seconds = min(expiry, self._max_seconds) if expiry > 0 else self._max_seconds
        session = Session(name, study, seconds, room.size_bytes, self._clock())
        with self._lock:
            self._sessions[name] = session
        return session

    def find(self, session_id: str, *, used: bool = False) -> Session:
        """The session of that id.

        Args:
            session_id: what the client says.
            used: its time starts anew.

        Raises:
            BadRequestError: the id looks like a path.
            StudyNotFoundError: no such session, or it has expired.
        """
        return self._find(session_id, used=used)

    @contextmanager
    def opened(self, session_id: str) -> Iterator[Session]:
        """The session of that id; its study stays until the ``with`` block is left.

        Raises:
            BadRequestError, StudyNotFoundError: see ``find``.
        """
        session = self._find(session_id, used=True, users=1)
        try:
            yield session
        finally:
            with self._lock:
                session.users -= 1
                session.used_at = self._clock()
            if session.removed:
                self._clear(session)

    def remove(self, session_id: str) -> Session:
        """Remove a session and its study; who reads it at the moment reads it to its end.

        Raises:
            BadRequestError, StudyNotFoundError: see ``find``.
        """
        session = self.find(session_id)
        self._remove(session)
        return session

    def remove_expired(self) -> int:
        """Remove what was not used for too long. MONAI Label asks for this every five minutes.

        Returns:
            How many were removed.
        """
        now = self._clock()
        with self._lock:
            expired = [
                session
                for session in self._sessions.values()
                if not session.users and session.used_at + session.expiry_seconds < now
            ]
        for session in expired:
            self._remove(session)
        return len(expired)

    def _find(self, session_id: str, *, used: bool, users: int = 0) -> Session:
        """The session, with so many more users; found and taken in one step, lest it goes in between."""
        checked_id(session_id, "session")
        self.remove_expired()
        with self._lock:
            session = self._sessions.get(session_id) if _SESSION_ID.fullmatch(session_id) else None
            if session is not None:
                session.users += users
                session.used_at = self._clock() if used else session.used_at
                return session
        raise StudyNotFoundError(
            f"session {session_id[:100]!r}", "there is no such session.", "Upload the study again."
        )

    def _remove(self, session: Session) -> None:
        with self._lock:
            self._sessions.pop(session.name, None)
            session.removed = True
        self._clear(session)

    def _clear(self, session: Session) -> None:
        """Remove what lies on the disk, when nobody reads it."""
        with self._lock:
            if session.users or session.cleared:
                return
            session.cleared = True
        shutil.rmtree(self._folder / session.name, ignore_errors=True)
        self._room.take(-session.size_bytes)

    def left_bytes(self) -> int:
        """How many more bytes there is room for."""
        return self._room.left_bytes()


class _Share:
    """The room that one session takes, from before it is written."""

    def __init__(self, room: Room, size_bytes: int) -> None:
        room.take(size_bytes)
        self._room = room
        self.size_bytes = size_bytes

    def left(self) -> int:
        """How large the session may become at the most."""
        return self._room.left_bytes()

    def change_to(self, size_bytes: int) -> None:
        """The session has another size now."""
        self._room.take(size_bytes - self.size_bytes)
        self.size_bytes = size_bytes


def _size_of(path: Path) -> int:
    return sum(_on_disk(each.lstat().st_size) for each in (path, *path.rglob("*")))


def _on_disk(size_bytes: int) -> int:
    """What a file or folder of this size takes at least: a disk gives it whole blocks, and an entry."""
    return max(size_bytes, _BLOCK_BYTES)
