"""Temperature, thresholds and figures from logits, checked by hand and against scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from vpt_plugin.ct.statistics import StudyFacts
from vpt_plugin.data.clip_dataset import ClipShape, LabelledStudy
from vpt_plugin.data.prepared import PreparedStudy
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.outcome import HeldOut, measure

NODULE = TASKS["nodule"]
# 12 slices: clips at 0, 4 (the stride) and 4 again would be past the end, so 0 and 4.
SHAPE = ClipShape(length=8, stride=4, crop_px=8, min_positive_slices=4, air=60)
MakeLabelled = Callable[..., LabelledStudy]


@pytest.fixture
def labelled() -> MakeLabelled:
    """A study of 12 slices that needs no file; ``first`` is the first of four marked slices, if any."""

    def make(name: str, state: float, *, first: int | None = None, patient: str = "") -> LabelledStudy:
        positive = np.zeros((12, 1), dtype=bool)
        if first is not None:
            positive[first : first + 4] = True
        facts = StudyFacts(**{key: float(len(name)) for key in StudyFacts.__dataclass_fields__})
        prepared = PreparedStudy(Path(name), np.arange(12.0), facts)
        marked = np.array([state == 0 or first is not None])
        return LabelledStudy(name, prepared, np.array([state]), positive, marked, patient or name)

    return make


def held_out(studies: list[LabelledStudy], clips: list[list[float]]) -> HeldOut:
    """One round; ``clips`` holds the probabilities of each study's clips."""
    logits = logit(np.concatenate(clips))[:, None]
    numbers = np.repeat(np.arange(len(studies)), [len(each) for each in clips])
    return HeldOut.of([(studies, logits, numbers)], SHAPE)


def test_the_rounds_are_put_together_by_the_names_of_the_studies(labelled: MakeLabelled) -> None:
    first = ([labelled("d", 1.0, first=0), labelled("a", 0.0)], np.array([[4.0], [5.0], [1.0], [2.0]]))
    second = ([labelled("c", 1.0)], np.array([[3.0], [3.5]]))
    numbers = np.array([0, 0, 1, 1])
    found = HeldOut.of([(*first, numbers), (*second, np.array([0, 0]))], SHAPE)
    assert [study.study for study in found.studies] == ["a", "c", "d"]
    assert found.logits.ravel().tolist() == [1.0, 2.0, 3.0, 3.5, 4.0, 5.0]
    assert found.clip_studies.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.states.ravel().tolist() == [0.0, 1.0, 1.0]
    # Of c only the study is labelled: nothing is known of its clips. In d slices 0 to 3 are marked.
    np.testing.assert_array_equal(found.clip_states.ravel(), [0, 0, np.nan, np.nan, 1, 0])
    with pytest.raises(ValueError, match="c is validated in two rounds"):
        HeldOut.of([(*second, np.array([0, 0]))] * 2, SHAPE)


def test_the_figures_of_studies_and_clips_are_those_of_scikit_learn(labelled: MakeLabelled) -> None:
    rng = np.random.default_rng(3)
    studies, clips = [], []
    for number in range(40):
        present = number % 2 == 0
        marked = present and number % 4 == 0
        studies.append(labelled(f"s{number:02d}", float(present), first=0 if marked else None))
        clips.append(expit(rng.normal(0.8 if present else -0.8, 1.5, 2)).tolist())
    outcome = measure(held_out(studies, clips), NODULE, threshold_rule="youden")
    assert outcome.calibration.calibrated
    temperature = outcome.calibration.temperature
    said = [max(expit(logit(np.array(each)) / temperature)) for each in clips]
    truth = [int(study.states[0]) for study in studies]
    assert outcome.probabilities.ravel() == pytest.approx(said, abs=1e-12)
    study = outcome.metrics["study"]["lung_nodule"]
    assert study["auroc"].value == pytest.approx(roc_auc_score(truth, said), abs=1e-9)
    assert study["auprc"].value == pytest.approx(average_precision_score(truth, said), abs=1e-9)
    assert study["brier"].value == pytest.approx(brier_score_loss(truth, said), abs=1e-9)
    threshold = outcome.thresholds["lung_nodule"]
    called = np.array(said) >= threshold
    assert study["sensitivity"].value == pytest.approx(called[0::2].mean(), abs=1e-12)
    assert study["specificity"].value == pytest.approx((~called[1::2]).mean(), abs=1e-12)
    assert study["auroc"].n == 40
    # Clips of the ten marked and the twenty absent studies; in a marked one the first of two is positive.
    known = [number for number in range(40) if number % 2 == 1 or number % 4 == 0]
    clip_truth = np.concatenate([[1, 0] if number % 4 == 0 else [0, 0] for number in known])
    clip_said = np.concatenate([clips[number] for number in known])
    clip = outcome.metrics["clip"]["lung_nodule"]
    assert clip["auroc"].n == 60
    assert clip["auroc"].value == pytest.approx(roc_auc_score(clip_truth, clip_said), abs=1e-9)
    assert outcome.auroc() == {"lung_nodule": study["auroc"]}


def test_the_intervals_draw_patients_and_not_studies(labelled: MakeLabelled) -> None:
    rng = np.random.default_rng(0)
    clips = [[float(expit(rng.normal(1 if n % 2 else -1, 1)))] * 2 for n in range(40)]
    alone = [labelled(f"s{n:02d}", float(n % 2)) for n in range(40)]
    # Four studies of each of ten patients.
    shared = [replace(study, patient=f"p{n // 4}") for n, study in enumerate(alone)]
    intervals = [
        measure(held_out(each, clips), NODULE, threshold_rule="youden").auroc()["lung_nodule"].ci95
        for each in (alone, shared)
    ]
    assert intervals[0] != intervals[1]


def test_what_is_not_known_is_left_out_and_what_is_undefined_is_nan(labelled: MakeLabelled) -> None:
    studies = [labelled("a", 1.0), labelled("b", 0.0), labelled("c", np.nan)]
    outcome = measure(
        held_out(studies, [[0.9, 0.2], [0.1, 0.3], [0.99, 0.99]]), NODULE, threshold_rule="youden"
    )
    assert outcome.metrics["study"]["lung_nodule"]["auroc"].n == 2
    # Between the logits of 0.9 and 0.3.
    assert 0.3 < outcome.thresholds["lung_nodule"] < 0.9
    assert np.isnan(outcome.metrics["clip"]["lung_nodule"]["auroc"].value)
    alone = measure(held_out(studies[:1], [[0.9, 0.2]]), NODULE, threshold_rule="youden")
    assert np.isnan(alone.thresholds["lung_nodule"])
    assert np.isnan(alone.auroc()["lung_nodule"].value)


def test_thresholds_follow_the_rule_that_was_asked_for(labelled: MakeLabelled) -> None:
    # Present: 0.2, 0.6, 0.7, 0.8; absent: 0.1, 0.3, 0.5, 0.55. Youden gives up the lowest present one.
    said = [0.2, 0.6, 0.7, 0.8, 0.1, 0.3, 0.5, 0.55]
    studies = [labelled(f"s{n}", float(n < 4)) for n in range(8)]
    clips = held_out(studies, [[each, 0.01] for each in said])
    youden = measure(clips, NODULE, threshold_rule="youden")
    assert 0.55 < youden.thresholds["lung_nodule"] <= 0.6
    sensitive = measure(clips, NODULE, threshold_rule="sensitivity:0.95")
    assert 0.1 < sensitive.thresholds["lung_nodule"] <= 0.2
    assert sensitive.metrics["study"]["lung_nodule"]["sensitivity"].value == 1.0
    assert sensitive.metrics["study"]["lung_nodule"]["specificity"].value == 0.25
    assert (youden.threshold_rule, sensitive.threshold_rule) == ("youden", "sensitivity:0.95")
    with pytest.raises(ConfigurationError, match="unknown threshold rule 'best'"):
        measure(clips, NODULE, threshold_rule="best")


def test_a_collapse_is_seen_before_the_temperature_spreads_it_out(labelled: MakeLabelled) -> None:
    rng = np.random.default_rng(1)
    studies = [labelled(f"s{n:02d}", float(n % 2)) for n in range(40)]
    constant = held_out(studies, [(0.5 + 1e-4 * rng.random(2)).tolist() for _ in studies])
    outcome = measure(constant, NODULE, threshold_rule="youden")
    assert outcome.collapsed
    assert outcome.warnings[0].startswith("The training has collapsed: lung nodule gets nearly the same")


CONSTANTS = (0.02, -0.05, 0.08, 0.01, -0.03)


def in_folds(studies: list[LabelledStudy], logits: np.ndarray) -> HeldOut:
    """Five rounds of eight studies, each study with two clips of one logit."""
    parts = [slice(first, first + 8) for first in range(0, 40, 8)]
    numbers = np.repeat(np.arange(8), 2)
    return HeldOut.of([(studies[p], np.repeat(logits[p], 2)[:, None], numbers) for p in parts], SHAPE)


def test_folds_that_each_give_one_answer_have_collapsed_though_their_answers_differ(
    labelled: MakeLabelled,
) -> None:
    rng = np.random.default_rng(1)
    noise = 1e-5 * rng.normal(size=40)
    studies = [labelled(f"s{n:02d}", float(n % 2)) for n in range(40)]
    outcome = measure(in_folds(studies, np.repeat(CONSTANTS, 8) + noise), NODULE, threshold_rule="youden")
    assert outcome.collapsed
    assert outcome.warnings[0].startswith("The training has collapsed: lung nodule gets nearly the same")
    assert "in all 40 validation studies, fold by fold (" in outcome.warnings[0]
    # Where the round with the higher constant happens to have more present studies, that is no knowledge.
    shared = np.repeat([1, 0, 1, 0, 1], 8) != (np.arange(40) % 8 == 0)
    unequal = [labelled(f"s{n:02d}", float(state)) for n, state in enumerate(shared)]
    lucky = np.repeat([0.08, -0.05, 0.08, -0.05, 0.08], 8) + noise
    assert measure(in_folds(unequal, lucky), NODULE, threshold_rule="youden").collapsed


def test_one_fold_that_learned_is_no_collapse_and_neither_are_tiny_answers_in_order(
    labelled: MakeLabelled,
) -> None:
    studies = [labelled(f"s{n:02d}", float(n % 2)) for n in range(40)]
    one_learned = np.repeat(CONSTANTS, 8)
    one_learned[8:16] += np.random.default_rng(1).normal(size=8)
    assert not measure(in_folds(studies, one_learned), NODULE, threshold_rule="youden").collapsed
    ordered = np.repeat(CONSTANTS, 8) + 1e-4 * (np.arange(40) % 2)
    assert not measure(in_folds(studies, ordered), NODULE, threshold_rule="youden").collapsed


def test_a_network_no_better_than_chance_is_told(labelled: MakeLabelled) -> None:
    rng = np.random.default_rng(2)
    studies = [labelled(f"s{n:02d}", float(n % 2)) for n in range(30)]
    outcome = measure(
        held_out(studies, [rng.random(2).tolist() for _ in studies]), NODULE, threshold_rule="youden"
    )
    assert not outcome.collapsed
    (warning,) = outcome.warnings
    assert warning.startswith("The 30 validation studies do not show that lung nodule is recognised at all")


def test_a_short_training_is_called_short_beside_the_warning_that_nothing_is_recognised(
    labelled: MakeLabelled,
) -> None:
    rng = np.random.default_rng(2)
    studies = [labelled(f"s{n:02d}", float(n % 2), first=4 if n % 2 else None) for n in range(30)]
    near = held_out(studies, [(0.5 + 0.03 * rng.random(2)).tolist() for _ in studies])

    def beginnings(found: HeldOut, losses: list[list[float]]) -> list[str]:
        outcome = measure(found, NODULE, threshold_rule="youden", losses=losses)
        assert not outcome.collapsed
        return [warning.split(":")[0] for warning in outcome.warnings]

    plain = "The 30 validation studies do not show that lung nodule is recognised at all"
    assert beginnings(near, [[0.69, 0.69]]) == ["The network has hardly trained yet", plain]
    assert beginnings(near, [[0.69, 0.30]]) == ["The training may have collapsed", plain]
    # The answer about the second clip follows the study; that about the first is higher, whatever the study
    # shows, and decides about it.
    told = [[0.53 + 0.01 * rng.random(), 0.50 + 0.01 * study.states[0]] for study in studies]
    assert beginnings(held_out(studies, told), [[0.69, 0.30]]) == [
        "The network has hardly trained yet", plain,
    ]  # fmt: skip


def test_each_finding_has_its_own_studies_threshold_and_figures(labelled: MakeLabelled) -> None:
    task = replace(NODULE, findings=("lung_nodule", "emphysema"))
    rng = np.random.default_rng(4)
    studies = []
    for number in range(40):
        one = labelled(f"s{number:02d}", float(number % 2))
        # Of emphysema something is known in the first half only, and there it is present in every third.
        other = float(number % 3 == 0) if number < 20 else np.nan
        states = np.array([one.states[0], other])
        marked = np.array([one.marked[0], other == 0])
        studies.append(replace(one, states=states, positive=np.zeros((12, 2), dtype=bool), marked=marked))
    logits = rng.normal(np.nan_to_num([study.states for study in studies]) * 2 - 1, 1.0)
    found = HeldOut.of([(studies, logits, np.arange(40))], replace(SHAPE, length=12, stride=12))
    outcome = measure(found, task, threshold_rule="youden")
    said = expit(logits / outcome.calibration.temperature)
    for index, (finding, known) in enumerate({"lung_nodule": 40, "emphysema": 20}.items()):
        truth = found.states[:known, index]
        figure = outcome.metrics["study"][finding]["auroc"]
        assert figure.n == known
        assert figure.value == pytest.approx(roc_auc_score(truth, said[:known, index]), abs=1e-9)
    assert outcome.thresholds["lung_nodule"] != outcome.thresholds["emphysema"]
