"""docs/experiment.md says what the code does: commands, plans, words, counts, hours, published figures."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from docs_page import code_blocks, read_page, table_rows

from vpt_plugin.cli.app import app as vpt
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.study.cells import ARMS
from vpt_plugin.study.differences import differences_of
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.plan_file import BUILT_IN
from vpt_plugin.study.published import published_table

ROOT = Path(__file__).resolve().parent.parent
PAGE = read_page("experiment.md")
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
rows = partial(table_rows, PAGE)
blocks = partial(code_blocks, PAGE)


@pytest.fixture(scope="module")
def cost() -> Iterator[ModuleType]:
    """benchmarks/experiment_cost.py."""
    path = ROOT / "benchmarks" / "experiment_cost.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[path.stem]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def commands() -> list[str]:
    # Blocks within a list are indented.
    text = re.sub(r"\\\n\s*", " ", "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)))
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_on_the_page_is_one_that_there_is(line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] == "pip":
        assert words == ["pip", "install", "vptct[study]"]
        return
    assert words[0] == "vpt"
    command: Any = typer.main.get_command(vpt)
    words = words[1:]
    while (subcommands := getattr(command, "commands", None)) and words and words[0] in subcommands:
        name, *words = words
        command = subcommands[name]
    # Parses it without running it.
    context = command.make_context(command.name, list(words))
    if plan := context.params.get("plan"):
        assert plan in BUILT_IN or plan == "site.yaml"
    if command.name == "fetch":
        assert context.params


def test_every_option_that_the_text_names_is_one_of_vpt_study() -> None:
    command: Any = typer.main.get_command(vpt)
    known = {option for each in command.commands["study"].params for option in each.opts}
    told = {word.split()[0] for word in codes(PROSE) if word.startswith("--")}
    assert told <= known


def test_weights_of_every_network_of_the_paper_are_fetched() -> None:
    fetched = {line.split()[-1] for line in commands() if line.startswith("vpt weights fetch")}
    networks = Plan.read("paper").networks
    assert fetched == {next(iter(MODELS[name].weights.values()))[0].name for name in networks}


def test_the_plan_on_the_page_is_a_plan_with_as_many_trainings_as_told(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    (tmp_path / "site.yaml").write_text(text, encoding="utf-8")
    stages = Counter(cell.stage for cell in Plan.read(str(tmp_path / "site.yaml")).cells())
    assert f"which is {stages['final']} trainings and {stages['search']} short ones" in PAGE


def test_the_cells_of_the_paper_s_plan_are_counted_right() -> None:
    stages = Counter(cell.stage for cell in Plan.read("paper").cells())
    assert f"{stages['final']} cells of table 1, {stages['pretrain']} CT pretrainings" in PAGE
    assert f"{stages['search']} short trainings" in PAGE
    assert f"one rate: {stages['search']} trainings fewer" in PAGE


def test_the_networks_of_the_quick_plan_are_told() -> None:
    plan = Plan.read("quick")
    (told,) = re.findall(
        r"The plan `quick` makes its own phantoms and trains (.*?)from nothing", PAGE, re.DOTALL
    )
    assert codes(told) == list(plan.networks)
    assert len(plan.seeds) == 2


def test_every_arm_is_explained() -> None:
    told = [codes(row[0])[0] for row in rows("a word of the plan")]
    assert told[: len(ARMS)] == list(ARMS)


def test_sizes_on_the_page_are_read(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    (sizes,) = [word for word in codes(PROSE) if word.startswith("sizes:")]
    (tmp_path / "site.yaml").write_text(f"{text}\n{sizes}\n", encoding="utf-8")
    assert Plan.read(str(tmp_path / "site.yaml")).spec("swin_t").clip_slices == 16


def test_the_hours_in_the_table_are_those_that_the_script_computes(cost: ModuleType) -> None:
    told = [[codes(row[0])[0], *row[1:]] for row in rows("network")]
    assert told == [list(row) for row in cost.rows()]


def test_the_sums_of_hours_and_arithmetic_are_right(cost: ModuleType) -> None:
    table = cost.rows()
    hours = sum(float(row[4].replace(",", "")) for row in table if row[4] != "n/a")
    exaflop = sum(float(row[5].replace(",", "")) for row in table)
    assert f"{hours:,.0f} hours of two cores for the nine" in PAGE
    assert f"{exaflop:.0f} exaFLOP for all ten" in PAGE
    at_100, at_30 = (exaflop * 1e18 / (rate * 1e12) / 3600 for rate in (100, 30))
    assert f"are {at_100:.0f} GPU hours; at 30 TFLOP/s, {at_30:.0f}" in PAGE


def test_the_script_takes_the_seconds_that_docs_finetuning_tells(cost: ModuleType) -> None:
    told = {
        codes(row[0])[0]: (float(row[2]), float(row[1]))
        for row in table_rows(read_page("finetuning.md"), "network")
        if len(row) == 6
    }
    of_3d = {name: each for name, each in cost.MEASURED.items() if MODELS[name].kind == "3d"}
    assert of_3d == {name: told[name] for name in of_3d}
    steps = [cost.MEASURED[name][0] for name in ("resnet18_2d", "resnext101_2d")]
    assert f"({steps[0]} and {steps[1]} a step)" in PAGE


def test_prepared_studies_are_as_large_as_told(cost: ModuleType) -> None:
    size = cost.SETS["rsna"]
    of_one = size.slices * 256 * 256
    assert f"({of_one / 1e6:.0f} MB a study" in PAGE
    assert f"{of_one * 7279 / 1e9:.0f} GB in" in PAGE


def test_what_is_said_of_the_published_table_is_in_it() -> None:
    table = published_table()
    collapsed = [row for row in table if row.collapsed]
    assert all((row.auroc.value, *row.auroc.ci95) == (0.5, 0.5, 0.5) for row in collapsed)
    assert f"{len(collapsed)} have an AUROC of 0.500 [0.500, 0.500]" in PAGE
    (impossible,) = [row for row in table if row.auroc.ci95[0] > row.auroc.ci95[1]]
    assert (impossible.title, impossible.auroc.ci95) == ("MViT", (0.572, 0.560))
    (gain,) = [
        each
        for each in differences_of(table)
        if (each.claim, each.kind, each.dataset, each.percent) == ("video_gain", "3d", "rsna", 100)
        and each.is_mean
    ]
    assert f"from {gain.worse.value:.3f} to {gain.better.value:.3f}." in PAGE


def test_every_file_that_the_page_names_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    for name in re.findall(r"(?:tests|benchmarks)/[A-Za-z0-9_/]+\.py", PAGE):
        assert (ROOT / name).exists(), name


def test_every_heading_that_the_page_links_to_is_there() -> None:
    pages = {"": PAGE} | {name: read_page(name) for name in re.findall(r"\]\(([a-z]+\.md)#", PAGE)}
    for name, anchor in re.findall(r"\]\(([a-z]*(?:\.md)?)#([^)]+)\)", PAGE):
        headings = re.findall(r"^#+ (.+)$", pages[name], re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def test_the_picture_is_small() -> None:
    assert (ROOT / "docs" / "images" / "experiment-published.png").stat().st_size < 60_000
