"""The precision gate: when a version answers in bfloat16, and what is said where it does not."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models import precision
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.precision import computed_with, settle_precision, way_of_computing
from vpt_plugin.models.precision_record import PrecisionCheck

CPU = torch.device("cpu")
TORCH = way_of_computing("torch", CPU)
CHECK = PrecisionCheck(
    60, 60, 0.004, {"lung_nodule": 0.001},
    temperature=1.5, date="2026-11-21T19:40:00Z", computed_with=computed_with("torch", CPU),
)  # fmt: skip
CARD = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 16, version=3, temperature=1.5)


@pytest.fixture(autouse=True)
def cpu_with_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule is the same on every computer; whether this one has the instructions is not the question."""
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda device: True)


def checked(check: PrecisionCheck, way: str = TORCH) -> ModelCard:
    return replace(CARD, precision_checks={way: check})


def test_a_version_whose_own_check_passed_answers_in_bfloat16() -> None:
    settled = settle_precision(checked(CHECK), CPU)
    assert (settled.precision, settled.to_tell) == ("bfloat16", False)
    assert "on 60 validation studies the probability moves by at most 0.0040 (allowed: 0.01)" in settled.why
    assert "the AUROC of lung nodule by 0.0010 (allowed: 0.005)" in settled.why


def test_an_unchecked_version_answers_in_float32_and_names_the_command_that_measures_it() -> None:
    settled = settle_precision(CARD, CPU)
    assert (settled.precision, settled.to_tell) == ("float32", True)
    assert "`vpt versions check-precision nodule_tiny 3`" in settled.why


@pytest.mark.parametrize(
    ("shift", "auroc", "passes"),
    [
        (0.01, 0.005, True),
        (0.0101, 0.0, False),
        (0.0, 0.0051, False),
        (0.0, -0.0, True),
        (math.nan, 0.0, False),  # an answer that is no number
        (0.0, math.nan, True),  # studies of one state: the probability rule alone
        (0.02, math.nan, False),
    ],
)
def test_a_probability_moves_by_a_hundredth_at_most_and_an_auroc_by_five_thousandths(
    shift: float, auroc: float, passes: bool
) -> None:
    check = replace(CHECK, largest_shift=shift, auroc_shift={"lung_nodule": auroc})
    assert check.passed is passes
    assert settle_precision(checked(check), CPU).precision == ("bfloat16" if passes else "float32")


def test_one_finding_that_moves_too_far_is_enough_to_fail() -> None:
    assert not replace(CHECK, auroc_shift={"a": 0.0, "b": 0.006, "c": math.nan}).passed


def test_a_check_on_no_study_says_nothing() -> None:
    assert not replace(CHECK, studies=0, largest_shift=0.0).passed


def test_a_failed_check_says_by_how_much() -> None:
    settled = settle_precision(checked(replace(CHECK, largest_shift=0.05, studies=40)), CPU)
    assert settled.to_tell
    assert "on 40 of 60 validation studies the probability moves by at most 0.0500" in settled.why


@pytest.mark.parametrize(
    ("studies", "auroc", "passes"),
    [
        (1, 0.0, False),
        (29, 0.0, False),
        (30, 0.0, True),
        (30, math.nan, False),  # of one state only
        (59, math.nan, False),
        (60, math.nan, True),  # all there are
    ],
)
def test_all_validation_studies_decide_or_thirty_with_both_states(
    studies: int, auroc: float, passes: bool
) -> None:
    check = replace(CHECK, studies=studies, auroc_shift={"a": 0.0, "b": auroc})
    assert check.passed is passes
    assert ("that is too few: all of them, or 30 with both states" in check.words()) is not passes


def test_a_version_with_few_validation_studies_is_checked_on_all_of_them() -> None:
    assert replace(CHECK, studies=8, studies_in_all=8).passed
    assert not replace(CHECK, studies=7, studies_in_all=8).passed


def test_a_check_on_other_studies_says_so_wherever_it_is_told() -> None:
    settled = settle_precision(checked(replace(CHECK, own=False)), CPU)
    assert settled.precision == "bfloat16"
    assert "on 60 labelled studies, none of them known to be its own, the probability moves" in settled.why


def test_another_version_of_the_backend_has_not_been_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "version", lambda package: "9.4.1+cpu")
    settled = settle_precision(checked(CHECK), CPU)
    assert (settled.precision, settled.to_tell) == ("float32", True)
    assert "was not checked in torch bfloat16 on cpu with torch 9.4 on " in settled.why
    assert f", only with {CHECK.computed_with.words()}, so it answers in float32" in settled.why
    assert "`vpt versions check-precision nodule_tiny 3`" in settled.why
    # The third number mends errors; it is the same arithmetic.
    again = checked(replace(CHECK, computed_with=computed_with("torch", CPU)))
    monkeypatch.setattr(precision, "version", lambda package: "9.4.2")
    assert settle_precision(again, CPU).precision == "bfloat16"


def test_another_processor_has_not_been_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "processor", lambda device: "AVX512 amx_fp8")
    settled = settle_precision(checked(CHECK), CPU)
    assert settled.precision == "float32"
    assert "on AVX512 amx_fp8, only with" in settled.why


def test_each_backend_and_each_kind_of_device_has_a_check_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "processor", lambda device: "made up")
    check = replace(CHECK, computed_with=computed_with("torch", CPU))
    card = checked(check, "torch bfloat16 on cuda")
    assert settle_precision(card, CPU).precision == "float32"
    assert settle_precision(card, torch.device("cuda:1")).precision == "bfloat16"
    assert settle_precision(card, torch.device("cuda"), backend="openvino").precision == "float32"


def test_a_check_of_another_calibration_no_longer_counts() -> None:
    settled = settle_precision(replace(checked(CHECK), temperature=0.5), CPU)
    assert settled.precision == "float32"
    assert "was not checked" in settled.why


@pytest.mark.parametrize("check", [CHECK, replace(CHECK, largest_shift=1.0)])
@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_what_is_asked_for_is_taken_whatever_was_measured(asked: str, check: PrecisionCheck) -> None:
    assert settle_precision(checked(check), CPU, asked).precision == asked
    assert settle_precision(CARD, CPU, asked).precision == asked


def test_a_device_without_bfloat16_answers_in_float32_and_nobody_need_do_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "has_native_bfloat16", lambda device: False)
    settled = settle_precision(checked(CHECK), CPU)
    assert (settled.precision, settled.to_tell) == ("float32", False)


def test_an_unknown_precision_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigurationError, match="choose from auto, float32, bfloat16"):
        settle_precision(CARD, CPU, "half")


shifts = st.none() | st.floats(0, 1, allow_nan=False)


@given(largest=shifts, auroc=st.dictionaries(st.sampled_from("abc"), shifts), studies=st.integers(0, 9))
def test_a_check_written_into_a_card_decides_the_same_when_it_is_read(
    largest: float | None, auroc: dict[str, float | None], studies: int
) -> None:
    def number(value: float | None) -> float:
        return math.nan if value is None else value

    check = PrecisionCheck(
        studies, 9, number(largest), {name: number(value) for name, value in auroc.items()}, 1.25, "now"
    )
    text = json.dumps(checked(check).to_json(), allow_nan=False)
    read = ModelCard.from_json(text).precision_checks[TORCH]
    assert read.passed == check.passed
    assert read.to_json() == check.to_json()


def test_a_card_from_before_there_were_checks_has_none() -> None:
    data = CARD.to_json()
    del data["precision_checks"]
    assert ModelCard.from_json(data) == CARD


def test_a_check_from_before_versions_were_noted_is_read_and_no_longer_counts() -> None:
    data = checked(CHECK).to_json()
    data["precision_checks"] = {TORCH: dict(data["precision_checks"][TORCH])}
    for name in ("computed_with", "own"):
        del data["precision_checks"][TORCH][name]
    settled = settle_precision(ModelCard.from_json(data), CPU)
    assert settled.precision == "float32"
    assert "only with a backend and a processor that were not noted" in settled.why
