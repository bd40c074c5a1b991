"""What Findings and Evidence show is of the volume, task and network on screen, or nothing, at every moment.

The widgets are read, and not the logic: which volume, task and network the boxes name, which numbers the rows
have, which curve the strip has. After every single action, and at every turn of the event loop, they are
compared with what each network said of each volume when nothing else went on.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from at_the_panel import AtThePanel
from made_up_answers import made_up_answer
from relay import Relay

VOLUMES = ("CT 0", "CT 1", "CT 2")
SWITCHES = 20
# Networks that this server has not: what they said lies in the scene. By name: task, network, findings.
OTHERS = {
    "nodule_x3d_m": ("nodule", "x3d_m", "lung_nodule"),
    "pe_tiny": ("pe", "tiny", "pulmonary_embolism"),
}
ASKED = "nodule_tiny"


@dataclass
class Watcher(AtThePanel):
    """A reader who compares what is shown with what is true.

    Attributes:
        truth: what each network says of each volume, by the names of both.
        seen: of which volumes and networks something was shown.
        empty: how often nothing was.
    """

    truth: dict[tuple[str, str], Any] = field(default_factory=dict)
    seen: set[tuple[str, str]] = field(default_factory=set)
    empty: int = 0

    def check(self) -> None:
        """Compare what the panel shows at this moment."""
        ui = self.ui("Study")
        volume = ui.volumeSelector.currentNode()
        name, model = volume.GetName() if volume is not None else "", str(ui.modelBox.currentData or "")
        rows = self._rows()
        # Without a server there is no network to choose: then an answer says itself whose it is.
        of = [each for each in self.truth if each[0] == name and model in ("", each[1])]
        right = [each for each in of if rows == numbers(self.truth[each])]
        if rows:
            assert right, f"{name}, {model or 'no network'}: {rows} is none of {of}"
            self.seen.add(right[0])
        else:
            self.empty += 1
        self._check_strip(volume, [self.truth[each] for each in of], has_rows=bool(rows))

    def _rows(self) -> list[str]:
        """The probabilities that Findings shows."""
        import qt

        rows = self.ui("Findings").rows
        shown = [each for each in rows.findChildren(qt.QFrame, "findingRow") if each.visible]
        return [each.findChildren(qt.QLabel)[1].text for each in shown]

    def _check_strip(self, volume: Any, said: list[Any], *, has_rows: bool) -> None:
        label, strip = self.ui("Evidence").strip, self.section("Evidence").strip
        if volume is None:
            assert not label.visible
            return
        if strip.profile is None:
            return
        assert strip.profile.axis.slices == volume.GetImageData().GetDimensions()[2]
        assert strip.profile.axis.first_z_mm == pytest.approx(volume.GetOrigin()[2])
        if strip.profile.curve is None:
            assert not has_rows
            return
        findings = [each.findings[0] for each in said]
        shown = strip.profile.clips, strip.profile.key_slice_mm
        assert shown in [(each.clips, each.key_slice_mm) for each in findings]

    def turn(self, count: int = 1) -> None:
        """Let so many turns of the event loop go by."""
        import slicer

        for _ in range(count):
            slicer.app.processEvents()
            self.check()

    def watch_until(self, condition: Callable[[], object]) -> None:
        """Wait with open eyes."""

        def looked() -> object:
            self.check()
            return condition()

        self.until(looked)

    def choose(self, box: str, name: str) -> None:
        widget = getattr(self.ui("Study"), box)
        widget.setCurrentIndex(widget.findData(name))


def numbers(result: Any) -> list[str]:
    """The probabilities of an answer, as they are shown."""
    return [f"{each.probability:.2f}" for each in result.findings]


@lru_cache
def voxels_of(name: str) -> Any:
    """A small chest, of another height for each name."""
    from vpt_plugin.data.phantom import PhantomConfig, make_phantom

    number = VOLUMES.index(name)
    config = PhantomConfig(pixels=48, slice_spacings_mm=(6.0,), nodule_diameters_mm=(34.0, 48.0))
    hu = make_phantom(number, config=config, nodule=number != 1, contrast=False, emboli=False).volume.hu
    return hu[: 40 + number]


def open_volume(name: str) -> Any:
    """Put a chest into the scene, at a height of its own, with what other networks said of it."""
    import slicer

    lps_to_ras = np.diag([-8.0, -8.0, 6.0, 1.0])
    lps_to_ras[:3, 3] = 180.0, 180.0, -100.0 - 10 * VOLUMES.index(name)
    volume = slicer.util.addVolumeFromArray(voxels_of(name), ijkToRAS=lps_to_ras, name=name)
    from VPTCTLib.scene.results import keep_result

    for model in OTHERS:
        keep_result(volume, said_by_other(name, model), server="", when="2026-11-20T20:31:05Z")
    return volume


def said_by_other(name: str, model: str) -> Any:
    """A probability that no other network has for any volume."""
    from VPTCTLib.contract.result import read_result

    task, network, finding = OTHERS[model]
    number = 3 * list(OTHERS).index(model) + VOLUMES.index(name)
    raw = copy.deepcopy(made_up_answer(task, **{finding: (10 + number, 0.03 + 0.01 * number, 0.5)}).raw)
    raw["vptct"]["model"]["name"] = network
    return read_result(raw)


def offer_others(server: Any) -> None:
    """Have the panel offer the other networks, too."""
    from VPTCTLib.settings import REFRESH_SECONDS

    server._settings.set(REFRESH_SECONDS, 3600)
    asked = next(each for each in server.info.models if each.name == ASKED)
    others = tuple(
        replace(asked, name=name, task=task, network=network, title=network)
        for name, (task, network, _) in OTHERS.items()
    )
    server.info = replace(server.info, models=(asked, *others))
    server.changed.emit()


@pytest.fixture
def watcher(panel: Any, site: Any, dialogs: Any, wait_until: Callable[..., None]) -> Iterator[Watcher]:
    """Before the panel, with three volumes, after each was classified in peace."""
    import qt
    import slicer

    watcher = Watcher(panel, wait_until)
    watcher.connect(site.relay.url)
    watcher.log_in(site.tokens["anna"])
    offer_others(watcher.desk.server)
    dialogs.answer(qt.QMessageBox.Yes)
    for name in VOLUMES:
        volume = open_volume(name)
        watcher.desk.study.select(volume)
        watcher.choose("modelBox", ASKED)
        watcher.truth[name, ASKED] = watcher.classify()
        watcher.truth.update({(name, model): said_by_other(name, model) for model in OTHERS})
    shown = [numbers(each)[0] for each in watcher.truth.values()]
    assert len(set(shown)) == len(shown), "told apart by what is shown"
    slicer.mrmlScene.Clear()
    for name in VOLUMES:
        open_volume(name)
    yield watcher
    site.relay.holds = ""


@dataclass
class RandomReader:
    """Does one thing after the other, faster than anybody could.

    Attributes:
        watcher: looks.
        relay: holds answers, now and then.
        chance: the same for the same seed.
    """

    watcher: Watcher
    relay: Any
    chance: random.Random

    def act(self) -> None:
        """One thing of those that a reader can do."""
        actions = [
            *[self.switch_volume] * 6, *[self.switch_network] * 4, *[self.classify] * 4, self.switch_task,
            self.show_in_view, self.hold_or_let_go, self.remove_volume, self.close_scene,
        ]  # fmt: skip
        self.chance.choice(actions)()
        self.watcher.check()
        self.watcher.turn(self.chance.choice((0, 0, 1, 5, 30)))

    def volumes(self) -> list[Any]:
        import slicer

        return list(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))

    def switch_volume(self) -> None:
        self.watcher.ui("Study").volumeSelector.setCurrentNode(self.chance.choice([*self.volumes(), None]))

    def show_in_view(self) -> None:
        import slicer

        slicer.util.setSliceViewerLayers(background=self.chance.choice(self.volumes()))

    def switch_network(self) -> None:
        box = self.watcher.ui("Study").modelBox
        box.setCurrentIndex(self.chance.randrange(box.count))

    def switch_task(self) -> None:
        self.watcher.choose("taskBox", self.chance.choice(("nodule", "pe")))

    def classify(self) -> None:
        study = self.watcher.ui("Study")
        if study.modelBox.currentData == ASKED:
            study.classifyButton.click()

    def hold_or_let_go(self) -> None:
        self.relay.holds = self.chance.choice(("", "POST /infer/", "PUT /session/"))

    def remove_volume(self) -> None:
        import slicer

        volume = self.chance.choice(self.volumes())
        name = volume.GetName()
        slicer.mrmlScene.RemoveNode(volume)
        self.watcher.check()
        open_volume(name)

    def close_scene(self) -> None:
        import slicer

        slicer.mrmlScene.Clear()
        self.watcher.check()
        for name in VOLUMES:
            open_volume(name)


@pytest.mark.parametrize("seed", range(4))
def test_quick_switching_while_answers_are_on_their_way(seed: int, watcher: Watcher, site: Any) -> None:
    reader = RandomReader(watcher, site.relay, random.Random(seed))
    reader.switch_volume()
    for _ in range(SWITCHES):
        reader.act()
    site.relay.holds = ""
    watcher.watch_until(lambda: watcher.desk.jobs.running == 0)
    assert watcher.seen, "there was something to see"
    assert watcher.empty


def test_each_answer_is_shown_with_its_own_volume_when_all_have_come(watcher: Watcher, site: Any) -> None:
    study = watcher.ui("Study")
    site.relay.holds = "POST /infer/"
    for name in VOLUMES:
        study.volumeSelector.setCurrentNode(node(name))
        watcher.choose("modelBox", ASKED)
        watcher.watch_until(lambda: study.classifyButton.enabled)
        study.classifyButton.click()
        watcher.turn(5)
    for model in OTHERS:
        watcher.choose("taskBox", OTHERS[model][0])
        watcher.choose("modelBox", model)
        watcher.check()
    site.relay.holds = ""
    watcher.watch_until(lambda: not watcher.desk.classification.others)
    watcher.choose("taskBox", "nodule")
    watcher.choose("modelBox", ASKED)
    for name in VOLUMES:
        study.volumeSelector.setCurrentNode(node(name))
        watcher.check()
        # New widgets come on screen with the next turn.
        watcher.turn()
        assert (name, ASKED) in watcher.seen


def node(name: str) -> Any:
    import slicer

    return slicer.util.getNode(name)


def test_the_server_is_another_one_before_the_answer_comes(watcher: Watcher, site: Any) -> None:
    study = watcher.ui("Study")
    study.volumeSelector.setCurrentNode(node("CT 0"))
    watcher.choose("modelBox", ASKED)
    watcher.watch_until(lambda: study.classifyButton.enabled)
    site.relay.holds = "POST /infer/"
    study.classifyButton.click()
    watcher.watch_until(lambda: any(each.startswith("POST /infer/") for each in site.relay.asked))
    with Relay(site.process.url) as other:
        watcher.connect(other.url)
        watcher.check()
        site.relay.holds = ""
        server = watcher.ui("Server")
        watcher.watch_until(lambda: server.loginFrame.visible)
        server.secretEdit.text = site.tokens["anna"]
        server.logInButton.click()
        watcher.watch_until(lambda: watcher.desk.server.state == "ready" and watcher.desk.jobs.running == 0)
        assert watcher.desk.classification.result is None, "who left the server left its answer"
        watcher.ui("Server").connectButton.click()


def test_a_scene_is_saved_and_opened_again_before_the_answer_comes(
    watcher: Watcher, site: Any, tmp_path: Path
) -> None:
    import slicer

    study = watcher.ui("Study")
    study.volumeSelector.setCurrentNode(node("CT 1"))
    watcher.choose("modelBox", ASKED)
    watcher.watch_until(lambda: study.classifyButton.enabled)
    site.relay.holds = "POST /infer/"
    study.classifyButton.click()
    watcher.watch_until(lambda: watcher.desk.classification.state == "computing")
    saved = tmp_path / "day.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(saved), None)
    # Into the scene as it is: everything is there twice.
    assert slicer.mrmlScene.ReadFromMRB(str(saved), False)
    watcher.check()
    site.relay.holds = ""
    watcher.watch_until(lambda: watcher.desk.jobs.running == 0)
    twice = list(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
    assert sorted(each.GetName() for each in twice) == sorted(2 * VOLUMES)
    for volume in twice:
        study.volumeSelector.setCurrentNode(volume)
        watcher.check()
        watcher.turn()
    assert ("CT 1", ASKED) in watcher.seen
    # And in place of it, while another answer is on its way.
    site.relay.holds = "POST /infer/"
    study.volumeSelector.setCurrentNode(node("CT 2"))
    watcher.watch_until(lambda: study.classifyButton.enabled)
    study.classifyButton.click()
    watcher.turn(10)
    assert slicer.mrmlScene.ReadFromMRB(str(saved), True)
    watcher.check()
    site.relay.holds = ""
    watcher.watch_until(lambda: watcher.desk.jobs.running == 0)
    assert watcher.desk.classification.result is None, "the volume that was asked about is gone"


def test_a_volume_is_changed_before_the_answer_comes(watcher: Watcher, site: Any) -> None:
    import slicer

    study, volume = watcher.ui("Study"), node("CT 0")
    study.volumeSelector.setCurrentNode(volume)
    watcher.choose("modelBox", "nodule_x3d_m")
    watcher.turn()
    assert ("CT 0", "nodule_x3d_m") in watcher.seen
    watcher.choose("modelBox", ASKED)
    watcher.watch_until(lambda: study.classifyButton.enabled)
    site.relay.holds = "POST /infer/"
    study.classifyButton.click()
    watcher.watch_until(lambda: any(each.startswith("POST /infer/") for each in site.relay.asked))
    watcher.truth.clear()
    slicer.util.arrayFromVolume(volume)[20:] = -1000
    slicer.util.arrayFromVolumeModified(volume)
    watcher.turn()
    site.relay.holds = ""
    watcher.watch_until(lambda: watcher.desk.jobs.running == 0)
    assert "CT 0 was changed while it was classified." in watcher.message
    watcher.choose("modelBox", "nodule_x3d_m")
    watcher.turn()
