"""What a reader holds: kept for longer while they work on it, lost, and done, with what follows by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from doors import doors
from scripted_server import answer
from VPTCTLib.logic.held import Held, NotedHolders
from VPTCTLib.routes.worklist import Wish

GOLDEN = Path(__file__).resolve().parents[2] / "contract" / "active.json"
HALF_SECONDS = 15 * 60


@pytest.fixture
def ben(reader: Any) -> Iterator[Any]:
    """Ben before a study that came just now; leases last 30 minutes. Nobody looks at the server by itself."""
    from VPTCTLib.settings import REFRESH_SECONDS

    reader.desk.settings.set(REFRESH_SECONDS, 100_000)
    reader.log_in("ben")
    reader.wait()
    bring(reader)
    yield reader
    reader.site.relay.refuses, reader.site.relay.holds = False, ""
    worklist = reader.site.client("ben").worklist
    for held in worklist.state().leases:
        worklist.give_back(held.study)


def bring(reader: Any) -> str:
    reader.desk.next_studies.ask("random")
    reader.ticker.until(lambda: reader.desk.next_studies.state == "idle")
    reader.wait()
    return str(reader.desk.next_studies.proposal.study)


def pass_time(reader: Any, seconds: float) -> None:
    """So much time goes by, and what was asked then is answered."""
    reader.ticker.turn(seconds)
    reader.wait()


def extensions(reader: Any) -> int:
    return sum(line.startswith("PUT /activelearning/leases/") for line in reader.site.relay.asked)


def until_on_server(reader: Any) -> str:
    (lease,) = reader.site.client("ben").worklist.state().leases
    return str(lease.until)


def test_a_study_is_kept_for_longer_at_half_its_time_where_the_reader_works_on_it(ben: Any) -> None:
    began, before = extensions(ben), until_on_server(ben)
    ben.desk.leases.reader_is_here()
    pass_time(ben, HALF_SECONDS - 20)
    assert extensions(ben) == began
    ben.desk.leases.reader_is_here()
    pass_time(ben, 40)
    assert extensions(ben) == began + 1
    assert until_on_server(ben) > before
    assert ben.desk.held.all[0].until == until_on_server(ben)
    pass_time(ben, HALF_SECONDS - 60)
    assert extensions(ben) == began + 1, "at half of the new time, and not before"


def test_a_study_before_which_nobody_sits_is_left_to_others_and_kept_again_on_return(ben: Any) -> None:
    began = extensions(ben)
    pass_time(ben, HALF_SECONDS + 30)
    assert extensions(ben) == began
    mouse = [(10, 10)]
    ben.desk.leases.sign_of_reader = lambda: mouse[0]
    pass_time(ben, 15)
    assert extensions(ben) == began + 1, "where the mouse is was not known before"
    pass_time(ben, 2 * HALF_SECONDS)
    assert extensions(ben) == began + 1, "it has not moved"
    mouse[0] = (10, 11)
    pass_time(ben, 15)
    assert extensions(ben) == began + 2


def test_a_study_that_is_not_in_the_scene_is_not_kept_for_longer(ben: Any, scene: Any) -> None:
    began = extensions(ben)
    scene.RemoveNode(ben.desk.study.volume)
    pass_time(ben, HALF_SECONDS)
    ben.desk.leases.reader_is_here()
    pass_time(ben, 60)
    assert extensions(ben) == began
    assert len(ben.desk.held.all) == 1


def test_a_lost_study_is_told_and_can_still_be_labelled_upon_its_version(ben: Any) -> None:
    study = ben.desk.next_studies.proposal.study
    ben.site.client("ben").worklist.skip(study, "unsure", task="nodule")
    pass_time(ben, HALF_SECONDS - 5)
    ben.desk.leases.reader_is_here()
    pass_time(ben, 30)
    message = ben.desk.messages.current
    assert message.text.startswith(f"Study {study} is no longer kept for you")
    assert "can still submit your label" in message.hint
    assert (ben.desk.next_studies.is_kept, ben.desk.next_studies.label_version_of(study)) == (False, 0)
    assert ben.desk.study.study == study


def test_a_server_that_is_away_is_asked_again_until_the_study_is_kept(ben: Any) -> None:
    before = until_on_server(ben)
    pass_time(ben, HALF_SECONDS - 5)
    ben.desk.leases.reader_is_here()
    ben.site.relay.refuses = True
    pass_time(ben, 20)
    told = [each.text for each in ben.desk.messages.all]
    assert any(" could not be kept for you longer: " in text for text in told)
    ben.site.relay.refuses = False
    ben.ticker.until(lambda: ben.desk.server.state == "ready")
    pass_time(ben, 20)
    assert until_on_server(ben) > before
    assert ben.desk.messages.all == ()


def label(reader: Any) -> None:
    reader.desk.draft.set_state("lung_nodule", "absent")
    reader.desk.submission.submit()
    reader.ticker.until(lambda: reader.desk.draft.is_kept)
    reader.wait()


def test_a_label_ends_the_lease_and_the_volume_goes_when_the_next_study_comes(ben: Any, scene: Any) -> None:
    import slicer

    mine = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "an examination of before")
    slicer.util.updateVolumeFromArray(mine, slicer.util.arrayFromVolume(ben.desk.study.volume))
    labelled = ben.desk.study.volume
    label(ben)
    assert ben.desk.held.all == ()
    assert (ben.desk.study.volume, ben.desk.next_studies.proposal) == (labelled, None), "it is still shown"
    worklist = ben.desk.next_studies.worklist.worklist
    assert worklist.labelled >= 1
    nodes_before = scene.GetNumberOfNodes()
    study = bring(ben)
    assert labelled.GetScene() is None
    assert mine.GetScene() is scene, "what the reader loaded stays"
    assert ben.desk.study.study == study
    assert scene.GetNumberOfNodes() <= nodes_before, "nothing of a labelled study stays behind"


def test_a_labelled_study_stays_where_the_reader_set_that_or_says_more_about_it(ben: Any) -> None:
    from VPTCTLib.settings import REMOVE_DONE

    first = ben.desk.study.volume
    label(ben)
    ben.desk.draft.set_comment("one more thing")
    bring(ben)
    assert first.GetScene() is not None
    ben.desk.settings.set(REMOVE_DONE, False)
    second = ben.desk.study.volume
    label(ben)
    bring(ben)
    assert second.GetScene() is not None


def test_what_was_said_about_a_skipped_study_is_not_thrown_away_with_it(ben: Any) -> None:
    first = ben.desk.study.volume
    ben.desk.draft.set_state("lung_nodule", "present")
    ben.desk.next_studies.skip("unsure")
    ben.wait()
    assert ben.answers.asked == ["Leave this study?"]
    bring(ben)
    assert first.GetScene() is not None
    ben.desk.study.select(first)
    assert ben.desk.draft.states == {"lung_nodule": "present"}


def test_what_this_reader_skipped_stays_counted_when_the_server_tells_of_others(ben: Any) -> None:
    # Two, for Anna may get the first of them: random is the same order for all.
    ben.desk.next_studies.skip("unsure")
    ben.wait()
    bring(ben)
    ben.desk.next_studies.skip("unsure")
    ben.wait()
    before = counts_of(ben)
    assert ben.desk.next_studies.worklist.worklist == before
    anna = ben.site.client("anna").worklist
    offered = anna.next(Wish("nodule", "random")).proposals[0].study
    ben.desk.server.refresh()
    ben.wait()
    after = counts_of(ben)
    anna.give_back(offered)
    # The info tells how it is for nobody in particular, for whom nothing was skipped.
    assert ben.desk.next_studies.worklist.worklist == after != before
    assert after.skipped > 0


def counts_of(reader: Any) -> Any:
    """What the server says to Ben himself."""
    tasks = reader.site.client("ben").worklist.state().tasks
    return next(each.worklist for each in tasks if each.task == "nodule")


def test_by_setting_the_next_study_comes_after_a_label_and_is_classified(ben: Any) -> None:
    from VPTCTLib.settings import CLASSIFY_NEXT, NEXT_AFTER_SUBMIT

    ben.desk.settings.set(NEXT_AFTER_SUBMIT, True)
    ben.desk.settings.set(CLASSIFY_NEXT, True)
    first = ben.desk.next_studies.proposal.study
    label(ben)
    ben.ticker.until(lambda: ben.desk.classification.result is not None)
    second = ben.desk.next_studies.proposal.study
    assert second != first
    assert ben.desk.study.study == second
    ben.desk.next_studies.skip("unsure")
    ben.ticker.until(
        lambda: ben.desk.next_studies.proposal and ben.desk.next_studies.proposal.study != second
    )
    ben.ticker.until(lambda: ben.desk.classification.result is not None)


def test_on_a_server_without_login_a_nameless_reader_finds_what_they_held_and_what_is_over_goes(
    reader: Any,
) -> None:
    desk, agreed = reader.desk, json.loads(GOLDEN.read_text(encoding="utf-8"))
    with doors() as server:
        held = Held("p17--ct", "pe", "first", "2026-11-20T14:18:16Z", "nameless-7f")
        NotedHolders(desk.settings.store).note(server.url, [held])
        server.plays["/activelearning/"] = answer(200, agreed["state"])
        over = {"detail": "p17--ct: it is no longer in your hands.", "hint": "Ask for the next study."}
        server.plays["/activelearning/leases/p17--ct"] = answer(409, over)
        desk.server.connect(server.url)
        reader.ticker.until(lambda: desk.server.state == "ready")
        reader.wait()
        assert desk.held.all == (held,), "not what the server says of anna"
        desk.next_studies.open("p17--ct")
        reader.ticker.until(lambda: desk.next_studies.state == "idle")
        assert "holder=nameless-7f" in server.server.asked[-1].path
        assert desk.held.all == NotedHolders(desk.settings.store).of(server.url) == ()
        assert desk.messages.current.text == over["detail"]
        desk.server.disconnect()


def test_a_reader_without_a_name_is_told_what_they_hold_from_notes_of_this_computer() -> None:
    store: dict[str, str] = {}
    held = Held("p17--ct", "pe", "first", "2026-11-21T14:18:16Z", "nameless-7f")
    NotedHolders(store).note("http://here", [held])
    NotedHolders(store).note("http://there", [replace(held, study="p18--ct")])
    assert NotedHolders(store).of("http://here") == (held,)
    NotedHolders(store).note("http://here", [])
    assert NotedHolders(store).of("http://here") == ()
    assert [each.study for each in NotedHolders(store).of("http://there")] == ["p18--ct"]
    for damaged in ("no json", "[]", '{"http://here": 3}', '{"http://here": [{"study": "x"}]}'):
        assert NotedHolders({"VPTCT.held": damaged}).of("http://here") == ()
