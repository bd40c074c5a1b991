"""Which studies take part in a training, and what their labels say slice by slice."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.clips import positive_slices
from vpt_plugin.data.clip_dataset import ClipShape, LabelledStudy
from vpt_plugin.data.prepared import PreparedStudies, PreparedStudy
from vpt_plugin.data.split_file import Split, SplitFile
from vpt_plugin.data.splits import patient_key
from vpt_plugin.errors import (
    ArchiveUnreachableError,
    CancelledError,
    IncompleteSeriesError,
    StudyError,
    StudyNotFoundError,
    TrainingError,
)
from vpt_plugin.labels import FindingLabel
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.sides import (
    Member,
    Patient,
    decide_sides,
    how_many_folds,
    join_patients,
    make_folds,
    make_rounds,
    noted_side,
)
from vpt_plugin.training.sources import GONE, SourceStudy, TrainingSource
from vpt_plugin.training.training_data import Round, TrainingData, states_in_words
from vpt_plugin.training.validation_record import scan_hash

__all__ = ["Round", "TrainingData", "select_studies"]

# Reading is half waiting for the disk and half decompression, which releases Python's lock.
_READERS = 2
_STATES = {"present": 1.0, "absent": 0.0, "indeterminate": math.nan}
_SHOWN = 5
Told = Callable[[int, int, str], None]


def select_studies(
    source: TrainingSource,
    task: ReadingTask,
    shape: ClipShape,
    prepared: PreparedStudies,
    config: FinetuneConfig,
    *,
    progress: Told,
    cancelled: Callable[[], bool],
) -> TrainingData:
    """The labelled studies that this task can be trained and validated on, prepared, and their sides.

    Left out, and counted by reason: studies without a label for the task, indeterminate, unreadable or gone
    ones, those with fewer slices than half a clip, those whose marked slices lie outside of them, and all but
    one of several that are the same scan. A study of the test set is not opened, unless it has to be read
    once to learn that it is of a patient of the test set.

    Args:
        source: of the labelled studies.
        task: says what is looked for.
        shape: of the clips.
        prepared: where prepared studies are kept.
        config: says into which sides or folds they are divided.
        progress: called with the studies done, the studies in all, and what is to be said of the last one.
        cancelled: asked before every study.

    Raises:
        TrainingError: a side lacks one of the states of a finding, phantoms and patients are mixed, a patient
            is on both sides, the split cannot be written down, or there is no room for prepared studies.
        ConfigurationError: folds are asked for where the source gives sides.
        ArchiveUnreachableError: the archive is down; half of the studies would give another model.
        CancelledError: ``cancelled`` said so.
    """
    file = SplitFile(source.split_file(task.name))
    noted = file.read()
    studies = [each for each in source.studies(task.name) if each.side != "test"]
    studies = [each for each in studies if not noted.is_test(each.study) and not _of_test(each, noted)]
    _refuse_mixture(studies)
    work = _Selection(task, shape, prepared, progress, cancelled)
    for reason, names in source.left_out(task.name).items():
        work.leave_out(reason, names, len(studies))
    members = work.take(studies)
    patients = work.without_doubles(join_patients(members, noted), len(studies))
    _keep_test_studies(file, [each for each in patients if noted_side(each, noted) == "test"])
    patients = [each for each in patients if noted_side(each, noted) != "test"]
    folds, why = how_many_folds(patients, task, noted, config.folds)
    if folds:
        rounds = make_folds(patients, task, folds)
    else:
        share = config.validation_share
        rounds = make_rounds(patients, decide_sides(patients, task, file, validation_share=share))
    if note := "; ".join(filter(None, (why, _over_limit(prepared)))):
        progress(len(studies), len(studies), note)
    labels = {each.study: each.label for each in studies}
    synthetic = all(each.synthetic for each in studies)
    data = TrainingData(rounds, folds, labels, synthetic, dict(work.left_out))
    _require_both_states(data, task, len(patients))
    return data


def _of_test(study: SourceStudy, noted: Split) -> bool:
    return bool(study.patient) and noted.sides.get(patient_key(study.patient)) == "test"


def _keep_test_studies(file: SplitFile, patients: Sequence[Patient]) -> None:
    """Note whose these studies are, so that they are not opened again."""
    own = {study.study: each.key for each in patients for study in each.studies}
    if own:
        file.change(lambda split: replace(split, studies={**split.studies, **own}))


def _over_limit(prepared: PreparedStudies) -> str:
    over = prepared.over_limit_gb()
    return f"the prepared studies take {over:.1f} GB more than they should" if over else ""


class _LeftOutError(Exception):
    """This study does not take part: ``reason`` is counted, the text is told."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


@dataclass
class _Selection:
    """The studies of one training, one after the other.

    Attributes:
        task, shape, prepared, progress, cancelled: as of ``select_studies``.
        left_out: by reason.
    """

    task: ReadingTask
    shape: ClipShape
    prepared: PreparedStudies
    progress: Told
    cancelled: Callable[[], bool]

    def __post_init__(self) -> None:
        self.left_out: Counter[str] = Counter()

    def leave_out(self, reason: str, names: Sequence[str], total: int) -> None:
        """Count studies that take no part; of those that were labelled, tell which."""
        if not names:
            return
        self.left_out[reason] += len(names)
        if reason == GONE:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            self.progress(0, total, f"left out, because {reason}: {', '.join(names[:_SHOWN])}{more}")

    def take(self, studies: Sequence[SourceStudy]) -> list[Member]:
        """Those that can take part, prepared."""
        members = []
        with ThreadPoolExecutor(_READERS) as pool:
            futures = [pool.submit(self._member, study) for study in studies]
            try:
                for done, (study, future) in enumerate(zip(studies, futures, strict=True), start=1):
                    if self.cancelled():
                        raise CancelledError
                    notes = list(study.notes)
                    try:
                        member = future.result()
                        members.append(member)
                        notes += filter(None, [member.labelled.prepared.note])
                    except _LeftOutError as error:
                        self.left_out[error.reason] += 1
                        notes.append(f"is left out: {error}")
                    self.progress(done, len(studies), "\n".join(_note(study.study, note) for note in notes))
            finally:
                pool.shutdown(cancel_futures=True)
        return members

    def without_doubles(self, patients: Sequence[Patient], total: int) -> list[Patient]:
        """The same patients; that a scan is there twice is told and counted."""
        for name, kept in (double for patient in patients for double in patient.doubles):
            self.left_out["the same scan as another study"] += 1
            self.progress(total, total, f"{name} is left out: it is the same scan as {kept}")
        return list(patients)

    def _member(self, study: SourceStudy) -> Member:
        """The study, prepared, with what is known of it.

        Raises:
            _LeftOutError: nothing can be learned from it.
        """
        labels = _labels(study, self.task)
        prepared = self._prepare(study)
        slices = len(prepared.slice_z_mm)
        if slices < self.task.clips.min_slices(self.shape.length):
            raise _LeftOutError("too few slices", f"it has {slices} slices, a clip has {self.shape.length}")
        positive = np.stack([_positive(label, prepared.slice_z_mm) for label in labels], axis=1)
        states = np.array([_STATES[label.state] if label else math.nan for label in labels])
        outside = [bool(label and label.slices_mm) for label in labels] & ~positive.any(axis=0)
        states[outside] = math.nan
        if np.isnan(states).all():
            raise _LeftOutError("present, but the marked slices lie outside the study")
        seen = [
            _seen_together(each, self.shape.length) >= self.shape.min_positive_slices for each in positive.T
        ]
        return Member(
            LabelledStudy(
                study=study.study,
                prepared=prepared,
                states=states,
                # Of a finding on too few slices for a positive clip no clip can be called negative either.
                positive=positive & seen,
                marked=(states != 1) | np.array(seen),
                patient=study.study,
            ),
            named=patient_key(study.patient) if study.patient else "",
            scan=scan_hash(prepared),
            side=study.side,
            created=study.label.created,
        )

    def _prepare(self, study: SourceStudy) -> PreparedStudy:
        series_uid = study.label.series_uid or None
        try:
            if study.identity and (found := self.prepared.find(study.identity, series_uid=series_uid)):
                return found
            with study.opened(self.cancelled) as opened:
                return self.prepared.get(
                    opened.path,
                    name=study.study,
                    # A file holds one volume, whatever series it was converted from.
                    series_uid=series_uid if study.identity or opened.path.is_dir() else None,
                    identity=study.identity,
                    fetched=study.fetched,
                )
        except StudyNotFoundError as error:
            raise _LeftOutError(GONE, str(error)) from error
        except StudyError as error:
            raise _LeftOutError("unreadable", str(error)) from error
        except IncompleteSeriesError as error:
            raise _LeftOutError("incomplete in the archive", str(error)) from error
        except ArchiveUnreachableError as error:
            raise type(error)(
                f"{study.study} cannot be had, so nothing is trained: {error.message}", error.hint
            ) from error
        except OSError as error:
            # Reading a study tells its own errors: this one is of the disk that prepared studies are kept on.
            raise TrainingError(
                f"the prepared study {study.study} cannot be kept: {error}.",
                "Make room on that disk, or have prepared studies kept elsewhere.",
            ) from error


def _note(study: str, note: str) -> str:
    return f"{study} {note}" if note.startswith("is ") else f"{study}: {note}"


def _labels(study: SourceStudy, task: ReadingTask) -> list[FindingLabel | None]:
    """The label per finding, None where it was not said; at least one says present or absent."""
    labels = [study.label.findings.get(finding) for finding in task.findings]
    if not any(label and label.state in ("present", "absent") for label in labels):
        raise _LeftOutError("indeterminate" if any(labels) else "not labelled")
    return labels


def _positive(label: FindingLabel | None, slice_z_mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    return positive_slices(slice_z_mm, (label.slices_mm if label else None) or ())


def _seen_together(positive: NDArray[np.bool_], length: int) -> int:
    """On how many slices of one clip a finding is marked at most."""
    return int(np.convolve(positive, np.ones(length, dtype=int)).max())


def _refuse_mixture(studies: Sequence[SourceStudy]) -> None:
    """Nobody could say whether a model of both knows patients or phantoms."""
    phantoms = [each.study for each in studies if each.synthetic]
    patients = [each.study for each in studies if not each.synthetic]
    if phantoms and patients:
        raise TrainingError(
            f"the manifest mixes phantoms ({phantoms[0]} and {len(phantoms) - 1} more) and patients "
            f"({patients[0]} and {len(patients) - 1} more).",
            "Train on one of them; the column synthetic says which is which.",
        )


def _require_both_states(data: TrainingData, task: ReadingTask, patients: int) -> None:
    left_out = "".join(f"; {count} left out: {reason}" for reason, count in sorted(data.left_out.items()))
    validated = [study for each in data.rounds for study in each.validation]
    sides = [(f"training study{_fold(data, n)}", each.train) for n, each in enumerate(data.rounds, start=1)]
    for side, studies in (*sides, ("validation study", validated)):
        for index, finding in enumerate(task.findings):
            for state, value in (("present", 1), ("absent", 0)):
                if not any(study.states[index] == value for study in studies):
                    raise TrainingError(
                        f"no {side} has {finding} {state} (of {len(studies)} usable ones{left_out}).",
                        _more_labels(patients, states_in_words(data.everything, index)),
                    )


def _fold(data: TrainingData, number: int) -> str:
    return f" of fold {number}" if data.folds else ""


def _more_labels(patients: int, states: str) -> str:
    if patients == 1:
        return (
            "All studies have one PatientID, and a patient is on one side only. If the ID only stands for "
            "anonymised studies, list them in a CSV with a patient column."
        )
    return (
        f"There are {states}, of {patients} patients: label more studies, or set the split column so that "
        "each side has both states."
    )
