from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from vpt_plugin.training.report import ReportFacts, ReportStudy
from vpt_plugin.training.report.curves import GRID, roc_band
from vpt_plugin.training.report.gallery import gallery
from vpt_plugin.training.report.style import ABSENT, PRESENT
from vpt_plugin.training.report.worst import (
    FALSE_ALARM,
    MISSED,
    MOST_WRONG,
    UNSURE,
    looked_at_slice,
    marked_slice,
    worst_figure,
    worst_studies,
)

MakeFacts = Callable[..., ReportFacts]


def with_answers(facts: ReportFacts, answers: dict[str, tuple[float, float]]) -> ReportFacts:
    """The same facts; studies of these names, states and probabilities; the threshold is 0.5."""
    studies = tuple(
        replace(study, name=name, states=np.array([state]), probabilities=np.array([said]))
        for study, (name, (state, said)) in zip(facts.studies, answers.items(), strict=True)
    )
    return replace(facts, studies=studies, card=replace(facts.card, thresholds={"lung_nodule": 0.5}))


@pytest.mark.parametrize(
    "case", [{"number": 6}, {"number": 40, "findings": 2, "folds": 5}, {"number": 12, "folds": 10}],
    ids=["few studies", "two findings, five folds", "ten folds"],
)  # fmt: skip
def test_every_figure_is_a_png_with_something_on_it(make_facts: MakeFacts, case: dict[str, int]) -> None:
    facts = make_facts(**case)
    pictures = list(gallery(facts).pictures())
    names = [picture.name for picture in pictures]
    assert len(set(names)) == len(names)
    assert {f"{finding}-roc" for finding in facts.card.findings} < set(names)
    for picture in pictures:
        with Image.open(io.BytesIO(picture.data)) as image:
            assert image.format == "PNG"
            grey = np.asarray(image.convert("L"))
        assert min(grey.shape) > 200
        assert 0.02 < np.mean(grey < 250) < 0.9, picture.name


def test_clips_of_one_slice_are_drawn_as_wide_as_their_slice(make_facts: MakeFacts) -> None:
    study = make_facts(2).studies[0]
    slices = len(study.slice_z_mm)
    numbers = np.arange(slices)
    one_by_one = replace(
        study,
        clip_slices=np.stack([numbers, numbers], axis=1),
        # All at one height: together they are a line over the whole strip, 3.7 of 8.7 inches.
        clip_probabilities=np.full((slices, 1), 0.6),
        clip_states=np.zeros((slices, 1)),
    )
    with Image.open(io.BytesIO(worst_figure(one_by_one, 0, float("nan")))) as image:
        colours = np.asarray(image.convert("RGB")) / 255
    blue = np.isclose(colours, to_rgb(PRESENT), atol=0.02).all(axis=2)
    assert blue.sum(axis=1).max() > 0.35 * blue.shape[1]


def test_the_same_facts_give_the_same_bytes_and_leave_matplotlib_as_it_was(make_facts: MakeFacts) -> None:
    facts, before = make_facts(5), dict(mpl.rcParams)
    first, second = ([picture.data for picture in gallery(facts).pictures()] for _ in range(2))
    assert first == second
    assert dict(mpl.rcParams) == before


def test_the_band_of_a_perfect_curve_is_the_curve() -> None:
    states, said = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.8, 0.9])
    low, high = roc_band(states, said, ["a", "b", "c", "d"])
    assert low[1:].tolist() == high[1:].tolist() == [1.0] * (len(GRID) - 1)


def test_the_band_holds_the_curve_and_narrows_with_more_patients() -> None:
    rng = np.random.default_rng(0)
    states = np.tile([0.0, 1.0], 200)
    said = 1 / (1 + np.exp(-rng.normal(0.8 * states, 1)))
    patients = [str(number) for number in range(400)]
    wide = np.subtract(*reversed(roc_band(states[:40], said[:40], patients[:40])))
    low, high = roc_band(states, said, patients)
    middle = slice(20, 80)
    assert (high - low)[middle].mean() < 0.5 * wide[middle].mean()
    found = np.array(
        [np.mean(said[states == 1] > np.quantile(said[states == 0], 1 - x)) for x in GRID[middle]]
    )
    assert (low[middle] - 0.01 <= found).all()
    assert (found <= high[middle] + 0.01).all()


def test_both_states_of_one_patient_give_a_band_too() -> None:
    low, high = roc_band(np.array([0.0, 1.0]), np.array([0.2, 0.7]), ["a", "a"])
    assert low[1:].tolist() == high[1:].tolist() == [1.0] * (len(GRID) - 1)


def test_missed_studies_and_false_alarms_come_first_each_the_most_wrong_first(make_facts: MakeFacts) -> None:
    facts = with_answers(
        make_facts(7),
        {
            "found": (1, 0.9), "missed by little": (1, 0.4), "missed by much": (1, 0.1),
            "nearly alarmed": (0, 0.45), "quiet": (0, 0.1), "alarmed": (0, 0.7), "unknown": (np.nan, 0.99),
        },
    )  # fmt: skip
    found = [(worst.study.name, worst.kind, worst.state) for worst in worst_studies(facts, 0)]
    assert found == [
        ("missed by much", MISSED, "present"),
        ("missed by little", MISSED, "present"),
        ("alarmed", FALSE_ALARM, "absent"),
        ("nearly alarmed", UNSURE, "absent"),
    ]


def test_without_a_threshold_nothing_is_missed_but_the_most_wrong_are_shown(make_facts: MakeFacts) -> None:
    facts = with_answers(make_facts(2), {"one": (1, 0.2), "other": (1, 0.1)})
    facts = replace(facts, card=replace(facts.card, thresholds={"lung_nodule": float("nan")}))
    found = [(worst.study.name, worst.kind) for worst in worst_studies(facts, 0)]
    assert found == [("other", MOST_WRONG), ("one", MOST_WRONG)]


def test_of_many_wrong_studies_four_of_each_kind_are_opened_and_no_others(make_facts: MakeFacts) -> None:
    opened: list[str] = []

    def counted(study: ReportStudy, name: str) -> ReportStudy:
        def slices() -> np.ndarray:
            opened.append(name)
            return study.open_slices()

        return replace(study, open_slices=slices)

    answers = {f"missed {n}": (1.0, n / 100) for n in range(9)} | {f"alarm {n}": (0.0, 0.9) for n in range(9)}
    facts = with_answers(make_facts(18), answers)
    gallery(replace(facts, studies=tuple(counted(each, each.name) for each in facts.studies)))
    assert opened == [f"missed {n}" for n in range(4)] + [f"alarm {n}" for n in range(4)]


def test_the_key_slice_is_in_the_middle_of_the_clip_that_speaks_most(make_facts: MakeFacts) -> None:
    study = replace(
        make_facts(1).studies[0],
        clip_slices=np.array([[0, 7], [6, 13], [12, 19]]),
        clip_probabilities=np.array([[0.1], [0.2], [0.9]]),
        slice_z_mm=np.arange(20.0),
        positive=np.isin(np.arange(20), (1, 2, 8, 9, 10, 11, 19))[:, None],
    )
    # Slices 14 to 19 are seen by the last clip alone; the longest of the marked ranges is 8 to 11.
    assert looked_at_slice(study, 0) == 17
    assert marked_slice(study, 0) == 10
    assert marked_slice(replace(study, positive=np.zeros((20, 1), dtype=bool)), 0) is None


def test_present_and_absent_keep_apart_on_a_grey_printer() -> None:
    def luminance(colour: str) -> float:
        return float(np.dot((0.2126, 0.7152, 0.0722), [channel**2.2 for channel in to_rgb(colour)]))

    # The contrast that the Web Content Accessibility Guidelines 2.2 ask of graphics (1.4.11) is 3.
    assert (luminance(ABSENT) + 0.05) / (luminance(PRESENT) + 0.05) > 3
