"""FindingForm: the row of the label form for one finding: state, positive slices, confidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Callable

import qt

from ..contract.label import CONFIDENCES, STATES
from ..i18n import tr as _
from ..logic.draft import FROM, PRESENT, TO
from ..logic.label_draft import LabelDraft
from ..logic.label_words import confidence_in_words, range_in_words, slices_in_words, state_in_words
from ..logic.words import finding_in_words
from .plain_text import plain_label

_CHOSEN = "QPushButton:checked { background: palette(highlight); color: palette(highlighted-text); }"
_FILLED_IN = "QPushButton:checked { border: 2px dashed palette(highlight); padding: 3px; }"
_FRAME = "#findingForm { border: 1px solid palette(highlight); border-radius: 4px; }"
_NO_FRAME = "#findingForm { border: 1px solid transparent; }"
_KEYS = {"present": "Ctrl+Shift+P", "absent": "Ctrl+Shift+B", "indeterminate": "Ctrl+Shift+I"}


@dataclass(frozen=True)
class Places:
    """Where slices are, and showing them.

    Attributes:
        here: patient z in mm of the slice on screen; None where no view shows one.
        slices: how many slices there are from one z to another.
        jump: shows the slice at a z.
    """

    here: Callable[[], float | None]
    slices: Callable[[float, float], int]
    jump: Callable[[float], object]


class FindingForm(qt.QObject):  # type: ignore[misc]
    """A row.

    Args:
        draft: the form.
        name: of the finding.
        places: where slices are.
        is_one_of_many: there are other rows, and keys are about the chosen one.

    Attributes:
        widget: the row.
        buttons: by state.
        from_button, to_button: mark one end of a range.
        confidence_box: how sure the reader is.
        range_rows: the texts of the ranges.
    """

    def __init__(self, draft: LabelDraft, name: str, places: Places, *, is_one_of_many: bool) -> None:
        qt.QObject.__init__(self)
        self._draft, self._name, self._places = draft, name, places
        self._is_one_of_many = is_one_of_many
        self.widget = qt.QFrame()
        self.widget.setObjectName("findingForm")
        self.range_rows: list[Any] = []
        rows = qt.QVBoxLayout(self.widget)
        # Room for the frame, where there is one.
        rows.setContentsMargins(*((6, 4, 6, 6) if is_one_of_many else (0, 0, 0, 4)))
        rows.setSpacing(4)
        rows.addWidget(plain_label(finding_in_words(name), bold=True))
        self._note = plain_label(_("From the network: confirm it, or say something else."))
        rows.addWidget(self._note)
        rows.addLayout(self._state_buttons())
        self._details = qt.QWidget()
        self._fill_details()
        rows.addWidget(self._details)
        if is_one_of_many:
            self.widget.setToolTip(_("Keys and dragging are about the framed finding; click another one"))
            self.widget.installEventFilter(self)
        self.show()

    def show(self) -> None:
        """Show what the form says."""
        state = self._draft.states.get(self._name)
        filled_in = self._draft.is_from_network(self._name)
        self._note.visible = filled_in
        for each, button in self.buttons.items():
            button.checked = each == state
            _dress(button, _FILLED_IN if filled_in else _CHOSEN)
        self._details.visible = state is not None
        self.from_button.visible = self.to_button.visible = state == PRESENT
        confidence = self._draft.confidence(self._name)
        self.confidence_box.setCurrentIndex(CONFIDENCES.index(confidence))
        self._show_ranges(self._draft.ranges(self._name))
        chosen = self._is_one_of_many and self._draft.finding == self._name
        _dress(self.widget, _FRAME if chosen else _NO_FRAME)

    def eventFilter(self, _watched: Any, event: Any) -> bool:  # noqa: N802 - Qt's name
        """A click into the row chooses its finding; the wheel scrolls the panel, and says nothing."""
        if event.type() == qt.QEvent.Wheel:
            event.ignore()
            return True
        if event.type() == qt.QEvent.MouseButtonPress:
            self._draft.choose(self._name)
        return False

    def say(self, state: str) -> None:
        """Say it; saying the same again takes it back, but for what the network filled in."""
        again = self._draft.states.get(self._name) == state and not self._draft.is_from_network(self._name)
        self._draft.set_state(self._name, None if again else state)
        self.show()

    def mark(self, end: str) -> None:
        """Mark one end of a range at the slice on screen."""
        here = self._places.here()
        if here is None:
            return
        if end == FROM:
            self._draft.from_here(self._name, here)
        else:
            self._draft.to_here(self._name, here)

    def _state_buttons(self) -> Any:
        line = qt.QHBoxLayout()
        line.setSpacing(4)
        self.buttons: dict[str, Any] = {}
        for state in STATES:
            words = state_in_words(state)
            button = qt.QPushButton(words[:1].upper() + words[1:])
            button.setCheckable(True)
            # Three beside each other in the narrowest panel.
            button.setMinimumWidth(60)
            button.setSizePolicy(qt.QSizePolicy.Expanding, qt.QSizePolicy.Fixed)
            button.setToolTip(
                _("Say that it is {state} ({key}); again takes it back").format(state=words, key=_KEYS[state])
            )
            button.connect("clicked(bool)", lambda _checked=False, state=state: self.say(state))
            self.buttons[state] = button
            line.addWidget(button)
        return line

    def _fill_details(self) -> None:
        rows = qt.QVBoxLayout(self._details)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(4)
        self.from_button = self._end_button(
            FROM, _("From here"), _("Positive slices begin at the slice on screen (Ctrl+Shift+F)")
        )
        self.to_button = self._end_button(
            TO, _("To here"), _("Positive slices end at the slice on screen (Ctrl+Shift+E)")
        )
        self.confidence_box = qt.QComboBox()
        self.confidence_box.setToolTip(_("How sure you are of what you say"))
        # As narrow as the panel wants it.
        self.confidence_box.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self.confidence_box.setMinimumContentsLength(6)
        for each in CONFIDENCES:
            self.confidence_box.addItem(confidence_in_words(each) if each else _("How sure?"))
        self.confidence_box.connect("activated(int)", self._on_confidence)
        self.confidence_box.installEventFilter(self)
        line = qt.QHBoxLayout()
        line.setSpacing(4)
        for widget in (self.from_button, self.to_button):
            line.addWidget(widget)
        line.addWidget(self.confidence_box, 1)
        rows.addLayout(line)
        self._hint = plain_label("")
        self._ranges = qt.QVBoxLayout()
        self._ranges.setSpacing(0)
        rows.addLayout(self._ranges)
        rows.addWidget(self._hint)

    def _end_button(self, end: str, text: str, tip: str) -> Any:
        button = qt.QPushButton(text)
        button.setToolTip(tip)
        button.connect("clicked(bool)", lambda _checked=False: self.mark(end))
        return button

    def _show_ranges(self, ranges: Sequence[tuple[float, float]]) -> None:
        while len(self.range_rows) > len(ranges):
            row = self.range_rows.pop()
            self._ranges.removeWidget(row)
            row.setParent(None)
            row.deleteLater()
        while len(self.range_rows) < len(ranges):
            row = self._range_row(len(self.range_rows))
            self.range_rows.append(row)
            self._ranges.addWidget(row)
        for row, (low, high) in zip(self.range_rows, ranges):
            count = slices_in_words(self._places.slices(low, high))
            row.layout().itemAt(0).widget().setText(f"{range_in_words((low, high))}, {count}")
        first_end = self._draft.first_end(self._name)
        other = {FROM: _("To here"), TO: _("From here"), "": ""}[first_end]
        self._hint.text = _("One slice so far; “{other}” makes it a range.").format(other=other)
        self._hint.visible = bool(first_end)

    def _range_row(self, index: int) -> Any:
        row = qt.QWidget()
        line = qt.QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2)
        line.addWidget(plain_label(""), 1)
        line.addWidget(_tool("→", _("Show these slices"), lambda: self._jump(index)))
        line.addWidget(_tool("×", _("Remove: these slices do not show it"), lambda: self._remove(index)))
        return row

    def _jump(self, index: int) -> None:
        low, high = self._draft.ranges(self._name)[index]
        self._places.jump((low + high) / 2)

    def _remove(self, index: int) -> None:
        self._draft.remove_range(self._name, index)

    def _on_confidence(self, index: int) -> None:
        self._draft.set_confidence(self._name, CONFIDENCES[index])


def _dress(widget: Any, style: str) -> None:
    """Qt works a style out anew even where it is the same, at every step of dragging a range."""
    if widget.styleSheet != style:
        widget.setStyleSheet(style)


def _tool(text: str, tip: str, pressed: Callable[[], object]) -> Any:
    button = qt.QToolButton()
    button.setText(text)
    button.setToolTip(tip)
    button.setAutoRaise(True)
    button.connect("clicked(bool)", lambda _checked=False: pressed())
    return button
