"""--conf is checked at the start, and an error there names the choices."""

from __future__ import annotations

from pathlib import Path

import pytest
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


@pytest.mark.parametrize(
    ("conf", "kind", "message"),
    [
        ({"model": "tiny"}, ConfigurationError, "--conf model is unknown; choose from tasks, models"),
        ({"tasks": "ped"}, UnknownTaskError, "unknown task 'ped'; choose from nodule, pe"),
        ({"models": "resnet"}, UnknownModelError, "unknown model 'resnet'; choose from .*tiny"),
        ({"models": " , "}, ConfigurationError, "--conf models is empty"),
        ({"device": "quantum"}, ConfigurationError, "no device 'quantum' here; choose from auto, cpu"),
        ({"models_dir": "/not/there"}, ConfigurationError, "no folder .*not.there"),
        ({"task_file": "/not/there.yaml"}, TaskFileError, "there.yaml: cannot be read"),
    ],
)
def test_what_is_wrong_is_named_with_the_choices(
    conf: dict[str, str], kind: type[ConfigurationError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        read_conf(conf)
