"""FindingsSection: what the network says of the study on screen, in words and bars."""

from __future__ import annotations

from typing import Callable

from ..contract.result import Result
from ..i18n import tr as _
from ..logic.answer_words import (
    finding_row,
    source_lines,
    source_tip,
    suitability_line,
    suitability_tip,
    uncertainty_line,
    uncertainty_tip,
    warnings_of,
)
from ..logic.desk import Desk
from ..logic.messages import WARNING
from .finding_row import FindingRow
from .message_bar import COLOURS
from .plain_text import plain_tip, put
from .section import Section


class FindingsSection(Section):
    """Shows the answer for the volume, task and network on screen, and no other.

    Args:
        desk: the logic.
        resource: gives the path of a file in the module's Resources.

    Attributes:
        rows: one per finding of the answer.
    """

    name = "FindingsSection"

    def __init__(self, desk: Desk, resource: Callable[[str], str]) -> None:
        super().__init__(desk, resource)
        self.rows: list[FindingRow] = []
        self._shown: Result | None = None
        background, text = COLOURS[WARNING]
        self.ui.warningLabel.styleSheet = (
            f"QLabel {{ background: {background}; color: {text}; border-radius: 4px; padding: 5px; }}"
        )
        self.ui.uncertaintyLabel.toolTip = uncertainty_tip()
        # The second tells of what else is said beside an answer: newer versions, another server.
        for signal in (desk.evidence.changed, desk.classification.changed):
            self.follow(signal, self._show)
        self._report_tip = self.ui.reportButton.toolTip
        self.ui.reportButton.connect("clicked(bool)", lambda _checked=False: desk.archive_reports.send())
        self.follow(desk.archive_reports.changed, self._show_report)
        self._show()

    def _show(self) -> None:
        result = self.desk.evidence.result
        if result is not self._shown:
            self._shown = result
            self._make_rows(result)
        for row in self.rows:
            row.set_chosen(row.words.name == self.desk.evidence.finding)
        self.ui.emptyLabel.text = (
            _("This study is read blind: the network's answer is shown when your label is submitted.")
            if self.desk.evidence.is_hidden
            else _("No answer yet for this volume, task and network.")
        )
        self.ui.emptyLabel.visible = result is None
        self.ui.rows.visible = result is not None
        self._write(result)
        self._show_report()

    def _show_report(self) -> None:
        """Only where the server sends reports, and there is something to report."""
        reports, button = self.desk.archive_reports, self.ui.reportButton
        why_not = reports.why_not
        button.visible = reports.is_offered and self.desk.evidence.result is not None
        button.enabled = not why_not
        button.toolTip = plain_tip(why_not) if why_not else self._report_tip

    def _write(self, result: Result | None) -> None:
        """The words around the rows."""
        model, info = self.desk.choice.model, self.desk.server.info
        kept = self.desk.evidence.kept
        warnings = () if result is None else warnings_of(result, self.desk.classification.note)
        put(self.ui.warningLabel, "\n".join(f"⚠ {each}" for each in warnings))
        put(self.ui.fitLabel, "" if result is None else suitability_line(result))
        self.ui.fitLabel.toolTip = "" if result is None else plain_tip(suitability_tip(result))
        put(self.ui.uncertaintyLabel, "" if result is None else uncertainty_line(result))
        lines = () if kept is None else source_lines(kept.result, model, kept.when)
        put(self.ui.sourceLabel, "\n".join(lines))
        self.ui.sourceLabel.toolTip = "" if result is None else plain_tip(source_tip(result))
        put(self.ui.noticeLabel, "" if result is None or info is None else info.notice)

    def _make_rows(self, result: Result | None) -> None:
        for row in self.rows:
            row.widget.setParent(None)
            row.widget.deleteLater()
        findings = () if result is None else result.findings
        clicked = self.desk.evidence.choose if len(findings) > 1 else None
        unfit = result is not None and result.is_unfit
        self.rows = [FindingRow(finding_row(each, unfit=unfit), clicked) for each in findings]
        for row in self.rows:
            self.ui.rows.layout().addWidget(row.widget)
