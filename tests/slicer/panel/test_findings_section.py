"""The section "Findings": what a reader reads of an answer."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_answers import made_up_answer, made_up_volume


@pytest.fixture
def ui(panel: Any) -> Any:
    """The widgets of the section."""
    return panel.panel.sections["FindingsSection"].ui


@pytest.fixture
def hear(panel: Any, wait_until: Callable[..., None]) -> Callable[..., Any]:
    """Keeps an answer for a volume, as one that came."""

    def hear(volume: Any, result: Any) -> None:
        from VPTCTLib.scene.results import keep_result

        keep_result(volume, result, server="", when="2026-11-20T20:31:05Z")
        panel.desk.classification.finished.emit(volume, result)
        panel.desk.classification.changed.emit()

    return hear


def rows(panel: Any) -> list[tuple[str, str]]:
    return [(row.words.title, row.decision.text) for row in panel.panel.sections["FindingsSection"].rows]


def shown(panel: Any, volume: Any, wait_until: Callable[..., None]) -> Any:
    """The volume is on screen."""
    wait_until(lambda: volume.GetScene() is not None, 1)
    panel.desk.study.select(volume)
    return volume


def test_without_an_answer_there_is_a_line_and_nothing_else(panel: Any, ui: Any) -> None:
    assert ui.emptyLabel.visible
    assert ui.emptyLabel.text == "No answer yet for this volume, task and network."
    assert not any(
        widget.visible
        for widget in (ui.warningLabel, ui.rows, ui.uncertaintyLabel, ui.sourceLabel, ui.noticeLabel)
    )


def test_every_finding_has_its_probability_and_decision_in_words(
    panel: Any, ui: Any, hear: Any, wait_until: Any, picture: Callable[[str], Path]
) -> None:
    volume = shown(panel, made_up_volume(), wait_until)
    hear(
        volume,
        made_up_answer(
            warnings=("slice spacing 5.0 mm is outside what it was trained on (0.6 to 3.0 mm)",),
            pulmonary_embolism=(41, 0.83, 0.41), lung_nodule=(20, 0.3, 0.5), emphysema=(30, 0.6, None),
        ),
    )  # fmt: skip
    assert rows(panel) == [
        ("Pulmonary embolism", "● present: 0.83, above the threshold 0.41"),
        ("Lung nodule", "○ absent: 0.30, below the threshold 0.50"),
        ("Emphysema", "◐ 0.60; there is no threshold: decide yourself"),
    ]
    assert not ui.emptyLabel.visible
    assert ui.warningLabel.text == (
        "⚠ Slice spacing 5.0 mm is outside what it was trained on (0.6 to 3.0 mm)."
    )
    assert ui.warningLabel.y < ui.rows.y
    assert ui.uncertaintyLabel.text == "Uncertainty 0.66 of 1; parts of the study differ by 0.21"
    assert "coin" in ui.uncertaintyLabel.toolTip
    assert ui.sourceLabel.text.endswith("Validation AUROC 0.88 (0.81 to 0.94, n = 60); not calibrated")
    assert "Trained on 212 studies" in ui.sourceLabel.toolTip
    picture("findings-three")


def test_another_volume_shows_nothing_of_it_and_coming_back_shows_it_again(
    panel: Any, ui: Any, hear: Any, wait_until: Any
) -> None:
    first = shown(panel, made_up_volume("first"), wait_until)
    hear(first, made_up_answer(pulmonary_embolism=(41, 0.83, 0.41)))
    second = shown(panel, made_up_volume("second"), wait_until)
    assert rows(panel) == []
    assert ui.emptyLabel.visible
    hear(second, made_up_answer(pulmonary_embolism=(41, 0.12, 0.41)))
    assert rows(panel)[0][1] == "○ absent: 0.12, below the threshold 0.41"
    panel.desk.study.select(first)
    assert rows(panel)[0][1] == "● present: 0.83, above the threshold 0.41"


def test_rows_stay_the_same_widgets_while_the_server_is_looked_at(
    panel: Any, hear: Any, wait_until: Any
) -> None:
    hear(shown(panel, made_up_volume(), wait_until), made_up_answer(pulmonary_embolism=(41, 0.83, 0.41)))
    before = panel.panel.sections["FindingsSection"].rows
    panel.desk.classification.changed.emit()
    assert panel.panel.sections["FindingsSection"].rows is before


def test_the_bar_is_as_long_as_the_probability_and_has_a_notch_at_the_threshold(
    panel: Any, hear: Any, wait_until: Any, main_window: Any
) -> None:
    import qt
    from VPTCTLib.panel.inks import Inks
    from VPTCTLib.panel.probability_bar import ProbabilityBar

    label = qt.QLabel()
    label.resize(200, 18)
    ProbabilityBar(label, 0.25, 0.75).paint()
    image, inks = label.pixmap.toImage(), Inks.of(label.palette)
    middle = [image.pixelColor(x, 11) for x in range(200)]
    blue = [x for x, colour in enumerate(middle) if colour.blue() > colour.red() + 40]
    assert (min(blue), max(blue)) == (pytest.approx(1, abs=1), pytest.approx(50, abs=2))
    dark = [x for x, colour in enumerate(middle) if abs(colour.lightness() - inks.ink.lightness()) < 40]
    assert any(abs(x - 150) <= 1 for x in dark)


def test_the_notice_of_the_server_stands_below_a_real_answer(
    panel: Any, ui: Any, site: Any, wait_until: Any
) -> None:
    import slicer
    from VPTCTLib.scene.origin import mark_origin

    desk = panel.desk
    desk.server.connect(site.relay.url)
    wait_until(lambda: desk.server.state == "login", 10)
    desk.server.log_in_with_token(site.tokens["anna"])
    wait_until(lambda: desk.server.state == "ready", 10)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "p1")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(site.root / "studies" / "s00.nii"))
    assert storage.ReadData(volume)
    mark_origin(volume, server=site.relay.url, study="s00.nii")
    desk.study.select(volume)
    wait_until(lambda: desk.classification.can_start == "" and desk.study.place is not None, 10)
    desk.classification.start()
    wait_until(lambda: desk.classification.state == "idle", 20)
    (finding,) = desk.classification.result.findings
    assert [title for title, _ in rows(panel)] == ["Lung nodule"]
    assert rows(panel)[0][1].startswith(("● present: ", "○ absent: "))
    assert ui.noticeLabel.text == desk.server.info.notice != ""
    assert "version 2, answered 20" in ui.sourceLabel.text
    # The view stands at the very slice that the server means.
    assert desk.evidence.here == pytest.approx(finding.key_slice_mm, abs=1e-3)


def test_unsure_and_doubtful_are_read_before_the_numbers(
    panel: Any, ui: Any, hear: Any, wait_until: Any, picture: Callable[[str], Path]
) -> None:
    from VPTCTLib.contract.result import read_result

    said = copy.deepcopy(
        made_up_answer(warnings=("only one lung was found",), pulmonary_embolism=(41, 0.43, 0.41)).raw
    )
    said["vptct"]["findings"][0]["conformal"] = {
        "decision": "unsure", "error_rate": 0.1, "why": "Neither state can be ruled out.",
    }  # fmt: skip
    checks = [{"name": "both_lungs", "verdict": "doubtful", "sentence": "only one <b>lung</b> was found"}]
    said["vptct"]["suitability"] = {"verdict": "doubtful", "checks": checks}
    volume = shown(panel, made_up_volume(), wait_until)
    hear(volume, read_result(said))
    (row,) = panel.panel.sections["FindingsSection"].rows
    assert row.decision.text == "◐ unsure at an error rate of 10 %"
    assert row.sure.text == (
        "Neither state can be ruled out. By the threshold alone: present: 0.43, above the threshold 0.41."
    )
    assert ui.fitLabel.text == "It is doubtful whether this network is for this study: see above."
    assert "⚠ Only one &lt;b&gt;lung&lt;/b&gt; was found." in ui.fitLabel.toolTip
    assert ui.warningLabel.y < ui.fitLabel.y < ui.rows.y
    assert not ui.reportButton.visible, "this server sends no reports"
    picture("findings-unsure")
