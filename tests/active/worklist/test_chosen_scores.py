"""Scores are read once for whoever asks, and are in memory once."""

from __future__ import annotations

import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_site import NODULE, MadeUpSite

from vpt_plugin.active.chosen_scores import ScoreReader
from vpt_plugin.active.score_arrays import Scores
from vpt_plugin.active.score_folders import scores_root
from vpt_plugin.active.scores import ScoreFolder
from vpt_plugin.models.catalog import MODELS

IDS = tuple(f"p{number:03d}" for number in range(12))


@pytest.fixture
def site(tmp_path: Path) -> MadeUpSite:
    return MadeUpSite(tmp_path, IDS)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the scores that were read."""
    read, keys = ScoreFolder.read, []

    def noted(folder: ScoreFolder) -> Scores:
        keys.append(folder.by.key)
        return read(folder)

    monkeypatch.setattr(ScoreFolder, "read", noted)
    return keys


def reader(site: MadeUpSite) -> ScoreReader:
    return ScoreReader(site.models, site.studies, MODELS.values())


def test_two_networks_that_are_asked_in_turn_are_read_once_each(site: MadeUpSite, reads: list[str]) -> None:
    for network in ("tiny", "swin_t"):
        site.score(site.publish(network))
    asked = reader(site)
    for _ in range(5):
        for network in ("tiny", "swin_t"):
            assert asked.table(NODULE, network, IDS).by.model == network
    assert len(reads) == 2


def test_of_three_the_one_that_was_not_asked_for_longest_is_read_again(
    site: MadeUpSite, reads: list[str]
) -> None:
    networks = sorted(MODELS)[:3]
    for network in networks:
        site.score(replace(site.cold(), model=network))
    asked = reader(site)
    for network in (*networks, networks[2], networks[1], networks[0]):
        assert asked.table(NODULE, network, IDS).by.model == network
    assert len(reads) == 4


def test_a_new_study_is_a_row_without_scores_and_nothing_is_read(site: MadeUpSite, reads: list[str]) -> None:
    site.score(site.publish(), probabilities={"p003": 0.7})
    asked = reader(site)
    before = asked.table(NODULE, "", IDS)
    after = asked.table(NODULE, "", ("a_new_one", *IDS))
    assert len(reads) == 1
    assert after.scored.tolist() == [False] + [True] * 12
    assert after.probabilities_of("p003") == {"lung_nodule": 0.7}
    assert after.probabilities_of("a_new_one") is None
    np.testing.assert_array_equal(after.geometry.embeddings[1:], before.geometry.embeddings)
    assert np.isnan(after.geometry.embeddings[0]).all()


def test_a_study_that_was_away_has_its_scores_when_it_is_back(site: MadeUpSite, reads: list[str]) -> None:
    site.score(site.publish(), probabilities={"p003": 0.7})
    asked = reader(site)
    less = asked.table(NODULE, "", tuple(each for each in IDS if each != "p003"))
    assert "p003" not in less.rows
    assert asked.table(NODULE, "", IDS).probabilities_of("p003") == {"lung_nodule": 0.7}


def test_where_a_study_is_not_scored_the_arrays_are_not_kept_twice(
    site: MadeUpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.score(site.publish())
    read, arrays = ScoreFolder.read, []

    def noted(folder: ScoreFolder) -> Scores:
        scores = read(folder)
        arrays.extend(map(weakref.ref, (scores.embeddings, scores.key_embeddings, scores.probabilities)))
        return scores

    monkeypatch.setattr(ScoreFolder, "read", noted)
    asked = reader(site)
    table = asked.table(NODULE, "", ("a_new_one", *IDS))
    assert len(table.studies) == 13
    assert [array() for array in arrays] == [None, None, None]


def test_where_nothing_could_be_scored_yet_every_study_is_unscored(site: MadeUpSite) -> None:
    site.score(site.publish("tiny"), (), complete=False)
    table = reader(site).table(NODULE, "tiny", IDS)
    assert table.scored.tolist() == [False] * len(IDS)


def test_scores_of_other_studies_with_the_same_names_do_not_choose(site: MadeUpSite) -> None:
    by = site.publish()
    site.score(by, probabilities={"p003": 0.7})
    site.studies.origin = "elsewhere"
    assert not reader(site).table(NODULE, "", IDS).scored.any()
    site.score(by, ["p003"], probabilities={"p003": 0.2})
    assert reader(site).table(NODULE, "", IDS).probabilities_of("p003") == {"lung_nodule": 0.2}
    site.studies.origin = "made up"
    assert reader(site).table(NODULE, "", IDS).probabilities_of("p003") == {"lung_nodule": 0.7}


def test_while_the_first_version_scores_nothing_says_that_none_is_trained(site: MadeUpSite) -> None:
    by = site.cold()
    folder = ScoreFolder(scores_root(site.models.root, site.studies), by)
    site.score(by)
    with folder.scoring():
        folder.begin(12, ("no head is trained yet: studies are told apart by little",))
        folder.end()
    assert any("no head is trained yet" in each for each in site.next().warnings)
    site.score(site.publish(), ["p001", "p002"], complete=False)
    offer = site.next()
    assert offer.warnings == (
        "version 1 of nodule_tiny has not scored all studies yet; until then features without a trained head "
        "choose",
    )
    scoring = offer.state.scoring
    assert (scoring.scored, scoring.studies, scoring.complete) == (2, 12, False)
