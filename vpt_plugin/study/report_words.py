"""What an experiment found, in words: the answer, what to beware of, and a paragraph of methods."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vpt_plugin.study.cells import ARMS, rate_in_words
from vpt_plugin.study.differences import Difference
from vpt_plugin.study.report_facts import StudyFacts
from vpt_plugin.study.rows import dataset_in_words
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.metrics.bootstrap import RESAMPLES
from vpt_plugin.words import count_in_words, in_a_sentence, studies_in_words

# Below this an interval of an AUROC is wider than most differences between networks.
FEW_TEST_STUDIES = 100
# Of gains without an interval: both AUROCs so near to 0.5 say nothing, and less than this is hardly a gain.
NEAR_CHANCE, HARDLY = 0.05, 0.02
_CLAIMS = ("video_gain", "ct_gain")


def verdict(difference: Difference) -> str:
    """Yes, no, or why neither can be said, of the question whether a pretraining helps."""
    low, high = difference.gain.ci95
    if math.isnan(difference.gain.value):
        return "Not known"
    if math.isnan(low):
        return _without_interval(difference)
    if low > 0:
        return "Yes"
    return "No, it harms" if high < 0 else "It may be chance"


def _without_interval(difference: Difference) -> str:
    """Higher or lower, where that can be said of two figures alone."""
    both = difference.better.value, difference.worse.value
    if all(abs(auroc - 0.5) < NEAR_CHANCE for auroc in both):
        return "No verdict, both are near chance"
    gain = difference.gain.value
    if round(gain, 3) == 0:
        return "The same"
    said = "higher" if gain > 0 else "lower"
    return f"Hardly {said}" if abs(gain) < HARDLY else said.capitalize()


def answers(differences: Sequence[Difference]) -> list[Difference]:
    """The differences that answer the question, of every kind of network and part of the experiment.

    The mean over the networks; where there is none, as of one network or while others are still to be
    trained, those of single networks that are known.
    """
    claim = next((claim for claim in _CLAIMS if any(each.claim == claim for each in differences)), "")
    parts: dict[tuple[str, str, float], list[Difference]] = {}
    for each in differences:
        if each.claim == claim and not math.isnan(each.gain.value):
            parts.setdefault((each.kind, each.dataset, each.percent), []).append(each)
    return [each for there in parts.values() for each in ([mean for mean in there if mean.is_mean] or there)]


def warnings_of(facts: StudyFacts) -> list[str]:
    """What a reader must know before the figures."""
    return [*_of_data(facts), *_of_cells(facts), *_of_seeds(facts)]


def _of_data(facts: StudyFacts) -> list[str]:
    said = []
    if facts.of_phantoms:
        said.append(
            "These are phantoms. Nothing here says anything about networks on patients, or about patients."
        )
    few = {row.dataset: row.auroc.n for row in facts.rows if 0 < row.auroc.n < FEW_TEST_STUDIES}
    said += [
        f"{dataset_in_words(name)}: the test side has only {studies_in_words(number)}. An AUROC of so few is "
        "uncertain, as its interval shows."
        for name, number in few.items()
    ]
    return [*said, *_left_out(facts)]


def _left_out(facts: StudyFacts) -> list[str]:
    """Of every dataset the test studies that no answer could be had of; where cells differ, the most."""
    most: dict[str, dict[str, int]] = {}
    for each in facts.results.finals:
        of_dataset = most.setdefault(each.cell.dataset, {})
        for reason, number in each.left_out.items():
            of_dataset[reason] = max(number, of_dataset.get(reason, 0))
    return [
        f"{dataset_in_words(name)}: {studies_in_words(sum(reasons.values()))} of the test side left out: "
        f"{'; '.join(f'{reason} ({number:,})' for reason, number in reasons.items())}."
        for name, reasons in most.items()
        if any(reasons.values())
    ]


def _of_cells(facts: StudyFacts) -> list[str]:
    said, finals = [], facts.results.finals
    planned = [cell for cell in facts.results.planned if cell.stage == "final"]
    failed = [cell for cell in planned if cell.id in facts.results.failures]
    others = len(planned) - len(finals) - len(failed)
    if failed:
        said.append(
            f"{count_in_words(len(failed), 'training')} of {len(planned)} failed; their places in the "
            "table say n/a, and why is told below."
        )
    if others > 0:
        said.append(f"{count_in_words(others, 'training')} of {len(planned)} have not been run yet.")
    if collapsed := sum(each.collapsed for each in finals):
        said.append(
            f"{count_in_words(collapsed, 'training')} of {len(finals)} collapsed: the network gives all "
            "studies nearly the same answer. Such an AUROC, near 0.5, says that the training failed, not "
            "that the network cannot do it; it counts in the means all the same, as in the paper."
        )
    return said


def _of_seeds(facts: StudyFacts) -> list[str]:
    if facts.rows and max(row.seeds for row in facts.rows) == 1:
        return [
            "One seed: every network was trained once. The intervals know the chance of the test patients, "
            "not that another training gives another network."
        ]
    return []


def methods(facts: StudyFacts) -> str:
    """A paragraph that can stand in a paper, of what was run; empty where there is no plan."""
    if facts.plan is None or not facts.results.finals:
        return ""
    parts = (
        _methods_of_data(facts), _methods_of_networks(facts), _methods_of_training(facts),
        _methods_of_figures(facts),
    )  # fmt: skip
    return " ".join(part for part in parts if part)


def _methods_of_data(facts: StudyFacts) -> str:
    said = []
    for each in facts.datasets:
        name, task = each.dataset.name, each.task
        if task is None:
            continue
        kind = "phantoms" if each.phantoms or each.dataset.phantoms else "chest CT studies"
        sides = (
            ", ".join(f"{each.studies.get(side, 0):,} for {use}" for side, use in _USES.items())
            if each.studies
            else "sides as in its manifest"
        )
        window = task.hu_window
        plural, findings = "s" if len(task.findings) > 1 else "", _listed(map(in_a_sentence, task.findings))
        said.append(
            f"The set {name} ({kind}; {sides}; no patient is on two sides) was read for the finding{plural} "
            f"{findings} in the HU window from {window.low:g} to {window.high:g}, scaled to [0, 1]"
            + (f" less {task.offset:g}" if task.offset else "")
            + f"; the probability of a study is the {_AGGREGATIONS[task.aggregation]} of those of its clips."
        )
    return " ".join(said)


_USES = {"train": "training", "validation": "validation", "test": "testing"}
_AGGREGATIONS = {"max": "maximum", "mean": "mean", "top3_mean": "mean of the three highest"}


def _methods_of_networks(facts: StudyFacts) -> str:
    plan = facts.plan
    if plan is None:
        return ""
    networks = dict.fromkeys(each.cell.network for each in facts.results.finals)
    specs = [plan.spec(name) for name in networks]
    seen = [
        f"{spec.title} ({_input(spec.clip_slices)} {spec.crop_px} x {spec.crop_px} pixels)" for spec in specs
    ]
    arms = dict.fromkeys(each.cell.arm for each in facts.results.finals)
    started = "; ".join(_STARTS[arm] for arm in ARMS if arm in arms)
    ct = _methods_of_ct(facts) if {"ct", "video+ct"} & set(arms) else ""
    percents = sorted({each.cell.percent for each in facts.results.finals}, reverse=True)
    shares = _listed(f"{percent:g}" for percent in percents)
    return (
        f"We trained {_listed(seen)}, starting from {started}.{ct} They learned from {shares} % of the "
        f"studies of the training side{_NESTED if len(percents) > 1 else ''}."
    )


def _methods_of_ct(facts: StudyFacts) -> str:
    plan = facts.plan
    if plan is None or plan.ct is None:
        return ""
    done_on = f" CT pretraining was done on {plan.ct.name}"
    if len(plan.seeds) == 1:
        return f"{done_on}."
    return (
        f"{done_on}, once from each start of each network (seed {plan.seeds[0]}); the trainings of all seeds "
        "began from that one, so that their spread does not hold what another CT pretraining would change."
    )


_NESTED = "; smaller shares are parts of the larger ones, of whole patients, with all states in their share"
_STARTS = {
    "none": "random weights",
    "video": "published weights of video (3D networks) or image (2D networks) classification",
    "ct": "weights of a training on another CT set, which itself began from random ones",
    "video+ct": "weights of such a training that began from the published ones",
}


def _input(clip_slices: int) -> str:
    return "single slices of" if clip_slices == 1 else f"clips of {clip_slices} slices of"


def _methods_of_training(facts: StudyFacts) -> str:
    finals = facts.results.finals
    settings = [each.cell.training for each in finals]
    optimizer = _values(settings, "optimizer")
    searched = any(each.cell.search_cells for each in finals)
    tried = sorted({e.learning_rate for e in facts.results.cells if e.cell.stage == "search"}, reverse=True)
    rates = sorted({each.learning_rate for each in finals}, reverse=True)
    rate = (
        f"the learning rate was chosen from {_listed(map(rate_in_words, tried))} by the AUROC on the "
        f"validation side after training on {facts.plan.search_percent:g} % of the training side"
        if searched and facts.plan
        else f"the learning rate was {_listed(map(rate_in_words, rates))}"
    )
    steps = sorted({each.steps_per_epoch for each in finals})
    patience = _values(settings, "patience")
    return (
        f"Optimiser: {optimizer}, schedule {_values(settings, 'schedule')}, batches of "
        f"{_values(settings, 'batch')} clips; epochs of {_span(steps)} steps, "
        f"{_values(settings, 'epochs')} at most, stopped after {patience} epochs without a better "
        f"validation AUROC; {rate}. The epoch with the best validation AUROC was kept. "
        f"Augmentation: {_values(settings, 'augmentation')}."
    )


def _methods_of_figures(facts: StudyFacts) -> str:
    seeds = sorted({each.cell.seed for each in facts.results.finals})
    versions = _listed(dict.fromkeys(each.provenance.code_version for each in facts.results.finals))
    torch = _listed(dict.fromkeys(each.provenance.torch for each in facts.results.finals))
    devices = _listed(dict.fromkeys(each.provenance.device for each in facts.results.finals))
    over = f"the mean over {len(seeds)} seeds" if len(seeds) > 1 else "of one seed"
    finals = [cell for cell in facts.results.planned if cell.stage == "final"]
    collapsed = sum(each.collapsed for each in facts.results.finals)
    return (
        f"The AUROC is that of whole studies of the test side, {over}. Intervals (95 %) are percentiles of "
        f"{RESAMPLES:,} bootstrap resamples of the test patients, the same for all networks, so that "
        f"differences are paired. Of {len(finals)} trainings {len(facts.results.finals)} came to an end, "
        f"{collapsed or 'none'} of which collapsed. Software: VPTCT {versions}, PyTorch {torch}, on "
        f"{devices}."
    )


def _values(settings: Iterable[Mapping[str, Any]], name: str) -> str:
    usual = FinetuneConfig().to_dict()[name]
    return _listed(dict.fromkeys(str(each.get(name, usual)) for each in settings))


def _span(numbers: Sequence[int]) -> str:
    return f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"


def _listed(words: Iterable[str]) -> str:
    """``a, b and c``."""
    said = list(words)
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}" if said else ""
