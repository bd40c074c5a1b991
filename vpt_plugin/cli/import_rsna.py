"""``vpt import rsna``: the training set of RSNA-PE as manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vpt_plugin.cli.import_options import DryRunOption, ToOption, WorkersOption, carry_out


def import_rsna(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Holds train.csv and train/, as Kaggle has them.", show_default=False
        ),
    ],
    to: ToOption,
    workers: WorkersOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Import RSNA-PE: the Kaggle challenge of 2020 on pulmonary embolism.

    Writes manifests for the task pe, with the slices that show an embolism, and for RSNA's nine findings, a
    task of its own whose file is written beside them. They are split 70/15/15 by patient; two more have 10 %
    and 1 % of the training side. DICOM files are neither copied nor changed.

    A study whose rows contradict each other, or whose slices are not all there, is refused and told; the
    others go on. Stopped in between, the same command goes on. docs/data.md says how to get the set.

    \b
    Examples:
      vpt import rsna rsna-str-pulmonary-embolism-detection --to rsna
      vpt import rsna /data/rsna-pe --to rsna --workers 16
      vpt import rsna /data/rsna-pe --to rsna --dry-run
    """
    from vpt_plugin.data.importers.rsna import RsnaImporter

    carry_out(RsnaImporter(folder), to, workers, dry_run=dry_run)
