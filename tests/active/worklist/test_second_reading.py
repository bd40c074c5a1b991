"""Second readings on purpose: as often as the site wants, of another's study, and blind."""

from __future__ import annotations

import pytest
from made_up_site import MadeUpSite

from vpt_plugin.active.offers import Offer


def second(offer: Offer) -> list[str]:
    return [each.study for each in offer.proposals if each.reading == "second"]


def ask(site: MadeUpSite, *, share: float = 1.0, **wished: object) -> Offer:
    return site.worklist(double_read=share).next(site.wish(**{"reader": "ben", **wished}))


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
