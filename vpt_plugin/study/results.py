"""What the cells of an experiment came to: files in the study's folder, and one table of all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.labels import now
from vpt_plugin.models.card import Estimate
from vpt_plugin.study.cells import Cell, read_fields
from vpt_plugin.study.plan import Plan

RESULT_SCHEMA, ANSWERS_SCHEMA = "vptct.cell-result/1", "vptct.answers/1"
TRAINED_SCHEMA = "vptct.cell-trained/1"
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


@dataclass(frozen=True)
class CellFolder:
    """The files of one cell.

    Attributes:
        root: ``OUT/cells/<id>``.
    """

    root: Path

    @classmethod
    def of(cls, out: Path, cell: str) -> CellFolder:
        """The folder of a cell, by its id, in the study's folder."""
        return cls(out / "cells" / cell)

    @property
    def models(self) -> Path:
        """Where its classifier is published, and its training goes on from after an interruption."""
        return self.root / "models"

    def result(self) -> CellResult | None:
        """What it came to; None where it is not done."""
        data = _read_json(self.root / "result.json")
        return None if data is None else CellResult.from_json(data)

    def trained(self, facts: Mapping[str, Any]) -> Provenance | None:
        """Of the training that is done, though not its test; None where there is none of these facts."""
        data = _read_json(self.root / "trained.json")
        if data is None or read_fields(data, TRAINED_SCHEMA, ("facts", "provenance"))["facts"] != facts:
            return None
        return Provenance(**data["provenance"])

    def answers(self) -> Answers | None:
        """Its answers to the test studies; None where there are none."""
        data = _read_json(self.root / "answers.json")
        return None if data is None else Answers.from_json(data)

    def failure(self) -> Failure | None:
        """What went wrong the last time; None for nothing."""
        data = _read_json(self.root / "failure.json")
        return None if data is None else Failure.from_json(data)

    def write_cell(self, cell: Cell) -> None:
        """Write ``cell.json``; makes the folder."""
        make_folder(self.root)
        _write_json(self.root / "cell.json", cell.to_json())

    def write_trained(self, facts: Mapping[str, Any], provenance: Provenance) -> None:
        """Write down that the training is done, so that it is not done again when the test is interrupted.

        Args:
            facts: what it depends on, as JSON.
            provenance: of what came out.
        """
        data = {"schema": TRAINED_SCHEMA, "facts": dict(facts), "provenance": asdict(provenance)}
        _write_json(self.root / "trained.json", data)

    def write_result(self, result: CellResult, answers: Answers | None) -> None:
        """Write the answers, then the result: where it is there, the cell is done. A failure is forgotten."""
        if answers is not None:
            _write_json(self.root / "answers.json", answers.to_json())
        _write_json(self.root / "result.json", result.to_json())
        self.forget_failure()

    def write_failure(self, failure: Failure) -> None:
        """Write down what went wrong; makes the folder."""
        make_folder(self.root)
        _write_json(self.root / "failure.json", failure.to_json())

    def forget_failure(self) -> None:
        """It is to be tried again."""
        (self.root / "failure.json").unlink(missing_ok=True)


@dataclass(frozen=True)
class StudyResults:
    """The results of an experiment.

    Attributes:
        cells: those that are done, of every stage, in the plan's order where there is a plan.
        answers: by the id of the cell; those of the final cells.
        failures: by the id of the cell, what went wrong the last time, where it is not done.
        planned: the cells of the plan, done or not; where there is no plan, those that were begun.
    """

    cells: tuple[CellResult, ...]
    answers: Mapping[str, Answers] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    planned: tuple[Cell, ...] = ()

    @property
    def finals(self) -> tuple[CellResult, ...]:
        """The results that the experiment is about."""
        return tuple(each for each in self.cells if each.cell.stage == "final")

    @classmethod
    def read(cls, out: Path) -> StudyResults:
        """What lies in a study's folder; of the cells of its ``plan.json`` where it has one.

        Raises:
            ConfigurationError: a file in it is damaged, of another VPTCT, or of another plan than that.
        """
        planned = _planned(out)
        folders = {cell.id: CellFolder.of(out, cell.id) for cell in planned}
        found = {name: folder.result() for name, folder in folders.items()}
        done = {name: result for name, result in found.items() if result is not None}
        _require_planned(done, planned, out)
        answers = {name: folders[name].answers() for name in done}
        failures = {name: folder.failure() for name, folder in folders.items() if name not in done}
        return cls(
            tuple(done.values()),
            {name: each for name, each in answers.items() if each is not None},
            {name: said.in_words() for name, said in failures.items() if said is not None},
            planned,
        )

    def write_tables(self, out: Path) -> None:
        """Write ``results.csv``, ``results.parquet`` and ``answers.parquet`` into the study's folder.

        Raises:
            ConfigurationError: pyarrow is not installed.
        """
        from vpt_plugin.study.result_tables import write_tables

        write_tables(self, out)


def _planned(out: Path) -> tuple[Cell, ...]:
    data = _read_json(out / "plan.json")
    if data is not None:
        return Plan.from_json(data).cells()
    files = sorted((out / "cells").glob("*/cell.json"))
    return tuple(Cell.from_json(_read_json(path)) for path in files)


def _require_planned(done: Mapping[str, CellResult], planned: tuple[Cell, ...], out: Path) -> None:
    """Results of two plans never stand in one table."""
    for cell in planned:
        if cell.id in done and done[cell.id].cell != cell:
            raise ConfigurationError(
                f"{cell.id} is done in {out}, but not as its plan.json says.",
                "Run vpt study there again with the plan that is meant: it names what differs.",
            )


def _read_json(path: Path) -> Any:
    """A file's JSON; None where there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error}.", "Remove it, and run the same command again."
        ) from error


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    write_over(path, (json.dumps(data, indent=1) + "\n").encode())


def _or_null(value: float) -> float | None:
    return None if value != value else value
