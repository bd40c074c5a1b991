"""The choice of task and network: what the reader wished, among what the server offers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from standin.wheel import require_scene

require_scene()

from VPTCTLib.contract.info import ServerInfo, read_info
from VPTCTLib.logic.choice import Choice
from VPTCTLib.signal import Signal

CONTRACT = Path(__file__).parents[2] / "contract" / "info.json"


def offer(*names: str, trained: tuple[str, ...] = ()) -> ServerInfo:
    """What a server says that has these networks, in this order; ``pe`` is its first task."""
    info = read_info(json.loads(CONTRACT.read_text()))
    model = info.models[0]
    return replace(
        info,
        models=tuple(
            replace(model, name=name, task=name.split("_")[0], title=name, trained=name in trained)
            for name in names
        ),
    )


@pytest.fixture
def server() -> Any:
    """A server that says nothing yet; ``say`` lets it."""
    changed = Signal()
    server = SimpleNamespace(info=None, changed=changed)

    def say(info: ServerInfo | None) -> None:
        server.info = info
        changed.emit()

    server.say = say
    return server


@pytest.fixture
def choice(server: Any) -> Choice:
    return Choice(server)


def remembered(task: str = "", model: str = "") -> Any:
    return SimpleNamespace(task=task, model=model)


def chosen(choice: Choice) -> tuple[str | None, str | None]:
    return choice.task and choice.task.name, choice.model and choice.model.name


def test_without_a_server_nothing_is_offered(choice: Choice) -> None:
    assert (choice.tasks, choice.models, chosen(choice)) == ((), (), (None, None))


def test_the_first_task_is_chosen_and_networks_that_answer_stand_before_those_that_do_not(
    server: Any, choice: Choice
) -> None:
    server.say(offer("pe_a", "pe_b", "effusion_a", "pe_c", trained=("pe_b", "pe_c")))
    assert [model.name for model in choice.models] == ["pe_b", "pe_c", "pe_a"]
    assert chosen(choice) == ("pe", "pe_b")


def test_what_the_reader_chooses_is_written_into_the_scene_and_read_from_it(
    server: Any, choice: Choice
) -> None:
    first, second = remembered(), remembered("effusion", "effusion_b")
    choice.use(first)
    server.say(offer("pe_a", "pe_b", "effusion_a", "effusion_b"))
    choice.select_model("pe_b")
    assert (first.task, first.model) == ("pe", "pe_b")
    choice.use(second)
    assert chosen(choice) == ("effusion", "effusion_b")


def test_a_new_scene_gets_the_choice_that_was_made_before(server: Any, choice: Choice) -> None:
    server.say(offer("pe_a", "effusion_a", "effusion_b"))
    choice.select_task("effusion")
    choice.select_model("effusion_b")
    choice.use(None)
    new = remembered()
    choice.use(new)
    assert (new.task, new.model) == ("effusion", "effusion_b")
    assert chosen(choice) == ("effusion", "effusion_b")


def test_who_goes_to_another_task_and_back_finds_the_same_network(server: Any, choice: Choice) -> None:
    server.say(offer("pe_a", "pe_b", "effusion_a", trained=("pe_a", "pe_b")))
    choice.select_model("pe_b")
    choice.select_task("effusion")
    assert chosen(choice) == ("effusion", "effusion_a")
    choice.select_task("pe")
    assert chosen(choice) == ("pe", "pe_b")


def test_a_wish_that_the_server_does_not_have_waits_for_one_that_does(server: Any, choice: Choice) -> None:
    choice.use(remembered("effusion", "effusion_z"))
    server.say(offer("pe_a", "effusion_a"))
    assert chosen(choice) == ("effusion", "effusion_a")
    server.say(None)
    assert chosen(choice) == (None, None)
    server.say(offer("pe_a", "effusion_a", "effusion_z"))
    assert chosen(choice) == ("effusion", "effusion_z")
    choice.select_model("pe_a")
    assert chosen(choice) == ("effusion", "effusion_z"), "a network of another task cannot be chosen"


def test_the_same_said_again_is_no_change_and_a_new_version_is_one(server: Any, choice: Choice) -> None:
    told: list[int | None] = []
    server.say(offer("pe_a", trained=("pe_a",)))
    choice.changed.connect(lambda: told.append(choice.model and choice.model.version))
    server.say(offer("pe_a", trained=("pe_a",)))
    assert told == []
    newer = offer("pe_a", trained=("pe_a",))
    server.say(replace(newer, models=(replace(newer.models[0], version=4),)))
    assert told == [4]
