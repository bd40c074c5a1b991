"""ConflictBox: two labels of one study side by side, of which the reader says which one counts."""

from __future__ import annotations

from typing import Any, Callable

import qt

from ..contract.label import StudyLabel
from ..i18n import tr as _
from ..logic.conflict import Conflict
from ..logic.kept_labels import KeptLabels
from ..logic.label_words import label_in_words
from ..logic.messages import WARNING
from ..logic.words import when_in_words
from .message_bar import COLOURS
from .plain_text import plain_label


class ConflictBox:
    """A frame for each conflict.

    Args:
        kept: has the conflicts.
        rows: the widget that they are put into.
    """

    def __init__(self, kept: KeptLabels, rows: Any) -> None:
        self._kept, self._rows = kept, rows
        self._shown: tuple[Conflict, ...] = ()
        rows.visible = False

    def show(self) -> None:
        """Show those that there are."""
        if self._kept.conflicts == self._shown:
            return
        self._shown = self._kept.conflicts
        layout = self._rows.layout()
        while layout.count():
            old = layout.takeAt(0).widget()
            old.setParent(None)
            old.deleteLater()
        for each in self._shown:
            layout.addWidget(self._frame(each))
        self._rows.visible = bool(self._shown)

    def _frame(self, conflict: Conflict) -> Any:
        background, text = COLOURS[WARNING]
        frame = qt.QFrame()
        frame.setObjectName("conflictFrame")
        frame.setStyleSheet(
            f"#conflictFrame {{ background: {background}; border-radius: 4px; }} QLabel {{ color: {text}; }}"
        )
        rows = qt.QVBoxLayout(frame)
        rows.addWidget(
            _label(
                _("{study} was labelled by somebody else meanwhile. Which label counts?").format(
                    study=conflict.kept.study
                )
            )
        )
        theirs = _("Version {version}, which counts now").format(version=conflict.newest_version)
        both = qt.QHBoxLayout()
        both.setSpacing(12)
        both.addWidget(_label(_side(theirs, conflict.theirs)), 1)
        both.addWidget(_label(_side(_("Yours"), conflict.kept.label)), 1)
        rows.addLayout(both)
        buttons = qt.QHBoxLayout()
        buttons.addWidget(
            _button(
                _("Keep theirs"),
                _("Their label counts. Yours stays on the server, set aside, and in its history."),
                lambda: self._kept.keep_theirs(conflict),
            )
        )
        buttons.addWidget(
            _button(
                _("Save mine as the newer one"),
                _("Your label counts. Theirs stays in the history."),
                lambda: self._kept.save_mine(conflict),
            )
        )
        rows.addLayout(buttons)
        return frame


def _side(title: str, label: StudyLabel | None) -> str:
    if label is None:
        return f"{title}\n" + _("It cannot be read.")
    who = _("{reader}, {when}").format(
        reader=label.annotator or _("somebody"), when=when_in_words(label.created or None)
    )
    return f"{title}\n{who}\n{label_in_words(label)}"


def _label(words: str) -> Any:
    label = plain_label(words)
    label.setAlignment(qt.Qt.AlignTop | qt.Qt.AlignLeft)
    return label


def _button(text: str, tip: str, pressed: Callable[[], object]) -> Any:
    button = qt.QPushButton(text)
    button.setToolTip(tip)
    button.connect("clicked(bool)", lambda _checked=False: pressed())
    return button
