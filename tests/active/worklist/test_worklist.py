"""Which study next: one that nobody labelled, holds or skipped, with why; and what is counted beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from made_up_site import MadeUpSite

from vpt_plugin.active.score_folders import scores_root
from vpt_plugin.errors import (
    ConfigurationError,
    LeaseError,
    NotScoredError,
    UnknownModelError,
    UnknownTaskError,
)
from vpt_plugin.store.leases import LeaseBook


def test_without_any_score_auto_goes_on_by_chance_and_says_so(site: MadeUpSite) -> None:
    offer = site.next()
    (proposal,) = offer.proposals
    assert (proposal.strategy, proposal.probabilities) == ("random", None)
    assert "0 of 40 studies to choose from are scored" in proposal.why
    assert (offer.state.model, offer.state.scoring.scored, offer.state.scoring.studies) == (None, 0, 40)
    assert offer.state.counts.unscored == 39


def test_what_one_reader_was_given_nobody_else_is(site: MadeUpSite) -> None:
    given = [site.next(strategy="random", reader=reader).proposals[0].study for reader in "abab"]
    assert len(set(given)) == 4
    assert set(site.leases().held()) == set(given)


def test_a_batch_is_as_large_as_wished_and_no_study_is_in_it_twice(site: MadeUpSite) -> None:
    studies = [each.study for each in site.next(n=6).proposals]
    assert len(set(studies)) == 6


def test_a_batch_is_smaller_where_no_more_is_left_and_then_empty(site: MadeUpSite) -> None:
    assert len(site.next(n=50).proposals) == 40
    offer = site.next()
    assert offer.proposals == ()
    assert "no study is left" in offer.warnings[-1]


def test_labelled_studies_are_not_proposed_whatever_the_label_says(site: MadeUpSite) -> None:
    for place, study in enumerate(site.studies.listed[:39]):
        site.label(study, ("present", "absent", "indeterminate")[place % 3])
    offer = site.next(n=5)
    assert [each.study for each in offer.proposals] == ["p39"]
    assert offer.state.labels == {"lung_nodule": {"present": 13, "absent": 13, "indeterminate": 13}}
    assert (offer.state.counts.labelled, offer.state.counts.held, offer.state.counts.free) == (39, 1, 0)


def test_a_label_of_another_task_changes_nothing(site: MadeUpSite) -> None:
    site.label("p00", task="pe")
    assert "p00" in {each.study for each in site.next(n=40).proposals}


def test_a_lease_that_is_over_comes_back(make_site: Callable[..., MadeUpSite]) -> None:
    site = make_site(["p00"])
    assert site.next(reader="anna").proposals
    assert not site.next(reader="ben").proposals
    site.now += 31 * 60
    assert site.next(reader="ben").proposals[0].study == "p00"


def test_what_i_skipped_others_are_offered_and_what_two_skipped_nobody_is(
    make_site: Callable[..., MadeUpSite],
) -> None:
    site = make_site(["p00"])
    for reader, left in (("anna", True), ("ben", False)):
        assert site.next(reader=reader).proposals
        site.leases().skip("p00", reader, "unsure")
        assert not site.next(reader=reader).proposals
        assert bool(site.worklist().ranked(site.wish(reader="eve")).proposals) is left
    assert site.worklist().state("nodule").counts.skipped == 1


def test_unseen_leaves_out_what_this_reader_was_ever_offered(make_site: Callable[..., MadeUpSite]) -> None:
    site = make_site(["p00", "p01"])
    first = site.next().proposals[0].study
    site.leases().give_back(first, "anna")
    assert {each.study for each in site.next(n=2, unseen=True).proposals} == {"p00", "p01"} - {first}


def test_typical_studies_of_the_cold_start_stand_for_their_groups(site: MadeUpSite) -> None:
    site.score(site.cold())
    offer = site.next(strategy="typical", n=4)
    assert {int(each.study[1:]) % 4 for each in offer.proposals} == {0, 1, 2, 3}
    assert offer.proposals[0].cluster is not None
    assert offer.state.model is not None
    assert (offer.state.model.name, offer.state.model.version) == ("tiny", 0)


def test_a_proposal_says_what_the_model_said_and_which_labelled_study_is_nearest(site: MadeUpSite) -> None:
    site.label("p00", "present")
    site.score(site.publish(), probabilities={"p04": 0.5})
    offer = site.next(strategy="uncertain")
    (proposal,) = offer.proposals
    assert (proposal.study, proposal.probabilities) == ("p04", {"lung_nodule": 0.5})
    # p00 and p04 are of one group.
    assert proposal.nearest_labelled is not None
    assert (proposal.nearest_labelled.study, proposal.nearest_labelled.distance < 0.5) == ("p00", True)


def test_the_lease_keeps_what_the_model_said_before_anybody_labelled(site: MadeUpSite) -> None:
    site.score(site.publish(), probabilities={"p04": 0.5})
    lease = site.next(strategy="uncertain").proposals[0].lease
    assert lease is not None
    assert (lease.model, lease.version, lease.probabilities) == ("tiny", 1, {"lung_nodule": 0.5})
    assert site.leases().history().offers[0].probabilities == {"lung_nodule": 0.5}


def test_a_strategy_that_needs_scores_is_refused_until_there_are_some(site: MadeUpSite) -> None:
    with pytest.raises(NotScoredError, match="Choose auto or random"):
        site.next(strategy="typical")
    site.score(site.cold())
    with pytest.raises(NotScoredError, match="trained"):
        site.next(strategy="badge")
    assert site.leases().history().offers == ()


def test_while_a_scoring_runs_only_what_is_scored_is_chosen_and_the_rest_is_told(site: MadeUpSite) -> None:
    site.score(site.publish(), ["p07", "p08"], complete=False)
    offer = site.next(strategy="uncertain", n=5)
    assert {each.study for each in offer.proposals} == {"p07", "p08"}
    assert (offer.state.scoring.complete, offer.state.counts.unscored) == (False, 38)
    assert any("38 of the 38 studies" in each for each in offer.warnings)


def test_until_a_new_version_has_scored_all_the_one_before_goes_on_choosing(site: MadeUpSite) -> None:
    site.score(site.publish())
    second = site.publish(seed=1)
    site.score(second, ["p07"], complete=False)
    offer = site.next(strategy="uncertain")
    assert offer.state.model is not None
    assert offer.state.model.version == 1
    assert "until then the scores of version 1 of nodule_tiny choose" in offer.warnings[0]
    site.score(second)
    offer = site.next(strategy="uncertain")
    assert offer.state.model is not None
    assert (offer.state.model.version, offer.warnings) == (2, ())


def test_until_the_first_version_has_scored_all_the_cold_start_goes_on(site: MadeUpSite) -> None:
    site.score(site.cold())
    site.score(site.publish(), ["p07", "p08"], complete=False)
    versions = {}
    for strategy in ("auto", "typical", "uncertain"):
        model = site.worklist().ranked(site.wish(strategy=strategy)).state.model
        assert model is not None
        versions[strategy] = model.version
    # What needs probabilities takes those that there are.
    assert versions == {"auto": 0, "typical": 0, "uncertain": 1}


def test_a_version_that_has_scored_all_once_goes_on_choosing_while_it_scores_new_ones(
    site: MadeUpSite,
) -> None:
    site.score(site.publish())
    second = site.publish(seed=1)
    site.score(second)
    site.studies.listed.append("p40")
    site.score(second, ["p40"], complete=False)
    offer = site.next(strategy="uncertain")
    assert offer.state.model is not None
    assert (offer.state.model.version, offer.state.scoring.complete) == (2, False)


def test_damaged_scores_are_told_and_their_studies_are_chosen_by_chance(site: MadeUpSite) -> None:
    by = site.cold()
    site.score(by, ["p00", "p01"], complete=False)
    site.score(by, ["p02"], complete=False)
    shards = sorted((scores_root(site.models.root, site.studies) / by.key).glob("*.npz"))
    shards[0].write_bytes(b"no shard")
    offer = site.next(strategy="typical")
    assert [each.study for each in offer.proposals] == ["p02"]
    assert any("1 file of scores is damaged" in each for each in offer.warnings)


def test_unreadable_studies_are_counted_and_never_proposed(site: MadeUpSite) -> None:
    site.score(site.cold(), unreadable=["p11", "p12"])
    offer = site.next(n=40)
    assert len(offer.proposals) == 38
    assert offer.state.counts.unreadable == 2


def test_a_wish_for_dates_knows_those_that_an_archive_lists_before_anything_is_scored(
    site: MadeUpSite,
) -> None:
    site.studies.dated = dict.fromkeys(("p00", "p01", "p02"), "20240615") | {"p03": "20230101"}
    offer = site.next(n=9, date_from="20240101")
    assert {each.study for each in offer.proposals} == {"p00", "p01", "p02"}
    assert {each.study_date for each in offer.proposals} == {"20240615"}


def test_a_wish_for_dates_takes_the_known_ones_and_says_how_many_are_not(site: MadeUpSite) -> None:
    dates = {"p00": "20240101", "p01": "20240615", "p02": "20250101"}
    site.score(site.cold(), dates=dates)
    offer = site.next(n=9, date_from="20240102", date_to="20241231")
    assert [each.study for each in offer.proposals] == ["p01"]
    assert offer.proposals[0].study_date == "20240615"
    assert "the date of 37 studies is not known" in offer.warnings[0]


def test_a_study_that_is_gone_is_not_proposed_though_it_is_scored(site: MadeUpSite) -> None:
    site.score(site.cold())
    site.studies.listed = ["p00", "p01"]
    assert {each.study for each in site.next(n=9).proposals} == {"p00", "p01"}


def test_new_studies_are_chosen_by_chance_until_they_are_scored(site: MadeUpSite) -> None:
    site.score(site.cold())
    site.studies.listed.append("p40")
    offer = site.next(n=41)
    assert [each.study for each in offer.proposals if each.strategy == "random"][-1] == "p40"


def test_after_a_restart_the_same_study_comes_next(site: MadeUpSite) -> None:
    site.score(site.publish(), probabilities={f"p{place:02d}": place / 80 for place in range(40)})
    ranked = [site.worklist(seed=5).ranked(site.wish()).proposals[0].study for _ in range(3)]
    assert len(set(ranked)) == 1
    assert site.worklist(seed=5).next(site.wish()).proposals[0].study == ranked[0]


def test_what_is_ranked_is_held_by_nobody(site: MadeUpSite) -> None:
    offer = site.worklist().ranked(site.wish(n=40))
    assert len(offer.proposals) == 40
    assert all(each.lease is None for each in offer.proposals)
    assert site.leases().held() == {}


def test_the_random_order_is_the_same_for_all_who_rank_by_it(site: MadeUpSite) -> None:
    anna, ben = (
        [
            each.study
            for each in site.worklist().ranked(site.wish(strategy="random", n=40, reader=reader)).proposals
        ]
        for reader in ("anna", "ben")
    )
    assert anna == ben


def test_a_label_saved_while_a_study_is_chosen_keeps_it_from_being_given(
    make_site: Callable[..., MadeUpSite], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(["p00", "p01"])
    worklist = site.worklist()
    choosing = LeaseBook.choosing

    def saved_meanwhile(book: LeaseBook):  # type: ignore[no-untyped-def]
        site.label("p00", reader="ben")
        monkeypatch.setattr(LeaseBook, "choosing", choosing)
        return choosing(book)

    monkeypatch.setattr(LeaseBook, "choosing", saved_meanwhile)
    assert [each.study for each in worklist.next(site.wish(n=2)).proposals] == ["p01"]


def test_ten_threads_that_ask_at_once_hold_ten_studies(site: MadeUpSite) -> None:
    site.score(site.cold())
    worklist, given = site.worklist(), []

    def ask(reader: str) -> None:
        given.append(worklist.next(site.wish(reader=reader)).proposals[0].study)

    threads = [threading.Thread(target=ask, args=(f"reader{number}",)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(given)) == 10


def test_of_a_batch_that_is_too_large_nothing_is_given(make_site: Callable[..., MadeUpSite]) -> None:
    site = make_site([f"p{number:03d}" for number in range(250)])
    with pytest.raises(LeaseError, match="200"):
        site.next(n=201)
    assert site.leases().held() == {}


@pytest.mark.parametrize(
    ("wished", "error", "says"),
    [
        ({"task": "pe"}, UnknownTaskError, "choose from nodule"),
        ({"strategy": "first"}, ConfigurationError, "choose from auto, random"),
        ({"model": "resnet"}, UnknownModelError, "tiny"),
        ({"n": 0}, ConfigurationError, "at least one"),
        ({"finding": "embolism"}, ConfigurationError, "choose from lung_nodule"),
        ({"date_from": "2024-01-01"}, ConfigurationError, "20201231"),
        ({"date_to": "20240230"}, ConfigurationError, "20201231"),
        ({"date_from": "20250101", "date_to": "20240101"}, ConfigurationError, "no date from"),
        ({"unseen": True, "reader": ""}, ConfigurationError, "who asks"),
    ],
)
def test_a_wish_that_cannot_be_met_says_what_can(
    site: MadeUpSite, wished: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        site.next(**wished)


def test_readers_without_a_name_each_get_a_holder_that_the_other_does_not_know(site: MadeUpSite) -> None:
    leases = [site.next(reader="").proposals[0].lease for _ in range(2)]
    assert all(lease is not None and lease.reader == "" for lease in leases)
    assert len({lease.holder for lease in leases if lease}) == 2
