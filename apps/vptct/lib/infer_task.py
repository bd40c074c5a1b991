"""The infer task of one task and one network: a study in, the result contract out."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from anyio import CapacityLimiter
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from vpt_plugin.errors import NotTrainedError
from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.other_versions import OtherVersions, other_versions

from .answers.computing import Asked, Computing
from .answers.desk import AnswerDesk, Gone, Question
from .answers.key import AnswerKey
from .answers.wish import Wish
from .device_queue import FairQueue
from .errors import NotOfferedError
from .predictors import Predictors

STUDIES_IN_HAND = 2
# 2 in hand, 32 that wait for that, and some whose study is fetched or whose answer was kept.
_THREADS = 48


@dataclass(frozen=True)
class Workplace:
    """What all infer tasks of a server share.

    Attributes:
        predictors: the loaded networks.
        labels: what readers said; an untrained network tells how much of it there is.
        in_hand: lets two studies in: one on the device, the next being read meanwhile. A study that reads
            fast may so overtake one that is still being read, never more than that one.
        device: lets one study in.
        answers: has equal questions computed once.
        threads: for those who ask for an answer. They are apart from the threads of all other routes, which
            so never wait behind them: enough for all that are in hand, wait for that, or are being fetched.
        batches: lets one batch of studies run.
        batch_threads: threads for batches, one for each that runs or waits and some to end them.
    """

    predictors: Predictors
    labels: LabelFolder
    in_hand: FairQueue = field(default_factory=lambda: FairQueue(STUDIES_IN_HAND))
    device: FairQueue = field(default_factory=lambda: FairQueue(1))
    answers: AnswerDesk = field(default_factory=AnswerDesk)
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_THREADS))
    batches: FairQueue = field(default_factory=lambda: FairQueue(1, what="batches"))
    batch_threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(_THREADS))


class ClassifyTask(InferTask):
    """One task read by one network, under the name ``<task>_<model>``."""

    def __init__(self, task: ReadingTask, spec: ModelSpec, workplace: Workplace) -> None:
        super().__init__(
            type=InferType.CLASSIFICATION,
            labels=list(task.findings),
            dimension=3,
            description=f"{task.title}: {spec.title}",
        )
        self.task = task
        self.spec = spec
        self.name = f"{task.name}_{spec.name}"
        self.workplace = workplace

    def is_valid(self) -> bool:
        """Always: an untrained one is listed too, and says what it needs when it is asked."""
        return True

    def __call__(self, request: dict[str, Any]) -> NoReturn:
        """MONAI Label's call: not offered. Our routes call ``ask``, where a study is open meanwhile."""
        raise NotOfferedError("a task is not called by MONAI Label;", "POST /infer/{model} takes a study.")

    def ask(self, path: Path, *, study: str, content: str, wish: Wish, gone: Gone) -> Question:
        """Ask about one study, and answer, unless the answer was kept or somebody else is at work on it.

        Args:
            path: a DICOM folder, a zip of DICOM, or a NIfTI, NRRD or MHA file.
            study: what messages call it.
            content: tells it from others, see ``content_of``.
            wish: what is asked for beside the probabilities.
            gone: tells whether the caller has hung up.

        Returns:
            The question, whose answer is there or comes; see ``AnswerDesk``.

        Raises:
            NotTrainedError, WeightsError, StudyError, BusyError, CancelledError, NotExplainableError.
        """
        desk = self.workplace.answers
        card = self.served_card()
        others = self._others(card, wish.versions)
        key = AnswerKey.of(study, content, card).wishing(wish, others.cards)
        question, is_first = desk.ask(key)
        if is_first:
            desk.work(question, partial(self._answer, Asked(path, study, key, wish, others)), gone)
        return question

    def _answer(self, asked: Asked, cancelled: Gone) -> Prediction:
        """The answer to a question, when its turn has come."""
        place = self.workplace
        # Before the turn: who wants another version does not wait while this one is loaded.
        predictor = self.predictor()
        computing = Computing(place.answers, place.predictors, place.in_hand, place.device)
        return computing.answer(asked, predictor, cancelled)

    def _others(self, card: ModelCard, number: int) -> OtherVersions:
        """The other versions that are asked, too."""
        if not number:
            return OtherVersions()
        return other_versions(self.workplace.predictors.store, self.task, card, number)

    def predictor(self) -> Predictor:
        """The predictor of what is served, loaded and warmed up.

        Raises:
            NotTrainedError, WeightsError.
        """
        self.check_trained()
        return self.workplace.predictors.current(self.task, self.spec.name)

    def served_card(self) -> ModelCard:
        """The card of what is served.

        Raises:
            NotTrainedError: nothing is, see ``check_trained``.
            ModelCardError: it cannot be read.
        """
        self.check_trained()
        return self.workplace.predictors.store.card(self.task.name, self.spec.name)

    def check_trained(self) -> None:
        """Refuse while no version is served: an untrained head would answer at random.

        Raises:
            NotTrainedError: tells how many labels there are and how to train, or that there are candidates.
            ModelCardError: which version is served cannot be told.
        """
        store = self.workplace.predictors.store
        if store.current_version(self.task.name, self.spec.name) is not None:
            return
        if candidates := store.versions(self.task.name, self.spec.name):
            raise NotTrainedError(
                f"{self.name} does not answer: none of its versions is served; there are candidates: "
                f"{', '.join(map(str, candidates))}.",
                f"Choose one: vpt versions promote {self.name} VERSION --why TEXT",
            )
        counts = self.workplace.labels.counts(self.task.name)
        raise NotTrainedError(
            f"{self.name} was never trained, so it does not answer. Labels for {self.task.title.lower()} on "
            f"this server: {', '.join(f'{number} {state}' for state, number in counts.items())}.",
            f"Label studies as present and as absent, then train: POST /train/{self.name}",
        )
