"""The table of the experiment: of the answers of our cells, or as published, in the same rows.

The interval of ours is a percentile bootstrap of the test patients. The same patients are drawn for all rows
of a dataset, and the seeds are averaged within each resample, so that any two rows can be compared in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from vpt_plugin.models.card import Estimate
from vpt_plugin.models.catalog import get_model
from vpt_plugin.study.cell_records import CellResult
from vpt_plugin.study.cells import ARMS, Cell
from vpt_plugin.study.published import published_table
from vpt_plugin.study.results import StudyResults
from vpt_plugin.study.rows import TableRow
from vpt_plugin.study.shared_studies import SharedStudies
from vpt_plugin.training.metrics.bootstrap import RESAMPLES, PatientBootstrap, Resampled, mean_of
from vpt_plugin.words import count_in_words

__all__ = ["TableRow", "published_table", "table_of"]

_UNDEFINED = Estimate(math.nan, (math.nan, math.nan), 0)


def table_of(
    results: StudyResults, *, each_finding: bool = False, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[TableRow, ...]:
    """Our rows: a mean over seeds and findings for every network, arm, dataset and percent that is planned.

    What failed, collapsed or is not done stays in the table, and its row says so.

    Args:
        results: of the study.
        each_finding: add, where a dataset has several findings, a row for each after their mean.
        resamples: how often patients are drawn.
        seed: of the draws.

    Raises:
        ConfigurationError: cells of one dataset differ in their findings or in what they hold for the truth.
    """
    finals = {cell.id: cell for cell in results.planned if cell.stage == "final"}
    finals.update((each.cell.id, each.cell) for each in results.finals)
    found: list[TableRow] = []
    for dataset in dict.fromkeys(cell.dataset for cell in finals.values()):
        cells = [cell for cell in finals.values() if cell.dataset == dataset]
        answers = {cell.id: results.answers[cell.id] for cell in cells if cell.id in results.answers}
        studies = SharedStudies.of(answers) if answers else None
        bootstrap = studies.bootstrap(resamples=resamples, seed=seed) if studies else None
        for seeds in _in_order(cells):
            row, counted = _row_without_figures(results, studies, seeds)
            if studies is None or bootstrap is None or not counted:
                found.append(row)
                continue
            of_row = _figures_of_row(row, counted, studies, bootstrap)
            found += of_row if each_finding else of_row[:1]
    return tuple(found)


def _in_order(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The seeds of each row: the largest percent first, 3D before 2D, networks and arms in their order."""
    networks = list(dict.fromkeys(cell.network for cell in cells))
    arms = list(ARMS)
    rows: dict[tuple[float, str, str], list[Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.percent, cell.network, cell.arm), []).append(cell)

    def place(row: tuple[float, str, str]) -> tuple[float, bool, int, int]:
        percent, network, arm = row
        return -percent, get_model(network).kind == "2d", networks.index(network), arms.index(arm)

    return [rows[key] for key in sorted(rows, key=place)]


def _row_without_figures(
    results: StudyResults, studies: SharedStudies | None, seeds: Sequence[Cell]
) -> tuple[TableRow, list[CellResult]]:
    """A row that says what there is to say of its cells, and those of them that can be counted."""
    done = {each.cell.id: each for each in results.finals}
    counted = [
        done[cell.id] for cell in seeds if cell.id in done and studies and cell.id in studies.probabilities
    ]
    failed = [cell for cell in seeds if cell.id not in done and cell.id in results.failures]
    collapsed = [each for each in counted if each.collapsed]
    aside = [cell for cell in seeds if cell.id in done and done[cell.id] not in counted]
    open_cells = len(seeds) - len(counted) - len(failed) - len(aside)
    notes = [
        *(f"seed {cell.seed} failed: {results.failures[cell.id].rstrip('.')}" for cell in failed),
        *(f"seed {cell.seed} does not count: {_why_aside(studies, cell)}" for cell in aside),
        _open_in_words(open_cells, len(seeds)),
        _collapsed_in_words(len(collapsed), len(counted)),
    ]
    spec, cell = get_model(seeds[0].network), seeds[0]
    row = TableRow(
        network=cell.network, title=spec.title, kind=spec.kind, arm=cell.arm, dataset=cell.dataset,
        percent=cell.percent, auroc=_UNDEFINED, seeds=len(counted), source="ours",
        failed=len(failed), collapsed=len(collapsed), note="; ".join(filter(None, notes)),
    )  # fmt: skip
    return row, counted


def _why_aside(studies: SharedStudies | None, cell: Cell) -> str:
    return (studies.set_aside if studies else {}).get(cell.id, "its answers are missing")


def _open_in_words(number: int, of: int) -> str:
    if not number:
        return ""
    return "not done yet" if number == of else f"{number} of {count_in_words(of, 'seed')} not done yet"


def _collapsed_in_words(collapsed: int, of: int) -> str:
    if not collapsed:
        return ""
    which = "the network gives" if of == 1 else f"{collapsed} of {of} networks give"
    return f"{which} all studies one answer"


def _figures_of_row(
    row: TableRow, counted: Sequence[CellResult], studies: SharedStudies, bootstrap: PatientBootstrap
) -> list[TableRow]:
    """The row of the mean over findings and, of several, those of each."""
    of_findings = {
        finding: [studies.auroc(bootstrap, each.cell.id, finding) for each in counted]
        for finding in studies.findings
    }
    of_seeds = [mean_of(parts, studies.known_any) for parts in zip(*of_findings.values(), strict=True)]
    found = [_filled(row, of_seeds, counted, studies)]
    if len(of_findings) > 1:
        found += [
            _filled(replace(row, finding=finding), parts, counted, studies)
            for finding, parts in of_findings.items()
        ]
    return found


def _filled(
    row: TableRow, of_seeds: Sequence[Resampled], counted: Sequence[CellResult], studies: SharedStudies
) -> TableRow:
    """The row with its figures; of the finding that it names, or of the mean over all of them."""
    findings = (row.finding,) if row.finding else studies.findings
    resampled = mean_of(of_seeds, of_seeds[0].n)
    auroc = resampled.estimate()
    validation = [each.validation_auroc[finding].value for each in counted for finding in findings]
    notes = [row.note, studies.note, *map(studies.one_sided, findings)]
    if math.isnan(auroc.ci95[0]) and not math.isnan(auroc.value):
        notes.append("no interval: the resamples show no spread")
    return replace(
        row,
        auroc=auroc,
        of_seeds=tuple(each.value for each in of_seeds),
        validation=math.fsum(validation) / len(validation),
        note="; ".join(filter(None, notes)),
        resampled=resampled,
    )
