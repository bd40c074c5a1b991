"""A row of the experiment's table, of ours and of the published one alike, and the words of its arms."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from vpt_plugin.models.card import Estimate
from vpt_plugin.training.metrics.bootstrap import Resampled

Kind: TypeAlias = Literal["2d", "3d"]
Source: TypeAlias = Literal["published", "ours"]

DATASET_TITLES: Mapping[str, str] = MappingProxyType({"rsna": "RSNA-PE", "lidc": "LIDC-IDRI"})
# What a 3D network's arms are called within a sentence, and a 2D one's.
_OF_KIND = {
    "3d": {"none": "no pretraining", "video": "video pretraining", "ct": "CT pretraining",
           "video+ct": "video then CT pretraining"},
    "2d": {"none": "no pretraining", "video": "image pretraining", "ct": "CT pretraining",
           "video+ct": "image then CT pretraining"},
}  # fmt: skip


@dataclass(frozen=True)
class TableRow:
    """The AUROC of one network, arm, dataset and share of the training side, over the seeds.

    Attributes:
        network: our name.
        title: for people.
        kind: ``2d`` or ``3d``.
        arm: ``none``, ``video``, ``ct`` or ``video+ct``.
        dataset: ``rsna``, ``lidc`` or a site's own.
        percent: of the training side that was used.
        auroc: mean over seeds and findings, on the test side, with its 95 % interval; nan where it is
            undefined or no seed was finished.
        seeds: that the mean is over; 0 where none was finished.
        source: whose row it is.
        finding: whose AUROC it is; "" for the mean over all of them.
        of_seeds: the AUROC of each seed; empty where it is not known.
        failed: seeds that did not come to an end.
        collapsed: of ``seeds``, those whose network gives all studies one answer.
        validation: the mean AUROC on the validation side, by which the best network is chosen; nan where it
            is not known.
        note: what a reader must know of the row; "" where there is nothing.
        resampled: the AUROC in every resample of the test patients, the same patients in all rows of one
            dataset; None where only the figures are known.
    """

    network: str
    title: str
    kind: Kind
    arm: str
    dataset: str
    percent: float
    auroc: Estimate
    seeds: int
    source: Source
    finding: str = ""
    of_seeds: tuple[float, ...] = ()
    failed: int = 0
    collapsed: int = 0
    validation: float = math.nan
    note: str = ""
    resampled: Resampled | None = field(default=None, repr=False, compare=False)

    @property
    def cell(self) -> tuple[str, str, float, str, str]:
        """What the row is of: dataset, finding, percent, network and arm."""
        return (self.dataset, self.finding, self.percent, self.network, self.arm)


def arm_of_kind(arm: str, kind: Kind) -> str:
    """``video pretraining`` of a 3D network, ``image pretraining`` of a 2D one."""
    return _OF_KIND[kind][arm]


def dataset_in_words(name: str) -> str:
    """``RSNA-PE`` of ``rsna``; a site's own set is called as the plan calls it."""
    return DATASET_TITLES.get(name, name)


def percent_in_words(percent: float) -> str:
    """``10 %``."""
    return f"{percent:g} %"


def in_figures(estimate: Estimate, sign: str = "") -> str:
    """``0.902 [0.869, 0.931]``; what is undefined is n/a."""
    if math.isnan(estimate.value):
        return "n/a"
    low, high = estimate.ci95
    interval = "[n/a]" if math.isnan(low) else f"[{low:{sign}.3f}, {high:{sign}.3f}]"
    return f"{estimate.value:{sign}.3f} {interval}"
