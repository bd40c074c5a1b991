"""StudyRoutine: what happens by itself between one study and the next, as the reader has set it."""

from __future__ import annotations

from ..contract.label import SavedLabel
from ..i18n import tr as _
from ..settings import CLASSIFY_NEXT, NEXT_AFTER_SUBMIT, REMOVE_DONE, Settings
from .classification import Classification
from .label_draft import LabelDraft
from .next_studies import NextStudies
from .questions import Questions
from .server_volumes import ServerVolumes
from .study_ends import StudyEnds
from .submission import Submission


def may_leave(draft: LabelDraft, questions: Questions) -> bool:
    """Whether the study on screen may be left; asked where its label form has what was not submitted."""
    return not draft.is_touched or questions.confirm(
        _("Leave this study?"),
        _(
            "What you said about it was not submitted. It stays with the volume, for as long as that is in "
            "the scene."
        ),
        _("Leave it"),
    )


class StudyRoutine:
    """Asks for the next study after a label, classifies it, and removes those that are done.

    Args:
        settings: say which of that.
        next_studies: brings studies.
        volumes: are removed.
        ends: skips and gives back.
        draft: what the reader has not submitted.
        submission: saves labels.
        classification: of the study that came.
    """

    def __init__(
        self,
        settings: Settings,
        next_studies: NextStudies,
        volumes: ServerVolumes,
        ends: StudyEnds,
        draft: LabelDraft,
        submission: Submission,
        classification: Classification,
    ) -> None:
        self._settings, self._next, self._volumes = settings, next_studies, volumes
        self._draft, self._classification = draft, classification
        self._done: set[str] = set()
        self._to_classify = ""
        submission.saved.connect(self._on_saved)
        ends.ended.connect(self._on_done)
        next_studies.opened.connect(self._on_opened)
        classification.changed.connect(self._classify)
        draft.changed.connect(self._on_draft)

    def leave_scene(self) -> None:
        """The scene closes, with all that was done in it."""
        self._done.clear()
        self._to_classify = ""

    def _on_saved(self, study: str, saved: SavedLabel, task: str) -> None:
        self._next.labelled(study, task)
        self._on_done(study)

    def _on_done(self, study: str) -> None:
        """A study was labelled, skipped or given back. It stays on screen until the next one comes."""
        is_shown = study == self._volumes.on_screen
        if is_shown and self._draft.is_touched:
            return  # More was said about it meanwhile, and not submitted.
        self._done.add(study)
        if is_shown and self._settings.get(NEXT_AFTER_SUBMIT):
            self._next.ask(self._next.strategy)

    def _on_draft(self) -> None:
        """What the reader has begun to say anew is not thrown away."""
        if self._done and self._draft.is_touched:
            self._done.discard(self._volumes.on_screen)

    def _on_opened(self, study: str) -> None:
        self._done.discard(study)
        if self._settings.get(REMOVE_DONE):
            for each in self._done:
                self._volumes.remove(each)
            self._done.clear()
        if self._settings.get(CLASSIFY_NEXT):
            self._to_classify = study
            self._classify()

    def _classify(self) -> None:
        """As soon as it can be: the server may still be asked where the study is."""
        if not self._to_classify:
            return
        if self._volumes.on_screen != self._to_classify or self._classification.result is not None:
            self._to_classify = ""
        elif not self._classification.can_start:
            self._to_classify = ""
            self._classification.start()
