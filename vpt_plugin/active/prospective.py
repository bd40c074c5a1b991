"""What the random picks say: how frequent a finding is among all studies, and how good the served model is.

Studies that a strategy chose are no fair sample: they were chosen for being rare or hard. Nor are the random
picks alone, where many studies were labelled before: what was left to pick from is what no strategy wanted.
But ``random`` goes through the studies in a fixed order that knows nothing of them, so the beginning of this
order is a fair sample of all studies, however each of them came by its label. It is cut off before the last
random pick. Where strategies have labelled all that is present, each pick by chance is of an absent study, so
a sample that ended with one would have one absent study too many: this is inverse sampling, whose estimate
without bias leaves out the study that ended it.

The model's answers are those that it gave when a study was offered, before anybody had labelled it, so no
version learned from a study that it is judged by. They may be of several versions, one after the other. A
study of the cold start has none; where those are more than a few, the AUROC is that of the studies which were
labelled later, and is said to be.

Each study counts as one of its own. Where patients have several, the intervals are too narrow.

Sources: Cochran, Sampling Techniques, 3rd edition 1977, on simple random samples; Haldane, On a method of
estimating frequencies, Biometrika 1945, on inverse sampling; Wilson, Probable inference, the law of
succession, and statistical inference, JASA 1927.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vpt_plugin.acquisition.strategies import random_order
from vpt_plugin.active.offered import OfferedStudy, offered_studies
from vpt_plugin.models.card import Estimate
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.worklist_history import WorklistHistory
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.calibration import wilson_interval
from vpt_plugin.training.metrics import bootstrap_auroc

# So much of the beginning of the random order must be labelled, and so many of these studies must have been
# answered before, lest nothing be concluded: what is missing may differ from the rest.
COVERED = 0.9
# Of the studies that the order waits for so many are named.
_NAMED = 5


@dataclass(frozen=True)
class ProspectiveFinding:
    """One finding in the fair sample.

    Attributes:
        finding: its name.
        present: studies of the sample that have it.
        prevalence: its share, with Wilson's interval, of those with a known state; nan without any.
        auroc: of the answers that were given before the labels, with a bootstrap interval over studies.
        unanswered: studies with a known state that had a label before any version had answered.
        versions: that gave those answers, as ``tiny version 3``.
        what_follows: in a sentence or two.
    """

    finding: str
    present: int
    prevalence: Estimate
    auroc: Estimate
    unanswered: int
    versions: tuple[str, ...]
    what_follows: str

    def to_json(self) -> dict[str, Any]:
        """For programs; what is undefined is null."""
        return {
            "present": self.present,
            "prevalence": self.prevalence.to_json(),
            "auroc": self.auroc.to_json(),
            "unanswered": self.unanswered,
            "versions": list(self.versions),
            "what_follows": self.what_follows,
        }


@dataclass(frozen=True)
class Prospective:
    """What a fair sample of all studies says.

    Attributes:
        sample: studies in it.
        missing: of the beginning of the random order, studies without a label: skipped, in somebody's hands,
            or new. Were they unlike the others, the sample would not be fair. Without a sample, those that
            the order waits for.
        random_picks: that were offered, all in all.
        findings: by name.
    """

    sample: int
    missing: int
    random_picks: int
    findings: Mapping[str, ProspectiveFinding]

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "sample": self.sample,
            "missing": self.missing,
            "random_picks": self.random_picks,
            "findings": {name: each.to_json() for name, each in self.findings.items()},
        }


def fair_sample(
    order: Sequence[str], random_picks: Collection[str], labelled: Collection[str]
) -> tuple[list[str], int]:
    """The labelled studies of the beginning of the random order, and how many there have no label.

    It ends before a random pick, the last one up to which nearly all studies are labelled (``COVERED``).
    Where a reader asked for random studies of a few days only, their picks lie far down the order, with
    others before them that nobody picked; those do not count.

    Args:
        order: all studies, in the order in which ``random`` goes through them.
        random_picks: those that were offered by ``random``.
        labelled: those with a label.
    """
    has_label = np.array([study in labelled for study in order], dtype=bool)
    covered = np.cumsum(has_label) / np.arange(1, len(order) + 1)
    ends = [at for at, study in enumerate(order) if study in random_picks and covered[at] >= COVERED]
    end = ends[-1] if ends else 0
    found = [study for study, there in zip(order[:end], has_label[:end], strict=True) if there]
    return found, end - len(found)


def waited_for(order: Sequence[str], random_picks: Collection[str], labelled: Collection[str]) -> list[str]:
    """Where there is no fair sample: the studies whose labels would make one, in the random order.

    Those without a label up to the first labelled random pick that can end a sample, or where there is none,
    the last pick.

    Args:
        order, random_picks, labelled: as of ``fair_sample``.
    """
    picks = [at for at, study in enumerate(order) if study in random_picks]
    ends = [at for at in picks if at and order[at] in labelled][:1] or picks[-1:]
    return [study for end in ends for study in order[: end + 1] if study not in labelled]


def prospective(
    findings: Sequence[str],
    order: Sequence[str],
    random_picks: Collection[str],
    labelled: Mapping[str, OfferedStudy],
    *,
    seed: int = 0,
) -> Prospective:
    """What the beginning of the random order says of each finding.

    Args:
        findings: of the task, in their order.
        order: all studies, in the order in which ``random`` goes through them.
        random_picks: studies that were offered by ``random``.
        labelled: all labelled studies by id, however they were chosen.
        seed: of the bootstrap.
    """
    names, missing = fair_sample(order, random_picks, labelled)
    sample = [labelled[name] for name in names]
    found = {finding: _finding(finding, sample, seed) for finding in findings}
    if labelled and not sample:
        waited = waited_for(order, random_picks, labelled)
        missing = len(waited)
        found = {
            name: replace(each, what_follows=_what_is_waited_for(name, labelled, waited))
            for name, each in found.items()
        }
    return Prospective(len(sample), missing, len(random_picks), found)


def read_prospective(
    task: ReadingTask,
    studies: Sequence[str],
    labels: LabelFolder,
    history: WorklistHistory,
    *,
    seed: int,
) -> Prospective:
    """``prospective`` of the labels of a folder.

    Args:
        task: that was labelled for.
        studies: all that are there.
        labels: what readers said.
        history: of the worklist.
        seed: of the random order: that of ``ActiveSettings``.
    """
    labelled = offered_studies(task.name, task.findings, labels.newest(), history)
    return prospective(
        task.findings,
        [studies[row] for row in random_order(studies, seed)],
        {each.offer.study for each in history.random_picks(task.name)},
        labelled,
        seed=seed,
    )


def _finding(finding: str, sample: Sequence[OfferedStudy], seed: int) -> ProspectiveFinding:
    known = [each for each in sample if finding in each.states]
    answered = [each for each in known if finding in each.probabilities]
    present, studies = sum(each.states[finding] == 1 for each in known), len(known)
    share = present / studies if studies else float("nan")
    prevalence = Estimate(share, wilson_interval(present, studies), studies)
    auroc = bootstrap_auroc(
        [each.states[finding] for each in answered],
        [each.probabilities[finding] for each in answered],
        [each.study for each in answered],
        seed=seed,
    )
    versions = tuple(sorted({f"{each.model} version {each.version}" for each in answered}))
    unanswered = studies - len(answered)
    follows = _what_follows(finding, present, prevalence) + _on_the_model(prevalence.n, auroc, unanswered)
    return ProspectiveFinding(finding, present, prevalence, auroc, unanswered, versions, follows)


def _what_follows(finding: str, present: int, prevalence: Estimate) -> str:
    """What a reader should make of the prevalence."""
    if not prevalence.n:
        return f"Nothing yet: no study of the random order has a label on {finding}."
    low, high = (100 * end for end in prevalence.ci95)
    told = (
        f"{finding} is present in {present} of {prevalence.n} studies of the random order: between {low:.1f} "
        f"and {high:.1f} % of all studies (95 % interval)."
    )
    if present:
        told += f" One more such study by chance takes about {prevalence.n / present:.0f} labels."
    return told


def _what_is_waited_for(finding: str, labelled: Mapping[str, OfferedStudy], waited: Sequence[str]) -> str:
    """Why nothing follows though studies are labelled."""
    known = sum(finding in each.states for each in labelled.values())
    told = f"Nothing yet: {known} {'study has' if known == 1 else 'studies have'} a label on {finding}, but "
    if not waited:
        return f"{told}too few were offered by chance: the sample ends before the last one that was."
    more = len(waited) - _NAMED
    names = ", ".join(waited[:_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{told}the beginning of the random order is not labelled: it waits for {names}."


def _on_the_model(studies: int, auroc: Estimate, unanswered: int) -> str:
    """What a reader should make of the AUROC; a text to add."""
    if not studies:
        return ""
    told = ""
    if unanswered:
        told = f" {unanswered} of them had a label before any version had answered, as in the cold start."
    if np.isnan(auroc.value):
        return f"{told} How good the model is cannot be said from these."
    of = f"The AUROC of {auroc.n} answers given before the label"
    if np.isnan(auroc.ci95[0]):
        return f"{told} {of} is too few studies' to count."
    low, high = auroc.ci95
    if auroc.n < COVERED * studies:
        return (
            f"{told} {of} lies between {low:.2f} and {high:.2f}; it is of those labelled later, not of all."
        )
    return f"{told} {of} lies between {low:.2f} and {high:.2f}; a validation figure above that flatters."
