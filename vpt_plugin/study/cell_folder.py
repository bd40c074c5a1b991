"""CellFolder: the files of one cell in the study's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.study.cell_records import Answers, CellResult, Failure, Provenance
from vpt_plugin.study.cells import Cell, read_fields

TRAINED_SCHEMA = "vptct.cell-trained/1"


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
        data = read_json(self.root / "result.json")
        return None if data is None else CellResult.from_json(data)

    def trained(self, facts: Mapping[str, Any]) -> Provenance | None:
        """Of the training that is done, though not its test; None where there is none of these facts."""
        data = read_json(self.root / "trained.json")
        if data is None or read_fields(data, TRAINED_SCHEMA, ("facts", "provenance"))["facts"] != facts:
            return None
        return Provenance(**data["provenance"])

    def answers(self) -> Answers | None:
        """Its answers to the test studies; None where there are none."""
        data = read_json(self.root / "answers.json")
        return None if data is None else Answers.from_json(data)

    def failure(self) -> Failure | None:
        """What went wrong the last time; None for nothing."""
        data = read_json(self.root / "failure.json")
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


def read_json(path: Path) -> Any:
    """A file's JSON; None where there is no such file.

    Raises:
        ConfigurationError: it cannot be read.
    """
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
