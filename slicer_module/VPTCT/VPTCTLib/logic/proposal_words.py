"""A proposed study in words: which one, why, how long it is kept, and what the network said of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..contract.info import TaskInfo
from ..contract.next_study import Proposal
from ..contract.worklist import StrategyInfo
from ..i18n import tr as _
from .held import SECOND, Held
from .words import finding_in_words, time_in_words

_MOST_CHARACTERS, _END_CHARACTERS = 36, 16


def reasons_in_words() -> Mapping[str, str]:
    """Why a study is skipped, in the order of a menu: the server's name, and words for it."""
    return {
        "poor_quality": _("Poor quality"),
        "wrong_examination": _("Wrong examination"),
        "unreadable": _("Cannot be read"),
        "unsure": _("I am not sure"),
        "other": _("Another reason"),
    }


def title_of(proposal: Proposal) -> str:
    """Which study, its date, and whether it is a second reading."""
    parts = [short(proposal.study)]
    if proposal.study_date is not None:
        parts.append(_date(proposal.study_date))
    if proposal.reading == SECOND:
        parts.append(_("second reading"))
    return ", ".join(parts)


def why(proposal: Proposal, strategies: Mapping[str, StrategyInfo]) -> str:
    """The server's sentence; in its place the strategy's, where the sentence would lead the reader.

    Args:
        proposal: the study.
        strategies: by name.
    """
    if not _tells_a_probability(proposal):
        return proposal.why
    strategy = strategies.get(proposal.strategy)
    return f"{strategy.title}: {strategy.description}." if strategy is not None else ""


def details(proposal: Proposal) -> tuple[str, ...]:
    """What could lead a reader who has not decided yet, a line each; () for nothing."""
    lines = [proposal.why] if _tells_a_probability(proposal) else []
    for finding, probability in (proposal.probabilities or {}).items():
        lines.append(
            _("{finding}: probability {p:.2f}").format(finding=finding_in_words(finding), p=probability)
        )
    if proposal.nearest_labelled is not None:
        nearest = proposal.nearest_labelled
        lines.append(
            _("Most like it of those labelled: {study} (distance {d:.2f}; 0 is alike, 1 is unlike)").format(
                study=short(nearest.study), d=nearest.distance
            )
        )
    if proposal.cluster is not None:
        cluster = proposal.cluster
        lines.append(
            _("It stands for {n} studies that look alike, {m} of them labelled or being read.").format(
                n=cluster.studies, m=cluster.labelled
            )
        )
    return tuple(lines)


def kept_in_words(held: Held | None) -> str:
    """How long a study is kept; for one that is not, that it is not."""
    if held is None:
        return _("No longer kept for you; your label of it can still be submitted.")
    return _("Kept for you until {time}, and longer while you work on it.").format(
        time=time_in_words(held.until)
    )


def held_in_words(held: Held, tasks: Sequence[TaskInfo]) -> str:
    """A line of the list of studies that a reader holds, with the title that the server gives its task."""
    title = next((each.title for each in tasks if each.name == held.task), held.task)
    reading = _(", second reading") if held.reading == SECOND else ""
    return _("{study} ({task}{reading}), until {time}").format(
        study=held.study, task=title, reading=reading, time=time_in_words(held.until)
    )


def coming_in_words(study: str, state: str, progress: tuple[int, int] | None) -> str:
    """What goes on, while a study is asked for and fetched."""
    if not study:
        return _("The server is asked.")
    if state == "loading":
        return _("{study} is opened.").format(study=short(study))
    if progress is None:
        return _("{study} is fetched.").format(study=short(study))
    done, total = progress
    if not total:
        return _("{study} is fetched: {n:.1f} MB so far.").format(study=short(study), n=done / 1e6)
    return _("{study} is fetched: {n:.1f} of {m:.1f} MB.").format(
        study=short(study), n=done / 1e6, m=total / 1e6
    )


def short(study: str) -> str:
    """An id without its middle where it is too long for a narrow panel, as UIDs are."""
    return (
        study if len(study) <= _MOST_CHARACTERS else f"{study[:_END_CHARACTERS]}…{study[-_END_CHARACTERS:]}"
    )


def _tells_a_probability(proposal: Proposal) -> bool:
    return "%" in proposal.why


def _date(dicom: str) -> str:
    """``20260301`` as ``2026-03-01``."""
    return f"{dicom[:4]}-{dicom[4:6]}-{dicom[6:]}" if len(dicom) == 8 else dicom
