"""How an experiment came about, as tables: learning rates, failures, versions and hashes, hours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from vpt_plugin.models.catalog import get_model
from vpt_plugin.study.cell_records import CellResult
from vpt_plugin.study.cells import ARMS, rate_in_words
from vpt_plugin.study.report_facts import StudyFacts
from vpt_plugin.study.report_tables import number, scrolled
from vpt_plugin.study.rows import dataset_in_words
from vpt_plugin.training.report.markup import Markup, joined, table, tag


def rates_table(results: Sequence[CellResult]) -> Markup:
    """Which learning rates were tried, how good they were on the validation side, and which was taken."""
    chosen: dict[tuple[str, str, str], set[float]] = {}
    for each in results:
        if each.cell.stage == "final":
            place = each.cell.dataset, each.cell.network, each.cell.arm
            chosen.setdefault(place, set()).add(each.learning_rate)
    tried: dict[tuple[str, str, str], list[CellResult]] = {}
    for each in results:
        if each.cell.stage == "search":
            tried.setdefault((each.cell.dataset, each.cell.network, each.cell.arm), []).append(each)
    lines = [
        (get_model(network).title, ARMS[arm], dataset_in_words(dataset),
         ", ".join(rate_in_words(rate) for rate in sorted(rates, reverse=True)),
         ", ".join(map(_tried, tried.get((dataset, network, arm), []))) or "not searched: fixed by the plan")
        for (dataset, network, arm), rates in chosen.items()
    ]  # fmt: skip
    if not lines:
        return tag("p", "n/a: no training is done.")
    columns = ("network", "pretraining", "data", "taken", "tried: mean validation AUROC")
    return scrolled(table(columns, lines, class_="numbers"))


def _tried(each: CellResult) -> str:
    if each.diverged:
        return f"{rate_in_words(each.learning_rate)}: diverged"
    found = [estimate.value for estimate in each.validation_auroc.values()]
    mean = math.fsum(found) / len(found) if found else math.nan
    return f"{rate_in_words(each.learning_rate)}: {number(mean)}"


def failures_table(failures: Mapping[str, str]) -> Markup:
    """Which cells have no result, and why."""
    if not failures:
        return tag("p", "No training failed.")
    return scrolled(table(("training", "why"), list(failures.items())))


def provenance_tables(facts: StudyFacts) -> Markup:
    """With what, on what, from what, and for how long."""
    cells = facts.results.cells
    if not cells:
        return tag("p", "n/a: no training is done.")
    every = [each.provenance for each in cells]
    lines = [
        ("VPTCT", ", ".join(dict.fromkeys(f"{p.code_version} {p.code_commit[:12]}".strip() for p in every))),
        ("PyTorch", ", ".join(dict.fromkeys(each.torch for each in every))),
        ("precision", ", ".join(dict.fromkeys(each.precision for each in every))),
        ("finished", f"{min(each.finished for each in every)} to {max(each.finished for each in every)}"),
    ]
    return joined(
        table(("made with", ""), lines),
        scrolled(table(("SHA-256 of", "of", ""), _hashes(cells))),
        _cost(cells),
        tag("p", "Those of every single training are in results.csv.", class_="small"),
    )


def _hashes(cells: Sequence[CellResult]) -> list[tuple[str, str, str]]:
    found: dict[tuple[str, str, str], None] = {}
    for each in cells:
        data, network = dataset_in_words(each.cell.dataset), get_model(each.cell.network).title
        found["studies and labels", data, each.provenance.manifest_sha256] = None
        if each.provenance.pretrained_sha256:
            found["published weights", network, each.provenance.pretrained_sha256] = None
        if each.provenance.start_sha256:
            found["weights after CT pretraining", f"{network}, {ARMS[each.cell.arm]}",
                  each.provenance.start_sha256] = None  # fmt: skip
    return sorted(found)


def _cost(cells: Sequence[CellResult]) -> Markup:
    """Device hours by network and device; a training that was taken over from a search cost nothing again."""
    hours: dict[tuple[str, str], list[float]] = {}
    for each in cells:
        if not each.provenance.taken_from:
            place = get_model(each.cell.network).title, each.provenance.device
            hours.setdefault(place, []).append(each.seconds / 3600)
    lines = [
        (network, device, f"{len(spent):,}", f"{math.fsum(spent):,.2f}")
        for (network, device), spent in hours.items()
    ]
    total = math.fsum(hour for spent in hours.values() for hour in spent)
    lines.append(("all", "", f"{sum(map(len, hours.values())):,}", f"{total:,.2f}"))
    caption = "What the trainings cost"
    return scrolled(
        table(("network", "device", "trainings", "device hours"), lines, caption=caption, class_="numbers")
    )
