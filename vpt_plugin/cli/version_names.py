"""How versions are named on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.errors import ConfigurationError

if TYPE_CHECKING:
    from vpt_plugin.training.version_folder import VersionFolder

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="<task>_<model>, as in `vpt versions list`.", show_default=False)
]


def folder_of(name: str, models_dir: Path | None) -> VersionFolder:
    """The versions of that name.

    Raises:
        ConfigurationError: there are none; names those that there are.
    """
    from vpt_plugin.training.model_store import ModelStore

    store = ModelStore(models_dir)
    folders = {folder.name: folder for folder in store.folders()}
    if name not in folders:
        choices = f"choose from {', '.join(folders)}." if folders else "nothing was trained or imported yet."
        raise ConfigurationError(f"{name!r} has no version in {store.root};", choices)
    return folders[name]
