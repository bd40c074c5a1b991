"""From a question to its answer: the study is read, and each network has its turn at the device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.reduced import ReducedStudy, read_reduced, reduce_volume
from vpt_plugin.ct.volume import Volume
from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.inference.fitness import WARN
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.other_versions import OtherVersions

from ..device_queue import FairQueue
from ..predictors import Predictors
from .desk import AnswerDesk, Gone
from .key import AnswerKey
from .parts import with_heat_maps
from .wish import Wish


@dataclass(frozen=True)
class Asked:
    """What is asked about one study.

    Attributes:
        path: a DICOM folder, a zip of DICOM, or a NIfTI, NRRD or MHA file.
        study: what messages call it.
        key: what makes the question equal to others.
        wish: what is asked for beside the probabilities.
        others: the other versions that are asked, too.
    """

    path: Path
    study: str
    key: AnswerKey
    wish: Wish
    others: OtherVersions


@dataclass(frozen=True)
class _Read:
    """A study that was read.

    Attributes:
        reduced: for the network.
        volume: all of its voxels, which a heat map takes.
        seconds: that it took.
    """

    reduced: ReducedStudy
    volume: Volume | None
    seconds: float


@dataclass(frozen=True)
class Computing:
    """Computes answers.

    Attributes:
        answers: where what was answered before is looked up, and what comes up on the way is kept.
        predictors: the networks.
        in_hand: lets studies be read.
        device: lets one study in.
    """

    answers: AnswerDesk
    predictors: Predictors
    in_hand: FairQueue
    device: FairQueue

    def answer(self, asked: Asked, predictor: Predictor, cancelled: Gone | None = None) -> Prediction:
        """The answer, when its turn has come.

        Args:
            asked: the question.
            predictor: of what is served.
            cancelled: asked while waiting and between clips.

        Raises:
            WeightsError, StudyError, BusyError, CancelledError.
            NotExplainableError: where this network looks cannot be computed.
        """
        with self.in_hand.turn(cancelled):
            read = _read(asked, predictor.spec.resize_px)
            with self.device.turn(cancelled):
                prediction = self._plain(asked, predictor, read, cancelled)
                prediction = self._with_others(asked, predictor.task, prediction, read.reduced, cancelled)
                if read.volume is None:
                    return prediction
                began = perf_counter()
                maps = predictor.explain(read.volume, findings=asked.wish.explain, cancelled=cancelled)
            # Packing the files takes no device: the next study has its turn meanwhile.
            return with_heat_maps(prediction, maps, asked.study, began=began)

    def _plain(self, asked: Asked, predictor: Predictor, read: _Read, cancelled: Gone | None) -> Prediction:
        """The probabilities: those that were kept, where more is asked of the same study now."""
        plain = asked.key.plain
        kept = self.answers.kept(plain) if plain != asked.key and plain.asks(predictor.card) else None
        if kept is not None:
            return _read_again(kept, read.seconds)
        prediction = predictor.predict(
            read.reduced,
            cancelled=cancelled,
            read_seconds=read.seconds,
            unsuitable=WARN if asked.wish.anyway else None,
        )
        self.answers.keep(plain, prediction)
        return prediction

    def _with_others(
        self,
        asked: Asked,
        task: ReadingTask,
        prediction: Prediction,
        study: ReducedStudy,
        cancelled: Gone | None,
    ) -> Prediction:
        """The same with what other versions say."""
        make = partial(self.predictors.made, task)
        return asked.others.asked(
            prediction, study, store=self.predictors.store, task=task, make=make, cancelled=cancelled
        )


def _read(asked: Asked, pixels: int) -> _Read:
    began = perf_counter()
    volume = None
    if asked.wish.explain:
        volume = read_study(asked.path, name=asked.study)
        reduced = reduce_volume(volume, pixels=pixels)
    else:
        reduced = read_reduced(asked.path, pixels=pixels, name=asked.study)
    return _Read(reduced, volume, perf_counter() - began)


def _read_again(kept: Prediction, read_seconds: float) -> Prediction:
    """What was computed for an earlier question, whose study only had to be read again."""
    spent = {**dict.fromkeys(kept.seconds, 0.0), "read": read_seconds, "total": read_seconds}
    return replace(kept, kept=False, seconds=spent)
