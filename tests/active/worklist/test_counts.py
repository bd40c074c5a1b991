"""What is said of the studies that are not proposed: the numbers add up, and are those of who asks."""

from __future__ import annotations

from made_up_site import MadeUpSite

from vpt_plugin.store.leases import Order


def test_a_date_that_no_file_holds_does_not_become_known_by_a_scoring(site: MadeUpSite) -> None:
    site.score(site.cold(), site.studies.listed[:39])
    offer = site.next(date_to="20241231")
    assert offer.warnings[0] == (
        "the date of 40 studies is not known, so they are left out; 1 of them is not scored yet, which may "
        "tell it"
    )
    site.score(site.cold(), site.studies.listed[39:])
    offer = site.next(date_to="20241231")
    assert offer.warnings[0] == (
        "the date of 40 studies is not known, so they are left out; their files hold none"
    )


def test_where_no_study_is_left_the_numbers_add_up_to_all(site: MadeUpSite) -> None:
    """40: 3 labelled, 2 in ben's hands, 1 skipped, 4 that anna has seen, 10 too late, 20 without a date."""
    dates = dict.fromkeys(site.studies.listed[10:20], "20250101")
    site.score(site.cold(), dates=dates)
    for study in ("p00", "p01", "p02"):
        site.label(study)
    orders = [Order(study, "nodule", "random") for study in site.studies.listed[3:10]]
    site.leases().offer(orders[:2], "ben")
    site.leases().offer(orders[2:], "anna")
    site.leases().skip("p05", "anna", "unsure")
    for study in site.studies.listed[6:10]:
        site.leases().give_back(study, "anna")
    offer = site.next(unseen=True, date_to="20241231")
    assert offer.warnings[-1] == (
        "no study is left for this wish: of 40 studies 3 have a label, 2 are in a reader's hands, 1 were "
        "skipped, 0 cannot be read, 4 you were offered before, 10 are of other dates and 20 are of an "
        "unknown date"
    )
    counts = offer.state.counts
    assert (counts.free, counts.skipped, counts.left_out) == (0, 1, 34)


def test_what_a_reader_skipped_counts_in_what_that_reader_is_told(site: MadeUpSite) -> None:
    site.next(strategy="random", n=2, reader="ben")
    skipped = site.next(strategy="random").proposals[0].study
    site.leases().skip(skipped, "anna", "unsure")
    state = site.worklist().state
    assert [state("nodule", reader=reader).counts.skipped for reader in ("anna", "ben", "")] == [1, 0, 0]
    assert site.next(strategy="random").state.counts.skipped == 1


def test_a_second_reading_is_in_a_readers_hands_though_its_study_has_a_label(site: MadeUpSite) -> None:
    site.label("p00", reader="ben")
    counts = site.worklist(double_read=1.0).next(site.wish(n=1)).state.counts
    assert (counts.labelled, counts.held, counts.second_readings) == (1, 0, 1)
