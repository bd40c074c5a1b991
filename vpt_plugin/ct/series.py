"""Which series of a folder is read, and how that is told."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vpt_plugin.ct.dicom_headers import LeftOut, LeftOutFile, SliceHeader
from vpt_plugin.ct.stacking import MIN_SLICES
from vpt_plugin.errors import (
    GeometryError,
    NotCTError,
    NotHounsfieldError,
    StudyError,
    UnreadableStudyError,
)

# What to say where a folder holds nothing else; the first that applies is nearest to a readable CT.
_REFUSALS: tuple[tuple[LeftOut, type[StudyError], str], ...] = (
    (
        LeftOut.MULTI_FRAME,
        UnreadableStudyError,
        "Export it as a classic CT series (one file per slice), or convert it to NIfTI with dcm2niix.",
    ),
    (LeftOut.NOT_HOUNSFIELD, NotHounsfieldError, "Give the original CT series, not a picture of it."),
    (LeftOut.NO_PLACE, GeometryError, "Export the original CT series with its geometry."),
    (LeftOut.PROJECTION, NotCTError, "Give the CT series from which they were made."),
    (LeftOut.LOCALIZER, NotCTError, "Give the folder of the CT series itself."),
    (LeftOut.NO_IMAGE, UnreadableStudyError, "Export the CT series with its pixel data."),
    (LeftOut.OTHER_MODALITY, NotCTError, "Give a CT."),
    (LeftOut.DAMAGED, UnreadableStudyError, "Export the series again."),
    (LeftOut.NOT_DICOM, UnreadableStudyError, "Give a DICOM folder, or a NIfTI, NRRD or MHA file."),
)


@dataclass(frozen=True)
class Series:
    """Slices of one SeriesInstanceUID that share size, orientation and pixel spacing."""

    slices: tuple[SliceHeader, ...]

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return self.slices[0].series_uid

    @property
    def plane(self) -> str:
        """``axial``, ``coronal`` or ``sagittal``: the nearest of the three."""
        return ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(self.slices[0].normal)))]

    @property
    def thickness_mm(self) -> float:
        """SliceThickness, or the usual distance of two slices where the header has none."""
        stated = self.slices[0].thickness_mm
        if not math.isnan(stated) or len(self.slices) < 2:
            return stated
        along = [float(np.dot(each.position_mm, each.normal)) for each in self.slices]
        return float(np.median(np.diff(np.sort(along))))

    def __str__(self) -> str:
        name = f' "{self.slices[0].description}"' if self.slices[0].description else ""
        count = f"{len(self.slices)} {self.plane} slices of {self.thickness_mm:g} mm, "
        return f"{self.uid}{name} ({count}{self.slices[0].rows} x {self.slices[0].columns})"


def group_series(slices: Sequence[SliceHeader]) -> list[Series]:
    """Slices that belong together, by series, size, orientation and pixel spacing."""
    groups: list[list[SliceHeader]] = []
    for each in slices:
        group = next((group for group in groups if _belongs(each, group[0])), None)
        if group is None:
            groups.append([each])
        else:
            group.append(each)
    return [Series(tuple(group)) for group in groups]


def choose_series(series: Sequence[Series], study: str, series_uid: str | None = None) -> Series:
    """The series to read.

    The rule: series with at least three slices before others; axial before coronal and sagittal; then the
    one with most slices; then the one with the thinnest slices; then the smallest SeriesInstanceUID, so
    that the choice never depends on file names. Localizers, projections, secondary captures and images
    that are not in Hounsfield units take no part.

    Args:
        series: all there are, at least one.
        study: the study's name, for messages.
        series_uid: choose among those of this SeriesInstanceUID only.

    Raises:
        UnreadableStudyError: no such series, or series of several patients.
    """
    if series_uid is not None:
        known = sorted({each.uid for each in series})
        series = [each for each in series if each.uid == series_uid]
        if not series:
            raise UnreadableStudyError(
                study, f"holds no CT series {series_uid}.", f"It holds {', '.join(known[:5])}."
            )
    whole = [each for each in series if len(each.slices) >= MIN_SLICES]
    patients = {each.slices[0].patient_id for each in whole} - {""}
    if len(patients) > 1:
        raise UnreadableStudyError(
            study,
            f"holds CTs of {len(patients)} patients.",
            "Give the folder of one study, or name the series to read.",
        )
    return min(whole or series, key=_rank)


def choice_notes(chosen: Series, series: Sequence[Series], series_uid: str | None) -> tuple[str, ...]:
    """Which series was chosen, of which, and why, as one sentence; nothing where there was no choice."""
    others = sorted((each for each in series if each is not chosen), key=_rank)
    if not others:
        return ()
    why = "axial first, then most slices, then thinnest slices" if series_uid is None else "as asked for"
    shown = ", ".join(str(each) for each in others[:3])
    more = f" and {len(others) - 3} more" if len(others) > 3 else ""
    return (f"Read series {chosen}: {why}. Left out: {shown}{more}.",)


def left_out_notes(left_out: Sequence[LeftOutFile]) -> tuple[str, ...]:
    """What else lay in the folder, as one sentence, or nothing."""
    return (f"Left out: {_tally(left_out)}.",) if left_out else ()


def refusal(left_out: Sequence[LeftOutFile], study: str) -> StudyError:
    """The error for a folder without any CT slice."""
    if not left_out:
        return UnreadableStudyError(study, "the folder holds no files.", "Give the folder of a CT series.")
    present = {each.reason for each in left_out}
    kind, hint = next((kind, hint) for reason, kind, hint in _REFUSALS if reason in present)
    return kind(study, f"holds no CT slices, only {_tally(left_out)}.", hint)


def _tally(left_out: Sequence[LeftOutFile]) -> str:
    counts = Counter(each.reason for each in left_out)
    parts = []
    for reason in LeftOut:
        if not counts[reason]:
            continue
        modalities = sorted({each.modality for each in left_out if each.reason is reason} - {"CT", ""})
        of_what = f" [{', '.join(modalities)}]" if modalities else ""
        parts.append(f"{reason.value}{of_what} ({counts[reason]})")
    return ", ".join(parts)


def _rank(series: Series) -> tuple[bool, bool, int, float, str]:
    thickness = series.thickness_mm
    return (
        len(series.slices) < MIN_SLICES,
        series.plane != "axial",
        -len(series.slices),
        math.inf if math.isnan(thickness) else thickness,
        series.uid,
    )


def _belongs(one: SliceHeader, other: SliceHeader) -> bool:
    return (
        (one.series_uid, one.rows, one.columns) == (other.series_uid, other.rows, other.columns)
        and _close(one.pixel_spacing_mm, other.pixel_spacing_mm, relative=0.01)
        and _close(one.along_row, other.along_row, absolute=0.01)
        and _close(one.along_column, other.along_column, absolute=0.01)
    )


def _close(
    one: tuple[float, ...], other: tuple[float, ...], *, relative: float = 1e-5, absolute: float = 1e-8
) -> bool:
    # Nearly always they are the same, and np.allclose takes long to find that.
    return one == other or bool(np.allclose(one, other, rtol=relative, atol=absolute))
