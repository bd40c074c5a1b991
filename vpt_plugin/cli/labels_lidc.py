"""``vpt labels import-lidc``: the readings of LIDC-IDRI as labels of the task nodule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import progress_bars
from vpt_plugin.cli.labels_place import FolderArgument, place_of
from vpt_plugin.cli.labels_report import print_import, print_section
from vpt_plugin.cli.options import LabelsDirOrLabelsOption
from vpt_plugin.errors import ConfigurationError, LabelError, StudyError

if TYPE_CHECKING:
    from vpt_plugin.ct.dicom_headers import SliceHeader
    from vpt_plugin.data.importers.lidc import LidcReading
    from vpt_plugin.store.label_table import LabelEntry
    from vpt_plugin.store.studies import StudyFolder

_XML = typer.Argument(
    metavar="XML...", help="The XML of the readings, or folders that hold it.", show_default=False
)
_READERS = typer.Option("--readers", min=1, help="How many readers must have seen a nodule on a slice.")


def import_lidc(
    folder: FolderArgument,
    xml: Annotated[list[Path], _XML],
    readers: Annotated[int, _READERS] = 3,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and stop.")] = False,
    labels: LabelsDirOrLabelsOption = None,
) -> None:
    """Add the readings of LIDC-IDRI as labels of the task nodule.

    A slice is positive when at least three of the four readers outlined a nodule of 3 mm or more on it; a
    study without such a slice is absent. Studies are found by their series, slices by their SOP Instance UID,
    so that the studies must be the DICOM files as TCIA has them. What the history holds already is passed
    over. One damaged XML refuses everything before anything is written.

    The exit code is 1 when a reading was left out: its series is not there, or not whole.

    \b
    Examples:
      vpt labels import-lidc LIDC-IDRI LIDC-XML-only --dry-run
      vpt labels import-lidc LIDC-IDRI LIDC-IDRI
      vpt labels import-lidc studies 069.xml --labels-dir /srv/vptct/labels
    """
    from vpt_plugin.store.exchange import carry_out, plan_import

    place = place_of(folder, labels, new=True)
    studies = place.studies()
    if studies is None:
        raise ConfigurationError(
            f"{folder}: which studies these labels are of is not known.", "Give the folder of the studies."
        )
    readings, radiographs = _readings(xml)
    found = _match(studies, readings, readers)
    target = place.labels()
    plan = plan_import(found.entries, target, None)
    print_import(plan, [] if dry_run else carry_out(plan, target), (), dry_run=dry_run)
    print_section("Readings of chest radiographs, passed over", radiographs)
    print_section("Told beside it", found.notes)
    left_out = [*found.problems, *(str(reading.path) for reading in found.strangers)]
    print_section("Left out, for their series is not there, or not whole", left_out)
    if left_out:
        raise typer.Exit(1)


def _readings(xml: Iterable[Path]) -> tuple[dict[str, LidcReading], list[str]]:
    """The readings by SeriesInstanceUID, and the files that are of chest radiographs.

    Raises:
        LabelError: a file cannot be used, or two say different things of one series.
    """
    from vpt_plugin.data.importers.lidc_readings import agreed_reading, sort_readings, xml_files

    found = sort_readings(file for path in xml for file in xml_files(path))
    if found.unusable:
        raise found.unusable[0]
    with progress_bars() as progress:
        series = progress.track(found.by_series.items(), description="readings")
        readings = {uid: agreed_reading(files) for uid, files in series}
    return readings, [str(file) for file in found.radiographs]


@dataclass
class _Matched:
    """What became of the readings.

    Attributes:
        entries: the labels, to be imported.
        strangers: readings whose series is in no study.
        problems: why a reading whose series is there cannot be used.
        notes: what else is to be said.
    """

    entries: list[LabelEntry] = field(default_factory=list)
    strangers: list[LidcReading] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _match(studies: StudyFolder, readings: dict[str, LidcReading], min_readers: int) -> _Matched:
    """Look into every study for the series of the readings.

    Raises:
        LabelError: not one of the readings is of a series that is there.
    """
    from vpt_plugin.ct.dicom import read_slice_headers

    matched, waiting = _Matched(), dict(readings)
    with progress_bars() as progress:
        for study in progress.track(studies.ids(), description="studies"):
            with studies.opened(study) as opened:
                try:
                    slices = read_slice_headers(opened.path, study) if opened.path.is_dir() else []
                except StudyError as error:
                    matched.problems.append(str(error))
                    continue
            held = sorted({each.series_uid for each in slices} & set(waiting))
            _take(study, [waiting.pop(uid) for uid in held], slices, min_readers, matched)
    matched.strangers = list(waiting.values())
    if matched.strangers and not (matched.entries or matched.problems):
        first = matched.strangers[0]
        raise LabelError(
            f"{first.path}: it is of the series {first.series_uid}, which none of the {len(studies.ids())} "
            f"studies in {studies.root} holds.",
            "Give the folder of the DICOM files as TCIA has them: a converted study has no UIDs any more.",
        )
    return matched


def _take(
    study: str,
    readings: Sequence[LidcReading],
    slices: Sequence[SliceHeader],
    min_readers: int,
    matched: _Matched,
) -> None:
    """What the reading of one study says, or why it cannot be used."""
    from vpt_plugin.data.importers.lidc import lidc_label, position_note
    from vpt_plugin.store.label_table import LabelEntry

    if len(readings) > 1:
        series = ", ".join(reading.series_uid for reading in readings)
        matched.problems.append(
            f"{study}: it holds {len(readings)} series with readings ({series}), and a study has one label. "
            "Put them into folders of their own."
        )
        return
    for reading in readings:
        try:
            label = lidc_label(reading, slices, min_readers=min_readers)
        except LabelError as error:
            matched.problems.append(f"{study}: {error}")
            continue
        matched.entries.append(LabelEntry(study, label, place=reading.path.name))
        if note := position_note(reading, slices):
            matched.notes.append(f"{study}: {note}")
