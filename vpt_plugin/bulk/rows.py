"""What comes of one study, and how it stands in a Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from vpt_plugin.inference import Prediction
    from vpt_plugin.inference.conformal import ConformalDecision

_CSV_DIGITS = 6
# Positions are float32 of the scan: beyond a thousandth of a millimetre they are noise.
_CSV_DIGITS_MM = 3
REFUSED_BY_ITSELF, AWAY, ENDS_THE_RUN = "study", "away", "run"


@dataclass(frozen=True)
class StudyAnswer:
    """The answer for one study.

    Attributes:
        study: its id.
        place: its path in the CSV, as of ``place_of``.
        series_uid: SeriesInstanceUID of the series that was read; "" where it is no DICOM.
        prediction: what the network said.
        device, precision: what it was computed on and with, such as ``cuda:0`` and ``bfloat16``.
        finished: when, in UTC, as ``2026-11-20T20:31:05Z``.
    """

    study: str
    place: str
    series_uid: str
    prediction: Prediction
    device: str
    precision: str
    finished: str


@dataclass(frozen=True)
class Refusal:
    """Why a study has no answer.

    Attributes:
        study: its id.
        error: class of the error, such as ``GeometryError``.
        message: what is wrong and the way out, for people.
        finished: when, in UTC.
        kind: ``study``: it is due to this study alone; ``away``: it cannot be had at the moment, perhaps
            like all others; ``run``: no study can be answered like this.
    """

    study: str
    error: str
    message: str
    finished: str
    kind: str = REFUSED_BY_ITSELF


@dataclass(frozen=True)
class AnsweredBy:
    """What every row says of the version that answered.

    Attributes:
        task, model: their names.
        version: of the classifier.
        weights_sha256: of its weights.
        code_version: of this library.
    """

    task: str
    model: str
    version: int
    weights_sha256: str
    code_version: str


def answer_schema() -> pa.Schema:
    """The columns of answers, a row per study and finding; units are in the fields' metadata.

    Where something cannot be told, such as whether it is sure, a row says nothing of it.
    """
    import pyarrow as pa

    def field(name: str, kind: pa.DataType, unit: str = "") -> pa.Field:
        return pa.field(name, kind, metadata={"unit": unit} if unit else None)

    text, number = pa.string(), pa.float64()
    return pa.schema(
        [
            field("study", text),
            field("place", text),
            field("series_uid", text),
            field("finding", text),
            field("probability", number, "1, calibrated where the version is"),
            field("threshold", number, "1, present from here on"),
            field("decision", text),
            field("sure", text),
            field("error_rate", number, "1, share of studies"),
            field("p_present", number, "1"),
            field("p_absent", number, "1"),
            field("key_slice_mm", number, "mm, patient z"),
            field("positive_z_mm", pa.list_(pa.struct([("low", number), ("high", number)])), "mm, patient z"),
            field("entropy", number, "bit, largest over findings"),
            field("clip_disagreement", number, "1, largest over findings"),
            field("suitability", text),
            field("warnings", pa.list_(text)),
            field("notes", pa.list_(text)),
            field("seconds", number, "s, in all"),
            field("read_seconds", number, "s, of these for reading"),
            field("task", text),
            field("model", text),
            field("version", pa.int32()),
            field("weights_sha256", text),
            field("code_version", text),
            field("device", text),
            field("precision", text),
            field("finished", text, "UTC"),
        ]
    )


def refusal_schema() -> pa.Schema:
    """The columns of refusals, a row per study."""
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in ("study", "error", "message", "finished")])


def answer_rows(answer: StudyAnswer, by: AnsweredBy) -> list[dict[str, Any]]:
    """A row per finding, in the order of the task."""
    prediction = answer.prediction
    of_study = {
        "study": answer.study,
        "place": answer.place,
        "series_uid": answer.series_uid,
        "entropy": prediction.entropy,
        "clip_disagreement": prediction.clip_disagreement,
        "suitability": None if prediction.suitability is None else prediction.suitability.verdict,
        "warnings": list(prediction.warnings),
        "notes": list(prediction.notes),
        "seconds": prediction.seconds["total"],
        "read_seconds": prediction.seconds["read"],
        "device": answer.device,
        "precision": answer.precision,
        "finished": answer.finished,
        **vars(by),
    }
    return [
        {
            **of_study,
            "finding": finding.name,
            "probability": finding.probability,
            "threshold": finding.threshold,
            "decision": finding.decision,
            **_sureness(finding.conformal),
            "key_slice_mm": finding.key_slice_mm,
            "positive_z_mm": [{"low": low, "high": high} for low, high in finding.evidence_mm],
        }
        for finding in prediction.findings
    ]


def _sureness(said: ConformalDecision | None) -> dict[str, Any]:
    """What can be said at the error rate; nothing where the version cannot tell."""
    if said is None:
        return dict.fromkeys(("sure", "error_rate", "p_present", "p_absent"))
    return {
        "sure": said.decision,
        "error_rate": said.error_rate,
        "p_present": said.p_present,
        "p_absent": said.p_absent,
    }


def refusal_row(refusal: Refusal) -> dict[str, Any]:
    """The row of a refusal."""
    return {name: getattr(refusal, name) for name in ("study", "error", "message", "finished")}


def csv_cells(row: Mapping[str, Any]) -> list[object]:
    """A row of answers for a spreadsheet: lists become text, as ``vpt classify --csv`` writes them."""
    return [_cell(name, value) for name, value in row.items()]


def _cell(name: str, value: Any) -> object:
    if name == "positive_z_mm":
        return ", ".join(f"{each['low']:.1f} to {each['high']:.1f}" for each in value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(value)
    if not isinstance(value, float):
        return value
    return round(value, _CSV_DIGITS_MM if name.endswith("_mm") else _CSV_DIGITS)
