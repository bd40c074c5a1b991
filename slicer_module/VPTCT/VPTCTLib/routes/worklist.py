"""Worklist: which study next, keeping it, giving it back, skipping it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from ..contract.fields import Fields
from ..contract.next_study import NextStudy, read_next
from ..contract.worklist import SKIP_REASONS, HeldStudy, Worklists, read_held, read_worklists
from ..errors import LeaseError, NoOfferError, RefusedError
from ..transport.cancel import Cancel
from ..transport.connection import Connection
from ..transport.request import Request, get

_BAD_REQUEST = 400


@dataclass(frozen=True)
class Wish:
    """What a reader wants next.

    Attributes:
        task: the study is to be labelled for.
        strategy: by which it is chosen.
        n: how many studies, up to 32.
        model: the network whose scores choose; "" for the server's choice.
        finding: choose for this one only; "" for all.
        date_from, date_to: as YYYYMMDD; "" for no bound.
        unseen: none that this reader was offered before.
    """

    task: str
    strategy: str = "auto"
    n: int = 1
    model: str = ""
    finding: str = ""
    date_from: str = ""
    date_to: str = ""
    unseen: bool = False


def new_wish_id() -> str:
    """By which a wish is known when it is sent once more; nobody can guess it."""
    return secrets.token_hex(16)


class Worklist:
    """Asks for studies. Every function raises VptctError, see ``Connection.json``.

    Args:
        connection: to the server.
        reader: by which name studies are kept on a server without login; "" for none. With a login the server
            takes the login's.
    """

    def __init__(self, connection: Connection, reader: str = "") -> None:
        self._connection = connection
        self._reader = reader
        self._knows_wishes = True

    def next(self, wish: Wish, cancel: Cancel | None = None, *, wish_id: str = "") -> NextStudy:
        """Studies to label next, kept for this reader.

        Where the answer is lost the same is asked again, and answered with the same studies. An older server
        would keep others each time: of that it is asked once.

        Args:
            wish: what the reader wants.
            cancel: ends it.
            wish_id: of ``new_wish_id``, to ask again later after a failure; "" for one that is new.

        Raises:
            NoOfferError: the strategy needs scores that are not there yet, or this reader holds too many.
        """
        if self._knows_wishes:
            try:
                return self._next(wish, cancel, wish_id or new_wish_id())
            except RefusedError as error:
                # An older server names the key that it does not know, and has kept nothing.
                if error.status != _BAD_REQUEST or "wish_id" not in error.message:
                    raise
                self._knows_wishes = False
        return self._next(wish, cancel, "")

    def _next(self, wish: Wish, cancel: Cancel | None, wish_id: str) -> NextStudy:
        body = {**vars(wish), "client_id": self._reader, **({"wish_id": wish_id} if wish_id else {})}
        path = f"/activelearning/{quote(body.pop('strategy'), safe='')}"
        request = Request("POST", path, json=body, repeat=bool(wish_id), conflict=NoOfferError)
        return read_next(self._connection.json(request, cancel))

    def state(self, cancel: Cancel | None = None) -> Worklists:
        """What is known of the worklists, and which studies this reader holds."""
        return read_worklists(
            self._connection.json(get("/activelearning/", client_id=self._reader or None), cancel)
        )

    def extend(self, study: str, *, holder: str = "", cancel: Cancel | None = None) -> HeldStudy:
        """Keep a study for another while; to be asked now and then while it is open.

        Args:
            study: its id.
            holder: of its lease; "" where only the reader's name is known.
            cancel: ends it.

        Raises:
            LeaseError: it is not, or no longer, in this reader's hands.
        """
        request = Request("PUT", _lease(study), params=self._whose(holder), repeat=True, conflict=LeaseError)
        return read_held(Fields(self._connection.json(request, cancel), "the lease"))

    def give_back(self, study: str, *, holder: str = "", cancel: Cancel | None = None) -> None:
        """Let others have it. Raises: LeaseError, where it is not in this reader's hands."""
        request = Request("DELETE", _lease(study), params=self._whose(holder), conflict=LeaseError)
        self._connection.content(request, cancel)

    def skip(
        self, study: str, reason: str, *, task: str, comment: str = "", holder: str = "",
        cancel: Cancel | None = None,
    ) -> None:  # fmt: skip
        """Give it back, never to get it again.

        Args:
            study: its id.
            reason: one of ``SKIP_REASONS``.
            task: for which it was offered.
            comment: a line.
            holder: as ``extend``.
            cancel: ends it.

        Raises:
            ValueError: no such reason.
            LeaseError: somebody else has it.
        """
        if reason not in SKIP_REASONS:
            raise ValueError(f"{reason!r}; choose from {', '.join(SKIP_REASONS)}")
        said = {name: value for name, value in self._whose(holder).items() if value}
        body = {"reason": reason, "task": task, "comment": comment, **said}
        path = f"/activelearning/skips/{quote(study, safe='')}"
        self._connection.content(Request("POST", path, json=body, conflict=LeaseError), cancel)

    def _whose(self, holder: str) -> Mapping[str, str | None]:
        return {"client_id": self._reader or None, "holder": holder or None}


def _lease(study: str) -> str:
    return f"/activelearning/leases/{quote(study, safe='')}"
