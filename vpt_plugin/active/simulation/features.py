"""FrozenFeatures: what a network that is not trained any further says of every clip of every study.

Computed once per study and kept in a folder, so that an interrupted simulation with a large network does not
begin anew.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.active.cold_start import image_statistics
from vpt_plugin.active.pool_reader import StudyContent
from vpt_plugin.active.simulation.learners import Answers, study_means
from vpt_plugin.data.clip_dataset import ClipShape, CoveringClips, LabelledStudy
from vpt_plugin.durable import write_over
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.training.answers import clip_features
from vpt_plugin.training.placement import Placement


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of all clips that cover the studies.

    Attributes:
        values: per study, (clips, features).
        images: (studies, features), image statistics, where the network has random weights, whose features
            tell nothing; None where it learned something.
        clip_states: per study, (clips, findings): 1 positive, 0 negative, nan where it is not known.
    """

    values: Sequence[NDArray[np.float64]]
    images: NDArray[np.float64] | None
    clip_states: Sequence[NDArray[np.float64]]

    def of(self, rows: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """(clips, features) of the studies of these rows, and the number (clips,) of the one each is of."""
        own = [self.values[row] for row in rows]
        return np.concatenate(own), np.repeat(np.arange(len(own)), [len(each) for each in own])


@dataclass(frozen=True)
class Untrained:
    """What there is before the first label; answers as the scoring of a cold start does.

    Attributes:
        features: of a network that learned something before; or image statistics stand for it.
    """

    features: FrozenFeatures

    def answers(self, rows: Sequence[int]) -> Answers:
        """What tells the studies of these rows apart; no probabilities."""
        if self.features.images is None:
            embeddings = study_means(*self.features.of(rows))
        else:
            embeddings = self.features.images[list(rows)]
        return Answers(embeddings, embeddings, None, None)


def frozen_features(
    classifier: Classifier,
    studies: Sequence[LabelledStudy],
    shape: ClipShape,
    *,
    offset: float,
    placement: Placement,
    folder: Path,
    name: str,
    untaught: bool,
    told: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> FrozenFeatures:
    """The features of the studies, read from the folder or computed and kept there.

    Args:
        classifier: its backbone is asked.
        studies: prepared for its task and network.
        shape: of the clips.
        offset: the task's.
        placement: of the network.
        folder: where they are kept.
        name: tells the network, its weights and its precision apart from any other.
        untaught: its weights are random.
        told: of the studies done and the studies in all.
        cancelled: asked before every batch of clips.

    Raises:
        TrainingError, CancelledError: as of ``clip_features``.
    """
    values = []
    for done, study in enumerate(studies, start=1):
        file = folder / f"{_key(study, shape, offset, name)}.npy"
        found = _read(file)
        if found is None:
            found, _ = clip_features(
                classifier, [study], shape, offset=offset, placement=placement, cancelled=cancelled
            )
            folder.mkdir(parents=True, exist_ok=True)
            _write(file, found)
        values.append(found)
        told(done, len(studies))
    images = _image_statistics(studies) if untaught else None
    states = [CoveringClips([study], shape).clip_states for study in studies]
    return FrozenFeatures(values, images, states)


def _image_statistics(studies: Sequence[LabelledStudy]) -> NDArray[np.float64]:
    """(studies, features)."""
    contents = (
        StudyContent(each.prepared.slices, each.prepared.facts, each.prepared.synthetic) for each in studies
    )
    return np.stack([image_statistics(content) for content in contents]).astype(np.float64)


def _key(study: LabelledStudy, shape: ClipShape, offset: float, name: str) -> str:
    # The folder of a prepared study is called after all that its pixels depend on.
    facts = [name, study.prepared.file.parent.name, shape.length, shape.stride, shape.crop_px, offset]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _read(file: Path) -> NDArray[np.float64] | None:
    """What is kept; None where it is not there or damaged, and so is computed again."""
    try:
        return np.asarray(np.load(file, allow_pickle=False), dtype=np.float64)
    except (FileNotFoundError, ValueError, EOFError, BadZipFile):
        return None


def _write(file: Path, values: NDArray[np.float64]) -> None:
    content = io.BytesIO()
    np.save(content, values.astype(np.float32))
    write_over(file, content.getvalue(), durable=False)
