"""The tables in the report of an experiment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from vpt_plugin.models.catalog import get_model
from vpt_plugin.study.cells import ARMS, Cell
from vpt_plugin.study.differences import CLAIMS, Difference
from vpt_plugin.study.means import mean_rows, means_beside
from vpt_plugin.study.notes import Notes
from vpt_plugin.study.report_facts import DatasetFacts, StudyFacts
from vpt_plugin.study.rows import TableRow, dataset_in_words, in_figures, percent_in_words
from vpt_plugin.training.report.markup import Markup, joined, table, tag
from vpt_plugin.words import in_a_sentence

CLAIM_TITLES: Mapping[str, str] = {
    "video_gain": "Video (3D) or image (2D) pretraining over none",
    "gain_over_ct": "Video or image pretraining over CT pretraining",
    "ct_after_video": "CT pretraining after video or image pretraining over that alone",
    "both_over_ct": "Video or image, then CT pretraining over CT pretraining alone",
    "ct_gain": "CT pretraining over none",
    "best_3d_over_best_2d": "The best 3D network over the best 2D one",
}
COLLAPSED, WITH_NOTE = "†", "‡"


def scrolled(*children: Markup) -> Markup:
    """What may be wider than a narrow screen."""
    return tag("div", *children, class_="scroll", tabindex="0", role="region")


def table_1(dataset: str, rows: Sequence[TableRow], published: Sequence[TableRow] = ()) -> Markup:
    """Every network and arm of one dataset, a column per percent; below ours the published figure, if any.

    Below the networks of a kind stand their means.
    """
    of_networks = [row for row in rows if row.dataset == dataset]
    here = [*of_networks, *mean_rows(of_networks)]
    percents = sorted({row.percent for row in here}, reverse=True)
    by_cell = {row.cell: row for row in here}
    theirs = {row.cell: row for row in (*published, *means_beside(of_networks, published))}
    lines = []
    for kind in ("3d", "2d"):
        for network, title in {row.network: row.title for row in here if row.kind == kind}.items():
            arms = [arm for arm in ARMS if any((row.network, row.arm) == (network, arm) for row in here)]
            for arm in arms:
                cells = []
                for percent in percents:
                    place = (dataset, "", percent, network, arm)
                    cells.append(_cell(by_cell.get(place), theirs.get(place)))
                # The name of a network stands once, before its first arm.
                lines.append((title if arm == arms[0] else "", ARMS[arm], *cells))
    columns = ("network", "pretraining", *(percent_in_words(percent) for percent in percents))
    return scrolled(
        table(columns, lines, caption=f"{dataset_in_words(dataset)}: AUROC, 95 % interval", class_="numbers")
    )


def _cell(ours: TableRow | None, published: TableRow | None) -> Markup:
    """Nothing where no such cell is planned or published."""
    parts: list[Markup] = []
    if ours is not None:
        marks = COLLAPSED if ours.collapsed else WITH_NOTE if ours.note else ""
        parts.append(tag("span", in_figures(ours.auroc) + marks))
    if published is not None:
        parts.append(tag("div", f"published {in_figures(published.auroc)}", class_="published"))
    return joined(*parts)


def notes_of(rows: Iterable[TableRow]) -> Markup:
    """What a reader must know of single rows and of their means, each note once."""
    rows = tuple(rows)
    said: dict[str, list[str]] = {}
    for row in (*rows, *mean_rows(rows)):
        if row.note:
            said.setdefault(row.note, []).append(_in_full(row))
    if not said:
        return Markup()
    marks = f"{COLLAPSED} collapsed: all studies get one answer. {WITH_NOTE} with a note:"
    lines = (tag("li", tag("b", note), f": {'; '.join(names)}") for note, names in said.items())
    return joined(tag("p", marks, class_="small"), tag("ul", *lines, class_="small"))


def _in_full(row: TableRow) -> str:
    """``Swin-T, CT, RSNA-PE 100 %``."""
    where = f"{dataset_in_words(row.dataset)} {percent_in_words(row.percent)}"
    finding = f", {in_a_sentence(row.finding)}" if row.finding else ""
    return f"{row.title}, {ARMS[row.arm]}, {where}{finding}"


def findings_table(rows: Sequence[TableRow]) -> Markup:
    """The rows of single findings."""
    lines = [
        (row.title, ARMS[row.arm], dataset_in_words(row.dataset), percent_in_words(row.percent),
         in_a_sentence(row.finding), in_figures(row.auroc))
        for row in rows
    ]  # fmt: skip
    columns = ("network", "pretraining", "data", "share", "finding", "AUROC, 95 % interval")
    return scrolled(table(columns, lines, class_="numbers"))


def differences_table(
    differences: Sequence[Difference], published: Sequence[Difference] = (), *, means: bool
) -> Markup:
    """The differences of means and of the best networks, or those of single networks, claim after claim.

    Notes are told of the former alone: of single networks they stand below table 1.
    """
    theirs = {_place(each): each for each in published}
    parts = []
    for claim in CLAIMS:
        chosen = [
            each
            for each in differences
            if each.claim == claim and (each.is_mean or claim == "best_3d_over_best_2d") == means
        ]
        if not chosen:
            continue
        parts.append(_of_claim(chosen, theirs if published else None, noted=means))
    return joined(*parts) if parts else tag("p", "n/a: nothing that can be compared has a result.")


def _of_claim(
    chosen: Sequence[Difference], theirs: Mapping[tuple[object, ...], Difference] | None, *, noted: bool
) -> Markup:
    """The table of one claim, with no column that is empty in all rows, and its notes by number."""
    paired = any(not math.isnan(each.gain.ci95[0]) for each in chosen)
    notes = Notes()
    lines = []
    for each in chosen:
        mark = notes.mark(each.note) if noted else ""
        line = (*_compared(each), *_gain(each, mark, paired=paired))
        beside = theirs.get(_place(each)) if theirs is not None else None
        lines.append(line if theirs is None else (*line, _published_gain(beside) if beside else "n/a"))
    columns = ("networks", "data", "AUROC", "over")
    of_gain = ("gain, paired 95 % interval", "above 0 in") if paired else ("gain",)
    more = ("published gain",) if theirs is not None else ()
    caption = CLAIM_TITLES[chosen[0].claim]
    told = tag("ul", *(tag("li", " ".join(each)) for each in notes.numbered()), class_="small notes")
    return joined(
        scrolled(table((*columns, *of_gain, *more), lines, caption=caption, class_="numbers")),
        told if notes.texts else Markup(),
    )


def _place(each: Difference) -> tuple[object, ...]:
    """What is compared, whoever did; which networks are the best may differ."""
    networks = each.networks if each.kind else ()
    return each.claim, each.dataset, each.percent, each.kind, each.arms, each.is_mean, networks


def _compared(each: Difference) -> tuple[str, ...]:
    """Whose difference it is, of which part, and both AUROCs."""
    named = each.titles[0]
    if each.is_mean:
        named = f"mean of {len(each.networks)} {each.kind.upper()} networks"
    elif len(each.titles) > 1:
        named = f"{' over '.join(each.titles)} ({ARMS[each.arms[0]]})"
    place = f"{dataset_in_words(each.dataset)} {percent_in_words(each.percent)}"
    return named, place, number(each.better.value), number(each.worse.value)


def _gain(each: Difference, mark: str, *, paired: bool) -> tuple[str, ...]:
    """The gain with the mark of its note, and in how many resamples it is above 0 where any row has them."""
    if not paired:
        said = "n/a" if math.isnan(each.gain.value) else f"{each.gain.value:+.3f}"
        return (f"{said}{mark}",)
    share = "n/a" if math.isnan(each.share) else f"{math.floor(100 * each.share)} %"
    return f"{in_figures(each.gain, sign='+')}{mark}", share


def _published_gain(each: Difference) -> str:
    """Without an interval, which the paper does not have; whose it is, where that may be others than here."""
    whose = "" if each.kind else f" ({' over '.join(each.titles)})"
    return f"{each.gain.value:+.3f}{whose}"


def number(value: float) -> str:
    """Three digits after the point."""
    return "n/a" if math.isnan(value) else f"{value:.3f}"


def data_table(datasets: Sequence[DatasetFacts]) -> Markup:
    """How many studies are on which side, and in which state."""
    lines = []
    for each in datasets:
        name = dataset_in_words(each.dataset.name)
        for (side, finding), states in sorted(each.counts.items(), key=lambda place: _order(place[0])):
            said = ", ".join(f"{count:,} {state}" for state, count in states.items() if count)
            lines.append(
                (name, side or "not given", f"{each.studies[side]:,}", f"{each.patients.get(side, 0):,}",
                 in_a_sentence(finding), said)
            )  # fmt: skip
    columns = ("data", "side", "studies", "patients", "finding", "states")
    gone = [
        tag("p", f"{dataset_in_words(each.dataset.name)}: {each.missing}")
        for each in datasets
        if each.missing
    ]
    return joined(scrolled(table(columns, lines, class_="numbers")) if lines else Markup(), *gone)


def _order(place: tuple[str, str]) -> tuple[int, str]:
    sides = ("train", "validation", "test", "")
    return sides.index(place[0]), place[1]


def plan_table(facts: StudyFacts) -> Markup:
    """What was asked for."""
    plan, finals = facts.plan, [cell for cell in facts.results.planned if cell.stage == "final"]
    networks = dict.fromkeys(cell.network for cell in finals)
    lines = [
        ("networks", ", ".join(get_model(name).title for name in networks)),
        ("pretraining", ", ".join(ARMS[arm] for arm in ARMS if any(cell.arm == arm for cell in finals))),
        ("data", ", ".join(_parts(finals))),
        ("seeds", ", ".join(str(seed) for seed in sorted({cell.seed for cell in finals}))),
        ("trainings", _stages(facts)),
    ]
    if plan is not None:
        lines.insert(0, ("plan", f"{plan.name}: {plan.title}"))
    return table(("", ""), lines)


def _parts(finals: Sequence[Cell]) -> list[str]:
    percents: dict[str, dict[float, None]] = {}
    for cell in finals:
        percents.setdefault(cell.dataset, {})[cell.percent] = None
    return [
        f"{dataset_in_words(name)} ({', '.join(percent_in_words(share) for share in shares)})"
        for name, shares in percents.items()
    ]


def _stages(facts: StudyFacts) -> str:
    titles = {"final": "for the table", "search": "to choose learning rates", "pretrain": "of CT pretraining"}
    done = [each.cell.stage for each in facts.results.cells]
    planned = [cell.stage for cell in facts.results.planned]
    return ", ".join(
        f"{done.count(stage)} of {planned.count(stage)} {title}"
        for stage, title in titles.items()
        if stage in planned
    )
