"""How a worklist stands, in numbers and in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from vpt_plugin.active.offers import ChosenBy, ScoringState, Wish, WorklistCounts, WorklistState
from vpt_plugin.active.standing import Standing
from vpt_plugin.active.view import View


def state_of(view: View, stands: Standing) -> WorklistState:
    """The counts of a task, and what is scored of it."""
    scores = view.scores
    by = scores.by
    return WorklistState(
        view.task.name,
        None if by is None else ChosenBy(by.model, by.version, by.pretraining),
        WorklistCounts(
            free=len(stands.free),
            held=stands.held,
            skipped=stands.skipped,
            labelled=stands.labelled,
            unreadable=stands.unreadable,
            left_out=stands.left_out,
            second_readings=stands.second,
            unscored=_unscored(view, stands.free),
        ),
        view.counts(),
        _scoring(view),
    )


def _scoring(view: View) -> ScoringState:
    """How far the scoring of the served version is, also while the scores of another one choose."""
    scores, studies = view.scores, view.studies
    if scores.awaited is not None:
        return ScoringState(len(scores.awaited.intersection(studies)), len(studies), False)
    return ScoringState(len(studies) - _unscored(view, studies), len(studies), scores.complete)


def warnings_of(view: View, stands: Standing, wish: Wish, given: int) -> Iterator[str]:
    """What the reader should know of how the studies were chosen.

    Args:
        view: what was known.
        stands: where the studies stand now.
        wish: that was answered.
        given: how many studies were.
    """
    yield from view.scores.warnings
    if elsewhere := len(view.labels) - len(view.labels_here):
        yield (
            f"{elsewhere} {'label is' if elsewhere == 1 else 'labels are'} of studies that are not here, and "
            "not counted; see that the folder of studies and that of labels belong together"
        )
    if damaged := len(view.in_doubt & set(view.studies)):
        yield (
            f"the newest label of {damaged} {'study' if damaged == 1 else 'studies'} cannot be read, and "
            "nobody is offered what is labelled; `vpt labels check` names the files"
        )
    free, unscored = len(stands.free), _unscored(view, stands.free)
    if stands.undated:
        yield _of_dates(view, stands.undated)
    if unscored and wish.strategy != "random":
        yield f"the network has not looked at {unscored} of the {free} studies yet: only chance chooses these"
    if not given:
        yield _of_none_left(view, stands)


def _of_dates(view: View, undated: tuple[str, ...]) -> str:
    """That studies are left out, and whether their dates may still become known."""
    waiting = _unscored(view, undated)
    one = len(undated) == 1
    told = (
        f"the date of {len(undated)} {'study' if one else 'studies'} is not known, so "
        f"{'it is' if one else 'they are'} left out"
    )
    if not waiting:
        return f"{told}; {'its' if one else 'their'} files hold none"
    return f"{told}; {waiting} of them {'is' if waiting == 1 else 'are'} not scored yet, which may tell it"


def _of_none_left(view: View, stands: Standing) -> str:
    """Where all studies are: the numbers add up to all."""
    parts = [
        f"{stands.labelled} have a label",
        f"{stands.held} are in a reader's hands",
        f"{stands.skipped} were skipped",
        f"{stands.unreadable} cannot be read",
    ]
    if stands.seen:
        parts.append(f"{stands.seen} you were offered before")
    if stands.outside:
        parts.append(f"{stands.outside} are of other dates")
    if stands.undated:
        parts.append(f"{len(stands.undated)} are of an unknown date")
    return (
        f"no study is left for this wish: of {len(view.studies)} studies {', '.join(parts[:-1])} and "
        f"{parts[-1]}"
    )


def _unscored(view: View, studies: tuple[str, ...]) -> int:
    return sum(not view.scores.scored[view.scores.rows[study]] for study in studies)
