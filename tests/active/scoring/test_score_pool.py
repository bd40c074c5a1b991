"""All studies are scored once per version, whatever happens in between."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vpt_plugin.active import shard_files
from vpt_plugin.active.score_sample import studies_to_score
from vpt_plugin.active.scores import ScoredBy, ScoreFolder, StudyScore
from vpt_plugin.active.scoring import score_pool
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.reduced import read_reduced
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.errors import (
    ArchiveUnreachableError,
    CancelledError,
    ConfigurationError,
)
from vpt_plugin.store.archive.failures import LoginRefusedError
from vpt_plugin.tasks import TASKS

NODULE = TASKS["nodule"]


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def after(studies: int, pool: Any) -> Any:
    """Cancels once so many studies are done."""
    return lambda: bool(pool.told) and pool.told[-1].done >= studies


def test_probabilities_are_those_that_predict_gives_and_disagreement_is_that_of_its_clips(pool) -> None:
    pool.add(6, slices=30)
    result = pool.score()
    found = pool.folder.read()
    assert (result.scored, result.unreadable, found.complete) == (6, 0, True)
    for row, study in enumerate(found.studies):
        said = pool.scorer.predictor.predict(read_study(pool.root / "studies" / study), unsuitable="warn")
        (finding,) = said.findings
        assert found.probabilities[row, 0] == pytest.approx(finding.probability, abs=1e-6)
        assert found.disagreement[row, 0] == pytest.approx(said.clip_disagreement, abs=1e-6)
        assert found.clips[row] == len(finding.clips)


def test_an_embedding_is_the_mean_over_the_clips_and_the_key_one_that_of_the_clip_that_speaks_most(
    pool,
) -> None:
    pool.add(6, slices=30)
    pool.score()
    found = pool.folder.read()
    row = found.studies.index("s006.nrrd")
    reader = pool.reader()
    content = reader.read("s006.nrrd", "", lambda: False).content
    answers = pool.scorer.predictor.score(content.slices, study="s006")
    assert len(answers.features) > 2
    np.testing.assert_allclose(found.embeddings[row], answers.features.mean(axis=0), rtol=1e-3, atol=1e-6)
    loudest = answers.features[answers.probabilities[:, 0].argmax()]
    np.testing.assert_allclose(found.key_embeddings[row], loudest, rtol=1e-3, atol=1e-6)


def test_a_scoring_that_was_stopped_goes_on_where_it_stopped(pool) -> None:
    with pytest.raises(CancelledError):
        pool.score(cancelled=after(3, pool))
    assert len(pool.folder.read().studies) == 3
    assert not pool.folder.read().complete
    pool.told.clear()
    result = pool.score()
    assert (result.scored, result.kept, result.total) == (2, 3, 5)
    assert pool.folder.read().complete
    again = pool.score()
    assert (again.scored, again.kept) == (0, 5)


def test_new_studies_are_scored_and_nothing_else(pool) -> None:
    pool.score()
    pool.add(6)
    result = pool.score()
    assert (result.scored, result.kept, result.total) == (1, 5, 6)


def test_an_unreadable_study_is_told_noted_and_stops_nothing(pool) -> None:
    pool.path(3).write_bytes(b"NRRD0004\nthis is none")
    result = pool.score()
    found = pool.folder.read()
    assert (result.scored, result.unreadable, result.total) == (4, 1, 5)
    assert set(found.unreadable) == {"s003.nrrd"}
    assert "s003.nrrd" not in found.unreadable["s003.nrrd"], "the name is told beside it"
    assert found.complete
    assert [note for note in pool.notes if note.startswith("s003.nrrd is left out: ")]


def test_too_few_slices_are_a_reason_like_any_other(pool) -> None:
    pool.add(7, slices=3)
    pool.score()
    assert "slices" in pool.folder.read().unreadable["s007.nrrd"]


def test_a_study_that_is_gone_meanwhile_is_told_and_no_failure(pool) -> None:
    pool.source.scan()
    ids = pool.source.ids
    pool.source.ids = lambda: [*ids(), "gone.nrrd"]
    result = pool.score()
    assert (result.scored, result.unreadable) == (5, 0)
    assert "gone.nrrd is no longer there" in pool.notes


def test_an_archive_that_is_away_for_a_while_is_waited_for_and_nothing_is_lost(pool) -> None:
    clock = Clock()
    pool.source.away = lambda: ArchiveUnreachableError("pacs is down.") if 1 <= clock.now < 60 else None

    def passing() -> bool:
        # The third study takes it down.
        if len(pool.told) and pool.told[-1].done == 2 and clock.now < 1:
            clock.now = 1.0
        return False

    result = pool.score(clock=clock, sleep=clock.sleep, cancelled=passing)
    assert result.scored == 5
    assert "waiting: pacs is down." in pool.notes
    assert result.seconds < 2, "the wait does not count"


def test_an_archive_that_stays_away_ends_the_scoring_which_goes_on_later(pool) -> None:
    clock = Clock()
    done = lambda: len(pool.told) and pool.told[-1].done >= 2  # noqa: E731
    pool.source.away = lambda: ArchiveUnreachableError("pacs is down.", "Call IT.") if done() else None
    with pytest.raises(ArchiveUnreachableError, match=r"stops .* 9 minutes .*pacs is down") as error:
        pool.score(clock=clock, sleep=clock.sleep)
    assert error.value.hint == "Call IT. What is scored is kept; start the scoring again later."
    assert clock.now == 5 + 10 + 20 + 40 + 8 * 60, "one more minute would be more than ten in all"
    pool.source.away = lambda: None
    assert pool.score().scored == 3


def test_a_refused_login_is_not_tried_again_and_again(pool) -> None:
    clock = Clock()
    pool.source.away = lambda: LoginRefusedError("pacs refuses the login.")
    with pytest.raises(LoginRefusedError):
        pool.score(clock=clock, sleep=clock.sleep)
    assert clock.now == 0


def test_paused_it_computes_nothing_and_time_does_not_count(pool) -> None:
    clock = Clock()

    def paused() -> bool:
        return bool(pool.told) and pool.told[-1].done == 2 and clock.now < 100

    result = pool.score(clock=clock, sleep=clock.sleep, paused=paused)
    states = [each.state for each in pool.told]
    assert states.count("paused") == 1
    assert pool.told[states.index("paused")].done == 2
    assert pool.told[states.index("paused") + 1].state == "scoring"
    assert result.scored == 5
    assert clock.now >= 100 > 1 > result.seconds


def test_only_one_process_scores(pool) -> None:
    with pool.folder.scoring(), pytest.raises(ConfigurationError, match="another process"):
        pool.score()
    assert pool.score().scored == 5


def test_unlabelled_studies_come_first_and_a_limit_takes_a_random_sample_that_stays() -> None:
    names = [f"s{number:04d}" for number in range(1000)]
    labelled = set(names[:50])
    order = studies_to_score(names, labelled, limit=100)
    unlabelled = [each for each in order if each not in labelled]
    assert order[: len(unlabelled)] == unlabelled
    assert set(order[len(unlabelled) :]) == labelled
    sample = studies_to_score(names, (), limit=100)
    assert set(unlabelled) == set(sample) - labelled, "labels do not change the sample"
    # Its mean place is about the middle, by no more than 4 standard errors.
    assert abs(np.mean([int(each[1:]) for each in sample]) - 500) < 4 * 289 / 10
    more = studies_to_score([*names, *(f"t{number:04d}" for number in range(100))], (), limit=100)
    assert len(set(sample) & set(more)) > 80
    assert studies_to_score(names, labelled, seed=1)[:9] != order[:9]


def test_that_a_limit_left_studies_out_is_said(pool) -> None:
    outside = studies_to_score(pool.source.ids(), ())[-1]
    result = pool.score(limit=2, labelled=frozenset({outside}))
    assert result.total == 3
    assert result.warnings == ("the network has looked at 3 of 5 studies, drawn at random",)
    assert pool.folder.state().warnings == result.warnings
    assert outside in pool.folder.read().studies


def test_a_prepared_copy_is_used_and_none_is_ever_written(pool, tmp_path: Path, monkeypatch) -> None:
    cache = tmp_path / "prepared"
    pool.score()
    expected = pool.folder.read().probabilities
    with PreparedStudies(cache, NODULE.hu_window, pixels=112) as prepared:
        prepared.get(pool.path(2).resolve())
    there = files_in(cache)
    read: list[str] = []
    monkeypatch.setattr(
        "vpt_plugin.active.pool_reader.read_reduced",
        lambda path, *, pixels, name: read.append(name) or read_reduced(path, pixels=pixels, name=name),
    )
    other = ScoreFolder(tmp_path / "scores", pool.scorer.by)
    pool.folder = other
    assert pool.score(reader=pool.reader(prepared=cache)).scored == 5
    assert sorted(read) == ["s001.nrrd", "s003.nrrd", "s004.nrrd", "s005.nrrd"]
    np.testing.assert_array_equal(other.read().probabilities, expected)
    assert files_in(cache) == there


def files_in(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if ".claims" not in path.parts)


def test_the_date_of_a_dicom_study_is_known_and_that_of_others_is_not(pool) -> None:
    import pydicom

    pool.add_dicom("exam", 20)
    for file in (pool.root / "studies" / "exam").iterdir():
        slice_ = pydicom.dcmread(file)
        slice_.StudyDate = "20240131"
        slice_.save_as(file)
    pool.score()
    found = pool.folder.read()
    assert dict(zip(found.studies, found.study_dates, strict=True))["exam"] == "20240131"
    assert found.study_dates.count("") == 5


def test_memory_does_not_grow_with_the_pool(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shard_files, "STUDIES_OF_A_LARGE_SHARD", 64)
    features = np.zeros(50_000, dtype=np.float32)

    def peak(studies: int) -> float:
        """Megabytes, for a scoring of studies with 0.2 MB of features each; at most 32 wait to be written."""
        names = [f"s{number:05d}" for number in range(studies)]
        reader = SimpleNamespace(
            studies=SimpleNamespace(ids=lambda: names),
            identity=lambda study: study,
            identities_are_at_hand=True,
            read=lambda study, identity, cancelled: study,
        )
        by = replace(BY, weights_sha256=f"{studies:08d}")
        scorer = SimpleNamespace(
            by=by,
            warnings=(),
            score=lambda study, cancelled: StudyScore(study, study, features + 1, features),
        )

        tracemalloc.start()
        score_pool(reader, scorer, ScoreFolder(tmp_path, by), labelled=())  # type: ignore[arg-type]
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most / 1e6

    small, large = peak(128), peak(640)
    assert small > 0.2 * 32
    assert large < 1.2 * small


BY = ScoredBy("nodule", "tiny", 1, "0" * 8, ("lung_nodule",))
