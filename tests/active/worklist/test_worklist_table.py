"""The worklist as CSV: a row per study in the order of the strategy, and nothing a spreadsheet would obey."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from made_up_site import MadeUpSite

from vpt_plugin.active.worklist_table import ENCODING, worklist_table


def rows_of(text: str) -> list[dict[str, str]]:
    assert text.encode(ENCODING).startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(text)))


def test_a_row_per_study_best_first_with_the_model_s_word_and_the_nearest_label(site: MadeUpSite) -> None:
    site.label("p00", "present")
    said = {"p04": 0.5, "p05": 0.4}
    site.score(site.publish(), probabilities=said, dates={"p04": "20260314"})
    rows = rows_of(worklist_table(site.worklist().ranked(site.wish(strategy="uncertain", n=3))))
    assert [(row["rank"], row["study"]) for row in rows[:2]] == [("1", "p04"), ("2", "p05")]
    first = rows[0]
    assert (first["probability lung_nodule"], first["study_date"], first["nearest_labelled"]) == (
        "0.5", "20260314", "p00",
    )  # fmt: skip
    assert (first["strategy"], first["group"]) == ("uncertain", "")
    assert first["why"]


def test_what_nobody_computed_is_an_empty_cell(site: MadeUpSite) -> None:
    rows = rows_of(worklist_table(site.worklist().ranked(site.wish(strategy="random"))))
    assert (rows[0]["probability lung_nodule"], rows[0]["nearest_labelled"], rows[0]["distance"]) == ("",) * 3


def test_a_study_named_like_a_number_stays_a_text(make_site: Callable[..., MadeUpSite]) -> None:
    site = make_site(["2024-01-01"])
    assert rows_of(worklist_table(site.worklist().ranked(site.wish())))[0]["study"] == "'2024-01-01"


def test_an_empty_worklist_is_a_table_without_rows(make_site: Callable[..., MadeUpSite]) -> None:
    assert rows_of(worklist_table(make_site([]).worklist().ranked(make_site([]).wish()))) == []
