"""WorklistDesk: what the routes and ``GET /info/`` ask about the next study, all in one place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vpt_plugin.active.offers import ActiveSettings, Offer
from vpt_plugin.active.retrain import RetrainAdvice, RetrainRule
from vpt_plugin.active.retrain_watch import RetrainWatch
from vpt_plugin.active.worklist import Worklist
from vpt_plugin.errors import ArchiveError, LeaseError
from vpt_plugin.store.labels import LabelFolder, SavedLabel
from vpt_plugin.store.leases import FOLDER, Lease, LeaseBook
from vpt_plugin.store.source import StudySource
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore

from ..access.person import Person
from ..active_conf import OFF
from ..conf import AppConf
from ..errors import BadRequestError
from ..names import plain_text
from ..params import HARMLESS, check_known
from .figures import Figures
from .strategies import strategies_info
from .told import SCHEMA, next_block, no_network
from .trainee import Trainee
from .wishes import Wishes

_logger = logging.getLogger(__name__)
_SKIP_KEYS = ("reason", "task", "comment", "holder")
# Of a lease, for others than its holder: who knows ``holder`` may end it.
_LEASE_TOLD = ("study", "task", "reader", "strategy", "reading", "since", "until")
_SKIP_TOLD = ("study", "task", "reader", "reason", "comment", "when")


class WorklistDesk:
    """Answers who asks for a study, and notes what becomes of it.

    Args:
        conf: of the server.
        studies: those that are proposed.
        worklist: chooses.
        leases: who has which study.
        figures: what labels and offers say.
        trainee: which network a training would be of.
        scoring: how the scoring of a task goes, by its name.
        refused: why a training that is due could not be ordered, by the task's name; "" where it could.
    """

    def __init__(
        self,
        conf: AppConf,
        studies: StudySource,
        worklist: Worklist,
        leases: LeaseBook,
        figures: Figures,
        trainee: Trainee,
        scoring: Callable[[str], Mapping[str, Any]],
        refused: Callable[[str], str] = lambda task: "",
    ) -> None:
        self.worklist = worklist
        self.leases = leases
        self._conf = conf
        self._studies = studies
        self._figures = figures
        self._trainee = trainee
        self._scoring = scoring
        self._refused = refused
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
        """
        active = conf.active
        leases = LeaseBook(labels.root / FOLDER, minutes=active.lease_minutes)
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
        trainee = Trainee(conf, store, ordered_last)
        return cls(conf, studies, worklist, leases, figures, trainee, scoring, refused)

    def next(self, strategy: str, body: Mapping[str, Any], *, reader: str) -> dict[str, Any]:
        """Studies to label next, kept for this reader, and why: ``vptct.next/1``.

        Args:
            strategy: by which one.
            body: what the client sent.
            reader: who asks; "" for somebody without a name.

        Raises:
            NothingThereError: no such strategy.
            VptError: what was asked for cannot be, or not now; see ``Wishes.of`` and ``Worklist.next``.
        """
        offer = self.worklist.next(self._wishes.of(body, strategy=strategy, reader=reader))
        task = self._wishes.task(offer.wish.task)
        return next_block(offer, self._scoring(task.name), self._retrain(task))

    def ranked(self, strategy: str, body: Mapping[str, Any], *, n: int, reader: str) -> Offer:
        """The first ``n`` studies in the order in which they would be proposed; kept for nobody.

        Raises:
            VptError: as ``next``.
        """
        wish = self._wishes.of(body, strategy=strategy, reader=reader)
        return self.worklist.ranked(replace(wish, n=n))

    def info(self) -> dict[str, Any]:
        """The block ``active`` of ``GET /info/``; quick, and answered while an archive is away, too."""
        try:
            tasks, problem = [self._task(task) for task in self._conf.tasks], None
        except (ArchiveError, OSError) as error:
            tasks, problem = [], f"the worklists cannot be told at the moment: {error}"
        return {
            "schema": SCHEMA,
            "problem": problem,
            "lease_minutes": self._conf.active.lease_minutes,
            "double_read": self._conf.active.double_read,
            "strategies": strategies_info(),
            "tasks": tasks,
        }

    def state(self, person: Person, reader: str) -> dict[str, Any]:
        """All that is known of the worklists, ``vptct.active/1``, with the leases and skips they may see.

        Raises:
            ArchiveError: the archive was never reached, so no study is known.
        """
        there = self._studies.ids()
        return {
            **self.info(),
            "tasks": [
                {
                    **self._task(task),
                    "agreement": self._agreement(task, person),
                    "prospective": self._figures.prospective(task, there),
                }
                for task in self._conf.tasks
            ],
            "leases": self._leases_of(person, reader),
            "skips": self._skips_of(person, reader),
        }

    def extend(self, study: str, *, holder: str) -> dict[str, Any]:
        """Keep a study for another while; until when.

        Raises:
            LeaseError: it is not in this reader's hands.
        """
        return told_of_lease(self.leases.extend(study, holder))

    def give_back(self, study: str, *, holder: str) -> None:
        """Offer a study to others again.

        Raises:
            LeaseError: it is not in this reader's hands.
        """
        self.leases.give_back(study, holder)

    def skip(self, study: str, body: Mapping[str, Any], *, holder: str) -> None:
        """Give a study back, and say why.

        Raises:
            BadRequestError, ConfigurationError, UnknownTaskError: what is said of it cannot be.
            StudyNotFoundError, ArchiveError: there is no such study, or it is not known.
            LeaseError: somebody else has it.
        """
        check_known(body, (*_SKIP_KEYS, *HARMLESS), "the body")
        reason, task, comment = (body.get(name) or "" for name in ("reason", "task", "comment"))
        if not all(isinstance(each, str) for each in (reason, task, comment)):
            raise BadRequestError("reason, task and comment must be texts.")
        task = self._wishes.task(task).name if task else ""
        study = self._studies.require(study)
        self.leases.skip(study, holder, reason, task=task, comment=plain_text(comment, "comment"))

    def unskip(self, study: str, task: str, *, by: str) -> None:
        """Offer a study again that was skipped; for all tasks where none is named.

        Raises:
            UnknownTaskError: names those that are served.
            LeaseError: nobody skipped it.
        """
        self.leases.unskip(study, by, task=self._wishes.task(task).name if task else "")

    def labelled(self, saved: SavedLabel, person: Person) -> None:
        """A label was saved: who has the study has done with it. The label counts, whatever goes wrong here.

        Without a login nobody knows whether the client that asked and the annotator are one, so whoever has
        the study is taken for the annotator.
        """
        reader = saved.label.annotator
        try:
            lease = self.leases.held().get(saved.study)
            if lease is not None and person.name in ("", lease.reader):
                reader = lease.reader
            self.leases.labelled(saved.study, reader, saved.task)
        except (LeaseError, OSError) as error:
            _logger.warning(
                "%s: the label is saved, but the worklist did not note it: %s", saved.study, error
            )

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

    def _task(self, task: ReadingTask) -> dict[str, Any]:
        state = self.worklist.state(task.name)
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
        return {**advice, "problem": self._refused(task.name) or None}

    def _agreement(self, task: ReadingTask, person: Person) -> dict[str, Any]:
        """How the readers of a task agree; who with whom is for reviewers."""
        told = self._figures.agreement(task)
        return told if person.may("reviewer") else {**told, "pairs": []}

    def _leases_of(self, person: Person, reader: str) -> list[dict[str, str]]:
        held = self.leases.held().values()
        return [told_of_lease(each) for each in held if _may_see(person, reader, each.reader)]

    def _skips_of(self, person: Person, reader: str) -> list[dict[str, str]]:
        skips = self.leases.history().skips
        seen = [each for each in skips if _may_see(person, reader, each.reader)]
        return [{name: getattr(each, name) for name in _SKIP_TOLD} for each in seen]


def told_of_lease(lease: Lease) -> dict[str, str]:
    """A lease without what only its holder may know."""
    return {name: getattr(lease, name) for name in _LEASE_TOLD}


def _may_see(person: Person, reader: str, whose: str) -> bool:
    """Whether it is one's own; a reviewer sees everything."""
    return person.may("reviewer") or (bool(whose) and whose == reader)
