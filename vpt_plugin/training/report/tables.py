"""The tables of a report and the sentences that belong to them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.models.card import Estimate
from vpt_plugin.training.comparison import Comparison
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.metrics import FIGURES
from vpt_plugin.training.metrics.bootstrap import RESAMPLES
from vpt_plugin.training.report.facts import ReportFacts
from vpt_plugin.training.report.markup import Markup, joined, table, tag
from vpt_plugin.training.report.words import (
    figure_in_words,
    finding_in_words,
    number_in_words,
)
from vpt_plugin.words import count_in_words, studies_in_words

_LEVELS = {"study": "whole studies", "clip": "clips"}


def comparison_table(comparison: Comparison) -> Markup:
    """Both versions on the same studies."""
    rows = [
        ("served before", figure_in_words(comparison.served)),
        ("this version", figure_in_words(comparison.candidate)),
        ("gain", figure_in_words(comparison.gain, sign="+")),
    ]
    title = FIGURES[comparison.figure].title
    return table((f"on the same {studies_in_words(comparison.gain.n)}", title), rows, class_="numbers")


def figures_table(facts: ReportFacts, finding: str) -> Markup:
    """Every figure of a finding, of whole studies and of clips."""
    found = {level: facts.card.metrics.get(level, {}).get(finding, {}) for level in _LEVELS}
    rows = [
        (_capital(figure.title), *(_cell(found[level].get(name), level) for level in _LEVELS))
        for name, figure in FIGURES.items()
    ]
    _, states, _ = facts.known(facts.card.findings.index(finding))
    caption = (
        f"Of {studies_in_words(len(states))}, {int(states.sum())} present and {int((states == 0).sum())} "
        "absent; with 95 % intervals over patients"
    )
    rule = f" (rule: {facts.card.threshold_rule})" if facts.card.threshold_rule else ""
    threshold = facts.card.threshold(finding)
    said = f"Present from a probability of {number_in_words(threshold)} on{rule}."
    if math.isnan(threshold):
        said = f"Threshold: n/a, there is nothing to choose it from{rule}."
    return joined(
        table(("", *_LEVELS.values()), rows, caption=caption, class_="numbers"),
        tag("p", f"{said} {facts.card.calibration}"),
        *(tag("p", each) for each in _without_errors(found["study"], states)),
    )


def _without_errors(figures: Mapping[str, Estimate], states: NDArray[np.float64]) -> list[str]:
    """What the bootstrap cannot say of a share of exactly 1 or 0: how far it may be from it all the same."""
    said = []
    for name, state, group, wrong in (
        ("sensitivity", 1, "present", "missed"),
        ("specificity", 0, "absent", "a false alarm"),
    ):
        estimate, number = figures.get(name), int((states == state).sum())
        if estimate is None or estimate.value not in (0.0, 1.0):
            continue
        # Clopper & Pearson, Biometrika 1934: what would give no other answer in 2.5 % of such sets.
        far = 0.025 ** (1 / number)
        low, high = (far, 1.0) if estimate.value else (0.0, 1 - far)
        studies = "study" if number == 1 else "studies"
        said.append(
            f"Of {number} {group} {studies} {'none' if estimate.value else 'each'} is {wrong}. Resampling "
            f"shows no spread there, but so many agree with a {name} from {low:.2f} to {high:.2f}."
        )
    return said


def how_to_read(facts: ReportFacts) -> Markup:
    """What these figures can say and what they cannot."""
    patients = len({study.patient for study in facts.studies})
    said = [
        f"The figures are of {studies_in_words(len(facts.studies))} of "
        f"{count_in_words(patients, 'patient')} that the answering network never saw. Intervals come from "
        f"{RESAMPLES:,} resamples of whole patients; they do not know what another scanner or another clinic "
        "would change. A figure that is the same in all resamples, such as one without a single error, has "
        "none (n/a): it may be chance.",
        "The best epoch, the temperature and the threshold were chosen on these same studies, so the figures "
        "flatter: a little with hundreds of studies, much with a dozen. How good it is on others, a locked "
        "test set says: vpt evaluate.",
        "Clips are called present from the same probability as studies. Only those of studies whose slices "
        "are marked, and of absent ones, count.",
        "Predictive values hold for the share of present studies here, which daily work rarely has.",
    ]
    if facts.folds:
        said.insert(1, _of_folds(facts))
    return tag("div", *(tag("p", each, class_="small") for each in said))


def _of_folds(facts: ReportFacts) -> str:
    best = [
        dict(zip(curve.epochs, curve.validation_auroc, strict=True)).get(curve.best_epoch, math.nan)
        for curve in facts.curves
    ]
    within = ", ".join(number_in_words(auroc) for auroc in best if not math.isnan(auroc))
    return (
        f"They are out of fold: {facts.folds} networks, each asked about the studies that it was not trained "
        "on. The version itself was then trained on all of them and could not be validated. Within the folds "
        f"the mean AUROC over the findings was {within or 'n/a'}; over all of them together it is often "
        "lower, since each network puts its probabilities at a height of its own."
    )


def data_tables(facts: ReportFacts) -> Markup:
    """How many studies were on which side, and what was left out."""
    counts = facts.card.counts
    rows: list[tuple[str, ...]] = []
    states = dict.fromkeys(
        state for found in _sides(counts).values() for by_state in found.values() for state in by_state
    )
    for side, found in _sides(counts).items():
        for finding, by_state in found.items():
            rows.append(
                (side, finding_in_words(finding), *(str(by_state.get(state, "n/a")) for state in states))
            )
    left_out = {str(reason): str(number) for reason, number in dict(counts.get("left_out", {})).items()}
    others = {
        key: str(value) for key, value in counts.items() if key != "left_out" and key not in _sides(counts)
    }
    parts = [
        tag("p", f"From {facts.source}. ") if facts.source else Markup(),
        table(("side", "finding", *states), rows, class_="numbers") if rows else Markup(),
        table(("", "number"), list(others.items()), class_="numbers") if others else Markup(),
        table(("left out, because", "studies"), list(left_out.items()), class_="numbers")
        if left_out
        else tag("p", "No study was left out."),
    ]
    if facts.notes:
        parts += [
            tag("h3", "What was said while the studies were prepared"),
            tag("ul", *(tag("li", n) for n in facts.notes)),
        ]
    return joined(*parts)


def settings_section(facts: ReportFacts) -> Markup:
    """The settings of the training: those that differ from VPTCT's own in a table, then all others."""
    settings, usual = _settings(facts), FinetuneConfig().to_dict()
    changed = [name for name, value in settings.items() if value != usual.get(name)]
    rows = [(name, _written(settings[name]), _written(usual.get(name))) for name in changed]
    others = ", ".join(f"{name} {_written(value)}" for name, value in settings.items() if name not in changed)
    more = dict(facts.facts)
    if (seconds := facts.card.training.get("seconds")) is not None:
        more["duration"] = f"{float(seconds):,.0f} s"
    return joined(
        table(("setting", "here", "by default"), rows) if rows else Markup(),
        tag("p", f"All others are as by default: {others}.") if others else Markup(),
        table(("", ""), list(more.items())) if more else Markup(),
    )


def repeat_section(facts: ReportFacts) -> Markup:
    """The command, and the fingerprints that say whether it was repeated."""
    card = facts.card
    hashes = {
        "studies and their sides": card.split_hash,
        "labels": card.labels_hash,
        "weights": card.weights_sha256,
    }
    rows = [(name, value) for name, value in hashes.items() if value]
    return joined(
        tag("p", "The same labels, settings, version of VPTCT and kind of processor give the same network:"),
        tag("pre", facts.command or _command(facts)),
        table(("SHA-256 of", ""), rows) if rows else Markup(),
        tag(
            "p",
            "These, and that of the weights, are in the version's card: vpt versions show.",
            class_="small",
        ),
    )


def _command(facts: ReportFacts) -> str:
    usual = FinetuneConfig().to_dict()
    changed = {
        name: value
        for name, value in _settings(facts).items()
        if value is not None and value != usual.get(name)
    }
    words = [
        "vpt",
        "finetune",
        facts.source or "SOURCE",
        "--task",
        facts.card.task,
        "--model",
        facts.card.model,
    ]
    words += [word for name, value in changed.items() for word in ("--set", f"{name}={_written(value)}")]
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def _settings(facts: ReportFacts) -> Mapping[str, Any]:
    return dict(facts.card.training.get("config", {}))


def _sides(counts: Mapping[str, Any]) -> dict[str, Mapping[str, Mapping[str, Any]]]:
    """The counts that are by finding and state."""
    return {
        key: value
        for key, value in counts.items()
        if isinstance(value, Mapping) and value and all(isinstance(each, Mapping) for each in value.values())
    }


def _cell(estimate: Estimate | None, level: str) -> str:
    if estimate is None:
        return "n/a"
    number = studies_in_words(estimate.n) if level == "study" else count_in_words(estimate.n, "clip")
    return f"{figure_in_words(estimate)} ({number})"


def _written(value: Any) -> str:
    if value is None or value == "":
        return "chosen by VPTCT" if value is None else "none given"
    return value if isinstance(value, str) else json.dumps(value)


def _capital(title: str) -> str:
    return title if title[:2].isupper() else title.capitalize()
