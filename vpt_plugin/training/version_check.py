"""The precision of a published version: measured on its validation studies, put on its card."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.prepared import PreparedStudies, PreparedStudy
from vpt_plugin.errors import ConfigurationError, TrainingError
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.device import choose_device, has_native_bfloat16
from vpt_plugin.models.precision_record import PrecisionCheck
from vpt_plugin.models.weights import vptct_home
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.finetune import clip_shape
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.precision_check import answer_in_ways
from vpt_plugin.training.selection import usable_patients
from vpt_plugin.training.sources import TrainingSource
from vpt_plugin.training.usable import Told
from vpt_plugin.training.validation_record import ValidatedStudy, ValidationRecord, scan_hash


@dataclass(frozen=True)
class CheckedVersion:
    """What measuring a version came to.

    Attributes:
        card: as it is now.
        checks: that were made, by way of computing.
        own: whether the studies are those that the version was validated on; else any labelled ones.
    """

    card: ModelCard
    checks: Mapping[str, PrecisionCheck]
    own: bool


def check_version(
    store: ModelStore,
    task: ReadingTask,
    model: str,
    version: int | None = None,
    *,
    source: TrainingSource | None = None,
    cache: Path | None = None,
    device: str = "auto",
    most_seconds: float = math.inf,
    progress: Told = lambda done, total, note: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> CheckedVersion:
    """Measure how far reduced precision moves a version's answers, and write it into its card.

    Args:
        store: where the version lies.
        task: that it reads for.
        model: the network's name.
        version: None takes the one that is served.
        source: of its validation studies; of a version that came from elsewhere, whose validation studies
            nobody knows, of any labelled ones for its task: that those decide is up to who names them, and
            the check says that they did. None takes those of its validation studies that are still prepared
            in ``cache``.
        cache: where prepared studies are kept; None takes ``prepared`` in ``vptct_home()``.
        device: as in ``choose_device``: what is measured on one kind holds for that kind.
        most_seconds: no further study is begun after that.
        progress: called with the studies done, the studies in all, and what is to be said of the last one.
        cancelled: asked before every study and every batch.

    Raises:
        NotTrainedError, ModelCardError, WeightsError: the version cannot be had.
        ConfigurationError: the device has no bfloat16, so there is nothing to measure.
        TrainingError: there are no studies to measure it on, no way of computing could be measured, or the
            card cannot be written.
        ArchiveError: the archive does not hand the studies out.
        CancelledError: ``cancelled`` said so.
    """
    place = choose_device(device)
    if not has_native_bfloat16(place):
        raise ConfigurationError(
            f"the device {place.type} of this computer has no instructions for bfloat16, so versions answer "
            "in float32 here;",
            "measure where the version answers.",
        )
    classifier, card = store.load(task, model, version)
    record = ValidationRecord.read(store.place(task.name, model, card.version))
    spec = get_model(model)
    with PreparedStudies(
        cache or vptct_home() / "prepared", task.hu_window, pixels=spec.resize_px
    ) as prepared:
        if source is None:
            studies = _still_prepared(prepared, record, card)
        else:
            studies = _of_source(source, task, prepared, record, card, progress, cancelled)
        answered = answer_in_ways(
            classifier, task, card, studies,
            device=place, most_seconds=most_seconds, cancelled=cancelled,
            told=lambda done, total: progress(done, total, ""),
        )  # fmt: skip
    if answered is None:
        raise TrainingError(
            f"{_called(card)} cannot answer in bfloat16 here.", "The log says why of every backend."
        )
    # What is no longer at hand of its validation studies was not answered, either.
    in_all = len(record.validated) if record else len(studies)
    answered = replace(answered, studies_in_all=in_all, own=record is not None)
    checks = answered.checks(card.findings, card.temperature)
    return CheckedVersion(store.keep_checks(task.name, model, card.version, checks), checks, own=answered.own)


def _still_prepared(
    prepared: PreparedStudies, record: ValidationRecord | None, card: ModelCard
) -> list[LabelledStudy]:
    """Those validation studies of a version that a training has left in the cache, known by their scans."""
    validated = {each.seen.scan: each for each in record.validated} if record else {}
    found = {scan: each for each in prepared if (scan := scan_hash(each)) in validated}
    if not found:
        raise TrainingError(
            f"of {_called(card)} no validation study is prepared here"
            + (", for it was not trained here." if record is None else "."),
            "Name where its studies are: " + _command_with_source(card),
        )
    return [_labelled(validated[scan], each) for scan, each in found.items()]


def _of_source(
    source: TrainingSource,
    task: ReadingTask,
    prepared: PreparedStudies,
    record: ValidationRecord | None,
    card: ModelCard,
    progress: Told,
    cancelled: Callable[[], bool],
) -> list[LabelledStudy]:
    """A version's validation studies in a source; all labelled ones but the test set where nobody knows."""
    found = usable_patients(
        source,
        task,
        clip_shape(task, get_model(card.model)),
        prepared,
        progress=progress,
        cancelled=cancelled,
    )
    studies = [study for patient in found.patients for study in patient.studies]
    if record is None:
        return studies
    scans = {each.seen.scan for each in record.validated}
    own = [study for study in studies if scan_hash(study.prepared) in scans]
    if not own:
        raise TrainingError(
            f"none of the {len(scans)} validation studies of {_called(card)} is in {source.name}.",
            "Name the source that it was trained from.",
        )
    return own


def _labelled(validated: ValidatedStudy, prepared: PreparedStudy) -> LabelledStudy:
    """A validation study as its record knows it; on which slices a finding is seen is not asked for."""
    states = np.array(list(validated.states.values()), dtype=np.float64)
    nowhere = np.zeros((len(prepared.slice_z_mm), len(states)), dtype=np.bool_)
    return LabelledStudy(
        validated.seen.study, prepared, states, nowhere,
        marked=np.zeros(len(states), dtype=np.bool_), patient=validated.seen.patient,
    )  # fmt: skip


def _called(card: ModelCard) -> str:
    return f"{card.task}_{card.model} version {card.version}"


def _command_with_source(card: ModelCard) -> str:
    return f"vpt versions check-precision {card.task}_{card.model} {card.version} --studies SOURCE"
