"""What to tell where labels are of studies that are not there: mostly another folder was meant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vpt_plugin.store.checkup import Orphan


def why_lost(orphans: Sequence[Orphan], folder: Path | None, labels: Path) -> tuple[str, str]:
    """Under which other name the first such study is here, and the way out; empty for nothing to say.

    Args:
        orphans: labelled studies that are not there.
        folder: of the studies; None where they are in an archive.
        labels: the folder of their labels.
    """
    if not orphans:
        return "", ""
    moved = next((each for each in orphans if each.moved_to), None)
    names = f"the labels are of {(moved or orphans[0]).study}"
    if moved is None:
        return f"{names} and the like, which are not among the studies", _check(labels)
    told = f"{names}, which is perhaps what is called {moved.moved_to} here"
    return told, _way_out(moved, folder, labels) if folder else _check(labels)


def _way_out(moved: Orphan, folder: Path, labels: Path) -> str:
    if tables := sorted(folder.glob("*.csv")):
        return f"Did you mean {tables[0]}? Else: {_check(labels)}"
    above = moved.moved_to.removesuffix(f"--{moved.study}")
    if above != moved.moved_to:
        return f"Did you mean {folder.joinpath(*above.split('--'))}, with --labels-dir {labels}?"
    return _check(labels)


def _check(labels: Path) -> str:
    return f"`vpt labels check {labels}` says what to rename."
