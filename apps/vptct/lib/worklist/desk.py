"""WorklistDesk: what the routes and ``GET /info/`` ask about the next study, all in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from vpt_plugin.active.offers import ActiveSettings, Offer
from vpt_plugin.active.retrain import RetrainAdvice, RetrainRule
from vpt_plugin.active.retrain_watch import RetrainWatch
from vpt_plugin.active.worklist import Worklist
from vpt_plugin.errors import ArchiveError, CancelledError, VptError
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import FOLDER, LeaseBook
from vpt_plugin.store.source import StudySource
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore

from ..access.person import Person
from ..active_conf import OFF
from ..conf import AppConf
from .figures import Figures
from .hands import PATIENCE_SECONDS, Hands, reachable
from .label_notes import LabelNotes
from .strategies import strategies_info
from .told import SCHEMA, next_block, no_network, with_training
from .trainee import Trainee
from .wishes import Wishes


class WorklistDesk:
    """Answers who asks for a study, and notes what becomes of it.

    Args:
        conf: of the server.
        studies: those that are proposed.
        worklist: chooses.
        leases: who has which study.
        figures: what labels and offers say.
        notes: notes labels.
        trainee: which network a training would be of.
        scoring: how the scoring of a task goes, by its name.
        refused: why a training that is due could not be ordered, by the task's name; "" where it could.
        in_hand: which training of ``nodule_tiny`` runs or waits, in words; "" for none.
    """

    def __init__(
        self,
        conf: AppConf,
        studies: StudySource,
        worklist: Worklist,
        leases: LeaseBook,
        figures: Figures,
        notes: LabelNotes,
        trainee: Trainee,
        scoring: Callable[[str], Mapping[str, Any]],
        refused: Callable[[str], str] = lambda task: "",
        in_hand: Callable[[str], str] = lambda name: "",
    ) -> None:
        self.worklist = worklist
        self.leases = leases
        self._conf = conf
        self._studies = studies
        self.notes = notes
        self._figures = figures
        self._trainee = trainee
        self._scoring = scoring
        self._refused = refused
        self._in_hand = in_hand
        self.hands = Hands(leases, studies, conf.tasks)
        self._wishes = Wishes(conf.tasks, [spec.name for spec in conf.models])

    @classmethod
    def of(
        cls,
        conf: AppConf,
        studies: StudySource,
        labels: LabelFolder,
        store: ModelStore,
        scoring: Callable[[str], Mapping[str, Any]],
        refused: Callable[[str], str] = lambda task: "",
        ordered_last: Callable[[str], str] = lambda task: "",
        in_hand: Callable[[str], str] = lambda name: "",
    ) -> WorklistDesk:
        """The desk of a server, for all of its tasks.

        Args:
            conf: of the server.
            studies: those that are proposed.
            labels: of the studies; the leases lie beside them.
            store: where versions, and what they said of the studies, lie.
            scoring: how the scoring of a task goes, by its name.
            refused: why a training that is due could not be ordered, by the task's name; "" where it could.
            ordered_last: the network of a task that a person had trained last; "" for none.
            in_hand: which training of ``nodule_tiny`` runs or waits, in words; "" for none.
        """
        active = conf.active
        leases = LeaseBook(
            labels.root / FOLDER, minutes=active.lease_minutes, patience_seconds=PATIENCE_SECONDS
        )
        settings = ActiveSettings(
            lease_minutes=active.lease_minutes,
            double_read=active.double_read,
            random_share=active.random_share,
            min_each=active.min_each,
            seed=active.seed,
            model=active.model,
        )
        worklist = Worklist(studies, labels, store, leases, conf.tasks, settings, networks=conf.models)
        rule = RetrainRule(every=active.retrain_every, min_each=active.min_each)
        watch = RetrainWatch(labels, store, leases, rule)
        figures = Figures(labels, leases, watch, seed=active.seed)
        notes, trainee = LabelNotes(leases, labels), Trainee(conf, store, ordered_last)
        return cls(conf, studies, worklist, leases, figures, notes, trainee, scoring, refused, in_hand)

    def next(
        self,
        strategy: str,
        body: Mapping[str, Any],
        *,
        reader: str,
        gone: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """Studies to label next, kept for this reader, and why: ``vptct.next/1``.

        Args:
            strategy: by which one.
            body: what the client sent.
            reader: who asks; "" for somebody without a name.
            gone: tells whether they have hung up: who does gets nothing that others would lack.

        Raises:
            NothingThereError: no such strategy.
            CancelledError: they have hung up.
            BusyError: too many ask at the moment.
            WorklistAwayError: who has which study cannot be read or written.
            VptError: what was asked for cannot be, or not now; see ``Wishes.of`` and ``Worklist.next``.
        """
        wish = self._wishes.of(body, strategy=strategy, reader=reader)
        with self.hands.turn(gone):
            offer = self.worklist.next(wish)
            if gone():
                self._take_back(offer)
                raise CancelledError
        task = self._wishes.task(wish.task)
        try:
            with reachable():
                return next_block(offer, self._scoring(task.name), self._retrain(task))
        except Exception:
            # Whoever asked learns of none of these leases.
            self._take_back(offer)
            raise

    def _take_back(self, offer: Offer) -> None:
        """End the leases of an offer that reaches nobody; one that cannot be ended now ends by its time."""
        for lease in [each.lease for each in offer.proposals if each.lease]:
            with suppress(VptError, OSError):
                self.leases.give_back(lease.study, lease.holder)

    def ranked(self, strategy: str, body: Mapping[str, Any], *, n: int, reader: str) -> Offer:
        """The first ``n`` studies in the order in which they would be proposed; kept for nobody.

        Raises:
            VptError: as ``next``.
        """
        wish = self._wishes.of(body, strategy=strategy, reader=reader)
        with reachable():
            return self.worklist.ranked(replace(wish, n=n))

    def info(self) -> dict[str, Any]:
        """The block ``active`` of ``GET /info/``; quick, and answered while an archive is away, too."""
        try:
            return self._told([self._task(task) for task in self._conf.tasks])
        except (ArchiveError, OSError) as error:
            return self._told([], f"the worklists cannot be told at the moment: {error}")

    def state(self, person: Person, reader: str) -> dict[str, Any]:
        """All that is known of the worklists, ``vptct.active/1``, with the leases and skips they may see.

        Raises:
            ArchiveError: the archive was never reached, so no study is known.
            WorklistAwayError: who has which study cannot be read.
        """
        with reachable():
            there = self._studies.ids()
            tasks = [
                {
                    **self._task(task, reader),
                    "agreement": self._agreement(task, person),
                    "prospective": self._figures.prospective(task, there),
                }
                for task in self._conf.tasks
            ]
            seen = {
                "leases": self.hands.leases_seen_by(person, reader),
                "skips": self.hands.skips_seen_by(person, reader),
            }
        return {**self._told(tasks), **seen}

    def advice(self, task: ReadingTask, tried_with: int) -> tuple[str, RetrainAdvice]:
        """Which network of a task would be trained, "" for none, and whether that is due.

        Args:
            task: of the labels.
            tried_with: how many new labels there were at the last training, where it came to nothing.

        Raises:
            ArchiveError: the archive was never reached, so no study is known.
        """
        model = self._trainee.of(task)
        any_model = model or self._conf.models[0].name
        advice = self._figures.advice(task, any_model, self._studies.ids(), tried_with)
        return model, advice if model else no_network(advice, task.name)

    def _task(self, task: ReadingTask, reader: str = "") -> dict[str, Any]:
        state = self.worklist.state(task.name, reader=reader)
        told = state.to_json()
        scoring = {**told["scoring"], **self._scoring(task.name)}
        return {**told, "scoring": scoring, "retrain": self._retrain(task)}

    def _retrain(self, task: ReadingTask) -> dict[str, Any] | None:
        """Whether a training is due; None where nobody wants to know."""
        if self._conf.active.retrain == OFF:
            return None
        there = self._studies.ids()
        model = self._trainee.of(task)
        advice = self._figures.retrain(task, model, there, lambda: self.advice(task, 0)[1].to_json())
        advice = {**advice, "problem": self._refused(task.name) or None}
        return with_training(advice, self._in_hand(f"{task.name}_{model}") if model else "")

    def _told(self, tasks: list[dict[str, Any]], problem: str | None = None) -> dict[str, Any]:
        """What is the same for everybody."""
        return {
            "schema": SCHEMA,
            "problem": problem,
            "lease_minutes": self._conf.active.lease_minutes,
            "double_read": self._conf.active.double_read,
            "strategies": strategies_info(),
            "tasks": tasks,
        }

    def _agreement(self, task: ReadingTask, person: Person) -> dict[str, Any]:
        """How the readers of a task agree; who with whom is for reviewers."""
        told = self._figures.agreement(task)
        return told if person.may("reviewer") else {**told, "pairs": []}
