"""LabelSection: what the reader says about the study, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from ..i18n import tr as _
from ..logic.desk import Desk
from ..logic.draft import FROM, TO
from ..logic.label_words import finding_list_in_words
from ..logic.messages import WARNING
from ..logic.words import duration
from ..scene.geometry import geometry_of
from ..scene.jump import current_z
from .conflict_box import ConflictBox
from .finding_form import FindingForm, Places
from .kept_labels_box import KeptLabelsBox
from .plain_text import put
from .section import Section, Shortcut

_MARKING = "marking"


class LabelSection(Section):
    """The label form.

    Args:
        desk: the logic.
        resource: gives the path of a file in the module's Resources.

    Attributes:
        rows: one per finding of the task, by its name.
    """

    name = "LabelSection"

    def __init__(self, desk: Desk, resource: Callable[[str], str]) -> None:
        super().__init__(desk, resource)
        self.rows: dict[str, FindingForm] = {}
        ui = self.ui
        self._places = Places(self._here, self._slices, desk.evidence.jump)
        self._conflicts = ConflictBox(desk.kept_labels, ui.conflictRows)
        self._kept = KeptLabelsBox(desk.kept_labels, desk.questions, lambda: desk.server.address, ui)
        ui.commentEdit.connect("textChanged()", self._on_comment)
        ui.confirmButton.connect("clicked(bool)", lambda _checked=False: desk.draft.confirm())
        ui.submitButton.connect("clicked(bool)", lambda _checked=False: desk.submission.submit())
        ui.cancelButton.connect("clicked(bool)", lambda _checked=False: desk.adding.cancel())
        ui.clearButton.connect("clicked(bool)", lambda _checked=False: desk.draft.clear())
        self.follow(desk.draft.changed, self._show_form)
        self.follow(desk.submission.changed, self._show_status)
        self.follow(desk.reading_clock.ticked, self._show_time)
        for cause in (desk.evidence.moved, desk.evidence.changed, desk.draft.changed):
            # Another slice, another study, or something else is marked.
            self.follow(cause, self._settle_marking)
        self._show_form()
        self._show_status()

    def shortcuts(self) -> Sequence[Shortcut]:
        """All of the form but its comment."""
        return (
            Shortcut("Ctrl+Shift+P", _("The finding is present"), lambda: self._say("present")),
            Shortcut("Ctrl+Shift+B", _("The finding is absent"), lambda: self._say("absent")),
            Shortcut("Ctrl+Shift+I", _("The finding is indeterminate"), lambda: self._say("indeterminate")),
            Shortcut("Ctrl+Shift+F", _("Positive slices begin here"), lambda: self._mark(FROM)),
            Shortcut("Ctrl+Shift+E", _("Positive slices end here"), lambda: self._mark(TO)),
            Shortcut("Ctrl+Shift+S", _("Submit the label"), self.desk.submission.submit),
        )

    def enter(self) -> None:
        """The time that is spent counts from now on."""
        self.desk.reading_clock.start()

    def leave(self) -> None:
        """It counts no more."""
        self.desk.reading_clock.stop()

    def _show_form(self) -> None:
        draft, ui = self.desk.draft, self.ui
        if draft.findings != tuple(self.rows):
            self._make_rows(draft.findings)
        for row in self.rows.values():
            row.show()
        ui.emptyLabel.text = draft.missing
        ui.emptyLabel.visible = not draft.is_open
        filled_in = [name for name in draft.findings if draft.is_from_network(name)]
        ui.confirmButton.visible = bool(filled_in)
        ui.confirmButton.text = _("Confirm all of these") if len(filled_in) > 1 else _("Confirm")
        ui.commentEdit.enabled = ui.clearButton.enabled = draft.is_open
        if ui.commentEdit.plainText != draft.comment:
            ui.commentEdit.setPlainText(draft.comment)
        self._show_time()

    def _show_status(self) -> None:
        draft, submission, adding, ui = self.desk.draft, self.desk.submission, self.desk.adding, self.ui
        ui.submitButton.enabled = draft.is_open and not adding.is_busy
        ui.clearButton.visible = not adding.is_busy
        ui.cancelButton.visible = ui.progressBar.visible = adding.is_busy
        done, total = adding.progress or (0, 0)
        # In thousandths, for more bytes than a progress bar can count.
        ui.progressBar.setRange(0, 1000 if total else 0)
        ui.progressBar.setValue(round(1000 * done / total) if total else 0)
        put(ui.statusLabel, submission.status)
        self._conflicts.show()
        self._kept.show()
        self._show_hint()

    def _show_hint(self) -> None:
        """What is missing yet, or left out; what was submitted is told by the status."""
        draft = self.desk.draft
        hint = ""
        if draft.is_open and not draft.is_kept:
            hint = self.desk.submission.why_not
            if not hint and draft.left_out:
                hint = _("Left out of the label, as not looked at: {findings}.").format(
                    findings=finding_list_in_words(draft.left_out)
                )
        put(self.ui.hintLabel, "\n".join(filter(None, (self.desk.study.is_not_seen, hint))))

    def _show_time(self) -> None:
        seconds = self.desk.draft.seconds_spent
        text = _("Time spent on this label so far: {time}").format(time=duration(seconds))
        self.ui.timeLabel.text = duration(seconds) if self.desk.draft.is_open and seconds >= 1 else ""
        self.ui.timeLabel.toolTip = text

    def _make_rows(self, findings: Sequence[str]) -> None:
        for row in self.rows.values():
            row.widget.setParent(None)
            row.widget.deleteLater()
        self.rows = {
            each: FindingForm(self.desk.draft, each, self._places, is_one_of_many=len(findings) > 1)
            for each in findings
        }
        for row in self.rows.values():
            self.ui.rows.layout().addWidget(row.widget)

    def _say(self, state: str) -> None:
        """By key, for the chosen finding; what the network filled in is confirmed by it."""
        if self.desk.draft.finding:
            self.rows[self.desk.draft.finding].say(state)

    def _mark(self, end: str) -> None:
        if self.desk.draft.finding:
            self.rows[self.desk.draft.finding].mark(end)

    def _on_comment(self) -> None:
        self.desk.draft.set_comment(self.ui.commentEdit.plainText)

    def _here(self) -> float | None:
        """The slice that is to be marked; where there is none, the reader is told."""
        volume = self.desk.evidence.volume
        other = self.desk.study.is_not_seen
        z = None if volume is None or other else current_z(volume)
        if z is None:
            self.desk.messages.tell(
                WARNING,
                _("The axial view shows no slice of this study, so nothing was marked."),
                other or _("Scroll it to a slice, or click into the evidence strip."),
                about=_MARKING,
            )
        else:
            self._settle_marking()
        return z

    def _settle_marking(self) -> None:
        self.desk.messages.settle(_MARKING)

    def _slices(self, low_mm: float, high_mm: float) -> int:
        volume = self.desk.evidence.volume
        if volume is None:
            return 0
        geometry = geometry_of(volume)
        return geometry.slice_of(high_mm) - geometry.slice_of(low_mm) + 1
