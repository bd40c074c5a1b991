"""FindingRow: one finding of an answer: its name, probability, bar and decision in words."""

from __future__ import annotations

from typing import Any, Callable

import qt

from ..contract.evidence import ABSENT, PRESENT
from ..i18n import tr as _
from ..logic.answer_words import FindingInWords
from .plain_text import plain_label, plain_tip
from .probability_bar import ProbabilityBar

# Filled, empty, half: told apart without colour.
_SIGNS = {PRESENT: "●", ABSENT: "○", "": "◐"}


class FindingRow(qt.QObject):  # type: ignore[misc]
    """A row that can be clicked.

    Args:
        words: what it says.
        clicked: is called with the finding's name; None where there is no other to choose.

    Attributes:
        words: what it says.
        widget: the row.
        decision: what the network says.
        sure: what is said of that at the site's error rate.
    """

    def __init__(self, words: FindingInWords, clicked: Callable[[str], object] | None) -> None:
        qt.QObject.__init__(self)
        self.words, self._clicked = words, clicked
        self.widget = qt.QFrame()
        self.widget.setObjectName("findingRow")
        title, value = plain_label(words.title, bold=True), plain_label(f"{words.probability:.2f}", bold=True)
        value.setAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        value.setSizePolicy(qt.QSizePolicy.Minimum, qt.QSizePolicy.Preferred)
        line = plain_label()
        self._bar = ProbabilityBar(line, words.probability, words.threshold)
        line.setToolTip(_bar_tip(words))
        self.decision = plain_label(f"{_SIGNS[words.state]} {words.decision}")
        self.sure = plain_label(words.sure)
        self.sure.setVisible(bool(words.sure))
        for label in (self.decision, self.sure):
            label.setToolTip(plain_tip(words.why))
        head = qt.QHBoxLayout()
        head.addWidget(title, 1)
        head.addWidget(value)
        rows = qt.QVBoxLayout(self.widget)
        rows.setContentsMargins(6, 2, 6, 4)
        rows.setSpacing(2)
        rows.addLayout(head)
        rows.addWidget(line)
        rows.addWidget(self.decision)
        rows.addWidget(self.sure)
        if clicked is not None:
            self.widget.setCursor(qt.QCursor(qt.Qt.PointingHandCursor))
            self.widget.setToolTip(_("Show where in the patient this finding is"))
            self.widget.installEventFilter(self)

    def set_chosen(self, chosen: bool) -> None:
        """Frame it, where there are several."""
        self.widget.setStyleSheet(
            "#findingRow { border: 1px solid palette(highlight); border-radius: 4px; }"
            if chosen and self._clicked is not None
            else "#findingRow { border: 1px solid transparent; }"
        )

    def eventFilter(self, _watched: Any, event: Any) -> bool:  # noqa: N802 - Qt's name
        """Hear a click."""
        if event.type() == qt.QEvent.MouseButtonPress and self._clicked is not None:
            self._clicked(self.words.name)
            return True
        return False


def _bar_tip(words: FindingInWords) -> str:
    if words.threshold is None:
        return _("Probability that the study has it, from 0 to 1")
    return _("Probability that the study has it, from 0 to 1; the mark is the threshold {value:.2f}").format(
        value=words.threshold
    )
