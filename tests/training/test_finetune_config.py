from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.training.config import FinetuneConfig


def test_a_configuration_is_read_as_it_was_written() -> None:
    config = FinetuneConfig(epochs=3, steps_per_epoch=50, learning_rate=1e-4, train="head")
    assert FinetuneConfig.from_dict(config.to_dict()) == config
    assert config.steps == 150


def test_a_whole_number_does_for_a_number() -> None:
    assert FinetuneConfig.from_dict({"learning_rate": 1}).learning_rate == 1.0


def test_what_is_left_open_is_settled_by_what_the_model_has_and_what_is_trained() -> None:
    def settled(config: FinetuneConfig, published: list[str]) -> tuple[str, float | None]:
        chosen = config.settled(published)
        return chosen.pretraining, chosen.learning_rate

    assert settled(FinetuneConfig(), []) == ("none", 1e-3)
    assert settled(FinetuneConfig(), ["kinetics", "ct"]) == ("kinetics", 1e-4)
    assert settled(FinetuneConfig(train="head"), ["kinetics"]) == ("kinetics", 1e-3)
    assert settled(FinetuneConfig(pretraining="none"), ["kinetics"]) == ("none", 1e-3)
    assert settled(FinetuneConfig(learning_rate=0.5), ["kinetics"]) == ("kinetics", 0.5)


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        FinetuneConfig().epochs = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"learning_rte": 0.1}, "unknown training setting 'learning_rte'; choose from pretraining, train"),
        ({"epochs": "ten"}, "epochs must be a whole number, not 'ten'"),
        ({"epochs": 2.5}, "epochs must be a whole number, not 2.5"),
        ({"epochs": True}, "epochs must be a whole number, not True"),
        ({"learning_rate": "1e-3"}, "learning_rate must be a number"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch": 1}, "batch must be at least 2, a positive and a negative clip"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"train": "tail"}, "train must be one of whole, head, not 'tail'"),
        ({"precision": "int8"}, "precision must be one of auto, float32, bfloat16"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FinetuneConfig.from_dict(values)


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "brightness_gain", "brightness_shift"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"training setting {name} must be a finite number, not"):
        FinetuneConfig.from_dict({name: value})
