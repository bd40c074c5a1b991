"""A study at which the process ends again and again is left out; the others get their turn."""

from __future__ import annotations

from pathlib import Path

from vpt_plugin.active.in_hand import InHand
from vpt_plugin.active.pool_reader import PoolReader
from vpt_plugin.errors import ArchiveUnreachableError
from vpt_plugin.tasks import TASKS

NODULE = TASKS["nodule"]


def test_three_times_at_the_same_study_is_no_accident(tmp_path: Path) -> None:
    path = tmp_path / "in-hand.json"
    for _ in range(3):
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


def test_a_scoring_leaves_out_what_ended_the_process_three_times_and_scores_the_others(pool) -> None:
    with pool.folder.scoring():
        for _ in range(3):
            InHand(pool.folder.path / "in-hand.json").take("s002.nrrd")
    told = "s002.nrrd is left out: each time it was read, the process that scores crashed or was killed"
    assert (pool.score(now=lambda: 1e9).scored, pool.notes) == (4, [told])
    assert len(pool.folder.read().studies) == 4
    # Bad luck, in the end? It is tried again, though not before tomorrow unless somebody asks for it.
    assert "s002.nrrd" in pool.folder.studies(now=1e9 + 86_399)
    assert "s002.nrrd" not in pool.folder.studies(now=1e9 + 86_400)
    assert pool.score().scored == 1


def test_who_stands_still_has_nothing_in_hand_and_takes_it_up_again(tmp_path: Path) -> None:
    path = tmp_path / "in-hand.json"
    for _ in range(2):
        InHand(path).take("a")
    third = InHand(path)
    third.take("a")
    third.put_down()
    assert not InHand(path).ends_the_process("a")
    third.take_up()
    assert InHand(path).ends_the_process("a")


def test_what_is_finished_is_not_taken_up_again(tmp_path: Path) -> None:
    path = tmp_path / "in-hand.json"
    process = InHand(path)
    process.take("a")
    process.finished()
    process.put_down()
    process.take_up()
    assert not path.exists()


def test_while_an_archive_is_away_no_study_is_in_hand(pool) -> None:
    now, in_hand = [0.0], []
    path = pool.folder.path / "in-hand.json"

    def sleep(seconds: float) -> None:
        in_hand.append(path.exists())
        now[0] += seconds

    pool.source.away = lambda: ArchiveUnreachableError("pacs is down.") if now[0] < 60 else None
    # The files of a folder are there for all that: only what reads the study finds it away.
    pool.reader = lambda: WithIdentity(pool.source, NODULE.hu_window, pixels=112)
    assert pool.score(clock=lambda: now[0], sleep=sleep).scored == 5
    assert in_hand
    assert not any(in_hand)


class WithIdentity(PoolReader):
    def identity(self, study: str) -> str:
        return "listed"
