"""Labels of studies that are gone, or never were here, move nothing and are told."""

from __future__ import annotations

from collections.abc import Callable

from made_up_site import MadeUpSite


def test_labels_of_studies_that_are_not_here_are_told_and_counted_nowhere(
    make_site: Callable[..., MadeUpSite],
) -> None:
    """12 labels, 6 of each state, would end the cold start, were their studies here."""
    site = make_site([f"p{number:02d}" for number in range(12)])
    site.score(site.publish())
    for place in range(12):
        site.label(f"gone{place}", ("present", "absent")[place % 2])
    site.label("p00", "present")
    offer = site.worklist(random_share=0).next(site.wish())
    assert (offer.state.labels["lung_nodule"]["present"], offer.state.counts.labelled) == (1, 1)
    assert "Still needed: lung_nodule 4 present, 5 absent" in offer.proposals[0].why
    assert any("12 labels are of studies that are not here" in each for each in offer.warnings)
    assert site.worklist().state("nodule").labels["lung_nodule"]["absent"] == 0


def test_the_share_that_is_scored_is_of_the_studies_that_are_here(
    make_site: Callable[..., MadeUpSite],
) -> None:
    site = make_site(["p00", "p01", "p02"])
    for place in range(6):
        site.label(f"gone{place}")
    why = site.next().proposals[0].why
    assert why == "By chance: 0 of 3 studies to choose from are scored so far."
