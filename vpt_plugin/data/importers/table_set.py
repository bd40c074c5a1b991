"""A site's own table: one row per study, with what is known of it, as labels of a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vpt_plugin.ct.archive import is_archive
from vpt_plugin.ct.dicom import find_stack, first_header
from vpt_plugin.ct.dicom_headers import SliceHeader
from vpt_plugin.ct.reader import is_study_file
from vpt_plugin.data.importers.importer import FoundSet, FoundStudy, ReadStudy
from vpt_plugin.data.importers.table_columns import ColumnChoice, choose_columns
from vpt_plugin.data.importers.table_file import read_table
from vpt_plugin.data.importers.table_rows import SiteRows, TableSource
from vpt_plugin.errors import UnreadableStudyError
from vpt_plugin.labels import StudyLabel
from vpt_plugin.tasks import TASKS, ReadingTask


@dataclass(frozen=True)
class TableImporter:
    """A site's own table.

    Attributes:
        table: the CSV.
        task: what its findings are of.
        choice: which columns are what.
        studies: the folder that paths are relative to; None for the table's own.
    """

    table: Path
    task: ReadingTask
    choice: ColumnChoice
    studies: Path | None = None

    @property
    def name(self) -> str:
        """``csv``."""
        return "csv"

    @property
    def tasks(self) -> tuple[ReadingTask, ...]:
        """The task, where it is not a built-in one."""
        return () if self.task.name in TASKS else (self.task,)

    def find(self) -> FoundSet[TableSource]:
        """The rows whose studies are there.

        Raises:
            ConfigurationError: the columns are not clear.
            ManifestError: a cell that means nothing that is known, or two rows of one study; names the line.
        """
        table = read_table(self.table)
        columns = choose_columns(table, self.task, self.choice)
        studies, refused = [], {}
        for site_row in SiteRows(table, columns, self.studies or self.table.parent).read():
            path = site_row.path
            if path.exists():
                studies.append(FoundStudy(site_row.name, path, site_row.source))
            else:
                refused[site_row.name] = f"there is no {path} (line {site_row.line} of the table)."
        notes = [f"Columns by their names: {'; '.join(columns.guessed)}."] if columns.guessed else []
        if columns.left:
            notes.append(f"Columns left alone: {'; '.join(columns.left)}.")
        if table.encoding == "cp1252":
            notes.append("The table is no UTF-8; it was read as Windows-1252, which Excel writes.")
        unlabelled = sum(not study.source.findings for study in studies)
        if unlabelled:
            notes.append(f"Rows without a label: {unlabelled}.")
        return FoundSet(tuple(studies), refused, tuple(notes))

    def read(self, study: FoundStudy[TableSource]) -> ReadStudy:
        """The label of a row, once its study is known to be one.

        The headers of a DICOM folder are read as a training reads them. A file is taken as it is: reading it
        would mean to unpack it.

        Raises:
            StudyError: the study is none, or its slices do not make a volume.
        """
        source = study.source
        header = _first_slice(study)
        label = StudyLabel(self.task.name, source.findings, annotator=self.table.name)
        return ReadStudy(
            study.path,
            (label,) if source.findings else (),
            patient=source.patient,
            patient_id=header.patient_id if header else "",
            split=source.split,
            synthetic=source.synthetic or (header is not None and header.synthetic),
        )


def _first_slice(study: FoundStudy[TableSource]) -> SliceHeader | None:
    """A slice of the study; None of a file that is no DICOM file."""
    if study.path.is_dir():
        return find_stack(study.path, study.name).slices[0]
    if is_study_file(study.path) or is_archive(study.path):
        if not study.path.stat().st_size:
            raise UnreadableStudyError(study.name, f"{study.path} is empty.", "Copy it again.")
        return None
    header = first_header([study.path])
    if not isinstance(header, SliceHeader):
        raise UnreadableStudyError(
            study.name,
            f"{study.path} is no study.",
            "Give a DICOM folder, or a NIfTI, NRRD or MHA file.",
        )
    return header
