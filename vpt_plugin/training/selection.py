"""Which studies of a manifest take part in a training, and what their labels say slice by slice."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.clips import positive_slices
from vpt_plugin.data.clip_dataset import ClipShape, LabelledStudy
from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.errors import CancelledError, StudyError, TrainingError
from vpt_plugin.labels import FindingLabel
from vpt_plugin.tasks import ReadingTask

# Reading is half waiting for the disk and half decompression, which releases Python's lock.
_READERS = 2
_STATES = {"present": 1.0, "absent": 0.0, "indeterminate": math.nan}


@dataclass(frozen=True)
class TrainingData:
    """The studies that take part.

    Attributes:
        train, validation: with their labels.
        rows: the rows of the manifest behind them.
        left_out: how many studies were left out, by reason.
    """

    train: tuple[LabelledStudy, ...]
    validation: tuple[LabelledStudy, ...]
    rows: tuple[ManifestStudy, ...]
    left_out: Mapping[str, int]

    @property
    def synthetic(self) -> bool:
        """Whether the studies are phantoms; a training never mixes them with patients."""
        return all(row.synthetic for row in self.rows)

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of every study fact over the training studies."""
        facts = [study.prepared.facts.as_dict() for study in self.train]
        return {name: (min(f[name] for f in facts), max(f[name] for f in facts)) for name in facts[0]}

    def counts(self, task: ReadingTask) -> dict[str, object]:
        """Studies per side, finding and state, and those left out."""
        counts: dict[str, object] = {"left_out": dict(self.left_out)}
        for side, studies in (("train", self.train), ("validation", self.validation)):
            counts[side] = {
                finding: {
                    "present": sum(bool(study.states[index] == 1) for study in studies),
                    "absent": sum(bool(study.states[index] == 0) for study in studies),
                }
                for index, finding in enumerate(task.findings)
            }
        return counts

    def split_hash(self) -> str:
        """SHA-256 over which study and patient was on which side."""
        return _sha256([[row.study, row.patient, row.split] for row in self.rows])

    def labels_hash(self, task: ReadingTask) -> str:
        """SHA-256 over what the labels say of the findings, not over who said it and when."""
        return _sha256([[row.study, row.labels[task.name].to_json()["findings"]] for row in self.rows])


def select_studies(
    manifest: Manifest,
    task: ReadingTask,
    shape: ClipShape,
    prepared: PreparedStudies,
    *,
    progress: Callable[[int, int, str], None],
    cancelled: Callable[[], bool],
) -> TrainingData:
    """The studies of a manifest that this task can be trained and validated on, each prepared.

    Left out, and counted by reason: studies without a label for the task, indeterminate or unreadable ones,
    those with fewer slices than half a clip; and from the training side those that show a finding without
    saying on which slices, on too few slices for a positive clip, or on slices that the study does not have.

    Args:
        progress: called with the studies done, the studies in all, and what is to be said of the last one.
        cancelled: asked before every study.

    Raises:
        TrainingError: a side lacks one of the states of a finding, phantoms and patients are mixed, a
            PatientID is on both sides, or there is no room for prepared studies.
        CancelledError: ``cancelled`` said so.
    """
    rows = sorted((row for row in manifest.studies if row.split != "test"), key=lambda row: row.study)
    _refuse_mixture(rows, task)
    left_out: Counter[str] = Counter()
    sides: dict[str, list[LabelledStudy]] = {"train": [], "validation": []}
    used = []
    with ThreadPoolExecutor(_READERS) as pool:
        futures = [pool.submit(_take, row, task, shape, prepared) for row in rows]
        try:
            for done, (row, future) in enumerate(zip(rows, futures, strict=True), start=1):
                if cancelled():
                    raise CancelledError
                note = ""
                try:
                    sides[row.split].append(future.result())
                    used.append(row)
                except _LeftOutError as error:
                    left_out[error.reason] += 1
                    note = f"{row.study} is left out: {error}"
                progress(done, len(rows), note)
        finally:
            pool.shutdown(cancel_futures=True)
    data = TrainingData(tuple(sides["train"]), tuple(sides["validation"]), tuple(used), dict(left_out))
    _refuse_patient_on_both_sides(data)
    _require_both_states(data, task)
    return data


class _LeftOutError(Exception):
    """This study does not take part: ``reason`` is counted, the text is told."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


def _take(
    row: ManifestStudy, task: ReadingTask, shape: ClipShape, prepared: PreparedStudies
) -> LabelledStudy:
    """The study of that row, prepared, with what is known of it.

    Raises:
        _LeftOutError: nothing can be learned from it.
    """
    labels = _labels(row, task)
    # A file holds one volume, whatever series it was converted from.
    series_uid = row.labels[task.name].series_uid if row.path.is_dir() else ""
    try:
        study = prepared.get(row.path, name=row.study, series_uid=series_uid or None)
    except StudyError as error:
        raise _LeftOutError("unreadable", str(error)) from error
    except OSError as error:
        # Reading a study tells its own errors: this one is of the disk that prepared studies are kept on.
        raise TrainingError(
            f"the prepared study {row.study} cannot be kept: {error}.",
            "Make room on that disk, or have prepared studies kept elsewhere.",
        ) from error
    slices = len(study.slice_z_mm)
    if slices < task.clips.min_slices(shape.length):
        raise _LeftOutError("too few slices", f"it has {slices} slices, a clip has {shape.length}")
    states = np.array([_STATES[label.state] if label else math.nan for label in labels])
    positive = np.stack([_positive(label, study.slice_z_mm) for label in labels], axis=1)
    if row.split == "train":
        reasons = [_useless(label, positive[:, index], shape) for index, label in enumerate(labels)]
        states[[bool(reason) for reason in reasons]] = math.nan
        if np.isnan(states).all():
            raise _LeftOutError(next(reason for reason in reasons if reason))
    marked = np.ones(len(states), dtype=np.bool_)
    return LabelledStudy(row.study, study, states, positive, marked, row.patient)


def _labels(row: ManifestStudy, task: ReadingTask) -> list[FindingLabel | None]:
    """The label per finding, None where it was not said; at least one says present or absent."""
    if task.name not in row.labels:
        raise _LeftOutError("not labelled")
    found = row.labels[task.name].findings
    labels = [found.get(finding) for finding in task.findings]
    if not any(label and label.state in ("present", "absent") for label in labels):
        raise _LeftOutError("indeterminate" if any(labels) else "not labelled")
    return labels


def _positive(label: FindingLabel | None, slice_z_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    return positive_slices(slice_z_mm, (label.slices_mm if label else None) or ())


def _useless(label: FindingLabel | None, positive: NDArray[np.bool_], shape: ClipShape) -> str:
    """Why no clip can be learned from a finding that is present; "" where one can."""
    if label is None or label.state != "present":
        return ""
    if not label.slices_mm:
        return "present, but no slices are marked"
    if not positive.any():
        return "present, but the marked slices lie outside the study"
    seen_together = np.convolve(positive, np.ones(shape.length, dtype=int)).max()
    if seen_together < shape.min_positive_slices:
        return f"present, but on fewer than {shape.min_positive_slices} slices"
    return ""


def _refuse_mixture(rows: Sequence[ManifestStudy], task: ReadingTask) -> None:
    """Nobody could say whether a model of both knows patients or phantoms."""
    labelled = [row for row in rows if task.name in row.labels]
    phantoms = [row.study for row in labelled if row.synthetic]
    patients = [row.study for row in labelled if not row.synthetic]
    if phantoms and patients:
        raise TrainingError(
            f"the manifest mixes phantoms ({phantoms[0]} and {len(phantoms) - 1} more) and patients "
            f"({patients[0]} and {len(patients) - 1} more).",
            "Train on one of them; the column synthetic says which is which.",
        )


def _refuse_patient_on_both_sides(data: TrainingData) -> None:
    """The files may know of one patient what the manifest does not say.

    Where both rows name their patients, the manifest is believed: anonymised studies often share one ID.
    """
    rows = {row.study: row for row in data.rows}
    trained_on: dict[str, list[str]] = {}
    for study in data.train:
        trained_on.setdefault(study.prepared.patient, []).append(study.study)
    for study in data.validation:
        for other in trained_on.get(study.prepared.patient, []) if study.prepared.patient else []:
            if any(rows[name].patient == name for name in (study.study, other)):
                raise TrainingError(
                    f"{other} (train) and {study.study} (validation) have the same PatientID.",
                    "Fill the patient column of both: with one name if it is one patient, with two if the ID "
                    "only stands for anonymised studies.",
                )


def _require_both_states(data: TrainingData, task: ReadingTask) -> None:
    left_out = ", ".join(f"{count} {reason}" for reason, count in sorted(data.left_out.items()))
    for side, studies in (("training", data.train), ("validation", data.validation)):
        for index, finding in enumerate(task.findings):
            for state, value in (("present", 1), ("absent", 0)):
                if not any(study.states[index] == value for study in studies):
                    raise TrainingError(
                        f"no {side} study has {finding} {state} (of {len(studies)} usable ones"
                        + (f"; left out: {left_out})." if left_out else ")."),
                        "Label more studies, or set the split column so that each side has both states.",
                    )


def _sha256(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
