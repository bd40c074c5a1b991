"""docs/classify-all.md names the columns and the options that there are."""

from __future__ import annotations

import re

import pytest
from docs_page import read_page, table_rows
from typer.main import get_command

pytest.importorskip("pyarrow", reason="needs the extra `study`")

from vpt_plugin.bulk.rows import answer_schema
from vpt_plugin.cli.app import app

PAGE = read_page("classify-all.md")


def test_the_page_has_every_column_in_its_order() -> None:
    told = [name for row in table_rows(PAGE, "column") for name in re.findall(r"`(\w+)`", row[0])]
    assert told == answer_schema().names


def test_every_option_on_the_page_is_one_of_the_command() -> None:
    command = get_command(app).commands["classify-all"]  # type: ignore[attr-defined]
    known = {option for parameter in command.params for option in parameter.opts}
    # That of `ray start`.
    told = set(re.findall(r"--[a-z]+[a-z-]*", PAGE)) - {"--head"}
    assert told <= known
    assert {"--gpus", "--workers", "--address", "--retry-refused", "--csv", "--version"} <= told
