"""The precision gate: a version answers in reduced precision only where its own studies were measured so.

bfloat16 keeps 8 bits of a number. What that does to an answer depends on the weights, so it is measured for
every version, on the studies it was validated on, and for every way of computing by itself: another backend,
another version of it, or another processor rounds at other places. The card keeps what was found, and
``settle_precision`` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import torch

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.device import PRECISIONS, has_native_bfloat16
from vpt_plugin.models.precision_record import ComputedWith, PrecisionCheck

if TYPE_CHECKING:
    from vpt_plugin.models.card import ModelCard

FULL, REDUCED = "float32", "bfloat16"


def way_of_computing(backend: str, device: torch.device | str, precision: str = REDUCED) -> str:
    """What a check is of, as the card calls it: ``torch bfloat16 on cpu``."""
    return f"{backend} {precision} on {torch.device(device).type}"


def computed_with(backend: str, device: torch.device) -> ComputedWith:
    """The backend, in its version's first two numbers, and the processor that compute here."""
    try:
        first_two = ".".join(version(backend).split("+")[0].split(".")[:2])
    except PackageNotFoundError:
        first_two = "which is not installed"
    return ComputedWith(f"{backend} {first_two}", processor(device))


def processor(device: torch.device) -> str:
    """A GPU's name; of the CPU its instructions, since all that have the same round alike."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    there = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    # Where there are both, AMX is taken.
    reduced = next((name for name in ("amx_bf16", "avx512_bf16") if there.get(name, False)), "")
    return f"{torch.backends.cpu.get_cpu_capability()} {reduced}".rstrip()


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
    why_not = "" if check is None else _says_nothing(card, check, computed_with(backend, device))
    if check is None or why_not:
        return SettledPrecision(
            FULL,
            f"{name} was not checked in {way}{why_not}, so it answers in {FULL}, which is slower. "
            f"`{check_command(card)}` on this computer measures whether {REDUCED} gives the same answers.",
            to_tell=True,
        )
    if not check.passed:
        return SettledPrecision(FULL, f"{name} answers in {FULL}: in {way}, {check.words()}.", to_tell=True)
    return SettledPrecision(REDUCED, f"{name} was checked in {way}: {check.words()}.")


def _says_nothing(card: ModelCard, check: PrecisionCheck, here: ComputedWith) -> str:
    """Why a check says nothing of what would be computed; empty where it does."""
    if check.temperature != card.temperature:
        return " since it was calibrated anew"
    if check.computed_with != here:
        return f" with {here.words()}, only with {check.computed_with.words()}"
    return ""


def check_command(card: ModelCard) -> str:
    """What measures a version on the computer it is typed on."""
    number = f" {card.version}" if card.version else ""
    return f"vpt versions check-precision {card.task}_{card.model}{number}"
