"""UsableStudies: what each labelled study brings into a training, prepared; or why it takes no part."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.clips import positive_slices
from vpt_plugin.data.clip_dataset import ClipShape, LabelledStudy
from vpt_plugin.data.prepared import PreparedStudies, PreparedStudy
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
from vpt_plugin.store.source import OpenedStudy
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.sides import Member, Patient
from vpt_plugin.training.sources import GONE, SourceStudy
from vpt_plugin.training.validation_record import scan_hash

# Reading is half waiting for the disk and half decompression, which releases Python's lock.
_READERS = 2
_STATES = {"present": 1.0, "absent": 0.0, "indeterminate": math.nan}
_SHOWN = 5
Told = Callable[[int, int, str], None]


class _LeftOutError(Exception):
    """This study does not take part: ``reason`` is counted, the text is told."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason = reason


@dataclass
class UsableStudies:
    """The studies of one training, one after the other.

    Attributes:
        task, shape, prepared, progress, cancelled: as of
            ``vpt_plugin.training.selection.select_studies``.
        left_out: by reason.
    """

    task: ReadingTask
    shape: ClipShape
    prepared: PreparedStudies
    progress: Told
    cancelled: Callable[[], bool]

    def __post_init__(self) -> None:
        self.left_out: Counter[str] = Counter()
        self._total = 0

    def tell(self, note: str) -> None:
        """Say something, if there is anything to say."""
        if note:
            self.progress(self._total, self._total, note)

    def leave_out(self, reason: str, names: Sequence[str], total: int) -> None:
        """Count studies that take no part; of those that were labelled, tell which."""
        if not names:
            return
        self.left_out[reason] += len(names)
        if reason == GONE:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            self.progress(0, total, f"left out ({reason}): {', '.join(names[:_SHOWN])}{more}")

    def take(self, studies: Sequence[SourceStudy]) -> list[Member]:
        """Those that can take part, prepared."""
        members, self._total = [], len(studies)
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
                        # Errors of a study begin with its name, which stands before the note already.
                        notes.append(f"is left out: {str(error).removeprefix(f'{study.study}: ')}")
                    self.progress(done, len(studies), "\n".join(_note(study.study, note) for note in notes))
            finally:
                pool.shutdown(cancel_futures=True)
        return members

    def without_doubles(self, patients: Sequence[Patient]) -> Sequence[Patient]:
        """The same patients; that a scan is there twice is told and counted."""
        for name, kept in (double for patient in patients for double in patient.doubles):
            self.left_out["the same scan as another study"] += 1
            self.tell(f"{name} is left out: it is the same scan as {kept}")
        return patients

    def _member(self, study: SourceStudy) -> Member:
        """The study, prepared, with what is known of it.

        Raises:
            _LeftOutError: nothing can be learned from it.
        """
        labels = _labels(study, self.task)
        prepared = self._prepare(study)
        slices = len(prepared.slice_z_mm)
        if slices < self.shape.min_slices:
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
            synthetic=study.synthetic or prepared.synthetic,
        )

    def _prepare(self, study: SourceStudy) -> PreparedStudy:
        try:
            if study.identity and not study.may_grow:
                found = self.prepared.find(study.identity)
                if found is not None:
                    return found
            with study.opened(self.cancelled) as opened:
                return self.prepared.get(
                    opened.path,
                    name=study.study,
                    series_uid=_series_of(study, opened),
                    identity=study.identity,
                    may_grow=study.may_grow,
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


def _series_of(study: SourceStudy, opened: OpenedStudy) -> str | None:
    """Which series is read; a file and a study of an archive hold one only, wherever that comes from."""
    several = opened.path.is_dir() and not study.identity
    return (study.label.series_uid or None) if several else None


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
