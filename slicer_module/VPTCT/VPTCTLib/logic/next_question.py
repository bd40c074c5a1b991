"""NextQuestion: what the server is asked, in a thread, when a reader wants the next study."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Callable

from ..client import Client
from ..contract.next_study import NextStudy
from ..contract.worklist import Worklists
from ..jobs import Work
from ..routes.worklist import Wish, new_wish_id
from .held import Held


@dataclass(frozen=True)
class NextAnswer:
    """What it said; ``offer`` is None where the reader holds a study that comes first."""

    state: Worklists
    offer: NextStudy | None


@dataclass(frozen=True)
class NextQuestion:
    """One question, which may be asked again where its answer was lost.

    Attributes:
        task: the study is to be labelled for.
        strategy: by which it is chosen; "" for the server's first one.
        wish_id: by which the server knows the question again.
    """

    task: str
    strategy: str
    wish_id: str

    @classmethod
    def new(cls, task: str, strategy: str) -> NextQuestion:
        """One that was never asked."""
        return cls(task, strategy, new_wish_id())

    def ask(
        self,
        client: Client,
        mine: Callable[[Worklists], Sequence[Held]],
        here: Collection[str],
        work: Work,
        *,
        is_asked_again: bool,
    ) -> NextAnswer:
        """Look whether the reader holds a study that is not here, and ask for another where they do not.

        Args:
            client: to the server.
            mine: finds the reader's studies in what the server tells.
            here: studies that are in the scene.
            work: of the job.
            is_asked_again: what the reader holds may be the answer that was lost.
        """
        state = client.worklist.state(work.cancel)
        if not is_asked_again and first_waiting(mine(state), self.task, here) is not None:
            return NextAnswer(state, None)
        wish = Wish(self.task, self.strategy or state.strategies[0].name)
        return NextAnswer(state, client.worklist.next(wish, work.cancel, wish_id=self.wish_id))


def first_waiting(held: Sequence[Held], task: str, here: Collection[str]) -> Held | None:
    """The first study that is held for a task and is not here; None where there is none."""
    return next((each for each in held if each.task == task and each.study not in here), None)
