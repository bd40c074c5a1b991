"""The results of an experiment as tables: a row per cell and finding, and a row per answer."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vpt_plugin.durable import write_over
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.card import Estimate

if TYPE_CHECKING:
    from vpt_plugin.study.cell_records import CellResult
    from vpt_plugin.study.cells import Cell
    from vpt_plugin.study.results import StudyResults

_NO_ESTIMATE = Estimate(float("nan"), (float("nan"), float("nan")), 0)
# Column -> its type, as pyarrow calls it.
_CELL_COLUMNS = {
    "cell": "string", "stage": "string", "dataset": "string", "task": "string", "network": "string",
    "arm": "string", "percent": "float64", "seed": "int64",
}  # fmt: skip
_RESULT_COLUMNS = {
    **_CELL_COLUMNS,
    "finding": "string",
    **{f"{side}_{name}": "float64" for side in ("test", "validation") for name in ("auroc", "low", "high")},
    "validation_log_loss": "float64", "learning_rate": "float64",
    "epochs": "int64", "steps_per_epoch": "int64",
    "train_studies": "int64", "validation_studies": "int64", "test_studies": "int64",
    "test_studies_left_out": "int64", "micro_batch": "int64",
    "collapsed": "bool_", "diverged": "bool_", "seconds": "float64",
    "manifest_sha256": "string", "task_sha256": "string", "pretrained_sha256": "string",
    "start_sha256": "string", "weights_sha256": "string", "split_hash": "string", "labels_hash": "string",
    "code_version": "string", "code_commit": "string", "torch": "string", "device": "string",
    "precision": "string", "threads": "int64", "taken_from": "string", "finished": "string",
}  # fmt: skip
_ANSWER_COLUMNS = {
    **_CELL_COLUMNS,
    "study": "string", "patient": "string", "finding": "string", "state": "float64", "probability": "float64",
}  # fmt: skip


def require_parquet() -> None:
    """Refuse what would end without its tables.

    Raises:
        ConfigurationError: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            "pyarrow is not installed, which writes Parquet files.", 'Install it: pip install "vptct[study]"'
        ) from error


def write_tables(results: StudyResults, out: Path) -> None:
    """Write the tables; see ``StudyResults.write_tables``."""
    rows = [row for result in results.cells for row in _result_rows(result)]
    write_over(out / "results.csv", _csv(rows))
    _write_parquet(out / "results.parquet", rows, _RESULT_COLUMNS)
    cells = {result.cell.id: result.cell for result in results.cells}
    said = [row for name in results.answers for row in _answer_rows(results, cells[name])]
    _write_parquet(out / "answers.parquet", said, _ANSWER_COLUMNS)


def _cell_row(cell: Cell) -> dict[str, Any]:
    return {"cell": cell.id, **{name: getattr(cell, name) for name in _CELL_COLUMNS if name != "cell"}}


def _result_rows(result: CellResult) -> list[dict[str, Any]]:
    """A row per finding."""
    facts = {name: getattr(result, name) for name in _RESULT_COLUMNS if hasattr(result, name)}
    left_out = {"test_studies_left_out": sum(result.left_out.values())}
    whole = {**facts, **left_out, **asdict(result.provenance), **_cell_row(result.cell)}
    return [
        {
            **whole,
            "finding": finding,
            **_estimate_row("test", result.auroc.get(finding, _NO_ESTIMATE)),
            **_estimate_row("validation", result.validation_auroc[finding]),
        }
        for finding in result.validation_auroc
    ]


def _estimate_row(side: str, estimate: Estimate) -> dict[str, float]:
    low, high = estimate.ci95
    return {f"{side}_auroc": estimate.value, f"{side}_low": low, f"{side}_high": high}


def _answer_rows(results: StudyResults, cell: Cell) -> list[dict[str, Any]]:
    """A row per test study and finding."""
    answers, whole = results.answers[cell.id], _cell_row(cell)
    return [
        {
            **whole,
            "study": study,
            "patient": answers.patients[row],
            "finding": finding,
            "state": float(answers.states[row, column]),
            "probability": float(answers.probabilities[row, column]),
        }
        for row, study in enumerate(answers.studies)
        for column, finding in enumerate(answers.findings)
    ]


def _csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_RESULT_COLUMNS), lineterminator="\n")
    writer.writeheader()
    # What is undefined is an empty cell: spreadsheets take nan for a word.
    writer.writerows({name: "" if value != value else value for name, value in row.items()} for row in rows)
    return text.getvalue().encode()


def _write_parquet(path: Path, rows: list[dict[str, Any]], columns: dict[str, str]) -> None:
    """An undefined number is null."""
    require_parquet()
    import pyarrow
    import pyarrow.parquet

    arrays = {
        name: pyarrow.array([row[name] for row in rows], getattr(pyarrow, kind)(), from_pandas=True)
        for name, kind in columns.items()
    }
    data = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(arrays), data)
    # Under a name of its own first: `vpt study report` may write the same table at this very moment.
    write_over(path, data.getvalue().to_pybytes())
