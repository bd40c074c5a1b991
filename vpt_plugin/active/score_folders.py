"""Which scores there are in a store of models, which are the newest, and which are removed.

Scores are found by the ids of studies, and ids repeat: ``p01--ct.nii.gz`` is at every site. So each folder of
studies, or archive, has scores of its own; ``vpt_plugin.active.scores`` tells what is in them::

    <models>/.scores/5d41402abc4b/source.json                     where they come from, for people
                                  nodule_tiny-v0003-1a2b3c4d/     the scores of a version
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from vpt_plugin.active.scores import ABOUT, ScoredBy, ScoreFolder
from vpt_plugin.durable import make_folder, sweep_leftovers, write_over
from vpt_plugin.store.source import StudySource

SOURCE_SCHEMA = "vptct.scores-source/1"
_ALL, _SOURCE = ".scores", "source.json"
_HASH_DIGITS = 12
# A server compares studies once a day, so what was not scored for so long has no server any more.
FORGOTTEN_SECONDS = 90 * 24 * 3600.0
_logger = logging.getLogger(__name__)


def scores_root(models_root: Path, studies: StudySource) -> Path:
    """Where the scores of these studies lie in a store of models; need not be there yet."""
    return models_root / _ALL / hashlib.sha256(studies.origin.encode()).hexdigest()[:_HASH_DIGITS]


def name_scores(root: Path, studies: StudySource) -> None:
    """Write down for people which studies the scores are of.

    Args:
        root: as of ``scores_root``.
        studies: they are of.

    Raises:
        OSError: the disk is full, the folder is not writable.
    """
    path = root / _SOURCE
    if not path.is_file():
        make_folder(root)
        write_over(path, (json.dumps({"schema": SOURCE_SCHEMA, "origin": studies.origin}) + "\n").encode())


def score_folders(root: Path) -> list[ScoreFolder]:
    """All scores below a root, by name; a folder that does not say what computed it is logged."""
    folders = []
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if not path.is_dir() or path.name.startswith("."):
            continue
        try:
            by = ScoredBy.from_json(json.loads((path / ABOUT).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            _logger.warning("%s: what computed these scores cannot be told (%s)", path, error)
            continue
        folders.append(ScoreFolder(root, by))
    return folders


def newest_scores(root: Path, task: str, model: str, version: int) -> ScoreFolder | None:
    """The folder of a version that was scored last; None where it never was.

    Args:
        root: as of ``scores_root``.
        task, model: their names.
        version: 0 for the scores without a trained head, which has no card to know its checksum from.
    """
    found = (each for each in score_folders(root) if (each.by.task, each.by.model) == (task, model))
    of_version = (each for each in found if each.by.version == version)
    return max(of_version, key=ScoreFolder.used_at, default=None)


def scores_of(root: Path, by: ScoredBy, *, precision: str = "auto") -> ScoreFolder:
    """The folder of a classifier that was scored last, whatever computed it; need not be there yet.

    Args:
        root: as of ``scores_root``.
        by: the classifier; its way is of no account.
        precision: as of ``Predictor``; where one is asked for, only scores computed in it are meant.
    """
    found = [
        each
        for each in score_folders(root)
        if each.by.alike(by) and (precision == "auto" or each.by.way.endswith(f"-{precision}"))
    ]
    # Of nothing computed in it yet, the folder that torch would fill: never one of another precision.
    way = "" if precision == "auto" else f"torch-{precision}"
    return max(found, key=ScoreFolder.used_at, default=ScoreFolder(root, replace(by, way=way)))


def sweep_scores(
    root: Path,
    versions: Callable[[str, str], Collection[int]],
    served: Callable[[str, str], int | None],
    *,
    keep: int = 2,
) -> list[str]:
    """Remove the scores of versions that are gone, and of each task and model all but those scored last.

    Those of other studies are not touched: of them ``sweep_forgotten`` removes the old ones.
    What is served chooses, so its scores stay however old they are; where nothing is, those of the cold
    start. Scores that a process computes at the moment stay, too.

    Args:
        root: as of ``scores_root``.
        versions: the numbers of the published versions of a task and model.
        served: the number of the one that is served, None for none.
        keep: how many of a task and model stay beside it.

    Returns:
        The keys of what was removed.
    """
    sweep_leftovers(root)
    removed = []
    by_name: dict[tuple[str, str], list[ScoreFolder]] = {}
    for folder in score_folders(root):
        by_name.setdefault((folder.by.task, folder.by.model), []).append(folder)
    for (task, model), folders in by_name.items():
        folders.sort(key=ScoreFolder.used_at, reverse=True)
        here, chooses = {0, *versions(task, model)}, served(task, model) or 0
        last = [each for each in folders if each.by.version in here][:keep]
        # Of the cold start there may be several; those scored last choose.
        last += [each for each in folders if each.by.version == chooses and chooses in here][:1]
        removed += [each.by.key for each in folders if each not in last and each.remove()]
    return removed


def sweep_forgotten(root: Path, *, now: float | None = None) -> list[str]:
    """Remove the scores of other studies that nobody has scored for ``FORGOTTEN_SECONDS``.

    Args:
        root: as of ``scores_root``, of the studies whose scores stay.
        now: seconds since 1970; None takes the clock.

    Returns:
        The keys of what was removed.
    """
    before = (time.time() if now is None else now) - FORGOTTEN_SECONDS
    removed = []
    for other in sorted(root.parent.iterdir()) if root.parent.is_dir() else []:
        if other == root or not other.is_dir():
            continue
        old = [each for each in score_folders(other) if each.used_at() < before]
        removed += [each.by.key for each in old if each.remove()]
        _remove_empty(other)
    return removed


def _remove_empty(root: Path) -> None:
    """Remove the root of scores where nothing but its name is left."""
    try:
        if {path.name for path in root.iterdir()} != {_SOURCE}:
            return
        (root / _SOURCE).unlink()
        # Not empty any more where a scoring has begun since; the next one writes the name again.
        root.rmdir()
    except FileNotFoundError:
        pass  # another process sweeps, too
    except OSError as error:
        _logger.warning("%s cannot be removed at the moment: %s", root, error)
