"""ModelCard: what is known about one published classifier, and its JSON (``vptct.card/1``).

The schema's number rises when a field is added that changes what an answer means, so that an older VPTCT
refuses the card instead of answering wrongly. Fields that only tell more are added without that: cards
without them still read, and an older VPTCT keeps those it does not know as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from vpt_plugin.errors import ModelCardError
from vpt_plugin.models.card_check import check_card
from vpt_plugin.models.conformal_record import ConformalRecord
from vpt_plugin.models.precision_record import PrecisionCheck

SCHEMA = "vptct.card/1"


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval over ``n`` studies; ``nan`` where it is undefined."""

    value: float
    ci95: tuple[float, float]
    n: int

    def to_json(self) -> dict[str, Any]:
        """The figure as JSON; an undefined one is null, because JSON knows no nan."""
        return {"value": _or_null(self.value), "ci95": [_or_null(end) for end in self.ci95], "n": self.n}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Estimate:
        """The figure from its JSON."""
        low, high = data["ci95"]
        return cls(_or_nan(data["value"]), (_or_nan(low), _or_nan(high)), int(data["n"]))


@dataclass(frozen=True)
class ModelCard:
    """What is known about one published classifier.

    Attributes:
        task: the task's name.
        model: the model's name in the catalog.
        version: 1 for the first that was published; 0 before it is published.
        findings: what the outputs mean, in their order.
        pretraining: ``kinetics``, ``ct``, ``kinetics+ct``, ``imagenet``, ``imagenet+ct`` or ``none``.
        clip_slices: slices of the clips it was trained on.
        trained_on: number of studies it was trained on.
        synthetic: whether those were phantoms; then no answer on a patient means anything.
        validation_auroc: study AUROC per finding on studies that training never saw.
        thresholds: probability per finding from which the decision is ``present``.
        temperature: what logits are divided by; 1 where nothing was calibrated.
        calibrated: whether the temperature was fitted.
        ranges: lowest and highest value per study fact (``vpt_plugin.ct.statistics``) seen in training.
        headers: what the headers of the training studies said of the scanner, and how often
            (``vpt_plugin.ct.suitability``); empty where they said nothing, or nobody knows.
        reading: how studies were read for it (``vpt_plugin.training.reading``); empty where nobody knows.
        training: the training's configuration.
        counts: numbers of studies per split and state.
        split_hash: SHA-256 over which study was on which side.
        labels_hash: SHA-256 over the labels used.
        weights_sha256: of the weights' file.
        code_version: of this library.
        created: when, as ``2026-11-20T20:31:05Z``.
        metrics: figures on the validation studies: ``study`` or ``clip``, finding, figure (of
            ``vpt_plugin.training.metrics.FIGURES``).
        threshold_rule: by which the thresholds were chosen, as a setting writes it.
        calibration: how the temperature came about or why there is none, in one sentence.
        comparison: with the version that was served when this one was trained: the JSON of a
            ``vpt_plugin.training.comparison.Comparison``; empty where there was none.
        precision_checks: how far reduced precision moves its answers, by way of computing
            (``vpt_plugin.models.precision``); empty where nothing was measured.
        conformal: what the validation studies were given, to decide by (``vpt_plugin.inference.conformal``);
            None where that was not kept.
        typicality_sha256: of the file that says what its training studies were like
            (``vpt_plugin.inference.typicality``); "" where that was not measured.
        unknown: fields that a newer VPTCT wrote; kept as they are.
    """

    task: str
    model: str
    findings: tuple[str, ...]
    pretraining: str
    clip_slices: int
    version: int = 0
    trained_on: int = 0
    synthetic: bool = False
    validation_auroc: Mapping[str, Estimate] = field(default_factory=lambda: MappingProxyType({}))
    thresholds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    temperature: float = 1.0
    calibrated: bool = False
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))
    headers: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))
    reading: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    training: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    counts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    split_hash: str = ""
    labels_hash: str = ""
    weights_sha256: str = ""
    code_version: str = ""
    created: str = ""
    metrics: Mapping[str, Mapping[str, Mapping[str, Estimate]]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    threshold_rule: str = ""
    calibration: str = ""
    comparison: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    precision_checks: Mapping[str, PrecisionCheck] = field(default_factory=lambda: MappingProxyType({}))
    conformal: ConformalRecord | None = None
    typicality_sha256: str = ""
    unknown: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def threshold(self, finding: str) -> float:
        """Probability from which a finding counts as present; 0.5 where none was chosen."""
        return self.thresholds.get(finding, 0.5)

    def __getstate__(self) -> dict[str, Any]:
        # For the processes that train together: a mapping that cannot be changed cannot be pickled.
        return {
            name: dict(value) if isinstance(value, MappingProxyType) else value
            for name, value in vars(self).items()
        }

    def to_json(self) -> dict[str, Any]:
        """The card as JSON."""
        data: dict[str, Any] = {"schema": SCHEMA}
        for name in _FIELDS:
            value = getattr(self, name)
            data[name] = dict(value) if isinstance(value, Mapping) else value
        data["findings"] = list(self.findings)
        data["validation_auroc"] = {name: e.to_json() for name, e in self.validation_auroc.items()}
        data["thresholds"] = {name: _or_null(value) for name, value in self.thresholds.items()}
        data["ranges"] = {name: list(pair) for name, pair in self.ranges.items()}
        data["metrics"] = {
            level: {name: {key: e.to_json() for key, e in found.items()} for name, found in findings.items()}
            for level, findings in self.metrics.items()
        }
        data["precision_checks"] = {way: each.to_json() for way, each in self.precision_checks.items()}
        data["conformal"] = self.conformal.to_json() if self.conformal else None
        return {**self.unknown, **data}

    @classmethod
    def from_json(cls, data: Any) -> ModelCard:
        """The card from its JSON.

        Raises:
            ModelCardError: not a card of this schema, or damaged; says where.
        """
        try:
            if isinstance(data, (str, bytes)):
                data = json.loads(data)
            if not isinstance(data, dict) or data.get("schema") != SCHEMA:
                raise ModelCardError(f"the model card does not follow {SCHEMA!r}.")
            check_card(data, fields(cls))
            return cls._read(data)
        except KeyError as error:
            raise ModelCardError(f"the model card is damaged: it lacks {error.args[0]}.") from error
        # An integer of a thousand digits is no float.
        except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ModelCardError(f"the model card is damaged: {error}.") from error

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> ModelCard:
        """The card in JSON whose fields have their types; what lies in them may still be anything."""
        values = {name: data[name] for name in _FIELDS if name in data}
        values["findings"] = tuple(values["findings"])
        values["validation_auroc"] = _estimates(values["validation_auroc"])
        thresholds = values.get("thresholds", {})
        values["thresholds"] = {name: _or_nan(value) for name, value in thresholds.items()}
        values["ranges"] = {name: (float(low), float(high)) for name, (low, high) in values["ranges"].items()}
        values["metrics"] = {
            level: {name: _estimates(found) for name, found in findings.items()}
            for level, findings in values.get("metrics", {}).items()
        }
        values["precision_checks"] = {
            way: PrecisionCheck.from_json(each) for way, each in data.get("precision_checks", {}).items()
        }
        conformal = data.get("conformal")
        values["conformal"] = ConformalRecord.from_json(conformal) if conformal else None
        known = {"schema", *_FIELDS}
        values["unknown"] = {name: value for name, value in data.items() if name not in known}
        return cls(**values)


# What a card says by itself, in the order of its JSON.
_FIELDS = tuple(each.name for each in fields(ModelCard) if each.name != "unknown")


def _estimates(data: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate.from_json(each) for name, each in data.items()}


def _or_null(value: float) -> float | None:
    return None if value != value else value


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else float(value)
