"""The next study: asked for, fetched, shown, skipped and given back, with a real server and a real scene."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from VPTCTLib.contract.worklist import ScoringRun, read_worklists
from VPTCTLib.logic.worklist_words import worklist_in_words

GOLDEN = Path(__file__).resolve().parents[2] / "contract" / "active.json"


@pytest.fixture
def ben(reader: Any) -> Iterator[Any]:
    """Ben at the desk, who holds nothing before and after."""
    reader.log_in("ben")
    reader.wait()
    yield reader
    reader.site.relay.refuses, reader.site.relay.holds = False, ""
    worklist = reader.site.client("ben").worklist
    for held in worklist.state().leases:
        worklist.give_back(held.study)


def bring(reader: Any, strategy: str = "random") -> str:
    """Ask for a study and wait until it is on the screen; its id."""
    reader.desk.next_studies.ask(strategy)
    idle(reader)
    return str(reader.desk.next_studies.proposal.study)


def idle(reader: Any) -> None:
    reader.ticker.until(lambda: reader.desk.next_studies.state == "idle")
    reader.wait()


def held(reader: Any) -> list[str]:
    """What the desk says that the reader holds."""
    return [each.study for each in reader.desk.next_studies.held]


def held_on_server(reader: Any) -> list[str]:
    return [each.study for each in reader.site.client("ben").worklist.state().leases]


def volumes(scene: Any) -> list[str]:
    names = range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"))
    return [scene.GetNthNodeByClass(number, "vtkMRMLScalarVolumeNode").GetName() for number in names]


def told(reader: Any) -> str:
    message = reader.desk.messages.current
    return f"{message.text} {message.hint}" if message is not None else ""


def test_the_next_study_comes_to_the_screen(ben: Any) -> None:
    next_studies, seen = ben.desk.next_studies, []
    next_studies.changed.connect(lambda: seen.append(next_studies.state))
    study = bring(ben)
    assert list(dict.fromkeys(seen)) == ["asking", "downloading", "loading", "idle"]
    volume = ben.desk.study.volume
    assert (volume.GetName(), volume.GetImageData().GetDimensions()[:2]) == (study, (48, 48))
    assert (ben.desk.study.study, next_studies.is_kept) == (study, True)
    assert held(ben) == held_on_server(ben) == [study]
    assert next_studies.proposal.why
    assert next_studies.label_version_of(study) == 0
    assert list(ben.desk.scratch_folder.iterdir()) == [], "what was downloaded is gone"


def test_a_dicom_study_of_the_server_is_unpacked_and_shown(ben: Any) -> None:
    worklist, others = ben.site.client("ben").worklist, []
    while "p01--ct" not in others:
        offer = worklist.next(_wish(n=32, unseen=True))
        others = [each.study for each in offer.proposals]
        for study in set(others) - {"p01--ct"}:
            worklist.give_back(study)
    ben.desk.held.refresh()
    ben.wait()
    assert held(ben) == ["p01--ct"]
    ben.desk.next_studies.open("p01--ct")
    idle(ben)
    volume = ben.desk.study.volume
    assert (volume.GetName(), ben.desk.study.study) == ("p01--ct", "p01--ct")
    slices = len(list((ben.site.root / "studies" / "p01" / "ct").iterdir()))
    assert volume.GetImageData().GetDimensions() == (48, 48, slices)
    assert ben.desk.next_studies.proposal.why == "You hold this study from before."


def test_a_study_that_is_held_from_before_comes_first_and_is_kept_longer(ben: Any) -> None:
    (before,) = ben.site.client("ben").worklist.next(_wish()).proposals
    study = bring(ben)
    assert study == before.study
    assert held_on_server(ben) == [study], "no second study was taken"
    assert told(ben).startswith(f"You still hold {study}, so it comes first.")
    assert ben.desk.held.of(study).until > before.lease.until
    assert ben.desk.next_studies.label_version_of(study) == 0
    other = bring(ben)
    assert other != study, "what is in the scene is not offered again"
    assert sorted(held(ben)) == sorted([study, other])


def test_a_study_whose_volume_is_removed_stays_held_and_comes_again(ben: Any, scene: Any) -> None:
    study = bring(ben)
    why = ben.desk.next_studies.proposal.why
    scene.RemoveNode(ben.desk.study.volume)
    ben.wait()
    assert (ben.desk.next_studies.proposal, held(ben)) == (None, [study])
    assert bring(ben) == study
    assert ben.desk.next_studies.proposal.why == why, "its reason is still known"


def test_a_question_whose_answer_was_lost_gets_that_answer_when_it_is_asked_again(
    ben: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from VPTCTLib.errors import UnreachableError

    client = ben.desk.server.client
    ask = client.worklist.next

    def lost(*args: Any, **options: Any) -> None:
        ask(*args, **options)
        raise UnreachableError("the connection broke.")

    with monkeypatch.context() as patch:
        patch.setattr(client.worklist, "next", lost)
        ben.desk.next_studies.ask("random")
        idle(ben)
    assert "No study came: the connection broke." in [each.text for each in ben.desk.messages.all]
    (study,) = held(ben)
    ben.ticker.until(lambda: ben.desk.server.state == "ready")
    assert bring(ben) == study
    assert held_on_server(ben) == [study]
    assert ben.desk.next_studies.proposal.why.startswith("By chance"), "not as one that was held before"


def test_a_download_that_is_cancelled_leaves_nothing_but_the_lease(ben: Any) -> None:
    study = start_download(ben)
    ben.desk.next_studies.cancel()
    idle(ben)
    assert told(ben).startswith(f"Study {study} was not fetched.")
    assert held(ben) == [study]
    assert list(ben.desk.scratch_folder.iterdir()) == []
    ben.site.relay.holds = ""
    ben.desk.next_studies.open(study)
    idle(ben)
    assert ben.desk.study.study == study


def test_a_scene_that_closes_during_a_download_gets_no_volume_later(ben: Any, scene: Any) -> None:
    study = start_download(ben)
    ben.desk.leave_scene()
    scene.Clear(False)
    ben.site.relay.holds = ""
    ben.wait()
    ben.desk.use_scene(ben.parameters)
    ben.wait()
    assert (volumes(scene), ben.desk.next_studies.state) == ([], "idle")
    assert list(ben.desk.scratch_folder.iterdir()) == []
    assert bring(ben) == study


def test_a_module_that_is_closed_during_a_download_leaves_nothing_but_the_lease(ben: Any) -> None:
    study = start_download(ben)
    ben.desk.close()
    ben.site.relay.holds = ""
    end = time.monotonic() + 5
    while ben.desk.jobs.running and time.monotonic() < end and list(ben.desk.scratch_folder.iterdir()):
        time.sleep(0.01)
    assert list(ben.desk.scratch_folder.iterdir()) == []
    assert held_on_server(ben) == [study]


def test_a_server_that_goes_during_a_download_keeps_the_study_for_the_reader(ben: Any) -> None:
    study = start_download(ben)
    ben.site.relay.refuses = True
    idle(ben)
    messages = [each.text for each in ben.desk.messages.all]
    assert any(text.startswith(f"Study {study} did not come: ") for text in messages)
    assert held(ben) == [study]
    ben.site.relay.refuses, ben.site.relay.holds = False, ""
    ben.ticker.until(lambda: ben.desk.server.state == "ready")
    ben.wait()
    assert bring(ben) == study


def test_a_server_that_is_away_is_not_asked_and_an_end_that_fails_is_told(ben: Any) -> None:
    study = bring(ben)
    ben.site.relay.refuses = True
    ben.desk.next_studies.skip("unsure")
    ben.wait()
    messages = [each.text for each in ben.desk.messages.all]
    assert any(text.startswith(f"Study {study} may still be in your hands: ") for text in messages)
    assert (held(ben), ben.desk.next_studies.is_kept) == ([study], True)
    assert ben.desk.next_studies.why_not == "The server does not answer. The panel keeps looking for it."


def test_a_skipped_study_is_given_back_with_its_reason_and_stays_on_screen(ben: Any) -> None:
    study = bring(ben)
    ben.desk.next_studies.skip("other", "a phantom, no patient")
    ben.wait()
    assert told(ben).startswith(f"Study {study} was skipped")
    assert held(ben) == held_on_server(ben) == []
    assert (ben.desk.study.study, ben.desk.next_studies.is_kept) == (study, False)
    skips = ben.site.client("ben").worklist.state().skips
    assert (study, "other", "a phantom, no patient") in [(s.study, s.reason, s.comment) for s in skips]


def test_what_is_given_back_twice_is_no_trouble(ben: Any) -> None:
    study = bring(ben)
    ben.site.client("ben").worklist.give_back(study)
    ben.desk.next_studies.give_back()
    ben.wait()
    assert told(ben).startswith(f"Study {study} was given back")
    assert held(ben) == []


def test_a_study_is_not_left_with_words_that_were_not_submitted_unless_the_reader_says_so(ben: Any) -> None:
    study = bring(ben)
    ben.desk.draft.set_state("lung_nodule", "present")
    ben.answers.yes = False
    for leave in (
        ben.desk.next_studies.ask,
        ben.desk.next_studies.give_back,
        lambda: ben.desk.next_studies.skip("unsure"),
    ):
        leave()
        ben.wait()
        assert (ben.desk.study.study, held(ben)) == (study, [study])
    assert ben.answers.asked == ["Leave this study?"] * 3
    ben.answers.yes = True
    volume = ben.desk.study.volume
    other = bring(ben)
    assert other != study
    ben.desk.study.select(volume)
    assert ben.desk.draft.states == {"lung_nodule": "present"}, "it stays with its volume"


def test_an_answer_for_another_task_than_the_chosen_one_is_kept_and_not_shown(ben: Any, scene: Any) -> None:
    ben.desk.next_studies.ask("random")
    ben.desk.choice.select_task("pe")
    idle(ben)
    assert volumes(scene) == []
    (study,) = held(ben)
    ben.desk.next_studies.open(study)
    assert ben.desk.choice.task.name == "nodule"
    idle(ben)
    assert ben.desk.next_studies.proposal.study == study


def test_another_reader_of_the_same_desk_holds_other_studies(ben: Any) -> None:
    bring(ben)
    ben.desk.server.log_out()
    assert (held(ben), ben.desk.next_studies.proposal) == ([], None)
    ben.log_in("rita")
    ben.wait()
    assert held(ben) == [], "a reviewer is told what all hold, and holds none of it"
    ben.desk.server.log_out()
    ben.log_in("uwe")
    assert "takes the role annotator" in ben.desk.next_studies.why_not


def test_strategies_that_lack_what_they_need_say_so(ben: Any) -> None:
    offered = {each.name: each.why_not for each in ben.desk.next_studies.strategies}
    assert (offered["auto"], offered["random"]) == ("", "")
    assert (offered["typical"], offered["uncertain"]) == ("needs studies that the network has looked at",) * 2
    ben.desk.choice.select_task("pe")
    offered = {each.name: each.why_not for each in ben.desk.next_studies.strategies}
    assert offered["uncertain"] == "needs a trained network"


def test_the_worklist_is_told_in_one_line() -> None:
    agreed = json.loads(GOLDEN.read_text(encoding="utf-8"))
    worklist = read_worklists(agreed["state"]).tasks[0]
    counts = replace(worklist.worklist, free=334, held=3, labelled=60, skipped=0, unreadable=0)
    scoring = replace(worklist.scoring, offered=True, scored=280, studies=400, running=None, problem=None)
    worklist = replace(worklist, worklist=counts, scoring=scoring)
    assert (
        worklist_in_words(worklist)
        == "334 to label, 3 held, 60 labelled; the network has looked at 280 of 400"
    )
    run = ScoringRun("swin_t", 3, 280, 400, 300.0)
    running = replace(worklist, scoring=replace(scoring, running=run))
    assert worklist_in_words(running).endswith("; the network has looked at 280 of 400 (about 5 min left)")
    stuck = replace(worklist, scoring=replace(scoring, problem="the disk is full"))
    assert worklist_in_words(stuck).endswith(
        "; the network has looked at 280 of 400, and no more: the disk is full"
    )
    off = replace(worklist, scoring=replace(scoring, offered=False, scored=0))
    assert worklist_in_words(off) == "334 to label, 3 held, 60 labelled"


def test_where_nothing_is_left_the_reader_is_told_where_all_studies_are(
    ben: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = ben.desk.server.client
    ask = client.worklist.next

    def nothing(*args: Any, **options: Any) -> Any:
        offer = ask(*args, **options)
        counts = replace(offer.worklist, free=0, held=2, labelled=76, skipped=1, unreadable=1)
        return replace(offer, proposals=(), worklist=counts, warnings=("one was not read.",))

    monkeypatch.setattr(client.worklist, "next", nothing)
    ben.desk.next_studies.ask()
    idle(ben)
    assert told(ben) == (
        "No study is left for you to label: 76 labelled, 2 in readers' hands, 1 skipped, 1 unreadable. "
        "one was not read."
    )


def test_a_fault_while_a_study_is_shown_leaves_the_reader_able_to_go_on(
    ben: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from VPTCTLib.logic import server_volumes

    def fails(*args: Any, **options: Any) -> None:
        raise RuntimeError("no memory is left")

    with monkeypatch.context() as patch:
        patch.setattr(server_volumes, "add_study", fails)
        ben.desk.next_studies.ask("random")
        idle(ben)
    (study,) = held(ben)
    assert told(ben).startswith(f"Study {study} did not come: something went wrong in this module")
    assert list(ben.desk.scratch_folder.iterdir()) == []
    assert bring(ben) == study


def start_download(reader: Any) -> str:
    """Ask for a study, whose file then does not come; its id."""
    reader.site.relay.holds = "GET /datastore/image"
    next_studies = reader.desk.next_studies
    next_studies.ask("random")
    reader.ticker.until(lambda: next_studies.state == "downloading")
    return str(next_studies.coming)


def _wish(**wanted: Any) -> Any:
    from VPTCTLib.routes.worklist import Wish

    return Wish("nodule", "random", **wanted)
