"""docs/finetuning.md says what the code does: settings, poolings, rules, commands, warnings, errors."""

from __future__ import annotations

import ast
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from docs_page import code_blocks, read_page, table_rows

from vpt_plugin.cli.app import app as vpt
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.training import config as config_module
from vpt_plugin.training.comparison import RULES
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.metrics import FIGURES
from vpt_plugin.training.metrics.thresholds import threshold_rule
from vpt_plugin.training.pooling import POOLINGS
from vpt_plugin.training.rate_search import RATES

ROOT = Path(__file__).resolve().parent.parent
PAGE = read_page("finetuning.md")
rows = partial(table_rows, PAGE)
blocks = partial(code_blocks, PAGE)


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def written(value: Any) -> str:
    """A default as the page writes it, and as YAML and JSON do."""
    return "none" if value is None else json.dumps(value) if not value or value is True else str(value)


def test_every_setting_is_on_the_page_with_its_default_and_no_other() -> None:
    told = {codes(name)[0]: codes(default)[0] for name, default, _ in rows("setting")}
    assert told == {each.name: written(each.default) for each in fields(FinetuneConfig)}


def test_every_choice_of_a_setting_is_told() -> None:
    told = {codes(name)[0]: codes(f"{default} {does}") for name, default, does in rows("setting")}
    for name, choices in config_module._CHOICES.items():
        assert set(choices) <= set(told[name]), name


def test_every_pooling_is_told_and_no_other() -> None:
    assert [codes(row[0])[0] for row in rows("pooling")] == list(POOLINGS)


def test_every_rule_is_told_and_no_other() -> None:
    *thresholds, better, significant, not_worse = [codes(row[0])[0] for row in rows("rule")]
    assert [better, significant, not_worse] == list(RULES)
    assert f"in {100 * RULES['better'].confidence:g} % of the resamples less than 0.01 behind" in PAGE
    assert RULES["better"].margin == 0.01
    assert f"{100 * RULES['not_worse'].confidence:g} % of the resamples at most 0.02 behind" in PAGE
    assert thresholds == ["youden", "sensitivity:0.95"]
    for name in thresholds:
        threshold_rule(name)


def test_the_rates_of_the_search_are_told() -> None:
    shown = ", ".join(f"{rate:.5f}".rstrip("0") for rate in RATES[:-1])
    assert f"tries {shown} and {RATES[-1]:.5f}" in PAGE


def test_every_figure_of_the_report_is_told() -> None:
    for figure in FIGURES.values():
        title = "predictive values" if "predictive" in figure.title else figure.title
        assert title in PAGE


@pytest.mark.parametrize("recipe", blocks("yaml"))
def test_every_recipe_is_a_configuration(recipe: str) -> None:
    settings = yaml.safe_load(recipe)
    assert FinetuneConfig.from_dict(settings).to_dict().items() >= settings.items()


def commands() -> list[str]:
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip()]


@pytest.mark.parametrize("line", commands())
def test_every_command_on_the_page_is_one_that_there_is(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "curl":
        bodies = [body for option, body in pairwise(words) if option == "-d"]
        for body in bodies:
            FinetuneConfig.from_dict(json.loads(body))
        return
    if words[0] == "torchrun":
        assert words[3:5] == ["-m", "vpt_plugin.cli"]
        words = words[4:]
    command: Any = typer.main.get_command(vpt)
    words = words[1:]
    while subcommands := getattr(command, "commands", None):
        name, *words = words
        command = subcommands[name]
    # Parses it without running it.
    context = command.make_context(command.name, list(words))
    for assignment in context.params.get("set_") or ():
        name, _, value = assignment.partition("=")
        FinetuneConfig.from_dict({name: yaml.safe_load(value)})
    assert context.params.get("model", "swin_t") in MODELS


def texts() -> Iterator[str]:
    """Every text of the library, with ``…`` for what is put into it."""
    for path in [*(ROOT / "vpt_plugin").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield text_of(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def text_of(node: ast.JoinedStr) -> str:
    return "".join(each.value if isinstance(each, ast.Constant) else "…" for each in node.values)


def quoted() -> list[str]:
    return [text for row in rows("it says") for text in re.findall(r'"([^"]+)"', row[0])]


def test_every_message_that_the_page_explains_is_one_that_the_library_says() -> None:
    said = list(texts())
    for message in quoted():
        parts = [part.strip(" :,") for part in message.split("…")]
        pattern = ".*".join(re.escape(part.removeprefix("The training ")) for part in parts)
        assert any(re.search(pattern, text) for text in said), message


@pytest.mark.parametrize(
    ("file", "function"),
    [
        ("outcome.py", "_warnings"),
        ("publishing.py", "_warnings"),
        ("collapse.py", "collapse_warning"),
        ("final_look.py", "_warning"),
        ("metrics/perfect.py", "few_studies_warning"),
    ],
)
def test_every_warning_of_a_training_is_explained(file: str, function: str) -> None:
    tree = ast.parse((ROOT / "vpt_plugin" / "training" / file).read_text(encoding="utf-8"))
    (found,) = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == function]
    warnings = [text_of(each) for each in ast.walk(found) if isinstance(each, ast.JoinedStr)]
    explained = [part.strip(" :,") for message in quoted() for part in message.split("…")]
    for warning in warnings:
        if len(warning) > 60:
            assert any(part in warning or part == "may have collapsed" for part in explained), warning


def test_every_file_that_the_page_names_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    for name in re.findall(r"`((?:tests|benchmarks)/[A-Za-z0-9_/.-]+)`", PAGE):
        assert (ROOT / name).exists(), name


def test_every_heading_that_the_page_links_to_is_there() -> None:
    pages = {"": PAGE} | {
        name: (ROOT / "docs" / name).read_text(encoding="utf-8")
        for name in re.findall(r"\]\(([a-z]+\.md)#", PAGE)
    }
    for name, anchor in re.findall(r"\]\(([a-z]*(?:\.md)?)#([^)]+)\)", PAGE):
        headings = re.findall(r"^#+ (.+)$", pages[name], re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
