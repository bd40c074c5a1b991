"""BulkJob: what is asked for, how far it came, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vpt_plugin.inference.conformal import DEFAULT_ERROR_RATE
from vpt_plugin.inference.fitness import REFUSE
from vpt_plugin.tasks import ReadingTask


@dataclass(frozen=True)
class BulkJob:
    """An archive to be answered by one version.

    Attributes:
        source: a folder, a CSV or the address of an archive, as of ``open_bulk_source``.
        out: the output folder.
        task: says how a study is read.
        model: the network's name.
        version: of its classifier; None goes on with that of the output folder, else takes the served one.
        models_dir: the store of models; None takes the usual one.
        device, precision, backend, unsuitable, error_rate: as of ``Predictor``.
        workers: how many; None takes as many as the computers have room for.
        gpus: the share of a GPU that each has; None takes a whole one where there are any and the device may
            be one.
        retry_refused: try again what was refused before.
        as_csv: write ``answers.csv``, too.
        lives: so often a worker may end with a study in hand before the study is refused.
        studies_of_a_part, seconds_of_a_part: when what came is written; what a killed driver had not written
            is computed again.
    """

    source: str
    out: Path
    task: ReadingTask
    model: str
    version: int | None = None
    models_dir: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    backend: str = "auto"
    unsuitable: str = REFUSE
    error_rate: float = DEFAULT_ERROR_RATE
    workers: int | None = None
    gpus: float | None = None
    retry_refused: bool = False
    as_csv: bool = False
    lives: int = 3
    studies_of_a_part: int = 512
    seconds_of_a_part: float = 20.0


@dataclass(frozen=True)
class BulkProgress:
    """How far it came.

    Attributes:
        total: studies of the source.
        kept: of these settled in earlier runs.
        answered, refused: of these in this one.
        workers: that have loaded the network.
        seconds: since the first of them had.
        place: where they run, in words.
    """

    total: int
    kept: int
    answered: int = 0
    refused: int = 0
    workers: int = 0
    seconds: float = 0.0
    place: str = ""

    @property
    def done(self) -> int:
        """Studies that are settled."""
        return self.kept + self.answered + self.refused

    @property
    def studies_per_second(self) -> float:
        """Of this run; nan before the first."""
        settled = self.answered + self.refused
        return settled / self.seconds if settled and self.seconds > 0 else float("nan")


@dataclass(frozen=True)
class BulkResult:
    """What came of it.

    Attributes:
        progress: at the end.
        starting_seconds: until the first worker was ready.
        answered: studies with an answer, of all runs.
        refused: studies without one per class of error, of all runs.
    """

    progress: BulkProgress
    starting_seconds: float
    answered: int
    refused: Mapping[str, int]
