"""``vpt studies list``: what a server over this folder or archive would serve, and what is labelled of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.cli.console import print_table
from vpt_plugin.cli.opened_studies import opened_studies
from vpt_plugin.cli.options import LabelsDirOrLabelsOption
from vpt_plugin.cli.words import count

if TYPE_CHECKING:
    from vpt_plugin.store.labels import LabelFolder, SavedLabel
    from vpt_plugin.store.source import StudySource

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Studies: list.\n\nFor example: vpt studies list studies",
)
_COLUMNS = ("study", "kind", "place", "task", "state", "version", "annotator", "saved")


@dataclass(frozen=True)
class NewestLabel:
    """The newest label of one study and task.

    Attributes:
        findings: the state of each finding.
        version: counts from 1.
        annotator: who said it; "" where that is not known.
        saved: when, by the server's clock, UTC.
    """

    findings: Mapping[str, str]
    version: int
    annotator: str
    saved: str


@dataclass(frozen=True)
class ListedStudy:
    """One study.

    Attributes:
        study: its id.
        kind: ``dicom``, ``nifti``, ``nrrd`` or ``mha``.
        place: its path below the folder; of an archive's series, how the archive calls it.
        labels: the newest label of each task.
    """

    study: str
    kind: str
    place: str
    labels: Mapping[str, NewestLabel] = field(default_factory=dict)


@app.callback()
def _studies() -> None:
    """Keeps ``list`` a command of its own, although it is the only one."""


@app.command("list")
def list_studies(
    studies: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER",
            help="A folder of studies, or the address of a DICOM archive.",
            show_default=False,
        ),
    ],
    labels: LabelsDirOrLabelsOption = None,
    modality: Annotated[
        str, typer.Option("--modality", help="Of an archive: this Modality.", show_default="CT")
    ] = "",
    date_from: Annotated[
        str,
        typer.Option(
            "--from", metavar="YYYYMMDD", help="Of an archive: the first StudyDate.", show_default=False
        ),
    ] = "",
    date_to: Annotated[
        str,
        typer.Option(
            "--to", metavar="YYYYMMDD", help="Of an archive: the last StudyDate.", show_default=False
        ),
    ] = "",
    description: Annotated[
        str,
        typer.Option(
            "--description",
            metavar="PATTERN",
            help="Of an archive: SeriesDescription with * and ?.",
            show_default=False,
        ),
    ] = "",
    as_csv: Annotated[
        bool, typer.Option("--csv", help="A table for a spreadsheet, a row per label.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, for programs.")] = False,
) -> None:
    """List the studies that a server would serve, with their labels.

    Each study has its id, its kind, where it lies, and its newest label of each task: what it says, its
    version, who said it. No study is opened. An archive's login comes from the same environment variables as
    the server's, see docs/archive.md. Of a server with --conf archive_modality, archive_from, archive_to or
    archive_description give the same here.

    \b
    Examples:
      vpt studies list studies
      vpt studies list studies --csv > studies.csv
      vpt studies list http://localhost:8042/dicom-web --from 20200101 --json
    """
    if as_csv and as_json:
        raise typer.BadParameter("use either --json or --csv, not both.")
    narrowed = {"modality": modality.upper(), "date_from": date_from, "date_to": date_to}
    narrowed |= {"description": description}
    with opened_studies(studies, labels, {name: text for name, text in narrowed.items() if text}) as opened:
        source, label_folder = opened
        found = _listed(source, label_folder)
        missing = sorted(label_folder.labelled() - {each.study for each in found})
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=1))
    elif as_csv:
        typer.echo(_table(found), nl=False)
    elif found:
        rows = [(each.study, each.kind, each.place, _labels_in_words(each.labels)) for each in found]
        print_table(("study", "kind", "place", "labels"), rows)
    labelled = sum(bool(each.labels) for each in found)
    typer.echo(f"{count(len(found), 'study', 'studies')}, {labelled} with labels.", err=True)
    if missing:
        typer.echo(f"Labels whose study is not here: {len(missing)}; see `vpt labels check`.", err=True)


def _listed(source: StudySource, labels: LabelFolder) -> list[ListedStudy]:
    by_study: dict[str, dict[str, NewestLabel]] = {}
    for saved in labels.newest():
        by_study.setdefault(saved.study, {})[saved.task] = _newest(saved)
    facts = {study: source.facts(study) for study in source.ids()}
    return [
        ListedStudy(study, told["kind"], told["place"], by_study.get(study, {}))
        for study, told in facts.items()
    ]


def _newest(saved: SavedLabel) -> NewestLabel:
    findings = {name: finding.state for name, finding in saved.label.findings.items()}
    return NewestLabel(findings, saved.version, saved.label.annotator, saved.saved)


def _labels_in_words(labels: Mapping[str, NewestLabel]) -> str:
    """``nodule: present (version 2, anna)``; of several findings each by its name."""
    return "; ".join(
        f"{task}: {_states(label.findings)} (version {label.version}"
        + (f", {label.annotator})" if label.annotator else ")")
        for task, label in labels.items()
    )


def _states(findings: Mapping[str, str]) -> str:
    if len(findings) == 1:
        return next(iter(findings.values()))
    return ", ".join(f"{name} {state}" for name, state in findings.items())


def _table(studies: list[ListedStudy]) -> str:
    """CSV: a row for each label, one without for a study that has none."""
    from vpt_plugin.store.label_table import text_cell

    output = io.StringIO()
    writer = csv.writer(output, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for each in studies:
        told = [text_cell(each.study), each.kind, text_cell(each.place)]
        for task, label in each.labels.items():
            states = _states(label.findings)
            writer.writerow([*told, task, states, label.version, text_cell(label.annotator), label.saved])
        if not each.labels:
            writer.writerow([*told, *[""] * (len(_COLUMNS) - len(told))])
    return output.getvalue()
