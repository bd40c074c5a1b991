"""The precision gate: a version answers in reduced precision only where its own studies were measured so.

bfloat16 keeps 8 bits of a number. What that does to an answer depends on the weights, so it is measured for
every version, on the studies it was validated on, and for every way of computing by itself: another backend,
or another kind of device, rounds at other places. The card keeps what was found, and ``settle_precision``
reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.device import PRECISIONS, has_native_bfloat16
from vpt_plugin.words import in_a_sentence

if TYPE_CHECKING:
    from vpt_plugin.models.card import ModelCard

# By how much the answer of a study, and the order of all of them, may move.
MOST_SHIFT, MOST_AUROC_SHIFT = 0.01, 0.005
FULL, REDUCED = "float32", "bfloat16"


def way_of_computing(backend: str, device: torch.device | str, precision: str = REDUCED) -> str:
    """What a check is of, as the card calls it: ``torch bfloat16 on cpu``."""
    return f"{backend} {precision} on {torch.device(device).type}"


@dataclass(frozen=True)
class PrecisionCheck:
    """How far one way of computing moves the answers of one version from those in float32.

    Attributes:
        studies: that were answered in both.
        studies_in_all: that there were to answer.
        largest_shift: of the calibrated probability of any study and finding; nan where one of them was no
            number.
        auroc_shift: per finding, how far the AUROC of these studies moves, without its sign; nan where it is
            undefined, because all of them have one state.
        temperature: of the card when it was measured: probabilities of another one move by another amount.
        date: when, as ``2026-11-20T20:31:05Z``.
    """

    studies: int
    studies_in_all: int
    largest_shift: float
    auroc_shift: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    temperature: float = 1.0
    date: str = ""

    @property
    def passed(self) -> bool:
        """Whether this way of computing may answer in the place of float32."""
        # Of nan neither is true: a shift that is none fails, an AUROC that is none says nothing.
        moved = any(shift > MOST_AUROC_SHIFT for shift in self.auroc_shift.values())
        return self.studies > 0 and self.largest_shift <= MOST_SHIFT and not moved

    def words(self) -> str:
        """What was found, as ``on 60 validation studies the probability moves by at most 0.0040 (...)``."""
        on = f"on {self.studies} {f'of {self.studies_in_all} ' * (self.studies < self.studies_in_all)}"
        if math.isnan(self.largest_shift):
            return f"{on}validation studies some answers are no numbers"
        return (
            f"{on}validation studies the probability moves by at most {self.largest_shift:.4f} "
            f"(allowed: {MOST_SHIFT}), {self._auroc_words()}"
        )

    def _auroc_words(self) -> str:
        known = {name: shift for name, shift in self.auroc_shift.items() if not math.isnan(shift)}
        told = [f"the AUROC of {in_a_sentence(name)} by {shift:.4f}" for name, shift in known.items()]
        told = [", ".join(told) + f" (allowed: {MOST_AUROC_SHIFT})"] if told else []
        if undefined := [in_a_sentence(name) for name in self.auroc_shift if name not in known]:
            told.append(f"no AUROC says anything of {', '.join(undefined)}: all of them have one state")
        return ", ".join(told)

    def to_json(self) -> dict[str, Any]:
        """As JSON; what is no number is null."""
        return {
            "studies": self.studies,
            "studies_in_all": self.studies_in_all,
            "largest_shift": _or_null(self.largest_shift),
            "auroc_shift": {name: _or_null(shift) for name, shift in self.auroc_shift.items()},
            "temperature": self.temperature,
            "date": self.date,
            "passed": self.passed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PrecisionCheck:
        """The check from its JSON; whether it passed is decided anew.

        Raises:
            KeyError, TypeError, ValueError: it is none.
        """
        return cls(
            studies=int(data["studies"]),
            studies_in_all=int(data["studies_in_all"]),
            largest_shift=_or_nan(data["largest_shift"]),
            auroc_shift={name: _or_nan(shift) for name, shift in data["auroc_shift"].items()},
            temperature=float(data["temperature"]),
            date=str(data["date"]),
        )


@dataclass(frozen=True)
class SettledPrecision:
    """In which precision a version answers, and why.

    Attributes:
        precision: ``float32`` or ``bfloat16``.
        why: one sentence for a person.
        to_tell: whether a person should be told without asking: it answers more slowly than it could, or
            might, and there is something to do about it or to know.
    """

    precision: str
    why: str
    to_tell: bool = False


def settle_precision(
    card: ModelCard, device: torch.device, asked: str = "auto", backend: str = "torch"
) -> SettledPrecision:
    """In which precision a version answers.

    ``float32`` and ``bfloat16`` are taken as they are asked for. ``auto`` takes bfloat16 where the device
    computes in it natively and this version's own check of this way of computing passed, else float32.

    Args:
        card: of the version, with its checks.
        device: that it answers on.
        asked: one of ``vpt_plugin.models.device.PRECISIONS``.
        backend: ``torch`` or ``openvino``.

    Raises:
        ConfigurationError: unknown precision.
    """
    if asked not in PRECISIONS:
        raise ConfigurationError(f"unknown precision {asked!r};", f"choose from {', '.join(PRECISIONS)}.")
    if asked != "auto":
        return SettledPrecision(asked, f"{asked} was asked for.")
    if not has_native_bfloat16(device):
        return SettledPrecision(FULL, f"The device {device.type} has no instructions for {REDUCED}.")
    way = way_of_computing(backend, device)
    name = f"{card.task}_{card.model} version {card.version}"
    check = card.precision_checks.get(way)
    if check is None or check.temperature != card.temperature:
        return SettledPrecision(
            FULL,
            f"{name} was not checked in {way}, so it answers in {FULL}, which is slower. "
            f"`{check_command(card)}` on this computer measures whether {REDUCED} gives the same answers.",
            to_tell=True,
        )
    if not check.passed:
        return SettledPrecision(FULL, f"{name} answers in {FULL}: in {way}, {check.words()}.", to_tell=True)
    return SettledPrecision(REDUCED, f"{name} was checked in {way}: {check.words()}.")


def check_command(card: ModelCard) -> str:
    """What measures a version on the computer it is typed on."""
    number = f" {card.version}" if card.version else ""
    return f"vpt versions check-precision {card.task}_{card.model}{number}"


def _or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else float(value)
