"""AwayStudies: whether studies that cannot be had are gone themselves, or the whole archive is away.

They are held back until a witness was asked: a study that could be had before is handed out once more. If it
still can be had, the others are refused for themselves; if not, all are away, and none of them is refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from vpt_plugin.bulk.pool import Lost
from vpt_plugin.bulk.rows import AWAY, Refusal, StudyAnswer
from vpt_plugin.errors import ArchiveUnreachableError

# So many are held back before a witness is asked; each witness is read once more for nothing.
_HELD_BACK = 20
# So many are asked before all are said to be away: one of them may have gone itself.
_WITNESSES = 3


class AwayStudies:
    """Holds studies back that cannot be had, and says whom to ask about them.

    Args:
        others: ids of studies that may be there: those answered in earlier runs, else all.
    """

    def __init__(self, others: Sequence[str]) -> None:
        self._others = others
        self._held: list[Refusal] = []
        self._last_had: str | None = None
        # Of the ones held back at the moment; None before anybody is asked about them.
        self._witnesses: deque[str] | None = None
        self._asked: str | None = None
        self._concerned = 0

    @property
    def asked(self) -> str | None:
        """The witness that is in the hands of a worker."""
        return self._asked

    @property
    def any_held(self) -> bool:
        """Whether some are held back."""
        return bool(self._held)

    def hold(self, refusal: Refusal) -> None:
        """A study cannot be had."""
        self._held.append(refusal)

    def had(self, study: str) -> None:
        """A study could be had, whether or not it was answered."""
        self._last_had = study

    def next_witness(self, *, at_the_end: bool) -> str | None:
        """Whom to ask now; None while there is nothing to ask, or another one is being asked.

        Args:
            at_the_end: nothing else is left to do.

        Raises:
            ArchiveUnreachableError: no witness could be had.
        """
        enough = len(self._held) >= _HELD_BACK or (at_the_end and self._held)
        if self._asked is not None or not (enough or self._witnesses is not None):
            return None
        if self._witnesses is None:
            self._witnesses = self._choose()
        if not self._witnesses:
            raise self._unreachable()
        return self._witnesses[0]

    def ask(self, witness: str) -> None:
        """The witness was handed to a worker; its word counts for all that are held back by now."""
        assert self._witnesses is not None
        self._witnesses.remove(witness)
        self._asked, self._concerned = witness, len(self._held)

    def hear(self, outcome: StudyAnswer | Refusal | Lost) -> list[Refusal]:
        """What came of the witness, and by it, who is to be refused; nobody where it cannot be had either."""
        self._asked = None
        if isinstance(outcome, Lost) or (isinstance(outcome, Refusal) and outcome.kind == AWAY):
            return []
        self._witnesses = None
        gone, self._held = self._held[: self._concerned], self._held[self._concerned :]
        return gone

    def _choose(self) -> deque[str]:
        """The last one that could be had, and some from all over the others."""
        held = {each.study for each in self._held}
        others = [study for study in self._others if study not in held]
        steps = max(_WITNESSES - 1, 1)
        spread = [others[step * (len(others) - 1) // steps] for step in range(_WITNESSES)] if others else []
        first = [] if self._last_had is None else [self._last_had]
        return deque(list(dict.fromkeys(first + spread))[:_WITNESSES])

    def _unreachable(self) -> ArchiveUnreachableError:
        last = self._held[-1]
        return ArchiveUnreachableError(
            f"{len(self._held)} studies could not be had, and no other that was asked for either; the last "
            f"of them {last.study}: {last.message}",
            "Where it is a network share, mount it again on every computer. What is answered is kept; the "
            "same command goes on.",
        )
