from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
import torch

from vpt_plugin.data.augmentation import Jitter, make_augmentation
from vpt_plugin.data.clip_dataset import ClipShape
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


def test_augmentation_and_decay_are_settled_by_the_beginning_and_the_optimizer() -> None:
    settled = FinetuneConfig(optimizer="adam").settled(["kinetics"])
    assert (settled.augmentation, settled.weight_decay) == ("paper", 1e-6)
    settled = FinetuneConfig().settled([])
    assert (settled.augmentation, settled.weight_decay) == ("light", 1e-2)
    settled = FinetuneConfig(augmentation="none", weight_decay=0.5).settled(["kinetics"])
    assert (settled.augmentation, settled.weight_decay) == ("none", 0.5)


def test_a_rate_that_is_searched_for_is_left_open() -> None:
    assert FinetuneConfig(rate_search=True).settled(["kinetics"]).learning_rate is None


@pytest.mark.parametrize("start", ["pe_swin_t", "pe_swin_t:12", "lung-nodule_tiny:1"])
def test_a_classifier_of_the_site_is_named_by_task_model_and_version(start: str) -> None:
    assert FinetuneConfig.from_dict({"pretraining": "ct", "start": start}).start == start


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        FinetuneConfig().epochs = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"learning_rte": 0.1},
            "unknown training setting 'learning_rte'; choose from pretraining, start, train",
        ),
        ({"epochs": "ten"}, "epochs must be a whole number, not 'ten'"),
        ({"epochs": 2.5}, "epochs must be a whole number, not 2.5"),
        ({"epochs": True}, "epochs must be a whole number, not True"),
        ({"learning_rate": "1e-3"}, "learning_rate must be a number"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch": 1}, "batch must be at least 2, a positive and a negative clip"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"train": "tail"}, "train must be one of whole, head, head_first, not 'tail'"),
        ({"precision": "int8"}, "precision must be one of auto, float32, bfloat16"),
        ({"pretraining": "video"}, "pretraining must be one of auto, none, imagenet, kinetics, ct"),
        ({"optimizer": "sgd"}, "optimizer must be one of adamw, adam"),
        ({"schedule": "steps"}, "schedule must be one of cosine, plateau"),
        ({"augmentation": "much"}, "augmentation must be one of auto, paper, light, none"),
        ({"pooling": "median"}, "pooling must be one of max, lse, mean"),
        ({"micro_batch": 0}, "micro_batch must be at least 1"),
        ({"gradient_checkpointing": 1}, "gradient_checkpointing must be true or false, not 1"),
        ({"layer_decay": 0.0}, "layer_decay must be above 0 and at most 1"),
        ({"train": "head_first", "head_epochs": 10}, "head_epochs must be less than the 10 epochs, not 10"),
        ({"folds": 1}, "folds must be 0, or from 2 to 10, not 1"),
        ({"folds": True}, "folds must be a whole number, not True"),
        ({"validation_share": 1.0}, "validation_share must be above 0 and below 1"),
        ({"threshold": "roc"}, "unknown threshold rule 'roc'"),
        ({"comparison": "best"}, "unknown comparison rule 'best'; choose from better"),
        ({"rate_search": True, "learning_rate": 0.1}, "learning_rate and rate_search exclude each other"),
        ({"pretraining": "ct"}, "start must be <task>_<model> or <task>_<model>:<version>"),
        ({"pretraining": "ct", "start": "pe_swin_t:0"}, "start must be <task>_<model>"),
        ({"pretraining": "ct", "start": f"pe_swin_t:{'9' * 5000}"}, "start must be <task>_<model>"),
        ({"pretraining": "ct", "start": f"{'p' * 300}_tiny"}, "start must be <task>_<model>"),
        ({"pretraining": "ct", "start": "p\0e_tiny"}, "start must be <task>_<model>"),
        ({"learning_rate": 10**400}, "learning_rate must be a finite number, not 1000"),
        ({"epochs": 10**30}, "epochs must be at most 1000000, not"),
        ({"learning_rate": 1e38}, r"learning_rate must be at most 1e\+30, not 1e\+38"),
        ({"weight_decay": 1e308}, "weight_decay must be at most 1000, not"),
        ({"brightness_gain": 1e308}, "brightness_gain must be at most 1, not"),
        ({"brightness_shift": 1.5}, "brightness_shift must be at most 1, not 1.5"),
        ({"patience": 10**30}, "patience must be at most 1000000, not"),
        ({"bag_clips": 10**9}, "bag_clips must be at most 1000000, not"),
        ({"layer_decay": math.nan}, "layer_decay must be a finite number, not nan"),
        ({"validation_share": 0.0}, "validation_share must be above 0 and below 1, not 0.0"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"seed": 2**32}, "seed must be below 4294967296, not"),
        (
            {"pretraining": "kinetics", "start": "pe_swin_t"},
            "start is .*, but pretraining is ",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        FinetuneConfig.from_dict(values)


@pytest.mark.parametrize("optimizer", ["adamw", "adam"])
def test_the_largest_settings_that_are_taken_can_be_computed_with(optimizer: str) -> None:
    most = 1_000_000
    config = FinetuneConfig(
        optimizer=optimizer, learning_rate=1e30, weight_decay=1000, layer_decay=1e-300,
        epochs=most, steps_per_epoch=most, batch=most, bag_clips=most, seed=2**32 - 1,
        brightness_gain=1, brightness_shift=1,
    )  # fmt: skip
    weight = torch.nn.Parameter(torch.ones(2))
    stepping = {"adamw": torch.optim.AdamW, "adam": torch.optim.Adam}[optimizer](
        [weight], lr=config.rate, weight_decay=config.decay
    )
    for _ in range(3):
        weight.grad = torch.ones(2)
        stepping.step()
    # A range is as long as its length can be said, and torch takes the seed of every process.
    assert len(range(config.steps * config.batch)) == 10**18
    torch.Generator().manual_seed(config.seed + 1000)
    light = make_augmentation(
        "light", ClipShape(8, 6, 4, 4, 9), Jitter(config.brightness_gain, config.brightness_shift)
    )
    clip = np.full((8, 6, 6), 200, dtype=np.uint8)
    assert light(clip, np.random.default_rng(config.seed)).shape == (8, 4, 4)


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "brightness_gain", "brightness_shift"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=f"training setting {name} must be a finite number, not"):
        FinetuneConfig.from_dict({name: value})
