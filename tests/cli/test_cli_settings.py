"""Settings of a training from a file, from ``--set`` and from options."""

from __future__ import annotations

from pathlib import Path

import pytest

from vpt_plugin.cli.settings import training_settings
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.training.config import FinetuneConfig


def test_an_option_counts_more_than_set_and_set_more_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "pe.yaml"
    file.write_text("epochs: 3\nbatch: 8\nseed: 1\nlearning_rate: 1e-4\n", encoding="utf-8")
    given = training_settings(file, ["batch=4", "seed=2"], {"seed": 3, "folds": None})
    assert given == {"epochs": 3, "batch": 4, "seed": 3, "learning_rate": 0.0001}
    assert FinetuneConfig.from_dict(given).batch == 4


def test_values_have_the_types_that_settings_take() -> None:
    texts = ["learning_rate=1e-4", "rate_search=true", "threshold=sensitivity:0.9", "folds=5", "train=head"]
    given = training_settings(None, texts, {})
    assert given == {
        "learning_rate": 0.0001, "rate_search": True, "threshold": "sensitivity:0.9", "folds": 5,
        "train": "head",
    }  # fmt: skip


@pytest.mark.parametrize("text", ["epochs", "=3", "batch=[1"])
def test_what_is_no_setting_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--set"):
        training_settings(None, [text], {})


@pytest.mark.parametrize("content", ["- epochs\n", "epochs: [\n", "3: 4\n"])
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"wrong\.yaml"):
        training_settings(file, [], {})
    assert training_settings(None, [], {}) == {}


def test_a_file_that_is_empty_or_gone_is_no_surprise(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    assert training_settings(tmp_path / "empty.yaml", [], {}) == {}
    with pytest.raises(ConfigurationError, match=r"gone\.yaml: there is no such file of settings"):
        training_settings(tmp_path / "gone.yaml", [], {})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("epochs: 3\nbatch: 8\nepochs: 4\n", "line 3: epochs is there already, on line 1;"),
        ("batch: 8\ntrain: [whole\n", "line 3: the settings cannot be read"),
        ("batch: 8\ntrain: off\n", "line 2: training setting train must be one of whole, head, head_first"),
        ("epochs: ten\n", "line 1: training setting epochs must be a whole number, not 'ten'"),
        ("epoch: 10\n", "line 1: unknown training setting 'epoch'"),
        ("# mine\n- epochs\n", "line 2: this is no setting"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(tmp_path: Path, content: str, told: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        training_settings(file, [], {})
    assert f"{file}, {told}" in caught.value.message
    assert ('quote it: "off"' in caught.value.hint) == ("off" in content)
