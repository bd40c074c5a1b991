"""The server is killed in the middle of each thing that a reader does, and started again on the same folders.

It is a real server, ended by SIGKILL, behind an address that stays. Each time the panel says in words what
happened, goes on to be of use, and says by itself when the server is back; nothing that the reader said is
lost, and no label is saved twice.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from at_the_panel import WAIT_SECONDS, AtThePanel
from day_site import DaySite, day_site

# What a reader's window never shows: how programs tell of errors.
PROGRAMS_WORDS = re.compile(
    r"Traceback|Exception|\w+Error\b|Errno|HTTPConnection|Max retries|<class|object at 0x|urllib|requests\."
)
BLOCKED_MS = 100


@pytest.fixture(scope="module")
def site_to_kill(
    tmp_path_factory: pytest.TempPathFactory, spread_out: Callable[..., None], app: Any
) -> Iterator[DaySite]:
    with day_site(tmp_path_factory.mktemp("killed"), spread_out, versions=2) as site:
        yield site


class Reader(AtThePanel):
    """A reader whose server is killed.

    Attributes:
        site: the server, its address and its folders.
        busiest_ms: how long the window's thread computed at one go, at most, while the reader waited.
        busiest: the same in words, with where it was.
    """

    def __init__(self, opened: Any, wait_until: Callable[..., None], site: DaySite) -> None:
        super().__init__(opened, wait_until)
        self.site, self.busiest_ms, self.busiest = site, 0.0, ""
        self._starting: threading.Thread | None = None

    def until(self, condition: Callable[[], object], seconds: float = WAIT_SECONDS) -> None:
        from standin.lag_meter import LagMeter

        with LagMeter() as lag:
            super().until(condition, seconds)
        if lag.busiest_ms > self.busiest_ms:
            self.busiest_ms, self.busiest = lag.busiest_ms, str(lag)

    @property
    def form(self) -> Any:
        """What the reader says of the one finding."""
        return self.section("Label").rows["lung_nodule"]

    def begin(self) -> None:
        """Connect and log in."""
        self.connect(self.site.relay.url)
        self.log_in(self.site.token)
        self.idle()

    def next_study(self) -> str:
        before = self.desk.study.study
        self.ui("Next").nextButton.click()
        self.until(lambda: self.desk.study.study not in ("", before))
        self.until(lambda: self.desk.next_studies.state == "idle")
        return str(self.desk.study.study)

    def says_present(self) -> None:
        """In the form, from the slice on screen on."""
        self.form.buttons["present"].click()
        self.form.from_button.click()
        assert self.desk.draft.ranges("lung_nodule"), "a slice is on screen, and marked"
        self.ui("Label").commentEdit.setPlainText("left lower lobe")

    @property
    def said(self) -> tuple[Any, ...]:
        """What the form shows."""
        ranges, comment = self.desk.draft.ranges("lung_nodule"), self.ui("Label").commentEdit.plainText
        return self.form.buttons["present"].checked, ranges, comment

    # What happens to the server

    def hold(self, *beginnings: str) -> None:
        """Keep the next requests that begin like one of these between here and the server."""
        self.site.relay.asked.clear()
        self.site.relay.holds = beginnings

    def kill_when_asked(self, *beginnings: str) -> None:
        """The server dies when requests that begin like these are on their way; another one starts."""
        asked = self.site.relay.asked
        self.until(lambda: all(any(each.startswith(one) for each in asked) for one in beginnings))
        self.site.process.kill()
        self._starting = threading.Thread(target=self.site.process.start_again)
        self._starting.start()
        self.site.relay.holds = ""

    def let_it_be_back(self) -> None:
        """From now on the one that was started again can be asked, at the same address."""
        starting, self._starting = self._starting, None
        if starting is not None:
            self.until(lambda: not starting.is_alive(), 60)
            self.site.relay.target = self.site.process.url

    # What the reader sees of that

    def is_told(self, *all_words: str) -> None:
        """That the server is away, and what became of what was asked, in a reader's words."""
        self.until(lambda: self.desk.server.state == "away")
        assert self.ui("Server").stateLabel.text == "Away: the server does not answer"
        for words in all_words:
            self.until(lambda words=words: any(words in each.text for each in self.desk.messages.all))
        assert self.message
        shown = texts(self.opened.panel.widget)
        assert not PROGRAMS_WORDS.search(shown), shown

    def is_back(self) -> None:
        """The panel says by itself that the server is back."""
        self.let_it_be_back()
        self.until(lambda: self.desk.server.state == "ready")
        assert self.ui("Server").stateLabel.text.startswith("Connected as rita")
        assert "does not answer" not in self.message
        self.idle()

    def versions_of(self, study: str) -> list[dict[str, Any]]:
        """The labels that the server has of a study."""
        history = self.site.ask("GET", "/datastore/label/history", params={"image": study, "task": "nodule"})
        return list(history["versions"])


def texts(widget: Any) -> str:
    """All that is written in a widget."""
    import qt

    return "\n".join(label.text for label in widget.findChildren(qt.QLabel))


def kept_files() -> list[Path]:
    """The labels on this computer's disk."""
    import qt

    data = Path(qt.QStandardPaths.writableLocation(qt.QStandardPaths.AppDataLocation))
    return list((data / "VPTCT" / "labels that wait").glob("*.json"))


@pytest.fixture
def reader(panel: Any, wait_until: Callable[..., None], site_to_kill: DaySite) -> Iterator[Reader]:
    reader = Reader(panel, wait_until, site_to_kill)
    yield reader
    reader.let_it_be_back()
    site_to_kill.relay.holds, site_to_kill.relay.loses_answers = "", 0
    for held in site_to_kill.ask("GET", "/activelearning/")["leases"]:
        site_to_kill.ask("DELETE", f"/activelearning/leases/{held['study']}")
    print(reader.busiest)
    assert reader.busiest_ms < BLOCKED_MS, reader.busiest


def test_connecting(reader: Reader) -> None:
    reader.hold("GET ")
    reader.connect(reader.site.relay.url)
    reader.kill_when_asked("GET ")
    reader.is_told()
    assert reader.ui("Server").connectButton.enabled
    reader.let_it_be_back()
    reader.log_in(reader.site.token)
    assert reader.ui("Server").stateLabel.text.startswith("Connected as rita")


def test_a_study_of_the_server_is_computed(reader: Reader, picture: Callable[..., Path]) -> None:
    reader.begin()
    study = reader.next_study()
    reader.says_present()
    said = reader.said
    reader.site.relay.asked.clear()
    reader.ui("Study").classifyButton.click()
    # Held by nobody: the server has the request, and is at work.
    reader.kill_when_asked("POST /infer/")
    assert reader.desk.classification.state == "computing"
    reader.is_told()
    picture("killed while it computes")
    assert not reader.ui("Findings").rows.visible
    assert not reader.ui("Study").classifyButton.enabled
    reader.form.buttons["indeterminate"].click()
    assert reader.desk.draft.states == {"lung_nodule": "indeterminate"}, "the form goes on"
    reader.form.buttons["present"].click()
    assert reader.said == said
    reader.is_back()
    assert (reader.desk.study.study, reader.said) == (study, said)
    assert reader.ui("Next").proposalKeptLabel.text.startswith("Kept for you until ")
    assert reader.classify().findings[0].name == "lung_nodule"


def test_a_study_is_uploaded_and_the_next_one_is_asked_for(reader: Reader, dialogs: Any) -> None:
    import qt
    from VPTCTLib.settings import UPLOAD_WHOLE

    reader.begin()
    mine = reader.open_file(reader.site.root / "mine.nii", "Chest CT of this computer")
    dialogs.answer(qt.QMessageBox.Yes)
    first = reader.classify()
    # In another form, so that it is uploaded again.
    reader.desk.settings.set(UPLOAD_WHOLE, True)
    reader.hold("PUT /session/", "POST /activelearning/")
    reader.ui("Study").classifyButton.click()
    reader.ui("Next").nextButton.click()
    reader.kill_when_asked("PUT /session/", "POST /activelearning/")
    reader.is_told("No study came")
    reader.until(lambda: reader.desk.classification.state == "idle")
    assert reader.desk.classification.result == first, "the answer of before is still there"
    assert reader.ui("Findings").rows.visible
    reader.is_back()
    assert reader.desk.study.volume is mine
    again = reader.classify()
    assert again.findings[0].probability == pytest.approx(first.findings[0].probability, abs=1e-3)
    # The server that is back knows no uploads of before: it gets the study anew, without a question.
    reader.desk.settings.set(UPLOAD_WHOLE, False)
    assert reader.classify().findings == first.findings
    study = reader.next_study()
    (held,) = reader.site.ask("GET", "/activelearning/")["leases"]
    assert held["study"] == study


def test_labels_are_submitted_and_slicer_dies_as_well(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Callable[..., Path]
) -> None:
    reader.begin()
    saved = reader.next_study()
    reader.says_present()
    # The server saves this one, but its answer is lost, and it is not asked again before it dies.
    reader.site.relay.loses_answers = 1
    reader.ui("Label").submitButton.click()
    reader.until(lambda: reader.site.relay.loses_answers == 0)
    reader.hold("PUT /datastore/label")
    # The test itself asks: nothing that the meter should hear.
    reader.wait_until(lambda: reader.versions_of(saved), WAIT_SECONDS)
    never_sent = reader.next_study()
    assert never_sent != saved
    reader.says_present()
    reader.ui("Label").submitButton.click()
    reader.until(lambda: len(kept_files()) == 2)
    reader.kill_when_asked("PUT /datastore/label")
    reader.is_told()
    reader.until(lambda: reader.ui("Label").statusLabel.text.startswith("Kept on this computer: 2 labels"))
    picture("killed while labels are submitted", reader.ui("Label").labelButton)
    reader.opened.onReload()
    assert len(kept_files()) == 2
    # Of a process that dies there is its disk, as it was at that moment.
    shutil.copytree(tmp_path / "data", tmp_path / "data of the next process")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data of the next process"))
    reader.opened.onReload()
    assert len(kept_files()) == 2
    reader.let_it_be_back()
    reader.log_in(reader.site.token)
    reader.until(lambda: not kept_files())
    for study in (saved, never_sent):
        (version,) = reader.versions_of(study)
        assert (version["annotator"], version["label"]["comment"]) == ("rita", "left lower lobe")


def test_a_study_is_skipped_while_the_next_one_is_downloaded(reader: Reader) -> None:
    reader.begin()
    study, ui = reader.next_study(), reader.ui("Next")
    reader.hold("GET /datastore/image", "POST /activelearning/skips/")
    ui.nextButton.click()
    reader.until(lambda: reader.desk.next_studies.state == "downloading")
    coming = reader.desk.next_studies.coming
    ui.skipReasonBox.setCurrentIndex(ui.skipReasonBox.findData("poor_quality"))
    ui.skipButton.click()
    reader.kill_when_asked("GET /datastore/image", "POST /activelearning/skips/")
    reader.is_told(f"Study {coming} did not come", f"Study {study} may still be in your hands")
    assert not ui.nextBar.visible
    reader.is_back()
    assert reader.desk.study.study == study
    reader.opened.panel.ui.messageCloseButton.click()
    reader.opened.panel.ui.messageCloseButton.click()
    ui.skipReasonBox.setCurrentIndex(ui.skipReasonBox.findData("poor_quality"))
    ui.skipButton.click()
    reader.until(lambda: f"Study {study} was skipped" in reader.message)
    assert [each["study"] for each in reader.site.ask("GET", "/activelearning/")["skips"]] == [study]
    assert reader.next_study() == coming, "it was still kept for this reader"


def test_a_training_runs_while_another_version_is_to_answer(reader: Reader, dialogs: Any) -> None:
    import qt

    reader.begin()
    dialogs.answer(qt.QMessageBox.Yes, qt.QMessageBox.Yes)
    reader.section("Training").open()
    ui = reader.ui("Training")
    ui.epochsBox.value, ui.stepsBox.value, ui.batchBox.value = 50, 100, 8
    ui.foldsBox.setCurrentIndex(ui.foldsBox.findData(0))
    ui.trainButton.click()
    reader.until(lambda: ui.trainingBar.visible)
    reader.hold("POST /versions/")
    ui.versionsTable.selectRow(1)
    ui.promoteButton.click()
    reader.kill_when_asked("POST /versions/")
    reader.is_told()
    assert not ui.promoteButton.enabled
    assert ui.promoteButton.toolTip == "The server does not answer. The panel keeps looking for it."
    reader.is_back()
    assert reader.desk.choice.model.version == 2, "what was not answered did not happen"
    reader.until(lambda: not ui.trainingBar.visible and ui.trainButton.enabled)
    assert ui.trainingLabel.text
    ui.versionsTable.selectRow(1)
    ui.promoteButton.click()
    reader.until(lambda: reader.desk.choice.model.version == 1)
