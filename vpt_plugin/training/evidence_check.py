"""The evidence of a published version, measured afterwards: of one from before it was, or on more studies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.prepared import PreparedStudies, PreparedStudy
from vpt_plugin.errors import TrainingError
from vpt_plugin.inference.typicality import FeatureReference, KeptReference
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.device import choose_device
from vpt_plugin.models.weights import vptct_home
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.coverage import conformal_record
from vpt_plugin.training.evidence import FeatureSides, measure_reference
from vpt_plugin.training.finetune import clip_shape
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.selection import usable_patients
from vpt_plugin.training.sources import TrainingSource
from vpt_plugin.training.usable import Told
from vpt_plugin.training.validation_record import SeenStudy, ValidationRecord, scan_hash


@dataclass(frozen=True)
class MeasuredEvidence:
    """What measuring a version came to.

    Attributes:
        card: as it is now, with the record of conformal decisions.
        reference: what its studies are like, as the version has it now.
        found: how many of its studies were found to measure that, by side, and how many there are.
        why_not: where what was measured is not kept, a sentence that says why; else "".
    """

    card: ModelCard
    reference: KeptReference
    found: Mapping[str, tuple[int, int]]
    why_not: str

    @property
    def found_in_words(self) -> str:
        """How many studies were found."""
        sides = [f"{found} of {known} {side} studies" for side, (found, known) in self.found.items()]
        return f"Found {' and '.join(sides)}."


def check_evidence(
    store: ModelStore,
    task: ReadingTask,
    model: str,
    version: int | None = None,
    *,
    source: TrainingSource | None = None,
    cache: Path | None = None,
    device: str = "auto",
    most_seconds: float = math.inf,
    anyway: bool = False,
    progress: Told = lambda done, total, note: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> MeasuredEvidence:
    """Measure what a version's answers need to say how sure they are, and write it beside the version.

    What conformal decisions need is in its record. What its studies are like takes the studies again.

    Args:
        store: where the version lies.
        task: that it reads for.
        model: the network's name.
        version: None takes the one that is served.
        source: of the studies it was trained and validated on; None takes those that are still prepared in
            ``cache``.
        cache: where prepared studies are kept; None takes ``prepared`` in ``vptct_home()``.
        device: as in ``choose_device``.
        most_seconds: no further study is begun after that.
        anyway: also what rests on fewer studies than what was measured before replaces that.
        progress: called with the studies done, the studies in all, and what is to be said of the last one.
        cancelled: asked before every study and every batch.

    Raises:
        NotTrainedError, ModelCardError, WeightsError: the version cannot be had.
        TrainingError: nobody here knows what it was validated on, or what was measured cannot be written.
        ArchiveError: the archive does not hand the studies out.
        CancelledError: ``cancelled`` said so.
    """
    classifier, card = store.load(task, model, version)
    record = ValidationRecord.read(store.place(task.name, model, card.version))
    if record is None:
        raise TrainingError(
            f"{card.task}_{card.model} version {card.version} was not trained here, so nobody here knows on "
            "which studies.",
            "Measure it where it was trained, and export it again.",
        )
    spec = get_model(model)
    with PreparedStudies(
        cache or vptct_home() / "prepared", task.hu_window, pixels=spec.resize_px
    ) as prepared:
        if source is None:
            here = {scan_hash(each): each for each in prepared}
        else:
            here = _in_source(source, task, model, prepared, progress, cancelled)
        sides, found = _sides(record, here, card)
        measured = measure_reference(
            classifier, task, card, sides,
            device=choose_device(device), most_seconds=most_seconds, cancelled=cancelled,
            told=lambda done, studies: progress(done, studies, ""),
        )  # fmt: skip
    conformal = conformal_record(card.findings, record.validated, folds=sides.folds)
    why_not = sides.why_not() if measured is None else _rests_on_less(measured, store.reference(card), anyway)
    card = store.keep_evidence(card, conformal, None if why_not else measured)
    return MeasuredEvidence(card, store.reference(card), found, why_not)


def _rests_on_less(measured: FeatureReference, kept: KeptReference, anyway: bool) -> str:
    """Why what was measured does not replace what was measured before; "" where it does."""
    if anyway or not isinstance(kept, FeatureReference):
        return ""
    if measured.studies >= kept.studies and measured.trained >= kept.trained:
        return ""
    return (
        f"What was measured now rests on {measured.trained} studies, and the threshold on "
        f"{measured.studies}; what was measured before, on {kept.trained} and {kept.studies}. So that stays; "
        "--anyway replaces it."
    )


def _sides(
    record: ValidationRecord, here: dict[str, PreparedStudy], card: ModelCard
) -> tuple[FeatureSides, dict[str, tuple[int, int]]]:
    """The studies of a version that are here, and how many they are of how many."""
    folds = "folds" in card.counts
    seen = {"training": record.trained_on}
    if not folds:
        seen["validation"] = tuple(each.seen for each in record.validated)
    labelled = {side: _labelled(studies, here, card) for side, studies in seen.items()}
    counts = {
        side: (len(labelled[side]), len({each.scan for each in studies})) for side, studies in seen.items()
    }
    return FeatureSides(labelled["training"], labelled.get("validation", ()), folds=folds), counts


def _in_source(
    source: TrainingSource,
    task: ReadingTask,
    model: str,
    prepared: PreparedStudies,
    progress: Told,
    cancelled: Callable[[], bool],
) -> dict[str, PreparedStudy]:
    """The studies of a source by their scans; the test set is not opened."""
    patients = usable_patients(
        source, task, clip_shape(task, get_model(model)), prepared, progress=progress, cancelled=cancelled
    ).patients
    studies = [study.prepared for patient in patients for study in patient.studies]
    return {scan_hash(each): each for each in studies}


def _labelled(
    seen: Iterable[SeenStudy], found: dict[str, PreparedStudy], card: ModelCard
) -> list[LabelledStudy]:
    """Those of these studies that were found; what they show is not asked for."""
    width = len(card.findings)
    studies = {}
    for each in seen:
        if (prepared := found.get(each.scan)) is not None:
            nowhere = np.zeros((len(prepared.slice_z_mm), width), dtype=np.bool_)
            studies[each.scan] = LabelledStudy(
                each.study, prepared, np.full(width, math.nan), nowhere,
                marked=np.zeros(width, dtype=np.bool_), patient=each.patient,
            )  # fmt: skip
    return list(studies.values())
