"""A study at which the process ends again and again is left out; the others get their turn."""

from __future__ import annotations

from pathlib import Path

from vpt_plugin.active.in_hand import InHand


def test_twice_at_the_same_study_is_no_accident(tmp_path: Path) -> None:
    path = tmp_path / "in-hand.json"
    for _ in range(2):
        process = InHand(path)
        assert not process.ends_the_process("b")
        for study in ("a", "b"):
            process.take(study)
    assert InHand(path).ends_the_process("b")
    assert not InHand(path).ends_the_process("a")


def test_a_process_that_ends_by_itself_or_at_another_study_begins_the_count_anew(tmp_path: Path) -> None:
    path = tmp_path / "in-hand.json"
    InHand(path).take("a")
    InHand(path).take("b")
    InHand(path).take("a")
    assert not InHand(path).ends_the_process("a")
    process = InHand(path)
    process.take("a")
    process.put_down()
    assert not InHand(path).ends_the_process("a")


def test_a_damaged_note_is_no_note(tmp_path: Path) -> None:
    path = tmp_path / "in-hand.json"
    path.write_text('{"study": "a"')
    assert not InHand(path).ends_the_process("a")


def test_a_scoring_leaves_out_what_ended_the_process_twice_and_scores_the_others(pool) -> None:
    with pool.folder.scoring():
        for _ in range(2):
            InHand(pool.folder.path / "in-hand.json").take("s002.nrrd")
    assert (pool.score().scored, pool.score().scored) == (4, 0)
    found = pool.folder.read()
    assert len(found.studies) == 4
    assert found.unreadable == {
        "s002.nrrd": "each time it was read, the process that scores crashed or was killed"
    }


def test_who_stands_still_has_nothing_in_hand_and_takes_it_up_again(tmp_path: Path) -> None:
    path = tmp_path / "in-hand.json"
    InHand(path).take("a")
    second = InHand(path)
    second.take("a")
    second.put_down()
    assert not InHand(path).ends_the_process("a")
    second.take_up()
    assert InHand(path).ends_the_process("a")
