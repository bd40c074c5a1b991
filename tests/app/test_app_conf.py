"""--conf is checked at the start, and an error there names the choices."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lib.active_conf import KEYS, ActiveConf
from lib.conf import read_conf

from vpt_plugin.errors import ConfigurationError, TaskFileError, UnknownModelError, UnknownTaskError
from vpt_plugin.models.catalog import MODELS

OWN_TASK = "name: effusion\nfindings: [effusion]\nhu_window: {centre: 40, width: 400}\n"


def test_without_a_word_everything_is_served() -> None:
    conf = read_conf({})
    assert [task.name for task in conf.tasks] == ["pe", "nodule"]
    assert [spec.name for spec in conf.models] == list(MODELS)
    assert conf.models_dir is None


def test_tasks_and_models_are_lists_with_commas(tmp_path: Path) -> None:
    conf = read_conf({"tasks": "nodule", "models": "tiny, swin_t,tiny", "models_dir": str(tmp_path)})
    assert [task.name for task in conf.tasks] == ["nodule"]
    assert [spec.name for spec in conf.models] == ["tiny", "swin_t"]
    assert conf.models_dir == tmp_path


def test_a_task_file_adds_its_task(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN_TASK)
    conf = read_conf({"task_file": str(tmp_path / "own.yaml")})
    assert [task.name for task in conf.tasks] == ["pe", "nodule", "effusion"]
    conf = read_conf({"task_file": str(tmp_path / "own.yaml"), "tasks": "effusion"})
    assert conf.tasks[0].hu_window.low == -160


def test_how_studies_are_proposed_can_be_set() -> None:
    said = {
        "lease_minutes": "0.5", "double_read": "0.2", "random_share": "0", "min_each": "3",
        "active_model": "tiny", "active_seed": "7", "scoring": "off", "scoring_studies": "100",
        "retrain": "start", "retrain_every": "40",
    }  # fmt: skip
    assert read_conf(said).active == ActiveConf(0.5, 0.2, 0.0, 3, "tiny", 7, False, 100, "start", 40)
    assert read_conf({}).active == ActiveConf()
    assert set(said) == set(KEYS)


def test_coarse_to_fine_is_refused_where_a_served_task_takes_the_mean_of_its_clips(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(f"{OWN_TASK}aggregation: mean\n")
    said = {"task_file": str(tmp_path / "own.yaml"), "stride": "coarse-to-fine:8"}
    with pytest.raises(ConfigurationError, match="task effusion: its probability is the mean of all clips"):
        read_conf(said)
    assert read_conf(said | {"tasks": "pe,nodule"}).stride == "coarse-to-fine:8"
    assert read_conf({}).stride == "task"


@pytest.mark.parametrize(
    ("conf", "kind", "message"),
    [
        ({"model": "tiny"}, ConfigurationError, "--conf model is unknown; choose from tasks, models"),
        ({"tasks": "ped"}, UnknownTaskError, "unknown task 'ped'; choose from nodule, pe"),
        ({"models": "resnet"}, UnknownModelError, "unknown model 'resnet'; choose from .*tiny"),
        ({"models": " , "}, ConfigurationError, "--conf models is empty"),
        ({"stride": "fine"}, ConfigurationError, "unknown stride 'fine'; choose from task, coarse-to-fine"),
        (
            {"backend": "onnx"},
            ConfigurationError,
            "unknown backend 'onnx'; choose from auto, torch, openvino",
        ),
        ({"precision": "half"}, ConfigurationError, "--conf precision half: is unknown; choose from auto"),
        ({"device": "quantum"}, ConfigurationError, "no device 'quantum' here; choose from auto, cpu"),
        ({"models_dir": "/not/there"}, ConfigurationError, "no folder .*not.there"),
        ({"task_file": "/not/there.yaml"}, TaskFileError, "there.yaml: cannot be read"),
        ({"lease_minutes": "0"}, ConfigurationError, "lease_minutes 0: give a number above 0, at most 10080"),
        ({"lease_minutes": "nan"}, ConfigurationError, "lease_minutes nan: give a number above 0"),
        ({"double_read": "1.1"}, ConfigurationError, "double_read 1.1: give a number from 0 to 1"),
        ({"random_share": "-0.1"}, ConfigurationError, "random_share -0.1: give a number from 0 to 1"),
        ({"min_each": "0"}, ConfigurationError, "min_each 0: give a whole number from 1 to"),
        ({"active_seed": "1_000"}, ConfigurationError, "active_seed 1_000: give a whole number from 0 to"),
        ({"active_model": "resnet"}, ConfigurationError, "active_model resnet: is not served; choose .*tiny"),
        ({"models": "tiny", "active_model": "swin_t"}, ConfigurationError, "is not served; choose from tiny"),
        ({"retrain": "on"}, ConfigurationError, "retrain on: is unknown; choose from propose, off, start"),
        ({"scoring": "start"}, ConfigurationError, "scoring start: is unknown; choose from on, off"),
    ],
)
def test_what_is_wrong_is_named_with_the_choices(
    conf: dict[str, str], kind: type[ConfigurationError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        read_conf(conf)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("error_rate", "0.6", "at most 0.5"),
        ("error_rate", "a tenth", "such as 0.1"),
        ("error_rate", "1.19e-33", "at least 0.001"),
        ("error_rate", "inf", "at least 0.001"),
        ("error_rate", "9" * 400, "at least 0.001"),
        ("unsuitable", "hide", "refuse, warn"),
        ("report", "print", "file, archive, off"),
    ],
)
def test_what_stands_beside_a_probability_is_checked_at_the_start(key: str, value: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"--conf {key}.*{re.escape(named)}"):
        read_conf({key: value})
