"""Keeping: the run folder as the rounds of a training use it, in one process or in several.

The first process reads and writes; what it reads, all of them get.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from vpt_plugin import __version__
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.distributed import Team
from vpt_plugin.training.loop import TrainingLoop
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.reading import reading_facts
from vpt_plugin.training.run_folder import RoundFolder, RunFolder, open_run
from vpt_plugin.training.training_data import TrainingData


@dataclass(frozen=True)
class KeptRound:
    """What is kept of one round.

    Attributes:
        team: the processes that train it.
        folder: where; None where nothing is kept, and in all processes but the first.
    """

    team: Team
    folder: RoundFolder | None = None

    def outcome(self) -> Mapping[str, Any] | None:
        """What ``finish`` was told before an interruption; None where the round was not finished."""
        return self.team.from_first(lambda: self.folder.outcome() if self.folder else None)

    def resume(self, loop: TrainingLoop) -> None:
        """Let the loop go on from the last checkpoint, where there is one."""
        state = self.team.from_first(lambda: self.folder.checkpoints.newest() if self.folder else None)
        if state is not None:
            loop.load_state_dict(state)
            if self.folder is not None:
                self.folder.tell_resumed(state["epoch"])

    def save(self, loop: TrainingLoop) -> None:
        """Keep what the loop knows at the end of an epoch."""
        if self.team.size == 1 and self.folder is None:
            return
        state = loop.state_dict()
        if self.folder is not None:
            self.folder.checkpoints.save(state["epoch"], state)

    def finish(self, outcome: Mapping[str, Any]) -> None:
        """Keep what came out of the round; its checkpoints are no longer needed."""
        if self.folder is not None and self.folder.finish(outcome):
            self.folder.checkpoints.clear()


@dataclass(frozen=True)
class Keeping:
    """What is kept of a training until its model is published.

    Attributes:
        team: the processes that train.
        run: its folder; None where nothing is kept, and in all processes but the first.
    """

    team: Team = field(default_factory=Team)
    run: RunFolder | None = None

    def round(self, name: str) -> KeptRound:
        """A round by its name."""
        return KeptRound(self.team, self.run.round(name) if self.run else None)

    @property
    def number(self) -> str:
        """Which no other training has; "" where nothing is kept."""
        return self.run.number if self.run else ""

    def remove(self) -> None:
        """The model is published: nothing else is needed any more."""
        if self.run is not None:
            self.run.remove()


@contextmanager
def keeping(
    team: Team, models: Path, name: str, facts: Mapping[str, Any], told: Callable[[str], None]
) -> Iterator[Keeping]:
    """The run folder of this training, see ``open_run``.

    Raises:
        TrainingError: this very training runs already, or the folder cannot be written.
    """
    with ExitStack() as stack:
        opened: list[RunFolder] = []
        team.from_first(lambda: opened.append(stack.enter_context(open_run(models, name, facts, told=told))))
        yield Keeping(team, opened[0] if opened else None)


def run_facts(
    task: ReadingTask,
    classifier: Classifier,
    config: FinetuneConfig,
    data: TrainingData,
    placement: Placement,
) -> dict[str, Any]:
    """All that the result of a training depends on, as JSON.

    Args:
        classifier: before its first step: whatever it started from is in its weights.
    """
    return {
        "task": task.name,
        "reading": reading_facts(task, classifier.spec),
        "model": classifier.spec.name,
        "start": weights_hash(classifier),
        "config": config.to_dict(),
        "split_hash": data.split_hash(),
        "labels_hash": data.labels_hash(task),
        "studies": sorted([each.study, each.prepared.file.parent.name] for each in data.everything),
        "code_version": __version__,
        "torch": torch.__version__,
        "device": placement.device.type,
        "precision": str(placement.dtype),
    }


def weights_hash(classifier: Classifier) -> str:
    """SHA-256 over all weights of a classifier, wherever they lie."""
    digest = hashlib.sha256()
    for name, entry in sorted(classifier.state_dict().items()):
        digest.update(name.encode())
        digest.update(entry.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
