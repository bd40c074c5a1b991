"""What is kept of a cell: its answers, its result, what that depends on, or why there is none; as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.labels import now
from vpt_plugin.models.card import Estimate
from vpt_plugin.study.cells import Cell, read_fields

RESULT_SCHEMA, ANSWERS_SCHEMA = "vptct.cell-result/1", "vptct.answers/1"
FAILURE_SCHEMA = "vptct.cell-failure/1"


@dataclass(frozen=True)
class Answers:
    """What a cell's classifier says of the test studies.

    Attributes:
        cell: its id.
        findings: in the order of the columns.
        studies, patients: names, in the order of the rows.
        states: (studies, findings): 1 present, 0 absent, nan unknown.
        probabilities: (studies, findings).
    """

    cell: str
    findings: tuple[str, ...]
    studies: tuple[str, ...]
    patients: tuple[str, ...]
    states: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    def __post_init__(self) -> None:
        wanted = (len(self.studies), len(self.findings))
        shapes = (self.states.shape, self.probabilities.shape, (len(self.patients), len(self.findings)))
        if any(shape != wanted for shape in shapes):
            raise ValueError(f"answers of {wanted} studies and findings, but {shapes}")

    def to_json(self) -> dict[str, Any]:
        """As JSON, with null for an unknown state."""
        return {
            "schema": ANSWERS_SCHEMA,
            "cell": self.cell,
            "findings": list(self.findings),
            "studies": list(self.studies),
            "patients": list(self.patients),
            "states": [[_or_null(state) for state in row] for row in self.states.tolist()],
            "probabilities": self.probabilities.tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Answers:
        """The answers that ``to_json`` wrote down.

        Raises:
            ConfigurationError: not of this schema.
        """
        values = read_fields(data, ANSWERS_SCHEMA, tuple(each.name for each in fields(cls)))
        for name in ("findings", "studies", "patients"):
            values[name] = tuple(values[name])
        shape = (len(values["studies"]), len(values["findings"]))
        for name in ("states", "probabilities"):
            # None becomes nan.
            values[name] = np.array(values[name], dtype=np.float64).reshape(shape)
        return cls(**values)


@dataclass(frozen=True)
class Provenance:
    """What a result depends on, and what it was made with.

    Attributes:
        manifest_sha256: over the studies, sides, patients and labels of the dataset's manifest.
        task_sha256: over the facts of the task.
        pretrained_sha256: of the published weights that it began from; "" for none.
        start_sha256: of the weights of the pretraining cell that it began from; "" for none.
        weights_sha256: of the classifier that came out.
        split_hash: over which study was on which side.
        labels_hash: over the labels used.
        code_version: of this library.
        code_commit: of its git checkout; "" where there is none.
        torch: its version.
        device: ``cpu``, ``cuda:0``, with the name of the GPU.
        precision: ``float32`` or ``bfloat16``.
        threads: of the CPU.
        taken_from: the search cell whose training this is; "" where it was trained for itself.
        finished: when, as ``2026-11-20T20:31:05Z``.
    """

    manifest_sha256: str = ""
    task_sha256: str = ""
    pretrained_sha256: str = ""
    start_sha256: str = ""
    weights_sha256: str = ""
    split_hash: str = ""
    labels_hash: str = ""
    code_version: str = ""
    code_commit: str = ""
    torch: str = ""
    device: str = ""
    precision: str = ""
    threads: int = 0
    taken_from: str = ""
    finished: str = ""


@dataclass(frozen=True)
class CellResult:
    """What a cell came to.

    Attributes:
        cell: the cell.
        auroc: per finding, of whole studies of the test side; empty where the stage is not ``final``.
        validation_auroc: per finding, of whole studies of the validation side; what epochs, thresholds and
            learning rates were chosen by.
        validation_log_loss: mean over the findings.
        learning_rate: that it was trained with.
        epochs: that it was trained for.
        steps_per_epoch: as it was trained.
        train_studies, validation_studies, test_studies: that took part.
        collapsed: whether it gives nearly the same answer to every study.
        diverged: the loss was no longer a number, so nothing came out; only of a search cell.
        seconds: that the training took.
        provenance: what this depends on.
        left_out: how many test studies were not asked about, by reason.
        micro_batch: clips that went through the network at once at the end of the training: over so many
            batch norm counts. None where it is not known.
        rates_left_out: the search cells that failed, so that their learning rates were not among the choice.
    """

    cell: Cell
    auroc: Mapping[str, Estimate]
    validation_auroc: Mapping[str, Estimate]
    validation_log_loss: float
    learning_rate: float
    epochs: int
    steps_per_epoch: int
    train_studies: int
    validation_studies: int
    test_studies: int
    collapsed: bool
    diverged: bool
    seconds: float
    provenance: Provenance
    left_out: Mapping[str, int] = field(default_factory=dict)
    micro_batch: int | None = None
    rates_left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        data = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            "schema": RESULT_SCHEMA,
            **data,
            "cell": self.cell.to_json(),
            "auroc": {name: each.to_json() for name, each in self.auroc.items()},
            "validation_auroc": {name: each.to_json() for name, each in self.validation_auroc.items()},
            "validation_log_loss": _or_null(self.validation_log_loss),
            "provenance": asdict(self.provenance),
            "left_out": dict(self.left_out),
            "rates_left_out": list(self.rates_left_out),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CellResult:
        """The result that ``to_json`` wrote down.

        Raises:
            ConfigurationError: not of this schema.
        """
        # The first results lack these.
        data = {"left_out": {}, "micro_batch": None, "rates_left_out": [], **data}
        values = read_fields(data, RESULT_SCHEMA, tuple(each.name for each in fields(cls)))
        values["rates_left_out"] = tuple(values["rates_left_out"])
        values["cell"] = Cell.from_json(values["cell"])
        for name in ("auroc", "validation_auroc"):
            values[name] = {finding: Estimate.from_json(each) for finding, each in values[name].items()}
        loss = values["validation_log_loss"]
        values["validation_log_loss"] = float("nan") if loss is None else loss
        values["provenance"] = Provenance(**values["provenance"])
        return cls(**values)


@dataclass(frozen=True)
class Failure:
    """Why a cell is not done, though it was its turn.

    Attributes:
        message: what went wrong, as errors of VPTCT say it.
        hint: the way out; "" for none.
        trace: where in the code; "" where that tells nothing.
        needs: the id of a failed cell that this one needs, so that it was not run itself; "" where it was.
        when: as ``2026-11-20T20:31:05Z``.
    """

    message: str
    hint: str = ""
    trace: str = ""
    needs: str = ""
    when: str = field(default_factory=now)

    def in_words(self) -> str:
        """What and the way out."""
        return f"{self.message} {self.hint}".rstrip()

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {"schema": FAILURE_SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Failure:
        """The failure that ``to_json`` wrote down.

        Raises:
            ConfigurationError: not of this schema.
        """
        return cls(**read_fields(data, FAILURE_SCHEMA, tuple(each.name for each in fields(cls))))


def _or_null(value: float) -> float | None:
    return None if value != value else value
