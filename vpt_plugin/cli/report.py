"""How answers are printed: as a table, as JSON, as CSV. Nothing but the answers goes to stdout."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING

import typer

from vpt_plugin.cli.console import print_table
from vpt_plugin.cli.words import model_in_words

if TYPE_CHECKING:
    from vpt_plugin.inference import FindingPrediction, Prediction

_TABLE_COLUMNS = (
    "study", "finding", "probability", "decision", "threshold", "key slice", "evidence", "suits", "seconds"
)  # fmt: skip
_SUITS = "Suits: fits, doubtful (the answer may be worth less), or unfit (it means nothing: decision unsure)."
# Where the version keeps what it takes, before the key slice: the decision at the error rate.
_SURE, _SURE_AT = "sure", 5


class Report:
    """Takes answers as they come; used with ``with``, so that what there is is printed whatever happens."""

    def __enter__(self) -> Report:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, study: str, prediction: Prediction) -> None:
        """One more answer."""
        raise NotImplementedError

    def close(self) -> None:
        """No more answers will come."""


class TableReport(Report):
    """For people: a table when all is answered, the warnings, the notes and the model's facts below it."""

    def __init__(self) -> None:
        self._answers: dict[str, Prediction] = {}

    def add(self, study: str, prediction: Prediction) -> None:
        """One more answer."""
        self._answers[study] = prediction

    def close(self) -> None:
        """Prints the table."""
        if not self._answers:
            return
        names = short_names(list(self._answers))
        rows = [
            row
            for name, answer in zip(names, self._answers.values(), strict=True)
            for row in _table_rows(name, answer)
        ]
        columns, sure = list(_TABLE_COLUMNS), _sure(self._answers.values())
        if sure:
            columns.insert(_SURE_AT, _SURE)
            rows = [(*row[:_SURE_AT], said, *row[_SURE_AT:]) for row, said in zip(rows, sure, strict=True)]
        print_table(
            columns,
            rows,
            right=("probability", "threshold", "key slice", "seconds"),
            shorten="study",
        )
        self._print_remarks(names)
        typer.echo(
            "Slices by patient z in mm, plus is towards the head; evidence: clips from the threshold on."
        )
        typer.echo(_SUITS)
        typer.echo(_what_sure_means(self._answers.values()))
        typer.echo(model_in_words(next(iter(self._answers.values())).card))
        typer.echo("For research only; not a medical device.")

    def _print_remarks(self, names: Sequence[str]) -> None:
        """First what is said of all studies, then study by study what is said of it."""
        remarks = [_remarks(answer) for answer in self._answers.values()]
        everybodys = [each for each in remarks[0] if all(each in others for others in remarks[1:])]
        for kind, sentence in everybodys:
            typer.echo(f"{kind}: {sentence}")
        for name, own, answer in zip(names, remarks, self._answers.values(), strict=True):
            for kind, sentence in own:
                if (kind, sentence) not in everybodys:
                    typer.echo(f"{kind}: {name}: {sentence}")
            for line in _maps_in_words(answer):
                typer.echo(f"heat map: {name}: {line}")


def _sure(answers: Iterable[Prediction]) -> list[str]:
    """The decision at the error rate about every finding; empty where none of them has one."""
    said = [finding.conformal for answer in answers for finding in answer.findings]
    return [each.decision if each else "n/a" for each in said] if any(said) else []


def _what_sure_means(answers: Iterable[Prediction]) -> str:
    """What the column of that name says, or why there is none."""
    decided = ((each.card.conformal, finding.conformal) for each in answers for finding in each.findings)
    for record, said in decided:
        if said is not None:
            sentences = (
                f"Sure: present or absent where of studies like its validation studies at most "
                f"{100 * said.error_rate:g} % are then wrong, else unsure.",
                "Decision: by the threshold alone, so that the two may differ.",
                record.reservation if record else "",
            )
            return " ".join(filter(None, sentences))
    return "How sure it is, this version cannot tell; see vpt versions check-evidence."


def _remarks(answer: Prediction) -> list[tuple[str, str]]:
    """What is said of a study beside the answer: the kind, and the sentence."""
    return [
        *(("warning", sentence) for sentence in answer.warnings),
        *(("note", sentence) for sentence in answer.notes),
    ]


def _maps_in_words(answer: Prediction) -> list[str]:
    """Where each heat map is, and where in the patient it is hottest."""
    return [
        f"{each.name} in {each.part}, {_place_in_words(each.hottest_mm)}"
        for each in (answer.heat_map.findings if answer.heat_map else ())
    ]


def _place_in_words(position: tuple[float, float, float] | None) -> str:
    """A patient position (LPS, as DICOM) with the sides named, which viewers count in other directions."""
    if position is None:
        return "0 everywhere: nothing in the study speaks for it"
    x, y, z = position
    return (
        f"hottest {abs(x):.1f} mm {'right' if x < 0 else 'left'}, "
        f"{abs(y):.1f} mm {'front' if y < 0 else 'back'} of the scanner's origin, in the slice at {z:.1f} mm"
    )


def _suits(answer: Prediction) -> str:
    """Whether the study is one for the model; empty where that was not looked at."""
    return answer.suitability.verdict if answer.suitability else ""


def _decision(answer: Prediction, finding: FindingPrediction) -> str:
    """What people read: nothing is decided about a study of which an answer means nothing.

    The decision of the JSON stays the threshold's.
    """
    # Not imported above, because `vpt --help` comes here and this brings numpy.
    from vpt_plugin.ct.suitability.verdict import UNFIT

    return "unsure" if _suits(answer) == UNFIT else finding.decision


def short_names(paths: Sequence[str]) -> list[str]:
    """The paths without the folder that they have in common, unless that is the whole disk."""
    absolute = [Path(path).absolute() for path in paths]
    if len({path.parts[:2] for path in absolute}) > 1:
        return list(paths)
    common = Path(os.path.commonpath([path.parent for path in absolute]))
    return [str(path.relative_to(common)) for path in absolute]


def _table_rows(study: str, answer: Prediction) -> list[tuple[str, ...]]:
    return [
        (
            study if index == 0 else "",
            finding.name,
            f"{finding.probability:.3f}",
            _decision(answer, finding),
            f"{finding.threshold:.3f}",
            f"{finding.key_slice_mm:.1f}",
            _evidence_in_words(finding) or "-",
            (_suits(answer) or "n/a") if index == 0 else "",
            f"{answer.seconds['total']:.1f}" if index == 0 else "",
        )
        for index, finding in enumerate(answer.findings)
    ]


def _conformal_cells(finding: FindingPrediction) -> tuple[str, ...]:
    said = finding.conformal
    if said is None:
        return ("",) * 4
    return (said.decision, f"{said.error_rate:g}", f"{said.p_present:.6f}", f"{said.p_absent:.6f}")


def _evidence_in_words(finding: FindingPrediction) -> str:
    return ", ".join(f"{low:.1f} to {high:.1f}" for low, high in finding.evidence_mm)


class JsonReport(Report):
    """For programs: a list of results (``vptct.result/1``), each with its ``study``, printed as they come."""

    def __init__(self) -> None:
        self._separator = ""

    def __enter__(self) -> Report:
        typer.echo("[", nl=False)
        return self

    def add(self, study: str, prediction: Prediction) -> None:
        """One more answer."""
        text = json.dumps({"study": study, **prediction.to_json()}, indent=2, allow_nan=False)
        typer.echo(f"{self._separator}\n{text}", nl=False)
        self._separator = ","

    def close(self) -> None:
        """Ends the list."""
        typer.echo("\n]")


class CsvReport(Report):
    """For spreadsheets: a line per study and finding, printed as they come."""

    COLUMNS = (
        "study", "task", "model", "version", "finding", "probability", "threshold", "decision",
        "key_slice_mm", "evidence_mm", "entropy", "clip_disagreement", "seconds", "warnings",
        "sure", "error_rate", "p_present", "p_absent", "suits",
    )  # fmt: skip

    def __enter__(self) -> Report:
        self._write(self.COLUMNS)
        return self

    def add(self, study: str, prediction: Prediction) -> None:
        """One more answer."""
        card = prediction.card
        for finding in prediction.findings:
            self._write(
                (
                    study, card.task, card.model, card.version, finding.name,
                    f"{finding.probability:.6f}", f"{finding.threshold:.6f}", _decision(prediction, finding),
                    f"{finding.key_slice_mm:.2f}", _evidence_in_words(finding),
                    f"{prediction.entropy:.6f}", f"{prediction.clip_disagreement:.6f}",
                    f"{prediction.seconds['total']:.3f}",
                    "; ".join((*prediction.warnings, *prediction.notes)), *_conformal_cells(finding),
                    _suits(prediction),
                )
            )  # fmt: skip

    @staticmethod
    def _write(cells: Sequence[object]) -> None:
        csv.writer(sys.stdout, lineterminator="\n").writerow(cells)
        sys.stdout.flush()


FORMATS: Mapping[str, type[Report]] = MappingProxyType(
    {"table": TableReport, "json": JsonReport, "csv": CsvReport}
)
