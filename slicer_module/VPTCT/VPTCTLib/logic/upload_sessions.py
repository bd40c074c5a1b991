"""UploadSessions: studies that were uploaded, so that another network answers without another upload."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

from ..client import Client
from ..contract.info import StudyNeeds
from ..contract.login import UploadSession
from ..errors import VptctError

# The server counts from the end of a request, and clocks differ.
_SAFE_SHARE = 0.9
# How long the main thread waits for goodbyes at the end; who is slower is forgotten by the server later.
_GOODBYE_SECONDS = 0.08
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Uploaded:
    """What was uploaded.

    Attributes:
        client: to the server, as the reader who was logged in then.
        volume_id: of the node.
        revision: of the volume when it was uploaded.
        needs: the form in which it was; None for whole.
    """

    client: Client
    volume_id: str
    revision: str
    needs: StudyNeeds | None


@dataclass
class _Kept:
    session: UploadSession
    used: float


class UploadSessions:
    """Remembers sessions, and has the server remove those that are of no more use.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: dict[Uploaded, _Kept] = {}

    def find(self, uploaded: Uploaded) -> UploadSession | None:
        """The session of an upload; None where there is none, or where it may have expired."""
        if self.kept_until(uploaded) is None:
            self._kept.pop(uploaded, None)
            return None
        kept = self._kept[uploaded]
        kept.used = self._clock()
        return kept.session

    def kept_until(self, uploaded: Uploaded) -> float | None:
        """When the server forgets an upload that is not used again (seconds since 1970); None for none."""
        kept = self._kept.get(uploaded)
        if kept is None or self._clock() - kept.used > _SAFE_SHARE * kept.session.expiry_seconds:
            return None
        return kept.used + kept.session.expiry_seconds

    def keep(self, uploaded: Uploaded, session: UploadSession) -> None:
        """Remember a session; earlier ones of other contents of the volume are removed."""
        self._remove([
            each for each in self._kept
            if each.volume_id == uploaded.volume_id and each.revision != uploaded.revision
        ])  # fmt: skip
        self._kept[uploaded] = _Kept(session, self._clock())

    def lost(self, uploaded: Uploaded) -> None:
        """The server does not have it any more."""
        self._kept.pop(uploaded, None)

    def forget_volume(self, volume_id: str) -> None:
        """The volume is gone: the server removes what was uploaded of it."""
        self._remove([each for each in self._kept if each.volume_id == volume_id])

    def forget_all(self, *, wait: bool = False) -> None:
        """The server removes all; with ``wait`` it is given a moment, for nothing runs after this."""
        threads = self._remove(list(self._kept))
        for thread in threads if wait else ():
            thread.join(_GOODBYE_SECONDS / len(threads))

    def _remove(self, all_uploaded: Sequence[Uploaded]) -> list[threading.Thread]:
        threads = []
        for uploaded in all_uploaded:
            session = self._kept.pop(uploaded).session
            # No job: nobody waits for it, and it goes on when jobs have ended.
            thread = threading.Thread(target=_forget, args=(uploaded.client, session), daemon=True)
            thread.start()
            threads.append(thread)
        return threads


def _forget(client: Client, session: UploadSession) -> None:
    try:
        client.studies.forget_upload(session)
    except VptctError as error:
        _log.info("an upload stays on the server until it expires: %s", error)
