"""Second readings on purpose: as often as the site wants, of another's study, and blind."""

from __future__ import annotations

import pytest
from made_up_site import MadeUpSite

from vpt_plugin.active.agreement import read_agreement
from vpt_plugin.active.offers import Offer, Proposal


def second(offer: Offer) -> list[str]:
    return [each.study for each in offer.proposals if each.reading == "second"]


def ask(site: MadeUpSite, *, share: float = 1.0, **wished: object) -> Offer:
    return site.worklist(double_read=share).next(site.wish(**{"reader": "ben", **wished}))


def ask_and_label(site: MadeUpSite, asks: str, annotator: str) -> Proposal:
    """A reader who asks by one name and labels by another, as a client does at a server without logins."""
    (proposal,) = ask(site, reader=asks).proposals
    site.label(proposal.study, reader=annotator)
    site.leases().labelled(proposal.study, asks, "nodule")
    return proposal


def test_without_a_share_no_study_is_read_twice(site: MadeUpSite) -> None:
    site.label("p00")
    assert second(ask(site, share=0.0, n=39)) == []


def test_a_second_reader_gets_the_study_of_another_and_is_told_nothing_of_it(site: MadeUpSite) -> None:
    site.score(site.publish(), dates={"p00": "20240101"})
    site.label("p00", "present")
    (proposal,) = ask(site).proposals
    assert (proposal.study, proposal.reading, proposal.strategy) == ("p00", "second", "double-read")
    assert (proposal.probabilities, proposal.nearest_labelled, proposal.cluster) == (None, None, None)
    assert (proposal.label_version, proposal.study_date) == (1, "20240101")
    assert "present" not in str(proposal.to_json())
    assert proposal.lease is not None
    assert (proposal.lease.reading, proposal.lease.probabilities) == ("second", {})


def test_nobody_reads_a_study_twice_and_none_is_read_a_third_time(site: MadeUpSite) -> None:
    site.label("p00", reader="ben")
    site.label("p01", reader="anna")
    site.label("p01", reader="eve")
    assert second(ask(site, n=5)) == []


def test_a_reader_whose_labels_bear_another_name_never_reads_their_own_study_again(site: MadeUpSite) -> None:
    """Anna asks as anna and signs as Dr. Anna."""
    for _ in range(3):
        assert ask_and_label(site, "anna", "Dr. Anna").reading == "first"
    assert second(ask(site, reader="anna", n=5)) == []
    assert second(ask(site, reader="dr.  anna", n=5)) == []
    assert len(second(ask(site, reader="ben", n=5))) == 3


def test_a_study_that_this_reader_was_offered_is_no_second_reading_for_them(site: MadeUpSite) -> None:
    """Anna's time was over when the label came, by whatever name; nobody but her may have given it."""
    (proposal,) = ask(site, reader="anna").proposals
    site.now += 31 * 60
    site.label(proposal.study, reader="Dr. A.")
    assert second(ask(site, reader="anna", n=5)) == []
    assert second(ask(site, reader="ben", n=5)) == [proposal.study]


def test_a_second_reading_that_was_labelled_by_the_first_ones_name_is_not_given_out_again(
    site: MadeUpSite,
) -> None:
    """All of a department sign as Reader; the history knows that two of them were offered the study."""
    studies = [ask_and_label(site, asks, "Reader").study for asks in ("anna", "ben")]
    assert studies[0] == studies[1]
    assert second(ask(site, reader="clara", n=5)) == []


def test_a_second_reading_counts_as_ordered_whatever_name_its_label_bears(site: MadeUpSite) -> None:
    """Carl corrected another study on his own, so he may have seen its label."""
    site.studies.listed = ["p00", "p01"]
    for study in site.studies.listed:
        site.label(study, "present", reader="Dr. Anna")
    again = ask_and_label(site, "ben", "Dr. Ben")
    (other,) = {"p00", "p01"} - {again.study}
    site.label(other, reader="Carl")
    history = site.leases().history()
    found = read_agreement("nodule", site.task.findings, site.labels, history)
    assert (found.studies, found.ordered) == (2, 1)
    found = read_agreement("nodule", site.task.findings, site.labels, history, only_ordered=True)
    assert (found.studies, found.ordered, found.pairs[0].readers) == (1, 1, ("Dr. Anna", "Dr. Ben"))


def test_an_offer_that_was_revived_makes_one_reading_an_ordered_one(site: MadeUpSite) -> None:
    """Ben's time was over, and his client went on; Carl's label beside it was not asked for."""
    site.studies.listed = ["p00"]
    site.label("p00", reader="anna")
    (proposal,) = ask(site, reader="ben").proposals
    site.now += 31 * 60
    site.worklist().next(site.wish(reader="dan"))
    site.leases().extend(proposal.study, "ben")
    for reader in ("carl", "ben"):
        site.label("p00", reader=reader)
        site.leases().labelled("p00", reader, "nodule")
    history = site.leases().history()
    assert len(history.offers) == 2
    found = read_agreement("nodule", site.task.findings, site.labels, history, only_ordered=True)
    assert [each.readers for each in found.pairs] == [("anna", "ben")]


def test_a_label_that_its_own_reader_corrected_still_has_one_reader(site: MadeUpSite) -> None:
    site.label("p00", "absent")
    site.label("p00", "present")
    (proposal,) = ask(site).proposals
    assert (proposal.reading, proposal.label_version) == ("second", 2)


@pytest.mark.parametrize(("first", "asks"), [("", "ben"), ("anna", "")])
def test_without_a_name_nobody_knows_whether_it_would_be_a_second_reader(
    site: MadeUpSite, first: str, asks: str
) -> None:
    site.label("p00", reader=first)
    assert second(ask(site, reader=asks, n=5)) == []


def test_a_study_in_somebodys_hands_or_skipped_is_not_read_again(site: MadeUpSite) -> None:
    site.label("p00")
    site.label("p01")
    held = second(ask(site))
    assert len(held) == 1
    (other,) = {"p00", "p01"} - set(held)
    site.leases().skip(other, "eve", "poor_quality", task="nodule")
    assert second(ask(site, reader="eve", n=5)) == []
    assert second(ask(site, reader="dan", n=5)) == [other]


def test_a_batch_has_both_kinds_and_is_as_large_as_wished(site: MadeUpSite) -> None:
    for place in range(3):
        site.label(f"p{place:02d}")
    offer = ask(site, n=8)
    assert (len(second(offer)), len(offer.proposals)) == (3, 8)


def test_about_as_many_offers_are_second_readings_as_the_site_wants(site: MadeUpSite) -> None:
    site.studies.listed = [f"p{number:03d}" for number in range(120)]
    for study in site.studies.listed[:60]:
        site.label(study)
    worklist, found = site.worklist(double_read=0.25), 0
    for _ in range(60):
        found += len(second(worklist.next(site.wish(reader="ben", strategy="random"))))
    # 15 are expected; fewer than 6 or more than 26 would come once in a thousand times.
    assert 6 <= found <= 26


def test_a_second_reading_labelled_meanwhile_by_another_is_not_given(
    site: MadeUpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.studies.listed = ["p00"]
    site.label("p00")
    worklist = site.worklist(double_read=1.0)
    newest = type(site.labels).newest_version
    labelled: list[str] = []

    def labelled_meanwhile(labels: object, study: str, task: str) -> int:
        if not labelled:
            labelled.append(study)
            site.label("p00", reader="eve")
        return newest(site.labels, study, task)

    monkeypatch.setattr(type(site.labels), "newest_version", labelled_meanwhile)
    assert worklist.next(site.wish(reader="ben")).proposals == ()
