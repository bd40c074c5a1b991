"""What a client says when it asks for the next study, checked; and who it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vpt_plugin.acquisition.strategies import STRATEGIES
from vpt_plugin.active.offers import Wish
from vpt_plugin.errors import UnknownModelError, UnknownTaskError
from vpt_plugin.store.lease import NAMELESS
from vpt_plugin.tasks import ReadingTask

from ..access.person import Person
from ..errors import BadRequestError, NothingThereError
from ..names import plain_text
from ..params import HARMLESS, check_known

# A batch that one reader has in their hands; more would keep studies from the others.
MAX_STUDIES = 32
_TEXTS = ("task", "model", "finding", "date_from", "date_to")
KEYS = (*_TEXTS, "n", "unseen", "wish_id")
# Made by clients, and of readers without a name all that tells whose studies they are.
_WISH_ID = re.compile(r"[0-9A-Za-z_-]{16,64}")
_SHOWN_CHARACTERS = 100


def reader_of(person: Person, client_id: object) -> str:
    """Who a study is kept for: who is logged in; without a login what the client calls itself, or "".

    Raises:
        BadRequestError: no text, a control character in it, which a terminal would obey, or what only
            readers without a name are called.
    """
    if person.name:
        return person.name
    text = text_of({"client_id": client_id}, "client_id")
    said = plain_text(text[:_SHOWN_CHARACTERS].strip(), "client_id")
    if said.startswith(NAMELESS):
        raise BadRequestError(
            f"a client_id does not begin with {NAMELESS}: so holders of leases do;",
            "send it as holder, or give the reader's name as client_id.",
        )
    return said


def holder_of(person: Person, client_id: object, holder: str) -> str:
    """Who has a study: the reader, or of those without a name the ``holder`` that only they know.

    Who is logged in is never anybody else. "" where nobody is said.
    """
    said = plain_text(holder[:_SHOWN_CHARACTERS].strip(), "holder")
    return person.name or said or reader_of(person, client_id)


class Wishes:
    """Makes a ``Wish`` of what a client sent.

    Args:
        tasks: those that are served; the first one counts where a client names none.
        networks: the names of those that are served.
    """

    def __init__(self, tasks: Sequence[ReadingTask], networks: Sequence[str]) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._networks = tuple(networks)

    def of(self, body: Mapping[str, Any], *, strategy: str, reader: str) -> Wish:
        """The wish in the body of a request.

        Days are checked where studies are chosen by them.

        Raises:
            NothingThereError: no such strategy.
            BadRequestError: an unknown key, or a value of the wrong kind.
            UnknownTaskError, UnknownModelError: names those that are served.
        """
        if strategy not in STRATEGIES:
            raise NothingThereError(
                f"there is no strategy {strategy[:_SHOWN_CHARACTERS]!r};",
                f"choose from {', '.join(STRATEGIES)}.",
            )
        check_known(body, (*KEYS, *HARMLESS), "the body")
        texts = {name: text_of(body, name) for name in _TEXTS}
        texts["task"] = self.task(texts["task"]).name
        if texts["model"] and texts["model"] not in self._networks:
            raise UnknownModelError(texts["model"][:_SHOWN_CHARACTERS], list(self._networks))
        unseen = body.get("unseen", False)
        if not isinstance(unseen, bool):
            raise BadRequestError("unseen must be true or false.")
        return Wish(
            **texts, strategy=strategy, n=_count(body), unseen=unseen, reader=reader, wish_id=_wish_id(body)
        )

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of those that are served."""
        return tuple(self._tasks)

    def task(self, name: str) -> ReadingTask:
        """The task of that name; the first one for "".

        Raises:
            UnknownTaskError: names those that are served.
        """
        if not name:
            return next(iter(self._tasks.values()))
        if name not in self._tasks:
            raise UnknownTaskError(name[:_SHOWN_CHARACTERS], list(self._tasks))
        return self._tasks[name]


def text_of(body: Mapping[str, Any], name: str) -> str:
    """A text of a body; null is none, as for clients that send all of their fields.

    Raises:
        BadRequestError: it is something else.
    """
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRequestError(f"{name} must be a text.")
    return value.strip()


def _wish_id(body: Mapping[str, Any]) -> str:
    """By which a client asks once more; "" for none.

    Raises:
        BadRequestError: another one could guess it, or it is no plain text.
    """
    text = text_of(body, "wish_id")
    if text and not _WISH_ID.fullmatch(text):
        raise BadRequestError("wish_id must have 16 to 64 letters, digits, _ or -;", "make a random one.")
    return text


def _count(body: Mapping[str, Any]) -> int:
    return checked_count(body.get("n", 1), MAX_STUDIES)


def checked_count(value: object, most: int) -> int:
    """How many studies somebody asks for.

    Raises:
        BadRequestError: no whole number, or too small or too large.
    """
    # True is an int in Python.
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadRequestError(f"n must be a whole number from 1 to {most}.")
    return value
