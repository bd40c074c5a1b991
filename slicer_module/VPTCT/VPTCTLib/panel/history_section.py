"""HistorySection: what was said about the study on screen before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

import qt

from ..i18n import tr as _
from ..logic.desk import Desk
from ..logic.label_history import HistoryRow
from ..logic.label_words import label_in_words
from ..logic.words import duration, finding_in_words, when_in_words
from .plain_text import plain_tip
from .section import Section

_VERSION, _WHO, _WHAT = range(3)


class HistorySection(Section):
    """A table of labels; a label can be looked at, or be the beginning of the reader's own."""

    name = "HistorySection"

    def __init__(self, desk: Desk, resource: Callable[[str], str]) -> None:
        super().__init__(desk, resource)
        self._rows: Sequence[HistoryRow] = ()
        table = self.ui.historyTable
        table.setHorizontalHeaderLabels([_("Version"), _("Who, when"), _("What")])
        table.setWordWrap(True)
        header = table.horizontalHeader()
        header.setSectionResizeMode(_VERSION, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(_WHO, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(_WHAT, qt.QHeaderView.Stretch)
        # Heights follow the widths; the panel scrolls, not the table in it.
        table.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.connect("itemSelectionChanged()", self._show_buttons)
        table.connect("cellDoubleClicked(int,int)", self._on_double_click)
        self.ui.showButton.connect("clicked(bool)", lambda _checked=False: self._jump(self._chosen()))
        self.ui.useButton.connect("clicked(bool)", lambda _checked=False: self._use(self._chosen()))
        self.follow(desk.history.changed, self._show)
        self.follow(desk.draft.changed, self._show_buttons)
        self._show()

    def _show(self) -> None:
        history, ui = self.desk.history, self.ui
        if history.rows != self._rows:
            self._list(history.rows)
        count = len(self._rows)
        ui.historyButton.text = (
            _("Labels of this study ({n})").format(n=count) if count else _("Labels of this study")
        )
        ui.emptyLabel.text = self._why_empty()
        ui.emptyLabel.visible = not self._rows
        ui.historyTable.visible = bool(self._rows)
        self._show_buttons()

    def _why_empty(self) -> str:
        if self.desk.history.hidden:
            return _("This is a second reading: earlier labels are shown when yours is saved.")
        if self.desk.history.labels is not None:
            return _("Nobody has labelled this study for this task.")
        return _("Show a study of the server to see its labels.")

    def _list(self, rows: Sequence[HistoryRow]) -> None:
        """Newer labels come in above: the chosen one stays chosen."""
        chosen = self._chosen()
        self._rows = rows
        self._fill(rows)
        kept = [number for number, row in enumerate(rows) if chosen is not None and _is_same(row, chosen)]
        if kept:
            self.ui.historyTable.selectRow(kept[0])
        else:
            self.ui.historyTable.setCurrentItem(None)

    def _fill(self, rows: Sequence[HistoryRow]) -> None:
        table = self.ui.historyTable
        table.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, text in enumerate((_version(row), _who(row), _what(row))):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(plain_tip(_tip(row)))
                item.setTextAlignment(qt.Qt.AlignTop | qt.Qt.AlignLeft)
                table.setItem(number, column, item)
        table.updateGeometry()

    def _show_buttons(self) -> None:
        row, draft = self._chosen(), self.desk.draft
        for button in (self.ui.showButton, self.ui.useButton):
            button.visible = bool(self._rows)
        self.ui.showButton.enabled = row is not None and _first_z(row) is not None
        self.ui.useButton.enabled = row is not None and row.label is not None and draft.is_open

    def _chosen(self) -> HistoryRow | None:
        number = self.ui.historyTable.currentRow()
        return self._rows[number] if 0 <= number < len(self._rows) else None

    def _on_double_click(self, number: int) -> None:
        row = self._rows[number]
        if _first_z(row) is not None:
            self._jump(row)
        else:
            self._use(row)

    def _jump(self, row: HistoryRow | None) -> None:
        z_mm = _first_z(row) if row is not None else None
        if z_mm is not None:
            self.desk.evidence.jump(z_mm)

    def _use(self, row: HistoryRow | None) -> None:
        if row is None or row.label is None or not self._may_replace():
            return
        self.desk.draft.start_from(row.label)

    def _may_replace(self) -> bool:
        return not self.desk.draft.is_touched or self.desk.questions.confirm(
            _("Replace what your form says?"),
            _("What you have said about this study was not submitted yet."),
            _("Replace it"),
        )


def _is_same(row: HistoryRow, other: HistoryRow) -> bool:
    """Whether they are of one label; whether it is the one that counts may have changed."""
    return (row.version, row.annotator, row.saved) == (other.version, other.annotator, other.saved)


def _first_z(row: HistoryRow) -> float | None:
    """The lowest positive slice of a label."""
    said = row.label.findings.values() if row.label is not None else ()
    return min((low for each in said for low, _high in each.slices_mm or ()), default=None)


def _version(row: HistoryRow) -> str:
    return "–" if row.version is None else str(row.version)


def _who(row: HistoryRow) -> str:
    parts = [row.annotator, when_in_words(row.saved) if row.saved else ""]
    if row.seconds_spent:
        parts.append(duration(row.seconds_spent))
    return "\n".join(filter(None, parts))


def _what(row: HistoryRow) -> str:
    if row.label is None:
        return _("Cannot be read: {problem}").format(problem=row.note)
    words = label_in_words(row.label)
    return "\n".join(filter(None, (words, row.note)))


def _tip(row: HistoryRow) -> str:
    counts = _("It is the one that counts.") if row.counts else ""
    suggestion = dict(row.label.model_suggestion) if row.label is not None else {}
    if not suggestion:
        return counts
    probabilities = ", ".join(
        f"{finding_in_words(name)} {value:.2f}"
        for name, value in suggestion.items()
        if name not in ("model", "version") and isinstance(value, float)
    )
    seen = _("The reader had seen {model}, version {version}: {probabilities}.").format(
        model=suggestion.get("model"), version=suggestion.get("version"), probabilities=probabilities
    )
    return "\n".join(filter(None, (counts, seen)))
