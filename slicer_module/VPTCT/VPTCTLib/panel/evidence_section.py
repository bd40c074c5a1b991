"""EvidenceSection: where in the patient the answer comes from, and which slices the reader marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from ..i18n import tr as _
from ..logic.desk import Desk
from ..logic.words import finding_in_words
from .evidence_strip import EvidenceStrip
from .plain_text import plain_tip, put
from .section import Section, Shortcut


class EvidenceSection(Section):
    """The strip, and the buttons that jump.

    Args:
        desk: the logic.
        resource: gives the path of a file in the module's Resources.

    Attributes:
        strip: the curve along the patient.
    """

    name = "EvidenceSection"

    def __init__(self, desk: Desk, resource: Callable[[str], str]) -> None:
        super().__init__(desk, resource)
        evidence = desk.evidence
        self._findings: tuple[str, ...] = ()
        self.strip = EvidenceStrip(self.ui.strip)
        self.strip.jumped.connect(evidence.jump)
        self.strip.stepped.connect(evidence.step)
        self.strip.marked.connect(evidence.mark)
        self.strip.changed.connect(evidence.change)
        self.strip.removed.connect(evidence.remove)
        self.ui.keySliceButton.connect("clicked(bool)", lambda _checked=False: evidence.jump_to_key_slice())
        self.ui.previousPeakButton.connect("clicked(bool)", lambda _checked=False: evidence.jump_to_peak(-1))
        self.ui.nextPeakButton.connect("clicked(bool)", lambda _checked=False: evidence.jump_to_peak(+1))
        views = desk.evidence_views
        self.ui.marksBox.connect("clicked(bool)", views.show_marks)
        self.ui.foundBox.connect("clicked(bool)", views.show_found)
        self.ui.plotBox.connect("clicked(bool)", views.show_plot)
        self.ui.findingBox.connect("activated(int)", self._on_finding)
        maps = desk.heat_maps
        self._why_tip = self.ui.whyButton.toolTip
        self.ui.whyButton.connect("clicked(bool)", lambda _checked=False: maps.ask())
        self.ui.heatBox.connect("clicked(bool)", maps.show)
        self.ui.heatSlider.connect("valueChanged(int)", lambda value: maps.set_opacity(value / 100))
        self.ui.hottestButton.connect("clicked(bool)", lambda _checked=False: maps.jump())
        self.follow(evidence.changed, self._show)
        self.follow(desk.draft.changed, self._show_findings)
        self.follow(evidence.moved, self._move)
        self.follow(views.changed, self._show_views)
        self.follow(maps.changed, self._show_heat_map)
        self._show()

    def shortcuts(self) -> Sequence[Shortcut]:
        """The key slice, and why, by key."""
        maps = self.desk.heat_maps
        return (
            Shortcut("Ctrl+Shift+K", _("Show the key slice"), self.desk.evidence.jump_to_key_slice),
            Shortcut("Ctrl+Shift+W", _("Ask where in the study the answer comes from"), maps.ask),
            Shortcut("Ctrl+Shift+H", _("Lay the heat map over the CT, or take it away"), maps.toggle),
        )

    def close(self) -> None:
        """Hear no more of the logic and the mouse."""
        super().close()
        self.strip.close()

    def _show(self) -> None:
        evidence = self.desk.evidence
        self._show_findings()
        has_study = evidence.profile is not None
        self.ui.emptyLabel.text = _("Show a chest CT to see its slices here.")
        self.ui.emptyLabel.visible = not has_study
        for widget in (self.ui.strip, self.ui.jumps, self.ui.views, self.ui.why):
            widget.visible = has_study
        self.strip.show(evidence.profile, may_mark=evidence.may_mark, note=self._note())
        self._move()
        self._show_views()
        self._show_heat_map()

    def _note(self) -> str:
        """Why there is no curve."""
        if self.desk.evidence.is_hidden:
            return _("Read blind: shown when your label is saved")
        return _("No answer yet")

    def _show_views(self) -> None:
        """What can be drawn in Slicer's views, and what is."""
        evidence, views, ui = self.desk.evidence, self.desk.evidence_views, self.ui
        ui.marksBox.checked, ui.foundBox.checked = views.shows_marks, views.shows_found
        ui.plotBox.checked = views.shows_plot
        has_threshold = evidence.profile is not None and evidence.profile.threshold is not None
        ui.foundBox.enabled = views.shows_found or has_threshold
        ui.plotBox.enabled = views.shows_plot or evidence.kept is not None

    def _show_heat_map(self) -> None:
        """Whether it can be asked for, whether there is one, and what it says."""
        maps, ui = self.desk.heat_maps, self.ui
        why_not, told = maps.why_not, maps.map
        ui.whyButton.enabled = not why_not
        ui.whyButton.toolTip = plain_tip(why_not) if why_not else self._why_tip
        ui.heatBox.checked, ui.heatBox.enabled = maps.is_shown, maps.is_shown or told is not None
        before = ui.heatSlider.blockSignals(True)
        ui.heatSlider.value = round(100 * maps.opacity)
        ui.heatSlider.blockSignals(before)
        ui.heatSlider.enabled = maps.is_shown and told is not None
        ui.hottestButton.enabled = told is not None and told.key_slice_mm is not None
        put(ui.heatLabel, maps.words)

    def _show_findings(self) -> None:
        """The findings to choose among; hidden where there is one alone."""
        evidence, box = self.desk.evidence, self.ui.findingBox
        if evidence.findings != self._findings:
            self._findings = evidence.findings
            box.clear()
            for each in self._findings:
                box.addItem(finding_in_words(each), each)
        box.visible = len(self._findings) > 1
        if evidence.finding in self._findings:
            box.setCurrentIndex(self._findings.index(evidence.finding))

    def _move(self) -> None:
        """Another slice is on screen."""
        evidence = self.desk.evidence
        self.strip.move_to(evidence.here)
        has_key = evidence.profile is not None and evidence.profile.key_slice_mm is not None
        self.ui.keySliceButton.enabled = has_key
        self.ui.previousPeakButton.enabled = evidence.peak(-1) is not None
        self.ui.nextPeakButton.enabled = evidence.peak(+1) is not None

    def _on_finding(self, index: int) -> None:
        if 0 <= index < len(self._findings):
            self.desk.evidence.choose(self._findings[index])
