"""Each study is counted once, and only those that nobody has, labelled or skipped are free."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.active.offers import Wish
from vpt_plugin.active.standing import Known, in_dates, standing

STUDIES = [f"p{number}" for number in range(8)]
some = st.frozensets(st.sampled_from(STUDIES))
days = st.dictionaries(st.sampled_from(STUDIES), st.sampled_from(["", "20230101", "20240601", "20251231"]))
wishes = st.builds(
    Wish,
    task=st.just("nodule"),
    date_from=st.sampled_from(["", "20240101"]),
    date_to=st.sampled_from(["", "20241231"]),
    unseen=st.booleans(),
    reader=st.just("anna"),
)


@given(labelled=some, held=some, skipped=some, seen=some, unreadable=some, dates=days, wish=wishes)
def test_no_study_counts_twice_and_none_that_is_closed_is_free(
    labelled: frozenset[str],
    held: frozenset[str],
    skipped: frozenset[str],
    seen: frozenset[str],
    unreadable: frozenset[str],
    dates: dict[str, str],
    wish: Wish,
) -> None:
    known = Known(STUDIES, labelled, held, skipped, seen, unreadable, dates)
    found = standing(known, wish)
    closed = found.labelled + found.held + found.skipped + found.unreadable
    assert closed + found.left_out + len(found.free) == len(STUDIES)
    assert not set(found.free) & (labelled | held | skipped | unreadable)
    assert found.labelled == len(labelled)
    if not (wish.unseen or wish.date_from or wish.date_to):
        assert found.left_out == 0


def test_a_study_counts_as_labelled_whoever_has_it_and_whoever_skipped_it() -> None:
    known = Known(["p0", "p1"], labelled={"p0"}, held={"p0", "p1"}, skipped={"p0"})
    found = standing(known, Wish("nodule"))
    assert (found.labelled, found.held, found.skipped, found.free) == (1, 1, 0, ())
    # In somebody's hands for another task.
    assert found.second == 0
    assert standing(replace(known, again={"p0"}), Wish("nodule")).second == 1


def test_both_ends_of_a_wish_for_dates_belong_to_it() -> None:
    wish = Wish("nodule", date_from="20240101", date_to="20240131")
    days = ("20231231", "20240101", "20240131", "20240201", "")
    assert [in_dates(day, wish) for day in days] == [False, True, True, False, False]
    assert in_dates("20990101", Wish("nodule", date_from="20240101"))
    assert in_dates("19990101", Wish("nodule", date_to="20240101"))
    assert in_dates("", Wish("nodule"))
