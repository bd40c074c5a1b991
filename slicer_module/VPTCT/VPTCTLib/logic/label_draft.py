"""LabelDraft: the label form, one for each volume and task; the scene keeps what it says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Callable

from ..contract.label import CONFIDENCES, STATES, StudyLabel
from ..i18n import tr as _
from ..scene.kept_draft import keep_draft, kept_draft
from ..settings import PRESELECT, Settings
from ..signal import Signal
from .choice import Choice
from .classification import Classification
from .draft import (
    FROM,
    PRESENT,
    TO,
    Draft,
    FindingDraft,
    Range,
    TakenDraft,
    draft_from_text,
    draft_of,
    draft_to_text,
)
from .label_words import missing_in_words
from .messages import WARNING, Messages
from .study_on_screen import StudyOnScreen

_ABOUT = "label form"


class LabelDraft:
    """What the reader says so far about the study on screen for the chosen task.

    Args:
        study: that is on screen.
        choice: of the task.
        classification: has the answer that the reader sees.
        settings: whether that answer is filled in.
        messages: for a form that cannot be read.
        is_blind: whether the answer is hidden from the reader at the moment.

    Attributes:
        changed: what it says, or what it is about, is another.
    """

    def __init__(
        self,
        study: StudyOnScreen,
        choice: Choice,
        classification: Classification,
        settings: Settings,
        messages: Messages,
        is_blind: Callable[[], bool],
    ) -> None:
        self.changed = Signal()
        self._study, self._choice, self._classification = study, choice, classification
        self._settings, self._messages, self._is_blind = settings, messages, is_blind
        self._volume: Any = None
        self._task = self._chosen = ""
        self._draft = Draft()
        for each in (study, choice, classification):
            each.changed.connect(self.follow)
        self.follow()

    @property
    def is_open(self) -> bool:
        """Whether there are a study and a task to say something about."""
        return self._volume is not None and bool(self._task)

    @property
    def task(self) -> str:
        """The name of the task; "" for none."""
        return self._task

    @property
    def findings(self) -> tuple[str, ...]:
        """The names of the task's findings, in its order."""
        return self._choice.task.findings if self.is_open and self._choice.task is not None else ()

    @property
    def finding(self) -> str:
        """The one that keys and dragging are about; "" for none."""
        return self._chosen

    @property
    def states(self) -> Mapping[str, str | None]:
        """What is said about each finding; None where nothing is."""
        return {name: self._draft.finding(name).state for name in self.findings}

    @property
    def comment(self) -> str:
        """Free text."""
        return self._draft.comment

    @property
    def seconds_spent(self) -> float:
        """On what was not submitted yet."""
        return self._draft.seconds_spent

    @property
    def is_touched(self) -> bool:
        """Whether the reader has said something that was not submitted."""
        return self.is_open and self._draft.is_touched

    @property
    def is_kept(self) -> bool:
        """Whether it was submitted, and nothing was changed since."""
        return self._draft.is_kept

    @property
    def missing(self) -> str:
        """Why it cannot be submitted yet, in words; "" where it can."""
        if self._volume is None:
            return _("Show a study first.")
        if not self._task:
            return _("Choose a task first; connect to a server to see its tasks.")
        return missing_in_words(self._draft, self.findings)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Findings that the label would say nothing about, while it says something about others."""
        silent = tuple(name for name, state in self.states.items() if state is None)
        return silent if len(silent) < len(self.findings) else ()

    def ranges(self, finding: str) -> tuple[Range, ...]:
        """Positive slices, as patient-z ranges in mm, in the order in which they were marked; () for none."""
        said = self._draft.finding(finding)
        return said.shown_mm if said.state == PRESENT else ()

    def first_end(self, finding: str) -> str:
        """``FROM`` or ``TO`` while the last range of a finding has only this end; "" otherwise."""
        return self._draft.finding(finding).first_end

    def confidence(self, finding: str) -> str:
        """One of ``CONFIDENCES``."""
        return self._draft.finding(finding).confidence

    def is_from_network(self, finding: str) -> bool:
        """Whether it was filled in from the network's answer, and is neither confirmed nor changed yet."""
        return self._draft.finding(finding).from_network

    def to_label(self, series_uid: str = "") -> StudyLabel:
        """The label that it makes.

        Args:
            series_uid: SeriesInstanceUID of the study, where it is known.
        """
        said = {name: self._draft.finding(name).to_label() for name in self.findings}
        return StudyLabel(
            task=self._task,
            findings={name: each for name, each in said.items() if each is not None},
            seconds_spent=round(self._draft.seconds_spent),
            series_uid=series_uid,
            model_suggestion=self._draft.seen,
            comment=self._draft.comment.strip(),
        )

    def choose(self, finding: str) -> None:
        """Keys and dragging are about this one from now on."""
        if finding in self.findings and finding != self._chosen:
            self._chosen = finding
            self.changed.emit()

    def set_state(self, finding: str, state: str | None) -> None:
        """Say one of ``STATES``, which confirms what was filled in; None takes back what was said."""
        if state not in (None, *STATES):
            raise ValueError(f"{state!r}; choose from {STATES}")
        self._say(finding, self._draft.finding(finding).said(state))

    def confirm(self) -> None:
        """All that was filled in from the network's answer is what the reader says, too."""
        self._set(self._draft.confirmed())

    def from_here(self, finding: str, z_mm: float) -> None:
        """Positive slices begin, or end, at this slice; ``to_here`` gives the other end."""
        self._say(finding, self._draft.finding(finding).marked(FROM, z_mm))

    def to_here(self, finding: str, z_mm: float) -> None:
        """Positive slices end, or begin, at this slice; ``from_here`` gives the other end."""
        self._say(finding, self._draft.finding(finding).marked(TO, z_mm))

    def add_range(self, finding: str, low_mm: float, high_mm: float) -> None:
        """These slices show it."""
        self._set_ranges(finding, [*self._draft.finding(finding).ranges_mm, (low_mm, high_mm)])

    def change_range(self, finding: str, index: int, low_mm: float, high_mm: float) -> None:
        """Other slices show it instead of those of a range, told by its place in ``ranges``."""
        ranges = list(self._draft.finding(finding).ranges_mm)
        ranges[index] = (low_mm, high_mm)
        self._set_ranges(finding, ranges)

    def remove_range(self, finding: str, index: int) -> None:
        """These slices do not show it, after all."""
        ranges = list(self._draft.finding(finding).ranges_mm)
        del ranges[index]
        self._set_ranges(finding, ranges)

    def set_confidence(self, finding: str, confidence: str) -> None:
        """Say one of ``CONFIDENCES``; "" takes it back."""
        if confidence not in CONFIDENCES:
            raise ValueError(f"{confidence!r}; choose from {CONFIDENCES}")
        said = self._draft.finding(finding)
        if said.confidence != confidence:
            self._say(finding, replace(said, confidence=confidence))

    def set_comment(self, comment: str) -> None:
        """Say something in words."""
        if comment != self._draft.comment:
            self._set(replace(self._draft, comment=comment, is_kept=False))

    def clear(self) -> None:
        """Take back all that was said. The time, and which answer was seen, stay."""
        self._set(Draft(seconds_spent=self._draft.seconds_spent, seen=self._draft.seen))

    def start_from(self, label: StudyLabel) -> None:
        """Say what a label says, in place of what was said."""
        self._set(replace(draft_of(label, self._draft.seen), seconds_spent=self._draft.seconds_spent))

    def taken(self) -> TakenDraft:
        """What it says now, to be told ``kept`` when a label that was made of it is safe."""
        return TakenDraft(self._volume, self._task, self._draft)

    def kept(self, taken: TakenDraft) -> None:
        """A label is safe. What was changed in the form since is still to be submitted."""
        if taken.volume is self._volume and taken.task == self._task:
            self._set(self._draft.after(taken.draft))
        elif taken.volume.GetScene() is not None:
            now = self._read(taken.volume, taken.task)
            keep_draft(taken.volume, taken.task, draft_to_text(now.after(taken.draft)))

    def spend(self, seconds: float) -> None:
        """The reader has looked at the study so much longer. It is no change of what the form says."""
        if self.is_open and not self._draft.is_kept:
            self._draft = replace(self._draft, seconds_spent=self._draft.seconds_spent + seconds)

    def follow(self) -> None:
        """Look which study, task and answer there are."""
        before = (self._volume, self._task, self._draft, self._chosen)
        volume = self._study.volume
        task = self._choice.task.name if volume is not None and self._choice.task is not None else ""
        if volume is not self._volume or task != self._task:
            self.write()
            self._volume, self._task = volume, task
            self._messages.settle(_ABOUT)
            self._draft = self._read(volume, task) if self.is_open else Draft()
        if self._chosen not in self.findings:
            self._chosen = self.findings[0] if self.findings else ""
        self._see_answer()
        if before != (self._volume, self._task, self._draft, self._chosen):
            self.changed.emit()

    def write(self) -> None:
        """Have the scene keep it, with the time that was spent."""
        if self.is_open and self._draft != Draft() and self._volume.GetScene() is not None:
            keep_draft(self._volume, self._task, draft_to_text(self._draft))

    def _see_answer(self) -> None:
        result = self._classification.result
        if not self.is_open or result is None or result.task != self._task or self._is_blind():
            return
        seen = result.suggestion()
        if seen == self._draft.seen:
            return
        self._draft = replace(self._draft, seen=seen)
        if self._settings.get(PRESELECT) and not self._draft.is_kept:
            self._draft = self._draft.filled_in(result.settled())
        self.write()

    def _set_ranges(self, finding: str, ranges: list[Range]) -> None:
        self._say(finding, self._draft.finding(finding).with_ranges(ranges))

    def _say(self, finding: str, said: FindingDraft) -> None:
        if finding in self.findings:
            self._chosen = finding
            self._set(self._draft.with_finding(finding, said))

    def _set(self, draft: Draft) -> None:
        if self.is_open and draft != self._draft:
            self._draft = draft
            self.write()
            self.changed.emit()

    def _read(self, volume: Any, task: str) -> Draft:
        text = kept_draft(volume, task)
        if not text:
            return Draft()
        try:
            return draft_from_text(text)
        except ValueError:
            self._messages.tell(
                WARNING,
                _("the label form that this scene has kept cannot be read."),
                _("It is of another version of this module. The form is empty; what was saved stays."),
                about=_ABOUT,
            )
            return Draft()
