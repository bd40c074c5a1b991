"""``vpt import csv``: a site's own table as manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpt_plugin.cli.import_options import DryRunOption, ToOption, WorkersOption, carry_out
from vpt_plugin.cli.options import TaskFileOption, TaskOption, choose_task
from vpt_plugin.errors import ConfigurationError

_GUESSED = "By default the one with a usual name."


def import_csv(
    table: Annotated[
        Path,
        typer.Argument(metavar="TABLE", help="A CSV with one row per study.", show_default=False),
    ],
    to: ToOption,
    task: TaskOption = None,
    task_file: TaskFileOption = None,
    studies: Annotated[
        Path | None,
        typer.Option(
            "--studies",
            help="The folder that paths are relative to. [default: the table's]",
            show_default=False,
        ),
    ] = None,
    finding: Annotated[
        list[str] | None,
        typer.Option(
            "--finding",
            metavar="FINDING=COLUMN",
            help=f"The column of a finding; may be given several times. {_GUESSED}",
            show_default=False,
        ),
    ] = None,
    path_column: Annotated[
        str,
        typer.Option(help=f"Where the study is: a DICOM folder or a file. {_GUESSED}", show_default=False),
    ] = "",
    study_column: Annotated[
        str, typer.Option(help=f"What the study is called. {_GUESSED}", show_default=False)
    ] = "",
    patient_column: Annotated[
        str, typer.Option(help=f"Whose it is. {_GUESSED} Without one, PatientID decides.", show_default=False)
    ] = "",
    split_column: Annotated[
        str, typer.Option(help=f"train, validation or test. {_GUESSED}", show_default=False)
    ] = "",
    synthetic_column: Annotated[
        str, typer.Option(help=f"yes for a phantom. {_GUESSED}", show_default=False)
    ] = "",
    slices_column: Annotated[
        str,
        typer.Option(
            metavar="[FINDING=]COLUMN",
            help="Ranges of patient z in mm that show the finding: -142.5 to -118; -90 to -85",
            show_default=False,
        ),
    ] = "",
    workers: WorkersOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Import a table of your own: a CSV with one row per study, as a spreadsheet saves it.

    Commas, semicolons or tabs; UTF-8 or what Excel writes. A finding is yes, no or indeterminate (or 1 and
    0, true and false, present and absent, positive and negative); an empty cell is not labelled, and
    anything else is an error that names line and column. Columns with usual names are found by these; it is
    told which were taken, and which were left alone.

    Sides of the split that the table names are kept; the other patients are split 70/15/15. Two more
    manifests have 10 % and 1 % of the training side. Studies that are not there, or cannot be read, are
    refused and told; the others go on. Stopped in between, the same command goes on.

    \b
    Examples:
      vpt import csv studies.csv --to site --task nodule
      vpt import csv list.csv --studies /data/ct --to site --task pe --finding pulmonary_embolism=PE
      vpt import csv list.csv --to site --task-file effusion.yaml --patient-column MRN --dry-run
    """
    from vpt_plugin.data.importers.table_columns import ColumnChoice
    from vpt_plugin.data.importers.table_set import TableImporter

    choice = ColumnChoice(
        path=path_column,
        study=study_column,
        patient=patient_column,
        split=split_column,
        synthetic=synthetic_column,
        findings=tuple(_pair(each) for each in finding or ()),
        slices=slices_column,
    )
    importer = TableImporter(table, choose_task(task, task_file), choice, studies)
    carry_out(importer, to, workers, dry_run=dry_run)


def _pair(text: str) -> tuple[str, str]:
    finding, equals, column = text.partition("=")
    if not (finding and equals and column):
        raise ConfigurationError(
            f"--finding {text}: this names no finding and its column;",
            "give both, such as --finding pulmonary_embolism=PE.",
        )
    return finding, column
