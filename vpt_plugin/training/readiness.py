"""check_ready: whether a training can start at all, asked before anything is read.

Reading and preparing studies takes minutes to hours. What is known to be missing before is told at once.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from vpt_plugin.data.split_file import Split, SplitFile
from vpt_plugin.data.splits import patient_key
from vpt_plugin.durable import make_folder
from vpt_plugin.errors import ConfigurationError, TrainingError, WeightsNotFoundError
from vpt_plugin.labels import StudyLabel
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import SITE_PRETRAININGS, FinetuneConfig
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.sides import require_no_folds
from vpt_plugin.training.sources import GONE, SourceStudy, TrainingSource
from vpt_plugin.training.start import find_start
from vpt_plugin.words import in_a_sentence, studies_in_words

# A validation without both states says nothing, and neither does a training.
MIN_STUDIES_OF_A_STATE = 2
# The least that is surely needed, not what it will be: 60 slices of 256 x 256 pixels; a small network twice.
_BYTES_PER_STUDY = 4 << 20
_BYTES_OF_A_RUN = 64 << 20


def check_source_ready(
    source: TrainingSource,
    task: ReadingTask,
    spec: ModelSpec,
    config: FinetuneConfig,
    *,
    store: ModelStore,
    cache: Path,
    weights: WeightsFolder | None = None,
    free_bytes: Callable[[Path], int] | None = None,
) -> None:
    """Refuse a training on these studies that could not be done; none of them is opened.

    Only the labels of studies that can take part count: not of those that are gone, nor of those of which it
    is known, without a look into their files, that they are of the test set.

    Args:
        source: of the labelled studies.
        task, spec, config, store, cache, weights, free_bytes: as for ``check_ready``.

    Raises:
        ArchiveError: the archive, or the folder, cannot be asked which studies there are.
        TrainingError: as ``check_ready``, or the file of the split is damaged.
        ConfigurationError, WeightsNotFoundError, ModelCardError: as ``check_ready``.
    """
    noted = SplitFile(source.split_file(task.name)).read()
    found = source.studies(task.name)
    taking_part = [each for each in found if not _surely_of_test(each, noted)]
    labels = [each.label for each in taking_part]
    try:
        _check_labels(task, labels)
    except TrainingError as error:
        left_out = {reason: len(names) for reason, names in source.left_out(task.name).items()}
        left_out["of the test set"] = len(found) - len(labels)
        reasons = "; ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
        told = f"{error.message.rstrip('.;')} (left out: {reasons})." if reasons else error.message
        # Only where most are lost was another folder meant; a few of many are no reason.
        why, way_out = source.lost(task.name) if left_out.get(GONE, 0) > len(found) else ("", "")
        raise TrainingError(f"{told.rstrip('.;')}: {why}." if why else told, way_out or error.hint) from error
    _check_given_sides(taking_part, task, config)
    check_ready(task, spec, config, labels, store=store, cache=cache, weights=weights, free_bytes=free_bytes)


def _check_given_sides(studies: Sequence[SourceStudy], task: ReadingTask, config: FinetuneConfig) -> None:
    """What the sides of a CSV alone make impossible."""
    if any(each.side for each in studies):
        require_no_folds(config.folds)
    if not all(each.side for each in studies):
        return  # the split decides, by what is in the files
    for finding in task.findings if studies else ():
        for side in ("train", "validation"):
            states = [
                each.label.findings[finding].state
                for each in studies
                if each.side == side and finding in each.label.findings
            ]
            if lacking := next((state for state in ("present", "absent") if state not in states), None):
                raise TrainingError(
                    f"no {side} study has {in_a_sentence(finding)} {lacking} "
                    f"(of {len(states)} labelled ones).",
                    "Set the column split so that each side has both states, or leave it empty.",
                )


def _surely_of_test(study: SourceStudy, noted: Split) -> bool:
    if study.side == "test" or noted.is_test(study.study):
        return True
    return bool(study.patient) and noted.sides.get(patient_key(study.patient)) == "test"


def check_ready(
    task: ReadingTask,
    spec: ModelSpec,
    config: FinetuneConfig,
    labels: Sequence[StudyLabel],
    *,
    store: ModelStore,
    cache: Path,
    weights: WeightsFolder | None = None,
    free_bytes: Callable[[Path], int] | None = None,
) -> None:
    """Refuse a training that could not be done.

    Args:
        task, spec, config: what is to be trained.
        labels: of the studies that could take part; the newest one of each study.
        store: where the classifier will be published.
        cache: where prepared studies are kept.
        weights: where published weights lie; None takes the folder of this computer.
        free_bytes: how much room there is on the disk of a folder.

    Raises:
        TrainingError: too few studies of a state, or no room on the disk, or a folder cannot be written.
        ConfigurationError: no such pretraining for this network, or no such classifier to start from.
        WeightsNotFoundError: names the file, its address and the commands that bring it here.
        ModelCardError: the classifier to start from is damaged.
    """
    _check_labels(task, labels)
    _check_writable(store.root, "models", "--models-dir; models_dir of a server")
    _check_writable(cache, "prepared studies", "--cache; VPTCT_HOME")
    _check_start(spec, config.settled(spec.weights), store, weights or WeightsFolder())
    check_room(len(labels), store.root, cache, free_bytes)


def _check_labels(task: ReadingTask, labels: Sequence[StudyLabel]) -> None:
    for finding in task.findings:
        states = [label.findings[finding].state for label in labels if finding in label.findings]
        counts = {state: states.count(state) for state in ("present", "absent")}
        if min(counts.values()) < MIN_STUDIES_OF_A_STATE:
            raise TrainingError(
                f"too few labels for a training of {task.title}: {studies_in_words(counts['present'])} with "
                f"{in_a_sentence(finding)}, {counts['absent']} without.",
                f"Label more studies: at least {MIN_STUDIES_OF_A_STATE} of each are needed, and some 20 of "
                "each before the result means anything.",
            )


def _check_start(spec: ModelSpec, config: FinetuneConfig, store: ModelStore, weights: WeightsFolder) -> None:
    if config.pretraining in SITE_PRETRAININGS:
        find_start(store, spec, config)
        return
    if config.pretraining not in spec.pretrainings:
        raise ConfigurationError(
            f"{spec.name} has no weights for the pretraining {config.pretraining!r};",
            f"choose from {', '.join((*spec.pretrainings, *_site_pretrainings(spec)))}.",
        )
    sources = spec.weights.get(config.pretraining, ())
    if sources and not any(weights.has(source) for source in sources):
        raise WeightsNotFoundError(
            f"the {config.pretraining} weights of {spec.name} are not on this computer.",
            f"Get them with `vpt weights fetch {sources[0].name}`, or train with the pretraining none.",
        )


def _site_pretrainings(spec: ModelSpec) -> tuple[str, ...]:
    """Those that a classifier of the site can make possible: without weights none began from videos."""
    return tuple(each for each in SITE_PRETRAININGS if each.split("+")[0] in ("ct", *spec.pretrainings))


def _check_writable(folder: Path, of_what: str, setting: str) -> None:
    try:
        make_folder(folder)
        # Asking for permissions is not enough: root has them where nothing can be written.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        # A disk that is merely full is told with its numbers.
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return
        raise TrainingError(
            f"{of_what} cannot be kept in {folder}: {error.strerror or error}.",
            f"Choose another folder ({setting}), or let this account write there.",
        ) from error


def check_room(
    studies: int, models: Path, cache: Path, free_bytes: Callable[[Path], int] | None = None
) -> None:
    """Refuse what would surely fill a disk.

    Args:
        studies: that are to be prepared; each again for every size in pixels.
        models: where trainings keep their states.
        cache: where prepared studies are kept.
        free_bytes: how much room there is on the disk of a folder.

    Raises:
        TrainingError: says how much is missing, and where.
    """
    free_bytes = free_bytes or _free_bytes
    prepared = sum(1 for _ in cache.iterdir()) if cache.is_dir() else 0
    needed = (
        (cache, "prepared studies", max(0, studies - prepared) * _BYTES_PER_STUDY),
        (models, "the training's states and its result", _BYTES_OF_A_RUN),
    )
    for folder, of_what, size_bytes in needed:
        free = free_bytes(folder)
        if free < size_bytes:
            raise TrainingError(
                f"no room for {of_what} on the disk of {folder}: {free / 1e6:.0f} MB are free, at least "
                f"{size_bytes / 1e6:.0f} MB are needed.",
                "Make room there, or keep models and prepared studies on another disk.",
            )


def _free_bytes(folder: Path) -> int:
    """Free bytes on the disk of a folder that need not be there yet."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free
