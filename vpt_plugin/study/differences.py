"""The differences that the experiment is about, each with a paired interval and in words.

A difference of two rows of one table is paired: both were computed in the same resamples of the test
patients, and a patient who is hard is hard for both. The mean over networks is taken within each resample.
Published rows have no resamples, so the interval of a difference of theirs is not known: it cannot be had of
the two intervals, because they say nothing of what the two networks got wrong together.

What such an interval covers is the chance of the test patients alone. That another training, of another seed,
gives another network comes on top; the seeds of a row show how much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from vpt_plugin.models.card import Estimate
from vpt_plugin.study.cells import ARMS
from vpt_plugin.study.means import note_of_mean, resampled_mean
from vpt_plugin.study.rows import Kind, Source, TableRow
from vpt_plugin.words import number_in_words

# Arms that are compared within a network: claim -> the arm that is asked to be better, and the other.
_ARMS_OF: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "video_gain": ("video", "none"),
        "gain_over_ct": ("video", "ct"),
        "ct_after_video": ("video+ct", "video"),
        "both_over_ct": ("video+ct", "ct"),
        "ct_gain": ("ct", "none"),
    }
)
_BEST = "best_3d_over_best_2d"
CLAIMS = (*_ARMS_OF, _BEST)
"""What is compared; "video" means images where a network is 2D."""
_KINDS: tuple[Kind, ...] = ("3d", "2d")


@dataclass(frozen=True)
class Difference:
    """How far one result is ahead of another.

    Attributes:
        claim: of ``CLAIMS``.
        dataset, finding, percent, source: as of the rows.
        kind: of the networks; "" where the best of both kinds are compared.
        networks: that it is over: one; several for their mean; the 3D and the 2D one for the best of each.
        titles: of these networks, for people.
        arms: of what is asked to be better, and of the other.
        better, worse: the AUROC of what is asked to be better, whatever came out, and of the other.
        gain: of the first over the second, below 0 where it is the other way round.
        share: of the resamples, those whose gain is above 0; nan where there are none.
        patients: of the test side, that were resampled; 0 where that is not known.
        seeds: the fewest that a result is the mean of.
        note: what a reader must know; "" where there is nothing.
    """

    claim: str
    dataset: str
    finding: str
    percent: float
    source: Source
    kind: Kind | Literal[""]
    networks: tuple[str, ...]
    titles: tuple[str, ...]
    arms: tuple[str, str]
    better: Estimate
    worse: Estimate
    gain: Estimate
    share: float
    patients: int
    seeds: int
    note: str = ""

    @property
    def is_mean(self) -> bool:
        """Whether it is of a mean over networks."""
        return self.claim != _BEST and len(self.networks) > 1


def differences_of(rows: Iterable[TableRow]) -> tuple[Difference, ...]:
    """All differences of a table, claim after claim.

    Args:
        rows: of one table, or of ours and the published one: only rows of one source are compared.
    """
    rows = tuple(rows)
    of_claims = [_of_claim(rows, claim) for claim in _ARMS_OF]
    return (*(each for claim in of_claims for each in claim), *best_3d_over_best_2d(rows))


def video_gain(rows: Iterable[TableRow]) -> tuple[Difference, ...]:
    """Video (2D: image) pretraining over none: of every network, then the mean over those of its kind."""
    return _of_claim(rows, "video_gain")


def gain_over_ct(rows: Iterable[TableRow]) -> tuple[Difference, ...]:
    """Video (2D: image) over CT pretraining: of every network, then the mean over those of its kind."""
    return _of_claim(rows, "gain_over_ct")


def best_3d_over_best_2d(rows: Iterable[TableRow]) -> tuple[Difference, ...]:
    """The best 3D network over the best 2D one of every arm; which are the best is said by ``best_row``."""
    found = []
    for there in _places(rows).values():
        for arm in ARMS:
            of_arm = [row for row in there if row.arm == arm]
            best = [best_row([row for row in of_arm if row.kind == kind]) for kind in _KINDS]
            if best[0] is not None and best[1] is not None:
                note = "; ".join(filter(None, [_how_chosen(of_arm), *map(_note_of, best)]))
                found.append(_difference(_BEST, "", [best[0]], [best[1]], note))
    return tuple(found)


def best_row(rows: Sequence[TableRow]) -> TableRow | None:
    """The row of the best network; None where no AUROC is known.

    The best on the validation side, where its AUROC is known for all of them: a choice by the test figures
    would flatter what it chooses. Published rows have no such figure, so there the table itself decides.
    """
    known = [row for row in rows if not math.isnan(row.auroc.value)]
    if not known:
        return None
    if any(math.isnan(row.validation) for row in known):
        return max(known, key=lambda row: row.auroc.value)
    return max(known, key=lambda row: row.validation)


def _places(rows: Iterable[TableRow]) -> dict[tuple[str, str, str, float], list[TableRow]]:
    """Rows that may be compared: of one source, dataset, finding and percent."""
    found: dict[tuple[str, str, str, float], list[TableRow]] = {}
    for row in rows:
        found.setdefault((row.source, row.dataset, row.finding, row.percent), []).append(row)
    return found


def _of_claim(rows: Iterable[TableRow], claim: str) -> tuple[Difference, ...]:
    found: list[Difference] = []
    for there in _places(rows).values():
        for kind in _KINDS:
            by_cell = {(row.network, row.arm): row for row in there if row.kind == kind}
            pairs = [
                pair
                for network in dict.fromkeys(network for network, _ in by_cell)
                if (pair := _pair(by_cell, network, *_ARMS_OF[claim])) is not None
            ]
            found += [_of_network(claim, *pair) for pair in pairs]
            known = [pair for pair in pairs if not any(math.isnan(row.auroc.value) for row in pair)]
            if len(known) > 1:
                found.append(_of_mean(claim, known, [pair[0] for pair in pairs if pair not in known]))
    return tuple(found)


def _pair(
    by_cell: Mapping[tuple[str, str], TableRow], network: str, better: str, worse: str
) -> tuple[TableRow, TableRow] | None:
    """Both rows of a network; None where one of them is not in the table at all."""
    first, second = by_cell.get((network, better)), by_cell.get((network, worse))
    return (first, second) if first is not None and second is not None else None


def _of_network(claim: str, better: TableRow, worse: TableRow) -> Difference:
    notes = [f"{ARMS[row.arm]}: {row.note}" for row in (better, worse) if row.note]
    return _difference(claim, better.kind, [better], [worse], "; ".join(notes))


def _of_mean(
    claim: str, pairs: Sequence[tuple[TableRow, TableRow]], without: Sequence[TableRow]
) -> Difference:
    """The mean over the networks of which both results are known."""
    better, worse = ([pair[side] for pair in pairs] for side in (0, 1))
    return _difference(claim, better[0].kind, better, worse, note_of_mean([*better, *worse], without))


def _difference(
    claim: str,
    kind: Kind | Literal[""],
    better: Sequence[TableRow],
    worse: Sequence[TableRow],
    note: str,
) -> Difference:
    """The mean of some rows over the mean of others, of the same number."""
    paired = all(row.resampled is not None for row in (*better, *worse))
    first, second = (resampled_mean(rows, paired=paired) for rows in (better, worse))
    gain = first.minus(second)
    one, other = better[0], worse[0]
    named = [one, other] if claim == _BEST else better
    return Difference(
        claim=claim, dataset=one.dataset, finding=one.finding, percent=one.percent, source=one.source,
        kind=kind,
        networks=tuple(row.network for row in named),
        titles=tuple(row.title for row in named),
        arms=(one.arm, other.arm),
        better=one.auroc if len(better) == 1 else first.estimate(),
        worse=other.auroc if len(worse) == 1 else second.estimate(),
        gain=gain.estimate(),
        share=gain.share_above(),
        patients=gain.patients,
        seeds=min(row.seeds for row in (*better, *worse)),
        note=note,
    )  # fmt: skip


def _how_chosen(rows: Sequence[TableRow]) -> str:
    """By what the best were chosen, and what is wrong with that; "" where there was nothing to choose."""
    known = [row for row in rows if not math.isnan(row.auroc.value)]
    of_kind = {kind: sum(row.kind == kind for row in known) for kind in _KINDS}
    few, many = sorted(_KINDS, key=of_kind.__getitem__)
    if of_kind[many] == 1:
        return ""
    if not any(math.isnan(row.validation) for row in known):
        return "each is the best on the validation side"
    flatters = "each is the best on the test side itself, which flatters both"
    if of_kind[few] == of_kind[many]:
        return flatters
    large, small = (f"{number_in_words(of_kind[kind])} {kind.upper()}" for kind in (many, few))
    networks = "network" if of_kind[few] == 1 else "networks"
    return f"{flatters}, the best of {large} networks more than that of {small} {networks}"


def _note_of(row: TableRow | None) -> str:
    return f"{row.title}: {row.note}" if row is not None and row.note else ""
