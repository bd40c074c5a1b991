"""Estimate: a figure with its interval, as the server gives every figure that was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .fields import Fields


@dataclass(frozen=True)
class Estimate:
    """A figure.

    Attributes:
        value: None where it is undefined, such as an AUROC without a positive study.
        ci95: the 95 % interval (low, high); None where there is none.
        n: studies it was measured on.
    """

    value: float | None
    ci95: tuple[float, float] | None
    n: int

    def __str__(self) -> str:
        """As a reader reads it: ``0.88 (0.81 to 0.94, n = 60)``; ``n/a`` where undefined."""
        if self.value is None:
            return "n/a"
        if self.ci95 is None:
            return f"{self.value:.2f} (n = {self.n})"
        return f"{self.value:.2f} ({self.ci95[0]:.2f} to {self.ci95[1]:.2f}, n = {self.n})"


def read_estimate(fields: Fields) -> Estimate:
    """The estimate in an answer."""
    return Estimate(
        value=fields.maybe(fields.number, "value"),
        ci95=fields.interval("ci95"),
        n=fields.whole("n"),
    )


def read_estimates(fields: Fields, name: str) -> Mapping[str, Estimate] | None:
    """An estimate per finding, under a key that may be missing or null; then None."""
    return fields.named(name, read_estimate) if fields.data.get(name) is not None else None
