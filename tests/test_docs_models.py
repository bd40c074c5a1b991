"""What docs/models.md shows is what the model store and ``vpt versions`` do."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import fields

import pytest
import typer
from docs_page import code_blocks, read_page

from vpt_plugin.cli.app import app
from vpt_plugin.models.card import ModelCard
from vpt_plugin.training.served import WAYS, Served

PAGE = read_page("models.md")
BLOCKS = code_blocks(PAGE, r"\w*")


def test_the_record_that_is_shown_is_one() -> None:
    (text,) = (block for block in BLOCKS if block.startswith('{"schema": "vptct.served/1"'))
    served = Served.from_json(text)
    assert (served.version, served.before) == (3, 2)
    assert served.to_json() == json.loads(text)


def test_all_ways_of_coming_into_service_are_named() -> None:
    assert set(WAYS) <= set(re.findall(r"`([a-z ]+)`", PAGE))


def test_every_field_of_the_card_is_told() -> None:
    table = PAGE[PAGE.index("| field | means |") :]
    told = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
    assert told == {each.name for each in fields(ModelCard)} - {"unknown"}


COMMANDS = re.findall(r"^\$ (vpt .*)$", PAGE, re.MULTILINE) + re.findall(r"`(vpt versions .*?)`", PAGE)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one(line: str) -> None:
    command = typer.main.get_command(app)
    words = shlex.split(line)[1:]
    while subcommands := getattr(command, "commands", None):
        name, *words = words
        assert name in subcommands
        command = subcommands[name]
    options = {name for each in command.params for name in each.opts}
    assert {word for word in words if word.startswith("-")} <= options
