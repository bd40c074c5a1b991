"""How well two readers agree on the same studies: Cohen's kappa and what is needed to understand it.

Kappa is the agreement beyond what two readers would reach who call as often as these and look at nothing: 1
is perfect, 0 is no better than that. Two readings of one study come about by ``double_read``, where the
second reader is not shown what the first one said; a label that corrects another one is no independent
reading.

Where a finding is rare, kappa can be low though the readers almost always agree, for two of them who say
absent nearly always agree by chance nearly always. So the agreement on present and on absent studies stands
beside it.

Sources: Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 1960;
Feinstein & Cicchetti, High agreement but low kappa I, Journal of Clinical Epidemiology 1990, and II, there,
on agreement by state.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vpt_plugin.active.offers import SECOND
from vpt_plugin.active.second_reading import name_key
from vpt_plugin.labels import STATES, StudyLabel
from vpt_plugin.models.card import Estimate
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.readings import Reading, double_read
from vpt_plugin.store.worklist_history import LABELLED, Outcome, WorklistHistory

SCHEMA = "vptct.agreement/1"
RESAMPLES = 2000
_PERCENTILES = (2.5, 97.5)
# Kappas that are equal may differ in their last bits.
_NO_WIDTH = 1e-12
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How two readers agree on one finding.

    Attributes:
        finding: its name.
        readers: the two, in the order of the table; ``("", "")`` for the first reader of every study against
            the second one, whoever they were.
        table: (3, 3), studies by what the first of them said (rows) and the second (columns), in the order of
            ``vpt_plugin.labels.STATES``.
        kappa: over all three states, indeterminate being one of its own, with a bootstrap interval over
            studies; nan without studies, and where both say one and the same of all.
    """

    finding: str
    readers: tuple[str, str]
    table: tuple[tuple[int, ...], ...]
    kappa: Estimate

    @property
    def studies(self) -> int:
        """How many both have read."""
        return int(np.sum(self.table))

    @property
    def observed(self) -> float:
        """The share of studies of which both say the same; nan without studies."""
        return int(np.trace(self.table)) / self.studies if self.studies else float("nan")

    def on(self, state: str) -> float:
        """Of all the times that one of the two says this state, how often the other says it, too; or nan."""
        table, at = np.array(self.table), STATES.index(state)
        said = int(table[at].sum() + table[:, at].sum())
        return 2 * int(table[at, at]) / said if said else float("nan")

    def to_json(self) -> dict[str, Any]:
        """For programs; what is undefined is null."""
        return {
            "finding": self.finding,
            "readers": list(self.readers) if any(self.readers) else None,
            "studies": self.studies,
            "kappa": self.kappa.to_json(),
            "observed": _or_null(self.observed),
            "agreement_on": {state: _or_null(self.on(state)) for state in STATES},
            "states": list(STATES),
            "table": [list(row) for row in self.table],
        }


@dataclass(frozen=True)
class ReaderAgreement:
    """How the readers of one task agree.

    Attributes:
        task: its name.
        studies: that at least two readers have read.
        ordered: of them were offered to the second reader as a second reading, without the first one's
            label. Of the others nobody knows what the second reader had seen.
        overall: per finding, the first reader of each study against the second one.
        pairs: per pair of readers who have a study in common, by name, and finding.
    """

    task: str
    studies: int
    ordered: int
    overall: tuple[Agreement, ...]
    pairs: tuple[Agreement, ...]

    def to_json(self) -> dict[str, Any]:
        """``vptct.agreement/1``."""
        return {
            "schema": SCHEMA,
            "task": self.task,
            "studies": self.studies,
            "ordered": self.ordered,
            "findings": {each.finding: each.to_json() for each in self.overall},
            "pairs": [each.to_json() for each in self.pairs],
        }


def read_agreement(
    task: str,
    findings: Sequence[str],
    labels: LabelFolder,
    history: WorklistHistory,
    *,
    only_ordered: bool = False,
    seed: int = 0,
) -> ReaderAgreement:
    """``reader_agreement`` of the labels of a folder.

    Args:
        task, findings, only_ordered, seed: as there.
        labels: what readers said.
        history: of the worklist, which knows the second readings that were ordered.
    """
    read = double_read(labels, task)
    offers: dict[str, list[Outcome]] = {}
    for each in history.outcomes(task):
        if each.offer.reading == SECOND:
            offers.setdefault(each.offer.study, []).append(each)
    ordered = {
        (study, reading.annotator)
        for study, found in read.items()
        for reading in _ordered(found[1:], offers.get(study, ()))
    }
    return reader_agreement(task, findings, read, ordered, only_ordered=only_ordered, seed=seed)


def _ordered(later: Sequence[Reading], offers: Sequence[Outcome]) -> list[Reading]:
    """The readings of a study, all but the first, that were offered as second ones.

    By the reader's name where a label bears it. An offer that ended with a label of another name is that of
    the earliest reading that is left: without a login a label may bear any name.
    """
    asked = {name_key(each.offer.reader) for each in offers}
    found = [reading for reading in later if name_key(reading.annotator) in asked]
    named = {name_key(reading.annotator) for reading in found}
    ended = {name_key(each.offer.reader) for each in offers if each.how == LABELLED}
    left = [reading for reading in later if reading not in found]
    return found + left[: len(ended - named)]


def reader_agreement(
    task: str,
    findings: Sequence[str],
    read: Mapping[str, Sequence[Reading]],
    ordered: Collection[tuple[str, str]] = frozenset(),
    *,
    only_ordered: bool = False,
    seed: int = 0,
) -> ReaderAgreement:
    """The agreement of readers on the studies that at least two of them have read.

    Args:
        task: its name.
        findings: of the task, in their order.
        read: by study, the first label of each of its readers, the earliest first.
        ordered: study and reader of every second reading that was offered as such.
        only_ordered: leave out what was read later without being ordered.
        seed: of the bootstrap.
    """
    if only_ordered:
        read = {
            study: [found[0], *(each for each in found[1:] if (study, each.annotator) in ordered)]
            for study, found in read.items()
        }
    twice = {study: found for study, found in read.items() if len(found) > 1}
    in_order = [(found[0].label, found[1].label) for found in twice.values()]
    return ReaderAgreement(
        task,
        len(twice),
        sum((study, found[1].annotator) in ordered for study, found in twice.items()),
        tuple(agreement(name, ("", ""), in_order, seed=seed) for name in findings),
        tuple(
            agreement(name, readers, labels, seed=seed)
            for readers, labels in sorted(_by_pair(twice.values()).items())
            for name in findings
        ),
    )


def _by_pair(read: Iterable[Sequence[Reading]]) -> dict[tuple[str, str], list[tuple[StudyLabel, StudyLabel]]]:
    """What two readers said of the studies that both have read, by their names."""
    pairs: dict[tuple[str, str], list[tuple[StudyLabel, StudyLabel]]] = {}
    for found in read:
        by_name = sorted(found, key=lambda each: each.annotator)
        for one, other in combinations(by_name, 2):
            pairs.setdefault((one.annotator, other.annotator), []).append((one.label, other.label))
    return pairs


def agreement(
    finding: str,
    readers: tuple[str, str],
    labels: Sequence[tuple[StudyLabel, StudyLabel]],
    *,
    seed: int = 0,
) -> Agreement:
    """How two readers agree on one finding; studies of which one of them said nothing do not count.

    Args:
        finding: its name.
        readers: their names, or two empty ones.
        labels: what the first and what the second said, per study.
        seed: of the bootstrap.
    """
    table = np.zeros((len(STATES), len(STATES)), dtype=np.int64)
    for first, second in labels:
        if finding in first.findings and finding in second.findings:
            states = (each.findings[finding].state for each in (first, second))
            row, column = map(STATES.index, states)
            table[row, column] += 1
    return Agreement(
        finding, readers, tuple(tuple(map(int, row)) for row in table), kappa_estimate(table, seed=seed)
    )


def kappa_estimate(table: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Kappa with its 95 % interval, by the percentile bootstrap over studies.

    The interval is nan where it would have no width: that no resample differs, as with readers who agree on
    all of ten studies, does not mean that others would not.

    Args:
        table: (states, states), studies by what the one and the other said.
        resamples: how often as many studies are drawn as there are.
        seed: of the draws.
    """
    counts = np.asarray(table, dtype=np.int64)
    studies, undefined = int(counts.sum()), (float("nan"), float("nan"))
    value = float(kappas(counts[None])[0])
    if np.isnan(value) or studies < 2:
        return Estimate(value, undefined, studies)
    # To draw studies is to draw cells of the table, each as often as it has studies.
    drawn = np.random.default_rng(seed).multinomial(studies, counts.ravel() / studies, size=resamples)
    found = kappas(drawn.reshape(resamples, *counts.shape))
    low, high = np.nanpercentile(found, _PERCENTILES) if not np.isnan(found).all() else undefined
    return Estimate(value, (float(low), float(high)) if high - low > _NO_WIDTH else undefined, studies)


def kappas(tables: Counts) -> Floats:
    """Cohen's kappa of many tables, (tables,); nan where chance alone explains full agreement, or nothing.

    Args:
        tables: (tables, states, states).
    """
    studies = tables.sum(axis=(1, 2)).astype(np.float64)
    agreed = np.trace(tables, axis1=1, axis2=2)
    expected = np.einsum("ti,ti->t", tables.sum(axis=1), tables.sum(axis=2)) / np.maximum(studies, 1)
    beyond = studies - expected
    return np.divide(agreed - expected, beyond, out=np.full(len(tables), np.nan), where=beyond > _NO_WIDTH)


def _or_null(value: float) -> float | None:
    return None if np.isnan(value) else value
