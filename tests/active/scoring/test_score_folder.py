"""Scores on the disk: there whole or not at all, merged in the end, and gone with their version."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from vpt_plugin.active import shard_files
from vpt_plugin.active.score_folders import (
    FORGOTTEN_SECONDS,
    newest_scores,
    score_folders,
    scores_of,
    scores_root,
    sweep_forgotten,
    sweep_scores,
)
from vpt_plugin.active.scores import (
    FailedStudy,
    KnownStudy,
    ScoredBy,
    ScoreFolder,
    StudyScore,
)
from vpt_plugin.store.archive import ArchiveAddress, DicomArchive
from vpt_plugin.store.studies import StudyFolder

BY = ScoredBy("nodule", "tiny", 3, "1a2b3c4d5e6f", ("lung_nodule",), "kinetics")


def score(study: str, value: float = 1.0, *, identity: str = "mark") -> StudyScore:
    features = np.full(3, value)
    return StudyScore(study, identity, features, -features, np.array([value / 10]), np.array([0.25]), clips=4)


def filled(root: Path, by: ScoredBy = BY, *studies: str, used: float = 0) -> ScoreFolder:
    folder = ScoreFolder(root, by)
    with folder.scoring():
        folder.begin(len(studies))
        folder.add([score(each) for each in studies], [])
        folder.end()
    if used:
        os.utime(folder.path / "state.json", (used, used))
    return folder


def test_what_is_computed_in_another_way_lies_in_a_folder_of_its_own(tmp_path: Path) -> None:
    reduced, full = (replace(BY, way=f"torch-{each}") for each in ("bfloat16", "float32"))
    assert full.key == "nodule_tiny-v0003-1a2b3c4d-torch-float32"
    before = filled(tmp_path, reduced, "a", "b", used=100)
    # Asked for in float32 nothing is scored yet, and nothing of bfloat16 is mixed with it.
    assert dict(scores_of(tmp_path, BY, precision="float32").studies()) == {}
    assert scores_of(tmp_path, BY, precision="bfloat16").by == reduced
    filled(tmp_path, full, "a", used=200)
    assert scores_of(tmp_path, BY, precision="float32").read().studies == ("a",)
    assert before.read().studies == ("a", "b")
    assert scores_of(tmp_path, BY).by == full
    assert [each.by for each in score_folders(tmp_path)] == [reduced, full]
    # Another version is another classifier.
    assert scores_of(tmp_path, replace(BY, version=4)).used_at() == 0


def test_scores_from_before_the_way_was_noted_are_read_and_scored_anew_where_one_is_asked_for(
    tmp_path: Path,
) -> None:
    old = filled(tmp_path, BY, "a", used=100)
    about = json.loads((old.path / "about.json").read_text())
    del about["way"]
    (old.path / "about.json").write_text(json.dumps(about))
    assert scores_of(tmp_path, BY).read().studies == ("a",)
    assert scores_of(tmp_path, BY, precision="float32").used_at() == 0


def test_what_is_added_is_read_by_study_with_what_computed_it(tmp_path: Path) -> None:
    folder = ScoreFolder(tmp_path, BY)
    with folder.scoring():
        folder.begin(3, ("take care",))
        folder.add([score("b", 2.0), score("a", 1.0)], [FailedStudy("c", "mark", "no CT")])
    found = folder.read()
    assert folder.path.name == "nodule_tiny-v0003-1a2b3c4d"
    assert (found.by, found.studies, dict(found.unreadable)) == (BY, ("a", "b"), {"c": "no CT"})
    np.testing.assert_array_equal(found.embeddings, [[1, 1, 1], [2, 2, 2]])
    np.testing.assert_array_equal(found.key_embeddings, [[-1, -1, -1], [-2, -2, -2]])
    np.testing.assert_array_equal(found.probabilities, [[0.1], [0.2]])
    assert found.embeddings.dtype == np.float32
    assert (found.state.warnings, found.state.total, found.complete) == (("take care",), 3, False)


def test_an_empty_folder_has_no_rows_and_is_not_complete(tmp_path: Path) -> None:
    folder = ScoreFolder(tmp_path, BY)
    assert (folder.read().studies, folder.read().complete, folder.used_at()) == ((), False, 0.0)
    assert newest_scores(tmp_path, "nodule", "tiny", 3) is None


def test_the_later_score_of_a_study_counts(tmp_path: Path) -> None:
    folder = ScoreFolder(tmp_path, BY)
    with folder.scoring():
        folder.add([score("a", 1.0), score("b", 1.0)], [])
        folder.add([score("a", 5.0)], [FailedStudy("b", "mark", "cut off")])
        assert folder.known() == {"a": KnownStudy("mark"), "b": KnownStudy("mark", unreadable=True)}
        folder.add([score("b", 7.0)], [FailedStudy("a", "mark", "away", again=True, tries=3)])
        assert folder.known() == {"a": KnownStudy("mark", unreadable=True, tries=3), "b": KnownStudy("mark")}
    found = folder.read()
    assert (found.studies, dict(found.unreadable)) == (("b",), {})
    assert found.embeddings[0, 0] == 7


def test_at_the_end_shards_are_merged_and_say_the_same(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shard_files, "STUDIES_OF_A_LARGE_SHARD", 4)
    folder = ScoreFolder(tmp_path, BY)
    with folder.scoring():
        folder.begin(10)
        for number in range(10):
            folder.add([score(f"s{number}", number)], [FailedStudy(f"f{number}", "mark", f"why {number}")])
        folder.add([score("s1", 50.0)], [])
        before, stamp = folder.read(), folder.stamp()
        folder.end()
    after = folder.read()
    assert after.complete
    assert len(list(folder.path.glob("*.npz"))) <= 4
    assert folder.stamp() != stamp
    assert (after.studies, after.unreadable) == (before.studies, before.unreadable)
    np.testing.assert_array_equal(after.embeddings, before.embeddings)
    assert after.embeddings[1, 0] == 50


def test_a_merge_that_was_killed_half_way_loses_nothing(tmp_path: Path, monkeypatch) -> None:
    folder = ScoreFolder(tmp_path, BY)
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        if path.name == "000002.npz":
            raise KeyboardInterrupt
        unlink(path, missing_ok=missing_ok)

    with folder.scoring():
        folder.begin(3)
        for number in range(3):
            folder.add([score(f"s{number}", number)], [])
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", killed)
            with pytest.raises(KeyboardInterrupt):
                folder.end()
    assert folder.read().studies == ("s0", "s1", "s2")
    assert not folder.read().complete
    with folder.scoring():
        assert len(folder.known()) == 3
        folder.end()
    assert folder.read().complete


def test_a_file_that_breaks_while_a_scoring_runs_stops_no_merge(tmp_path: Path) -> None:
    folder = ScoreFolder(tmp_path, BY)
    with folder.scoring():
        folder.begin(3)
        for study in ("a", "b", "c"):
            folder.add([score(study)], [])
        (folder.path / "000002.npz").write_bytes(b"PK\x03\x04 cut")
        folder.end()
    found = folder.read()
    assert (found.studies, found.complete) == (("a", "c"), False)


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_a_damaged_shard_is_told_and_its_studies_are_scored_again(tmp_path: Path, damage: str) -> None:
    folder = ScoreFolder(tmp_path, BY)
    with folder.scoring():
        folder.begin(2)
        folder.add([score("a")], [])
        folder.end()
        folder.add([score("b")], [])
    shard = folder.path / "000001.npz"
    content = bytearray(shard.read_bytes())
    # Behind the head of the first array: only the checksum tells.
    content[content.index(b"NUMPY") + 130] ^= 0xFF
    shard.write_bytes({"cut": content[:200], "empty": b"", "flipped": bytes(content)}[damage])
    found = folder.read()
    assert (found.studies, found.damaged, found.complete) == (("b",), ("000001.npz",), False)
    with folder.scoring():
        assert set(folder.known()) == {"b"}
    assert folder.read().damaged == ()


def test_a_damaged_state_is_that_of_a_scoring_that_did_not_end(tmp_path: Path) -> None:
    folder = filled(tmp_path, BY, "a")
    assert folder.read().complete
    (folder.path / "state.json").write_text("{")
    assert not folder.read().complete


def test_features_that_no_small_number_can_hold_stay_finite(tmp_path: Path) -> None:
    folder = ScoreFolder(tmp_path, BY)
    with folder.scoring():
        folder.add([score("a", 1e9)], [])
    assert folder.read().embeddings[0, 0] == 65504


def test_the_newest_two_of_a_network_stay_and_what_was_pruned_goes(tmp_path: Path) -> None:
    versions = {number: ScoredBy("nodule", "tiny", number, f"{number:08d}", ("x",)) for number in range(4)}
    for number, by in versions.items():
        filled(tmp_path, by, "a", used=1000 + number)
    other = filled(tmp_path, ScoredBy("pe", "tiny", 1, "9" * 8, ("x",)), "a", used=1)
    gone = filled(tmp_path, ScoredBy("pe", "swin_t", 1, "8" * 8, ("x",)), "a", used=5000)
    (tmp_path / "stray").mkdir()
    published = lambda task, model: [] if model == "swin_t" else [1, 2, 3]  # noqa: E731
    removed = sweep_scores(tmp_path, published, lambda task, model: 3)
    assert sorted(removed) == sorted([versions[0].key, versions[1].key, gone.by.key])
    left = {each.by.key for each in score_folders(tmp_path)}
    assert left == {versions[2].key, versions[3].key, other.by.key}
    assert (tmp_path / "stray").is_dir()


def test_a_version_that_went_back_to_being_served_keeps_its_scores(tmp_path: Path) -> None:
    versions = [ScoredBy("nodule", "tiny", number, f"{number:08d}", ("x",)) for number in (1, 2, 3)]
    for by, used in zip(versions, (9000, 2000, 3000), strict=True):  # version 1 was scored last
        filled(tmp_path, by, "a", used=used)
    served = lambda task, model: 1  # noqa: E731
    assert sweep_scores(tmp_path, lambda task, model: [1, 2, 3], served) == [versions[1].key]


def test_the_scores_of_what_is_served_stay_however_many_candidates_were_scored_since(tmp_path: Path) -> None:
    versions = [ScoredBy("nodule", "tiny", number, f"{number:08d}", ("x",)) for number in (2, 3, 4, 5)]
    for used, by in enumerate(versions, start=1000):
        filled(tmp_path, by, "a", used=used)
    served = lambda task, model: 3  # noqa: E731
    assert sweep_scores(tmp_path, lambda task, model: [2, 3, 4, 5], served) == [versions[0].key]


def test_where_nothing_is_served_the_newest_cold_start_stays(tmp_path: Path) -> None:
    cold = [ScoredBy("nodule", "tiny", 0, each * 8, ("x",)) for each in "ab"]
    candidates = [ScoredBy("nodule", "tiny", number, f"{number:08d}", ("x",)) for number in (1, 2)]
    for used, by in enumerate([*cold, *candidates], start=1000):
        filled(tmp_path, by, "a", used=used)
    nothing = lambda task, model: None  # noqa: E731
    assert sweep_scores(tmp_path, lambda task, model: [1, 2], nothing) == [cold[0].key]


def test_a_folder_is_removed_on_a_system_that_moves_no_file_that_is_open(tmp_path: Path, monkeypatch) -> None:
    folder = filled(tmp_path, BY, "a")
    held: list[Path] = []

    class WindowsLock(FileLock):
        def __enter__(self) -> WindowsLock:
            held.append(Path(self.lock_file))
            return super().__enter__()

        def __exit__(self, *ended: object) -> None:
            held.clear()
            super().__exit__(*ended)

    def refusing(name: str) -> None:
        call = getattr(Path, name)

        def refuse(path: Path, *args: object, **options: object) -> object:
            if any(path in (each, *each.parents) for each in held):
                raise PermissionError(13, "another process uses it", str(path))
            return call(path, *args, **options)

        monkeypatch.setattr(Path, name, refuse)

    monkeypatch.setattr("vpt_plugin.active.scores.FileLock", WindowsLock)
    for name in ("rename", "unlink", "rmdir"):
        refusing(name)
    assert folder.remove()
    assert not folder.path.exists()


def test_scores_that_are_being_computed_are_not_removed(tmp_path: Path) -> None:
    folder = filled(tmp_path, BY, "a")
    with folder.scoring():
        assert sweep_scores(tmp_path, lambda task, model: [], lambda task, model: None) == []
    assert sweep_scores(tmp_path, lambda task, model: [], lambda task, model: None) == [BY.key]


def test_the_cold_start_is_found_without_knowing_its_checksum(tmp_path: Path) -> None:
    old, new = (ScoredBy("nodule", "tiny", 0, each * 8, ("x",)) for each in "ab")
    filled(tmp_path, old, "a", used=2000)
    filled(tmp_path, new, "a", used=1000)
    assert newest_scores(tmp_path, "nodule", "tiny", 0).by == old


def test_of_other_studies_only_scores_that_nobody_made_for_long_are_swept(tmp_path: Path) -> None:
    mine, theirs, gone = (tmp_path / name for name in ("mine", "theirs", "gone"))
    old, new = BY, replace(BY, version=BY.version + 1)
    now = 1e9
    long_ago = now - FORGOTTEN_SECONDS - 1
    filled(mine, old, "a", used=int(long_ago))
    filled(theirs, old, "a", used=int(long_ago))
    filled(theirs, new, "a", used=int(now - FORGOTTEN_SECONDS + 60))
    filled(gone, old, "a", used=int(long_ago))
    for root in (mine, theirs, gone):
        (root / "source.json").write_text("{}")
    assert sweep_forgotten(mine, now=now) == [old.key, old.key]
    left = {root.name: [each.by.key for each in score_folders(root)] for root in tmp_path.iterdir()}
    assert left == {"mine": [old.key], "theirs": [new.key]}


def test_two_ways_to_one_folder_are_one_source_and_an_archive_may_change_its_protocol(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "studies")
    paths = (tmp_path / "studies", tmp_path / "link", tmp_path / "link" / "..", tmp_path / "other")
    roots = [scores_root(tmp_path, StudyFolder(path)) for path in paths]
    assert roots[0] == roots[1]
    assert len(set(roots)) == 3
    archives = [
        DicomArchive(ArchiveAddress.parse(f"{protocol}://pacs.example.org/{path}"), tmp_path / "cache")
        for protocol, path in (("http", "a"), ("https", "a/"), ("https", "b"))
    ]
    first, secure, other = (scores_root(tmp_path, each) for each in archives)
    assert first == secure
    assert other != first
