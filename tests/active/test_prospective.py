"""What the random order says of all studies: which of them are a fair sample, and the figures on it."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pytest

from vpt_plugin.acquisition.strategies import random_order
from vpt_plugin.active.offered import OfferedStudy
from vpt_plugin.active.prospective import Prospective, fair_sample, prospective, read_prospective
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import LeaseBook, Order
from vpt_plugin.tasks import TASKS

NODULE = TASKS["nodule"]


def study(
    name: str, state: float | None, probability: float | None = None, patient: str = ""
) -> OfferedStudy:
    return OfferedStudy(
        name,
        {} if state is None else {"lung_nodule": state},
        probabilities={} if probability is None else {"lung_nodule": probability},
        model="tiny",
        version=2,
        patient=patient,
    )


def figures(order: Sequence[str], picks: Collection[str], *labelled: OfferedStudy) -> Prospective:
    return prospective(("lung_nodule",), order, picks, {each.study: each for each in labelled})


def test_the_sample_is_the_labelled_beginning_of_the_random_order_up_to_a_random_pick() -> None:
    """c was labelled for another reason, and belongs to the beginning all the same; g comes after it."""
    order = list("abcdefgh")
    assert fair_sample(order, {"a", "b", "d"}, set("abcdg")) == (["a", "b", "c", "d"], 0)


def test_one_study_in_ten_may_be_missing() -> None:
    order = [f"{at:02}" for at in range(30)]
    labelled = set(order[:20]) - {"03", "07"}
    assert fair_sample(order, {"19"}, labelled) == (sorted(labelled), 2)
    assert fair_sample(order, {"19"}, labelled - {"11"}) == ([], 0)


def test_random_picks_among_the_studies_of_one_day_say_nothing_of_all_studies() -> None:
    """u was the first of those of that day; nobody looked at what comes before it."""
    order = list("abcdefghijklmnopqrstuvwxyz")
    assert fair_sample(order, {"a", "u"}, {"a", "u"}) == (["a"], 0)


def test_without_random_picks_there_is_no_sample() -> None:
    assert fair_sample(["a", "b"], set(), {"a", "b"}) == ([], 0)
    assert fair_sample([], set(), set()) == ([], 0)


def test_the_prevalence_has_wilsons_interval() -> None:
    """2 of 10: the centre is (2 + 1.92) / 13.84."""
    names = list("abcdefghij")
    found = figures(names, set(names), *(study(name, float(name in "ab")) for name in names))
    estimate = found.findings["lung_nodule"].prevalence
    assert (estimate.value, estimate.n) == (0.2, 10)
    assert estimate.ci95 == pytest.approx((0.0567, 0.5098), abs=1e-4)


def test_indeterminate_studies_are_in_the_sample_and_in_no_figure() -> None:
    found = figures(["a", "b"], {"a", "b"}, study("a", None), study("b", 1.0))
    assert (found.sample, found.findings["lung_nodule"].prevalence.n) == (2, 1)


def test_the_auroc_is_of_the_answers_that_were_given_before_the_labels() -> None:
    """Of 2 x 2 pairs, three are in the right order; a study without an answer is in the prevalence only."""
    found = figures(
        list("abcde"), set("abcde"), study("a", 1.0, 0.9), study("b", 0.0, 0.6), study("c", 1.0, 0.5),
        study("d", 0.0, 0.1), study("e", 0.0),
    ).findings["lung_nodule"]  # fmt: skip
    assert (found.auroc.value, found.auroc.n, found.prevalence.n) == (0.75, 4, 5)
    assert found.versions == ("tiny version 2",)


def test_studies_of_one_patient_are_drawn_together() -> None:
    """All of one patient: nothing can be concluded about others."""
    twins = [study(name, float(at % 2), at / 9, patient="p") for at, name in enumerate("abcdefgh")]
    found = figures(list("abcdefgh"), set("abcdefgh"), *twins).findings["lung_nodule"]
    assert found.auroc.value > 0
    assert np.isnan(found.auroc.ci95).all()


def test_without_labels_all_is_undefined_and_null_in_json() -> None:
    found = figures(["a"], {"a"})
    assert json.loads(json.dumps(found.to_json())) == {
        "sample": 0,
        "missing": 0,
        "random_picks": 1,
        "findings": {
            "lung_nodule": {
                "present": 0,
                "prevalence": {"value": None, "ci95": [None, None], "n": 0},
                "auroc": {"value": None, "ci95": [None, None], "n": 0},
                "versions": [],
                "what_follows": "Nothing yet: no study of the random order has a label on lung_nodule.",
            }
        },
    }


def test_what_follows_is_said_in_words() -> None:
    names = [f"{at:02}" for at in range(40)]
    states = {name: float(at % 10 == 0) for at, name in enumerate(names)}
    unanswered = figures(names, set(names), *(study(name, states[name]) for name in names))
    assert unanswered.findings["lung_nodule"].what_follows == (
        "lung_nodule is present in 4 of 40 studies of the random order: between 4.0 and 23.1 % of all "
        "studies (95 % interval). One more such study by chance takes about 10 labels. How good the model is "
        "cannot be said from these."
    )
    rng = np.random.default_rng(0)
    said = {name: 0.3 * states[name] + rng.uniform(0, 0.6) for name in names}
    answered = figures(names, set(names), *(study(name, states[name], said[name]) for name in names))
    low, high = answered.findings["lung_nodule"].auroc.ci95
    assert answered.findings["lung_nodule"].what_follows.endswith(
        f"The AUROC of 40 answers given before the label lies between {low:.2f} and {high:.2f}; a validation "
        "figure above that flatters."
    )


def test_where_a_strategy_hunts_the_rare_studies_the_sample_is_fair_and_the_random_picks_are_not() -> None:
    """300 studies, one in ten present; of 120 labels, 4 in 5 go to present ones while there are any."""
    ours, naive, n = [], [], 300
    names = [f"s{at}" for at in range(n)]
    for seed in range(60):
        rng = np.random.default_rng(seed)
        present = dict(zip(names, rng.random(n) < 0.1, strict=True))
        order = [names[row] for row in random_order(names, seed)]
        labelled: dict[str, OfferedStudy] = {}
        picks = set()
        for _ in range(120):
            free = [name for name in order if name not in labelled]
            hunted = [name for name in free if present[name]] or free
            by_chance = rng.random() < 0.2
            pick = free[0] if by_chance else hunted[-1]
            picks |= {pick} if by_chance else set()
            labelled[pick] = study(pick, float(present[pick]))
        ours.append(figures(order, picks, *labelled.values()).findings["lung_nodule"].prevalence.value)
        naive.append(np.mean([present[pick] for pick in picks]))
    assert np.nanmean(naive) < 0.06, (np.nanmean(ours), np.nanmean(naive))
    assert np.nanmean(ours) == pytest.approx(0.1, abs=3 * np.nanstd(ours) / math.sqrt(60))
    assert np.nanmean(ours) > 0.08


def test_figures_are_read_from_labels_and_offers(tmp_path: Path) -> None:
    labels, leases = LabelFolder(tmp_path), LeaseBook(tmp_path / "worklist")
    studies = ["a", "b", "c", "d"]
    first, second, third, _ = (studies[row] for row in random_order(studies, 7))
    said = {"lung_nodule": 0.8}
    leases.offer(
        [
            Order(first, "nodule", "random", probabilities=said, model="tiny", version=1),
            Order(second, "nodule", "uncertain", probabilities=said, model="tiny", version=1),
            Order(third, "nodule", "random", probabilities=said, model="tiny", version=2),
        ],
        "anna",
    )
    for name, state in ((first, "present"), (second, "absent"), (third, "absent")):
        labels.save(name, StudyLabel("nodule", {"lung_nodule": FindingLabel(state)}, "anna"))
    found = read_prospective(NODULE, studies, labels, leases.history(), seed=7)
    assert (found.sample, found.missing, found.random_picks) == (3, 0, 2)
    nodule = found.findings["lung_nodule"]
    assert (nodule.present, nodule.prevalence.n, nodule.auroc.value) == (1, 3, 0.5)
    assert nodule.versions == ("tiny version 1", "tiny version 2")
