"""``vpt import``: data sets as manifests to train from."""

from __future__ import annotations

import typer

from vpt_plugin.cli.import_csv import import_csv
from vpt_plugin.cli.import_lidc import import_lidc
from vpt_plugin.cli.import_rsna import import_rsna

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Data sets as manifests to train from.\n\nFor example: vpt import rsna /data/rsna-pe --to rsna",
)
app.command("rsna")(import_rsna)
app.command("lidc")(import_lidc)
app.command("csv")(import_csv)
