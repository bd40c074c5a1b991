"""Where labels lie, and which studies they are of, from what the command line says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vpt_plugin.errors import ConfigurationError

if TYPE_CHECKING:
    from vpt_plugin.store.labels import LabelFolder
    from vpt_plugin.store.studies import StudyFolder

FolderArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER", help="The folder of the studies, or that of their labels.", show_default=False
    ),
]


@dataclass(frozen=True)
class Place:
    """A folder of labels and what is known about its studies.

    Attributes:
        root: the folder of the labels.
        studies_root: the folder of the studies; None where it is not known, as with an archive.
    """

    root: Path
    studies_root: Path | None

    def labels(self) -> LabelFolder:
        """The labels; a look at all of them is believed for as long as a command runs."""
        from vpt_plugin.store.labels import LabelFolder

        return LabelFolder(self.root, fresh_seconds=3600)

    def study_ids(self) -> frozenset[str] | None:
        """The ids of the studies that are there; None where nobody knows."""
        studies = self.studies()
        return None if studies is None else frozenset(studies.ids())

    def studies(self) -> StudyFolder | None:
        """The studies, under the ids that their labels have; None where their folder is not known."""
        if self.studies_root is None:
            return None
        from vpt_plugin.store.studies import StudyFolder

        labelled = self.labels().labelled
        return StudyFolder(self.studies_root, labelled=labelled, index_folder=self.root, read_only=True)


def place_of(folder: Path, labels: Path | None, *, new: bool = False) -> Place:
    """The place that FOLDER and ``--labels-dir`` mean.

    A folder of labels that is called ``labels`` lies, by default, in the folder of its studies; where there
    are no studies around it, theirs is an archive, or unknown.

    Args:
        folder: FOLDER.
        labels: what ``--labels-dir`` says.
        new: whether the folder of ``--labels-dir`` may still have to be made.

    Raises:
        ConfigurationError: there is no such folder.
    """
    from vpt_plugin.store.studies import LABELS_FOLDER, StudyFolder

    if not folder.is_dir():
        raise ConfigurationError(
            f"{folder}: there is no such folder.",
            "Give the folder of the studies, or that of their labels; for an archive, that of the labels.",
        )
    if labels is not None:
        if not (new or labels.is_dir()):
            raise ConfigurationError(f"{labels}: there is no such folder.", "Give the folder of the labels.")
        return Place(labels, folder)
    if (folder / LABELS_FOLDER).is_dir() or not _holds_labels(folder):
        return Place(folder / LABELS_FOLDER, folder)
    around = folder.absolute().parent
    if (
        folder.absolute().name == LABELS_FOLDER
        and not _is_of_an_archive(around)
        and StudyFolder(around).ids()
    ):
        return Place(folder, around)
    return Place(folder, None)


def _is_of_an_archive(folder: Path) -> bool:
    """Whether the server keeps here what belongs to one archive: its cache is no folder of studies."""
    return folder.parent.name == "archives" and (folder / "cache").is_dir()


def _holds_labels(folder: Path) -> bool:
    return any((folder / name).is_dir() for name in ("final", "conflicts"))
