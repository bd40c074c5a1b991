"""The figures of an experiment, of ours or of the published one, with captions that stand alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vpt_plugin.durable import write_over
from vpt_plugin.study.differences import Difference
from vpt_plugin.study.figures_agreement import agreement_figure
from vpt_plugin.study.figures_canvas import NOT_ALL, StudyFigure, drawn
from vpt_plugin.study.figures_ct import gain_over_ct_figure
from vpt_plugin.study.figures_fractions import arm_shown, fractions_figure
from vpt_plugin.study.figures_pretraining import pretraining_figure
from vpt_plugin.study.rows import TableRow, dataset_in_words
from vpt_plugin.study.side_by_side import SideBySide, side_by_side
from vpt_plugin.words import count_in_words, studies_in_words

_TITLES = {
    "figure2": "With and without pretraining",
    "figure3": "The best 3D against the best 2D network",
    "figure4": "Video (or image) pretraining against CT pretraining",
    "figureS": "Found here against published",
}
_MISSING = {
    "figure2": "n/a: no network was pretrained.",
    "figure3": "n/a: nowhere is there a result of both a 3D and a 2D network.",
    "figure4": "n/a: nowhere is there a result of both CT pretraining and video or image pretraining.",
    "figureS": "n/a: no result here is of a network, pretraining, dataset and percentage that was published.",
}
_WITH = {"video": "video (3D) or image (2D) pretraining", "ct": "CT pretraining", "none": "no pretraining"}


def study_figures(
    rows: Sequence[TableRow],
    differences: Sequence[Difference],
    *,
    trained_on: Mapping[tuple[str, float], int] | None = None,
    published: Sequence[TableRow] = (),
) -> tuple[StudyFigure, ...]:
    """All figures; one that cannot be drawn says why.

    Args:
        rows: of one source, each the mean over the findings.
        differences: of the same source.
        trained_on: number of training studies by dataset and percent, where it is known.
        published: rows to set ours against; empty for no such figure.
    """
    where = _test_studies(rows)
    dots = where + _seeds(rows)
    found = {
        "figure2": (pretraining_figure(rows, differences), _of_pretraining(dots)),
        "figure3": (fractions_figure(rows, differences, trained_on), _of_fractions(differences, dots)),
        "figure4": (gain_over_ct_figure(rows, differences), _of_ct(where)),
    }
    if published:
        joined = side_by_side(rows, published)
        found["figureS"] = (agreement_figure(rows, published), _of_agreement(joined, where))
    return tuple(
        drawn(figure, name, _TITLES[name], caption)
        if figure is not None
        else StudyFigure(name, _TITLES[name], missing=_MISSING[name])
        for name, (figure, caption) in found.items()
    )


def write_figures(figures: Sequence[StudyFigure], folder: Path) -> None:
    """Write ``<name>.svg`` and ``<name>.png`` of those that there are; what is no longer there goes.

    Raises:
        OSError: the disk is full, the folder is not writable.
    """
    for figure in figures:
        for ending, data in ((".svg", figure.svg.encode()), (".png", figure.png)):
            if data:
                write_over(folder / f"{figure.name}{ending}", data)
            else:
                (folder / f"{figure.name}{ending}").unlink(missing_ok=True)


def _test_studies(rows: Sequence[TableRow]) -> str:
    """``Test studies: 1,092 of RSNA-PE, 152 of LIDC-IDRI.``"""
    numbers = {
        row.dataset: max(other.auroc.n for other in rows if other.dataset == row.dataset) for row in rows
    }
    said = [
        f"{studies_in_words(number) if not place else f'{number:,}'} of {dataset_in_words(name)}"
        for place, (name, number) in enumerate(numbers.items())
    ]
    return f"Test side: {', '.join(said)}."


def _seeds(rows: Sequence[TableRow]) -> str:
    return " Small dots are single seeds." if any(len(row.of_seeds) > 1 for row in rows) else ""


def _of_pretraining(where: str) -> str:
    return (
        "AUROC on the test side of every network without pretraining (circle) and with it (above), with "
        "95 % intervals; the column at the right has the gain. Grey: the mean over the networks of a kind; "
        f"{NOT_ALL} where not all of them have both results. n/a: no result. The dotted line is chance, 0.5. "
        f"{where}"
    )


def _of_fractions(differences: Sequence[Difference], where: str) -> str:
    arm = _WITH.get(arm_shown(differences), "")
    return (
        f"AUROC on the test side of the best 3D and the best 2D network with {arm}, over the share of the "
        "training side that was used (logarithmic), with 95 % intervals. The names are those of the "
        f"networks; how the best were chosen is told in the table of differences. {where}"
    )


def _of_ct(where: str) -> str:
    return (
        "How much higher the AUROC on the test side is than that of the same network after CT pretraining: "
        "with video (3D) or image (2D) pretraining (diamond), and with that and CT pretraining after it "
        "(triangle), with paired 95 % intervals where they are known. Right of zero, CT pretraining alone is "
        f"behind. {NOT_ALL}: not all networks have both results. {where}"
    )


def _of_agreement(joined: Sequence[SideBySide], where: str) -> str:
    meet = [each.intervals_meet for each in joined if each.intervals_meet is not None]
    overlap = f" Of {len(meet)} with both intervals, these overlap in {sum(meet)}." if meet else ""
    return (
        f"AUROC here against the published one: {count_in_words(len(joined), 'cell')} with a result in both, "
        f"with their intervals where there are few. On the dotted line they are the same.{overlap} The test "
        f"studies are not the published ones. {where}"
    )
