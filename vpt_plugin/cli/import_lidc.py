"""``vpt import lidc``: LIDC-IDRI as manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpt_plugin.cli.import_options import DryRunOption, ToOption, WorkersOption, carry_out


def import_lidc(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="LIDC-IDRI, as the NBIA Data Retriever wrote it.", show_default=False
        ),
    ],
    to: ToOption,
    xml: Annotated[
        Path | None,
        typer.Option("--xml", help="The readings, as in TCIA's LIDC-XML-only.zip.", show_default=False),
    ] = None,
    readers: Annotated[
        int,
        typer.Option("--readers", min=1, max=4, help="How many readers must have seen a nodule on a slice."),
    ] = 3,
    workers: WorkersOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Import LIDC-IDRI: chest CTs with the nodules that four radiologists outlined.

    Writes a manifest for the task nodule: a slice is positive when at least three of the four readers
    outlined a nodule of 3 mm or more on it. It is split 70/15/15 by patient; two more have 10 % and 1 % of
    the training side. DICOM files are neither copied nor changed, and chest radiographs are passed over.

    Beside the slices there are fewer readings than in LIDC-XML-only.zip: give it with --xml. A study without
    a reading, with readings that contradict each other, or whose slices are not all there is refused and
    told; the others go on. Stopped in between, the same command goes on. docs/data.md says how to get the
    set.

    \b
    Examples:
      vpt import lidc manifest-1600709154662/LIDC-IDRI --xml LIDC-XML-only --to lidc
      vpt import lidc /data/LIDC-IDRI --to lidc --workers 16
      vpt import lidc /data/LIDC-IDRI --to lidc-all-four --readers 4
    """
    from vpt_plugin.data.importers.lidc_set import LidcImporter

    carry_out(LidcImporter(folder, xml, readers), to, workers, dry_run=dry_run)
