"""Which scores there are in a store of models, which are the newest, and which are removed."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from pathlib import Path

from vpt_plugin.active.scores import ABOUT, ScoredBy, ScoreFolder
from vpt_plugin.durable import sweep_leftovers

_logger = logging.getLogger(__name__)


def scores_root(models_root: Path) -> Path:
    """Where the scores of a store of models lie."""
    return models_root / ".scores"


def score_folders(root: Path) -> list[ScoreFolder]:
    """All scores that there are, by name; a folder that does not say what computed it is logged."""
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
        root: of all scores.
        task, model: their names.
        version: 0 for the scores without a trained head, which has no card to know its checksum from.
    """
    found = (each for each in score_folders(root) if (each.by.task, each.by.model) == (task, model))
    of_version = (each for each in found if each.by.version == version)
    return max(of_version, key=ScoreFolder.used_at, default=None)


def sweep_scores(
    root: Path,
    versions: Callable[[str, str], Collection[int]],
    served: Callable[[str, str], int | None],
    *,
    keep: int = 2,
) -> list[str]:
    """Remove the scores of versions that are gone, and of each task and model all but those scored last.

    What is served chooses, so its scores stay however old they are; where nothing is, those of the cold
    start. Scores that a process computes at the moment stay, too.

    Args:
        root: of all scores.
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
