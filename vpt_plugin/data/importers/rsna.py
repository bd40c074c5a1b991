"""RSNA-PE: what RSNA and STR labelled for the Kaggle challenge of 2020, as labels of two tasks.

Colak et al., The RSNA Pulmonary Embolism CT Dataset, Radiology: Artificial Intelligence 3(2):e200254 (2021);
doi 10.1148/ryai.2021200254. ``train.csv`` has a row per slice: whether it shows an embolism, and the same
statements on the whole study in every row of it. The DICOM files lie in ``train/STUDY/SERIES/SLICE.dcm``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vpt_plugin.ct.dicom import find_stack, read_slice_headers
from vpt_plugin.ct.series import Series, choose_series, group_series
from vpt_plugin.ct.stacking import Stack
from vpt_plugin.data.importers.importer import FoundSet, FoundStudy, ReadStudy
from vpt_plugin.data.importers.rsna_table import (
    FINDINGS,
    INDETERMINATE,
    NEGATIVE,
    REMARKS,
    SeriesRows,
    StudyRows,
    read_rsna_table,
)
from vpt_plugin.data.importers.slice_ranges import marked_ranges_mm
from vpt_plugin.errors import ConfigurationError, LabelError, UnreadableStudyError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.tasks import TASKS, ReadingTask
from vpt_plugin.words import count_in_words, studies_in_words

ANNOTATOR = "RSNA-STR-PE"
TABLE, IMAGES = "train.csv", "train"
FINDING = "pulmonary_embolism"
# All that is said of a study, as a task of its own; it sees what the task pe sees.
RSNA_PE = replace(
    TASKS["pe"],
    name="rsna_pe",
    title="Pulmonary embolism, the nine findings of RSNA",
    findings=FINDINGS,
    # Those of the task pe are of its one finding, which is none of these.
    codes=(),
)
_SHOWN = 3


@dataclass(frozen=True)
class RsnaImporter:
    """Imports the training set of RSNA-PE.

    Attributes:
        folder: holds ``train.csv`` and ``train``.
    """

    folder: Path

    @property
    def name(self) -> str:
        """See ``Importer``."""
        return "rsna"

    @property
    def tasks(self) -> tuple[ReadingTask, ...]:
        """See ``Importer``."""
        return (RSNA_PE,)

    def find(self) -> FoundSet[StudyRows]:
        """The studies that have rows and a folder.

        Raises:
            ConfigurationError: ``train.csv`` or ``train`` is not there.
            ManifestError: the table cannot be used; names the line and the column.
        """
        images = self.folder / IMAGES
        for path, is_there in ((self.folder / TABLE, Path.is_file), (images, Path.is_dir)):
            if not is_there(path):
                raise ConfigurationError(
                    f"{path} is not there;",
                    f"give the folder that holds {TABLE} and {IMAGES} as Kaggle has them.",
                )
        rows = read_rsna_table(self.folder / TABLE)
        folders = {path.name for path in images.iterdir() if path.is_dir()}
        refused = {
            study: f"{TABLE} has {count_in_words(own.count, 'row')} of it, and {IMAGES} no such folder."
            for study, own in rows.items()
            if study not in folders
        }
        refused |= dict.fromkeys(folders - rows.keys(), f"{TABLE} has no row of it.")
        found = (FoundStudy(study, images / study, rows[study]) for study in sorted(folders & rows.keys()))
        return FoundSet(tuple(found), refused, self._notes())

    def read(self, study: FoundStudy[StudyRows]) -> ReadStudy:
        """The labels of one study, from its rows and the headers of its slices.

        Raises:
            LabelError: its rows contradict each other.
            StudyError: slices are missing or damaged, or it is no CT that can be read.
        """
        rows = study.source
        _refuse_contradictions(rows)
        series, notes = _choose(study)
        folder = study.path / series.uid
        stack = find_stack(folder, study.name)
        notes += _compare(study.name, series, stack, folder)
        first = stack.slices[0]
        return ReadStudy(
            path=folder,
            labels=(_pe_label(rows, series, stack), _rsna_label(rows, first.series_uid)),
            patient_id=first.patient_id,
            notes=notes,
            synthetic=first.synthetic,
        )

    def _notes(self) -> tuple[str, ...]:
        """What lies beside the training set."""
        if not (test := self.folder / "test").is_dir():
            return ()
        number = sum(path.is_dir() for path in test.iterdir())
        return (
            f"{studies_in_words(number)} in {test} {'has' if number == 1 else 'have'} no labels: left out.",
        )


def _refuse_contradictions(rows: StudyRows) -> None:
    """A label that cannot be believed is worse than none.

    Raises:
        LabelError: says what contradicts what.
    """
    marked = sum(len(series.marked) for series in rows.series)
    doubled = sum(
        0 < number < series.slices[name] for series in rows.series for name, number in series.marked.items()
    )
    negative, indeterminate = rows.says(NEGATIVE), rows.says(INDETERMINATE)
    shown = next((name for name in FINDINGS[2:] if rows.says(name)), "")
    slices = f"{count_in_words(marked, 'slice')} {'is' if marked == 1 else 'are'} marked"
    rules = (
        (bool(rows.contradicted), f"its rows do not agree on {', '.join(rows.contradicted)}"),
        (doubled > 0, f"{count_in_words(doubled, 'slice')} both with and without an embolism"),
        (negative and indeterminate, f"it is both {NEGATIVE} and {INDETERMINATE}"),
        (negative and marked > 0, f"it is {NEGATIVE}, and {slices}"),
        (negative and bool(shown), f"it is {NEGATIVE}, and {shown}"),
        (indeterminate and marked > 0, f"it is {INDETERMINATE}, and {slices}"),
        (
            not (negative or indeterminate or marked),
            f"it is neither {NEGATIVE} nor {INDETERMINATE}, and no slice is marked",
        ),
    )
    for applies, problem in rules:
        if applies:
            raise LabelError(f"{TABLE} contradicts itself: {problem}.")


def _choose(study: FoundStudy[StudyRows]) -> tuple[SeriesRows, tuple[str, ...]]:
    """The series to be trained on, and what is to be said of it.

    Of several it is the one that a reader of the whole folder would choose; where there is an embolism, of
    those that show it.
    """
    series = study.source.series
    if len(series) == 1:
        return series[0], ()
    candidates = {each.uid: each for each in series if each.marked} or {each.uid: each for each in series}
    headers = [header for uid in candidates for header in read_slice_headers(study.path / uid, study.name)]
    if not headers:
        raise UnreadableStudyError(study.name, "holds no CT slices.")
    first = choose_series(group_series(headers), study.name).slices[0]
    # Its files may lie a folder deeper.
    chosen = first.path.relative_to(study.path).parts[0]
    others = ", ".join(each.uid for each in series if each.uid != chosen)
    return candidates[chosen], (f"Of {len(series)} series {chosen} is taken; left out: {others}.",)


def _compare(study: str, series: SeriesRows, stack: Stack, folder: Path) -> tuple[str, ...]:
    """Whether rows and files are of the same slices; what may be left out is told.

    Raises:
        UnreadableStudyError: slices that have a row are not there, or the other way round.
    """
    rows = series.slices
    stacked = {each.path.stem for each in stack.slices}
    missing = sorted(name for name in rows.keys() - stacked if not (folder / f"{name}.dcm").is_file())
    if missing:
        raise UnreadableStudyError(
            study,
            f"{len(missing)} of its {len(rows)} slices are not there: {_some(missing)}.",
            "The download was cut short, or not unpacked to its end.",
        )
    if unknown := sorted(stacked - rows.keys()):
        raise UnreadableStudyError(
            study, f"{TABLE} has no row of {len(unknown)} of its {len(stacked)} slices: {_some(unknown)}."
        )
    aside = sorted(rows.keys() - stacked)
    if marked := sorted(series.marked.keys() & aside):
        raise UnreadableStudyError(
            study, f"{len(marked)} slices with an embolism are no part of what is read: {_some(marked)}."
        )
    notes = [f"{len(aside)} slices are no part of what is read: {_some(aside)}."] if aside else []
    if doubled := sorted(name for name, number in rows.items() if number > 1):
        notes.append(f"{len(doubled)} slices have more than one row, which say the same: {_some(doubled)}.")
    return tuple(notes)


def _pe_label(rows: StudyRows, series: SeriesRows, stack: Stack) -> StudyLabel:
    if rows.says(NEGATIVE):
        finding = FindingLabel("absent")
    elif rows.says(INDETERMINATE):
        finding = FindingLabel("indeterminate")
    else:
        finding = FindingLabel("present", _ranges_mm(series, stack))
    return _label("pe", {FINDING: finding}, rows, stack.slices[0].series_uid)


def _ranges_mm(series: SeriesRows, stack: Stack) -> tuple[tuple[float, float], ...]:
    if Series(stack.slices).plane != "axial":
        raise LabelError(f"the series {series.uid} is not axial: its slices have no patient z of their own.")
    z_mm = {each.path.stem: float(each.centre_mm[2]) for each in stack.slices}
    return marked_ranges_mm(z_mm, series.marked)


def _rsna_label(rows: StudyRows, series_uid: str) -> StudyLabel:
    """The nine findings as they are stated.

    Where the study is indeterminate, the table has 0 for whatever it would say of an embolism. That nobody
    could tell is not that there is none.
    """
    findings = {name: FindingLabel("present" if rows.says(name) else "absent") for name in FINDINGS}
    if rows.says(INDETERMINATE):
        findings |= {name: FindingLabel("indeterminate") for name in FINDINGS[2:] if not rows.says(name)}
    return _label(RSNA_PE.name, findings, rows, series_uid)


def _label(task: str, findings: Mapping[str, FindingLabel], rows: StudyRows, series_uid: str) -> StudyLabel:
    remarks = ", ".join(words for column, words in REMARKS.items() if rows.says(column))
    return StudyLabel(
        task=task,
        findings=findings,
        annotator=ANNOTATOR,
        series_uid=series_uid,
        comment=f"RSNA-STR Pulmonary Embolism Detection 2020{'; ' if remarks else ''}{remarks}",
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
