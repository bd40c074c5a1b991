"""NextStudies: asks the server which study to label next, and brings it to the screen."""

from __future__ import annotations

from collections.abc import Collection
from typing import Callable

import slicer

from ..contract.login import ANNOTATOR
from ..contract.next_study import NextStudy, Proposal
from ..contract.worklist import TaskWorklist
from ..errors import LeaseError, UnreachableError, VptctError
from ..i18n import tr as _
from ..jobs import Job, Jobs, Work
from ..signal import Signal
from . import next_study_told as told
from .choice import Choice
from .held import Held
from .held_studies import HeldStudies
from .lease_timer import LeaseTimer
from .messages import Messages
from .next_question import NextAnswer, NextQuestion, first_waiting
from .server_link import READY, ServerLink
from .server_volumes import Brought, ServerVolumes
from .server_words import why_no_server
from .study_ends import StudyEnds
from .worklist_words import StrategyOffer, proposal_of, strategy_offer

IDLE, ASKING, DOWNLOADING, LOADING = "idle", "asking", "downloading", "loading"


class NextStudies:
    """One study after the other.

    Args:
        server: has the studies.
        choice: of the task.
        volumes: brings studies to the screen, and knows which ones are there.
        held: what this reader holds.
        leases: keeps those that are open.
        ends: skips studies and gives them back.
        jobs: for requests.
        messages: tells what became of it.
        may_leave: whether the study on screen may be left; asks the reader where something would wait there.

    Attributes:
        changed: anything below but ``progress``.
        progressed: ``progress``.
        opened: a study was brought to the screen, with its id.
        state: ``idle``, ``asking``, ``downloading`` or ``loading``.
        coming: the id of the study that is on its way; "" for none.
        progress: bytes so far and in all (0: not known); None where nothing is on its way.
        offer: what the server said last; None before it did.
        strategy: that was asked for last; "" for the server's first one.
    """

    def __init__(
        self,
        server: ServerLink,
        choice: Choice,
        volumes: ServerVolumes,
        held: HeldStudies,
        leases: LeaseTimer,
        ends: StudyEnds,
        jobs: Jobs,
        messages: Messages,
        may_leave: Callable[[], bool],
    ) -> None:
        self._server, self._choice, self._volumes = server, choice, volumes
        self._held, self._leases, self._ends = held, leases, ends
        self._jobs, self._messages, self._may_leave = jobs, messages, may_leave
        self.changed, self.progressed, self.opened = Signal(), Signal(), Signal()
        self.state, self.coming, self.strategy = IDLE, "", ""
        self.progress: tuple[int, int] | None = None
        self.offer: NextStudy | None = None
        self._asking: Job[NextAnswer] | None = None
        # A question whose answer did not come: asked again, it gets the same one.
        self._lost: NextQuestion | None = None
        self._proposals: dict[tuple[str, str], Proposal] = {}
        server.left.connect(self._on_left)
        for each in (server, choice, held, ends, volumes):
            each.changed.connect(self.changed.emit)

    @property
    def task(self) -> str:
        """The name of the chosen task; "" for none."""
        return self._choice.task.name if self._choice.task is not None else ""

    @property
    def worklist(self) -> TaskWorklist | None:
        """That of the chosen task; None where it is not known."""
        return self._held.worklist(self.task)

    @property
    def strategies(self) -> tuple[StrategyOffer, ...]:
        """For the menu, in the server's order."""
        worklist = self.worklist
        return tuple(strategy_offer(each, worklist) for each in self._held.strategies)

    @property
    def held(self) -> tuple[Held, ...]:
        """The studies that the server keeps for this reader."""
        return self._held.all

    @property
    def proposal(self) -> Proposal | None:
        """That of the study on screen; None where it was not proposed to this reader."""
        return self._proposals.get((self._volumes.on_screen, self.task))

    @property
    def is_kept(self) -> bool:
        """Whether ``proposal`` is still kept for this reader."""
        return self.proposal is not None and self._held.of(self.proposal.study) is not None

    @property
    def ending(self) -> str:
        """The id of the study that is being skipped or given back; "" for none."""
        return self._ends.study

    @property
    def why_not(self) -> str:
        """Why no study can be asked for now; "" where one can."""
        if why_not := why_no_server(self._server):
            return why_not
        if not self.task:
            return _("Choose a task first.")
        if not self._server.may(ANNOTATOR):
            return _("Your login does not allow it: labelling takes the role {role}.").format(role=ANNOTATOR)
        if self.state != IDLE or self.ending:
            return _("Wait until the server has answered, or cancel.")
        return ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the server says that a reader of ``proposal`` should know."""
        offered = self.offer.proposals if self.offer is not None else ()
        return self.offer.warnings if self.offer is not None and self.proposal in offered else ()

    def label_version_of(self, study: str) -> int | None:
        """Upon which version a label of a proposed study is meant; None for any other."""
        proposal = self._proposals.get((study, self.task))
        return proposal.label_version if proposal is not None else None

    def ask(self, strategy: str = "") -> None:
        """Bring the next study; one that is held from before, and is not in the scene, comes first.

        Args:
            strategy: by which the server chooses; "" for its first one.
        """
        client, task = self._server.client, self.task
        if self.why_not or client is None or not self._may_leave():
            return
        self.strategy = strategy
        here, mine, lost = self._volumes.studies, self._held.reading(), self._lost
        is_lost = lost is not None and (lost.task, lost.strategy) == (task, strategy)
        question = lost if lost is not None and is_lost else NextQuestion.new(task, strategy)

        def call(work: Work) -> NextAnswer:
            return question.ask(client, mine, here, work, is_asked_again=is_lost)

        told.settle_old(self._messages)
        self._set(ASKING)
        self._asking = self._jobs.start(
            call,
            lambda answer: self._answered(answer, task, here),
            lambda error: self._failed_to_ask(question, error),
        )

    def open(self, study: str) -> None:
        """Bring a study that is held: of an earlier session, or one whose volume is gone."""
        held = self._held.of(study)
        busy = self.state != IDLE or self.ending or self._server.state != READY
        if held is None or busy or (study != self._volumes.on_screen and not self._may_leave()):
            return
        told.settle_old(self._messages)
        self._choice.select_task(held.task)
        self._bring(held)

    def cancel(self) -> None:
        """Bring no study, after all. One that is kept already stays in the list."""
        if self._asking is not None:
            self._asking.cancel()
        self._volumes.cancel()

    def skip(self, reason: str, comment: str = "") -> None:
        """Give the study on screen back, never to get it again.

        Args:
            reason: one of ``SKIP_REASONS``.
            comment: a line.
        """
        held = self._held.of(self._volumes.on_screen)
        if held is not None and self._may_leave():
            self._ends.skip(held, reason, comment)

    def give_back(self, study: str = "") -> None:
        """Let others have a study that is held; "" for the one on screen."""
        held = self._held.of(study or self._volumes.on_screen)
        if held is not None and (held.study != self._volumes.on_screen or self._may_leave()):
            self._ends.give_back(held)

    def use_scene(self, scene: slicer.vtkMRMLScene) -> None:
        """Bring studies into this scene from now on."""
        self._volumes.use(scene)
        self._held.refresh()

    def leave_scene(self) -> None:
        """The scene closes: what is on its way is dropped. It stays held, and is offered again."""
        if self._asking is not None:
            self._asking.drop()
        self._volumes.drop()
        self._idle()

    def labelled(self, study: str, task: str) -> None:
        """A label of a study is on the server, which keeps it for this task no longer."""
        self._proposals.pop((study, task), None)
        self._held.forget(study, task)
        self._held.refresh()

    def _answered(self, answer: NextAnswer, task: str, here: Collection[str]) -> None:
        self._lost = None
        self._held.see(answer.state)
        if answer.offer is not None:
            comes = self._take(answer.offer)
        elif (comes := first_waiting(self.held, task, here)) is not None:
            told.tell_held_first(self._messages, comes.study, len(self.held))
        if comes is None or task != self.task:
            self._idle()  # What comes for a task that is not chosen any more is in the list.
            return
        self._bring(comes, is_new=answer.offer is not None)

    def _take(self, offer: NextStudy) -> Held | None:
        self.offer = offer
        if not offer.proposals:
            told.tell_nothing_left(self._messages, offer)
            return None
        proposal = offer.proposals[0]
        held = self._held.take(proposal)
        if held is not None:
            self._proposals[held.study, held.task] = proposal
            self._leases.starts(held.study)
        return held

    def _failed_to_ask(self, question: NextQuestion, error: VptctError) -> None:
        self._lost = question if isinstance(error, UnreachableError) else None
        self._idle()
        told.tell_none_came(self._messages, error)
        self._held.refresh()
        self._server.report(error)

    def _bring(self, held: Held, *, is_new: bool = False) -> None:
        client = self._server.client
        if client is None:
            return
        self.coming = held.study
        self._set(DOWNLOADING)
        known = self._proposals.get((held.study, held.task))

        def done(brought: Brought) -> None:
            if brought.extended is not None:
                self._held.extended(brought.extended)
                self._leases.starts(held.study)
            if known is None:
                self._proposals[held.study, held.task] = proposal_of(held, brought.label_version or 0)
            self._idle()
            self._held.refresh()
            self.opened.emit(held.study)

        self._volumes.bring(
            client, held, is_new=is_new, done=done,
            failed=lambda error: self._failed_to_bring(held, error),
            progress=self._on_progress, loading=lambda: self._set(LOADING),
        )  # fmt: skip

    def _failed_to_bring(self, held: Held, error: VptctError) -> None:
        self._idle()
        if isinstance(error, LeaseError):
            self._messages.tell_error(error, about=told.ABOUT)
            self._held.forget(held.study)
            return
        told.tell_not_fetched(self._messages, held.study, error)
        self._server.report(error)

    def _on_progress(self, done_bytes: int, all_bytes: int) -> None:
        self.progress = (done_bytes, all_bytes)
        self.progressed.emit()

    def _on_left(self) -> None:
        self.offer, self._lost, self._proposals = None, None, {}
        self.leave_scene()

    def _idle(self) -> None:
        self._asking, self.coming, self.progress = None, "", None
        self._set(IDLE)

    def _set(self, state: str) -> None:
        self.state = state
        self.changed.emit()
