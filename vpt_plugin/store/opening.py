"""open_study: a study of a folder as ``read_study`` takes it, wherever its folder is mounted."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from vpt_plugin.ct.reader import is_study_file
from vpt_plugin.store.grouping import Part, Study
from vpt_plugin.store.source import OpenedStudy


@contextmanager
def open_study(root: Path, study: Study) -> Iterator[OpenedStudy]:
    """The study where it lies; where other studies lie there, too, a folder of links to its own files.

    Args:
        root: the folder of studies.
        study: what a look at that folder found.
    """
    if not study.parts:
        yield OpenedStudy(root / study.place)
        return
    with TemporaryDirectory(prefix="vptct-study-") as folder:
        for number, file in enumerate(_files(root, study.parts)):
            # Numbered, because files of two folders can have one name.
            _link(file, Path(folder) / f"{number:06d}{file.suffix}")
        yield OpenedStudy(Path(folder))


def _files(root: Path, parts: Sequence[Part]) -> Iterator[Path]:
    """The plain files of some folders; of loose ones none that is a study by itself."""
    for part in parts:
        for folder, inside, names in os.walk(root / part.folder):
            files = (Path(folder, name) for name in sorted(names))
            yield from (file for file in files if file.is_file() and (part.whole or not is_study_file(file)))
            inside[:] = sorted(inside) if part.whole else []


def _link(file: Path, link: Path) -> None:
    try:
        link.symlink_to(file.resolve())
    except OSError:
        # Windows allows links only with special rights.
        shutil.copyfile(file, link)
