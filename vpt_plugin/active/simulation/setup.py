"""From a source of labelled studies to a learner: studies prepared, features computed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vpt_plugin.active.simulation.enough import require_each_state, require_enough
from vpt_plugin.active.simulation.features import FrozenFeatures, frozen_features
from vpt_plugin.active.simulation.head import HeadLearner
from vpt_plugin.active.simulation.learners import Learner
from vpt_plugin.active.simulation.network import NetworkLearner
from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.device import choose_device, choose_dtype, keep_freed_memory
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import clip_shape
from vpt_plugin.training.keeping import weights_hash
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.observer import Observer
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.rounds import Rounds
from vpt_plugin.training.selection import usable_patients
from vpt_plugin.training.sources import TrainingSource
from vpt_plugin.training.start import find_start

Told = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Setup:
    """What is the same for all replays.

    Attributes:
        task, spec, config: what is trained; ``config`` with nothing left to be chosen.
        learner: makes the networks.
        synthetic: whether the studies are phantoms.
        start: what the networks start from, in words.
        facts: all that a replay depends on besides the settings of the simulation, as JSON.
        notes: what is to be known of the studies and of the start.
    """

    task: ReadingTask
    spec: ModelSpec
    config: FinetuneConfig
    learner: Learner
    synthetic: bool
    start: str
    facts: dict[str, Any]
    notes: list[str] = field(default_factory=list)


def set_up(
    source: TrainingSource,
    task: ReadingTask,
    spec: ModelSpec,
    config: FinetuneConfig,
    *,
    learner: str,
    store: ModelStore,
    weights: WeightsFolder | None = None,
    cache: Path,
    device: str = "auto",
    suits: Callable[[Sequence[LabelledStudy]], object] = lambda studies: None,
    told: Told = lambda what, done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Setup:
    """Prepare the studies and compute the features that every replay starts from.

    Args:
        source: of labelled studies; those of the locked test set stay closed.
        task: that they are labelled for.
        spec: the network.
        config: how it is trained, and what it starts from.
        learner: ``head`` or ``network``.
        store: where a classifier of the site lies that it starts from.
        weights: where pretrained weights lie; None takes the folder of this computer.
        cache: where prepared studies and features are kept.
        suits: raises where the simulation cannot be done with these studies; asked before their features
            are computed.
        device: as in ``choose_device``.
        told: what is done now, how much of it is done and how much there is.
        cancelled: asked often.

    Raises:
        TrainingError: the studies cannot be used, or the start was trained on some of them.
        ConfigurationError, WeightsError: what is asked for is not there.
        ClipShapeError: the task's clips do not suit the network.
        CancelledError: ``cancelled`` said so.
    """
    require_enough(source, task)
    settled, shape = config.settled(spec.weights), clip_shape(task, spec)
    place = choose_device(device)
    if place.type == "cpu":
        keep_freed_memory()
    placement = Placement(place, choose_dtype(place, settled.precision))
    start = find_start(store, spec, settled)
    own = partial(start.classifier, store, task.findings, seed=settled.seed) if start else None
    rounds = Rounds(task, spec, settled, shape, placement, Observer(cancelled=cancelled), weights, own)
    fresh = rounds.fresh()
    notes: list[str] = [start.note] if start and start.note else []

    def preparing(done: int, total: int, note: str) -> None:
        notes.extend([note] if note else [])
        told("preparing studies", done, total)

    with PreparedStudies(cache, task.hu_window, pixels=spec.resize_px) as prepared:
        found = usable_patients(source, task, shape, prepared, progress=preparing, cancelled=cancelled)
        studies = sorted(
            (study for each in found.patients for study in each.studies), key=lambda study: study.study
        )
        _require_usable(task, studies)
        suits(studies)
        if start is not None:
            start.require_unseen(studies)
        network = weights_hash(fresh)
        features = frozen_features(
            fresh, studies, shape,
            offset=task.offset, placement=placement, folder=cache / "features",
            name=f"{network} {placement.dtype}", untaught=settled.pretraining == "none",
            told=partial(told, "computing features"), cancelled=cancelled,
        )  # fmt: skip
    return Setup(
        task, spec, settled, _learner(learner, studies, features, rounds), found.synthetic,
        _start_in_words(spec, settled, start.name if start else ""),
        {
            "task": task.name, "model": spec.name, "start": network, "precision": str(placement.dtype),
            "config": settled.to_dict() if learner == "network" else {},
            "studies": _hash_of(studies),
        },
        notes,
    )  # fmt: skip


def _require_usable(task: ReadingTask, studies: Sequence[LabelledStudy]) -> None:
    """Refuse what is left when locked, unreadable and too short studies are left out."""
    words = {1.0: "present", 0.0: "absent"}
    states = [
        {name: words.get(float(each), "") for name, each in zip(task.findings, study.states, strict=True)}
        for study in studies
    ]
    number = len(studies)
    there = f"{number} of the labelled studies can be used" if number else "no labelled study can be used"
    require_each_state(task, states, there)


def _learner(
    name: str, studies: list[LabelledStudy], features: FrozenFeatures, rounds: Rounds
) -> HeadLearner | NetworkLearner:
    if name == "head":
        return HeadLearner(studies, features, rounds.task.aggregation)
    return NetworkLearner(studies, rounds, features)


def _start_in_words(spec: ModelSpec, config: FinetuneConfig, start: str) -> str:
    if start:
        return f"the classifier {start} of this site, without its head"
    if config.pretraining == "none":
        return f"an untrained {spec.name} (seed {config.seed})"
    return f"{spec.name} pretrained on {config.pretraining}"


def _hash_of(studies: list[LabelledStudy]) -> str:
    """Over which studies there are, whose they are, and what is known of them."""
    facts = [
        [each.study, each.patient, each.prepared.file.parent.name, str(each.states.tolist()),
         hashlib.sha256(each.positive.tobytes()).hexdigest()]
        for each in studies
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
