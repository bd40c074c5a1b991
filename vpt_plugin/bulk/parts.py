"""Parts: what is answered so far, in numbered Parquet files of which each is there whole or not at all.

::

    OUT/parts/part-000001.parquet       answers, a row per study and finding
              refused-000002.parquet    refusals, a row per study

A study stands in one answer at most. A refusal counts unless an answer or a later refusal of the study came.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vpt_plugin.bulk.rows import (
    AnsweredBy,
    Refusal,
    StudyAnswer,
    answer_rows,
    answer_schema,
    csv_cells,
    refusal_row,
    refusal_schema,
)
from vpt_plugin.durable import make_folder, publish_file, sweep_leftovers, write_new
from vpt_plugin.errors import ConfigurationError, VptError

if TYPE_CHECKING:
    import pyarrow as pa

ANSWERS, REFUSED, ANSWERS_CSV = "answers.parquet", "refused.parquet", "answers.csv"
_NAME = re.compile(r"(part|refused)-(\d{6,})\.parquet")
# So many rows are in memory at a time, whatever the number of studies.
_ROWS_AT_A_TIME = 16_384


def require_parquet() -> None:
    """Make sure that Parquet files can be written.

    Raises:
        ConfigurationError: the extra ``study`` is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(
            f"this needs pyarrow, which is not installed ({error}).", 'Install it: pip install "vptct[study]"'
        ) from error


@dataclass(frozen=True)
class Settled:
    """The studies that need not be looked at again.

    Attributes:
        answered: places of those with an answer, by id.
        refused: class of the error of the others, by id.
    """

    answered: Mapping[str, str]
    refused: Mapping[str, str]


class Parts:
    """The files in one folder; one process at a time writes.

    Args:
        folder: is made when the first file is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def settled(self) -> Settled:
        """The studies in all files.

        Raises:
            VptError: a file is damaged, or a study stands in two answers.
        """
        answered: dict[str, str] = {}
        refused: dict[str, str] = {}
        for kind, path in self._files():
            if kind == "part":
                # A study's rows stand one after the other, so each file has a study once.
                studies = {row["study"]: row["place"] for row in _rows(path, ["study", "place"])}
                if twice := answered.keys() & studies:
                    raise VptError(
                        f"{path}: {min(twice)} was answered in another part already.",
                        "Another program wrote here; remove this file and run the same command again.",
                    )
                answered |= studies
            else:
                refused |= {row["study"]: row["error"] for row in _rows(path, ["study", "error"])}
        return Settled(answered, {each: why for each, why in refused.items() if each not in answered})

    def add(self, answers: Sequence[StudyAnswer], refusals: Sequence[Refusal], by: AnsweredBy) -> None:
        """Write what came; on the disk when this returns.

        Raises:
            OSError: the disk is full, the folder is not writable or has gone; nothing of a file counts then.
        """
        if answers:
            rows = [row for answer in answers for row in answer_rows(answer, by)]
            self._write("part", rows, answer_schema())
        if refusals:
            self._write("refused", [refusal_row(each) for each in refusals], refusal_schema())

    def sweep(self) -> None:
        """Remove what a killed process left unfinished."""
        sweep_leftovers(self._folder, older_than_seconds=0)

    def merge(self, out: Path, *, as_csv: bool) -> Counter[str]:
        """Make one file of all answers, one of all refusals, and a CSV on wish, a part at a time.

        Args:
            out: the folder of the merged files.
            as_csv: write ``answers.csv``, too.

        Returns:
            The refused studies per class of error.

        Raises:
            VptError: a file is damaged.
            OSError: the disk is full, the folder is not writable; what was merged before stays.
        """
        settled = self.settled()
        parts = [path for kind, path in self._files() if kind == "part"]
        with _parquet(out / ANSWERS, answer_schema()) as write:
            for path in parts:
                for batch in _batches(path):
                    write(_in_columns(batch, answer_schema()))
        last = {row["study"]: row for kind, path in self._files() if kind == "refused" for row in _rows(path)}
        with _parquet(out / REFUSED, refusal_schema()) as write:
            write(_batch([last[each] for each in sorted(settled.refused)], refusal_schema()))
        if as_csv:
            _write_csv(parts, out / ANSWERS_CSV)
        return Counter(settled.refused.values())

    def _files(self) -> list[tuple[str, Path]]:
        """Kind and path of every file, the oldest first."""
        if not self._folder.is_dir():
            return []
        named = [(match, path) for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name))]
        return [(match[1], path) for match, path in sorted(named, key=lambda each: int(each[0][2]))]

    def _write(self, kind: str, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        files = self._files()
        if not files:
            make_folder(self._folder)
        number = int(files[-1][1].stem.split("-")[1]) + 1 if files else 1
        content = pa.BufferOutputStream()
        table = pa.Table.from_batches([_batch(rows, schema)])
        pq.write_table(table, content, write_page_checksum=True)
        write_new(self._folder / f"{kind}-{number:06d}.parquet", content.getvalue().to_pybytes())


def _batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_pylist(rows, schema=schema)


def _in_columns(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The rows in these columns; those that an earlier VPTCT did not write are empty."""
    import pyarrow as pa

    there = set(batch.schema.names)
    columns = [
        batch.column(field.name) if field.name in there else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The content of a file, some rows at a time.

    Raises:
        VptError: it is damaged.
        OSError: the disk, or the share, does not give it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as opened, pq.ParquetFile(opened, page_checksum_verification=True) as file:
            yield from file.iter_batches(
                batch_size=_ROWS_AT_A_TIME, columns=None if columns is None else list(columns)
            )
    except (pa.ArrowException, OSError, KeyError) as error:
        # pyarrow tells damaged pages as an OSError, which has no number then; one of the disk has.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        why = " ".join(str(error).split()).rstrip(" .")
        raise VptError(
            f"{path}: this file is damaged: {why}.",
            "Remove it and run the same command again: its studies are then answered again.",
        ) from error


def _rows(path: Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    for batch in _batches(path, columns):
        yield from batch.to_pylist()


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Any]:
    """Takes batches of rows; the file has its name when the ``with`` block ends well."""
    import pyarrow.parquet as pq

    with _unfinished(path) as unfinished:
        with pq.ParquetWriter(unfinished, schema) as writer:
            yield writer.write_batch
        publish_file(unfinished, path)


def _write_csv(parts: Sequence[Path], path: Path) -> None:
    with _unfinished(path) as unfinished:
        with unfinished.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            schema = answer_schema()
            writer.writerow(schema.names)
            for batch in (batch for part in parts for batch in _batches(part)):
                writer.writerows(map(csv_cells, _in_columns(batch, schema).to_pylist()))
        publish_file(unfinished, path)


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A hidden name beside the file; what is left under it goes."""
    unfinished = path.with_name(f".{path.name}.tmp")
    try:
        yield unfinished
    finally:
        unfinished.unlink(missing_ok=True)
