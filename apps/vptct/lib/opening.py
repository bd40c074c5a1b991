"""What happens once, when the server opens: cleaning up, adopting labels, saying what is served and amiss."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import vpt_plugin
from vpt_plugin.durable import sweep_leftovers
from vpt_plugin.errors import ArchiveError
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.source import StudySource
from vpt_plugin.store.stock import adopt_stock_labels

from .conf import AppConf
from .info import NOTICE

_logger = logging.getLogger(__name__)
_RULE = "=" * 78


def clean_up(folders: list[Path]) -> None:
    """Remove what killed processes left of unfinished files.

    Args:
        folders: which VPTCT alone writes to.
    """
    for folder in folders:
        for path in sweep_leftovers(folder):
            _logger.info("%s was left over by a process that was killed; it is removed", path)


def adopt_labels(studies: StudySource, labels: LabelFolder) -> None:
    """Take over what a stock MONAI Label saved in this folder; what is wrong with that stops nothing."""
    try:
        adopt_stock_labels(studies.ids(), labels)
    except ArchiveError as error:
        _logger.warning("labels of a stock MONAI Label are looked for at the next start: %s", error)
    except OSError as error:
        _logger.error("labels of a stock MONAI Label cannot be adopted: %s", error)


def say_what_is_served(
    conf: AppConf, where: str, studies: StudySource, labels: LabelFolder, models: list[dict[str, object]]
) -> None:
    """The banner in the log, for whoever started the server."""
    trained = [f"{model['name']} version {model['version']}" for model in models if model["trained"]]
    untrained = [str(model["name"]) for model in models if not model["trained"]]
    lines = (
        f"VPTCT {vpt_plugin.__version__} on {conf.device}: {_count(studies)} in {where}",
        f"labels: {labels.root}",
        f"trained: {', '.join(trained) or 'none'}",
        f"not trained, so they do not answer: {', '.join(untrained) or 'none'}",
        *(f"ATTENTION: {problem}" for problem in _problems(studies, labels)),
        NOTICE,
    )
    _logger.warning("\n%s", "\n".join((_RULE, *lines, _RULE)))


def _count(studies: StudySource) -> str:
    try:
        return f"{len(studies.ids())} studies"
    except ArchiveError:
        return "studies, not known yet,"


def _problems(studies: StudySource, labels: LabelFolder) -> Iterator[str]:
    if problem := studies.state().problem:
        yield problem
    elif studies.state().kind == "folder" and not studies.ids():
        yield "there is no study in this folder: is its name right, and is the share mounted?"
    if damaged := labels.damaged():
        yield f"{len(damaged)} label files cannot be read; vpt labels check tells which."
    if aside := [each for each in labels.conflicts() if not each.settled]:
        yield f"{len(aside)} labels are set aside after a conflict; vpt labels check tells which."
