"""docs/active-learning.md says what the code does: strategies, settings, commands, numbers, files."""

from __future__ import annotations

import inspect
import re
import shlex
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from docs_page import code_blocks, read_page, table_rows
from lib import active_conf
from lib.active_conf import ActiveConf

from vpt_plugin.acquisition import typical, uncertain
from vpt_plugin.acquisition.badge import CANDIDATES
from vpt_plugin.acquisition.space import DIMENSIONS
from vpt_plugin.acquisition.strategies import STRATEGIES
from vpt_plugin.active import agreement, offers, scores
from vpt_plugin.active.job import COLD_START_LIMIT
from vpt_plugin.active.offers import Proposal
from vpt_plugin.active.prospective import COVERED
from vpt_plugin.active.retrain import RetrainRule
from vpt_plugin.active.simulation.records import CSV_NAME, JSON_NAME, PNG_NAME
from vpt_plugin.cli.app import app as vpt
from vpt_plugin.store import lease_file, leases, worklist_history
from vpt_plugin.store.leases import SKIP_REASONS, LeaseBook

ROOT = Path(__file__).resolve().parent.parent
PAGE = read_page("active-learning.md")
rows = partial(table_rows, PAGE)
blocks = partial(code_blocks, PAGE)
# As one reads it: a line that was broken is one sentence.
TEXT = " ".join(PAGE.split())
# Where the benchmarks of it have their tables.
MEASURED = "performance-active-learning.md"


def code(cell: str) -> str:
    """``text`` out of `` `text` ``."""
    match = re.search(r"`([^`]+)`", cell)
    assert match, cell
    return match[1]


def section(title: str) -> str:
    """The text below a heading, up to the next one, whatever its level."""
    match = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert match, title
    return " ".join(match[1].split())


def test_every_strategy_is_in_the_table_with_what_it_needs_and_no_other() -> None:
    told = [(code(name), needs) for name, needs, _ in rows("strategy")]
    assert told == [(spec.name, spec.needs) for spec in STRATEGIES.values()]


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_has_its_source_and_when_not_to_trust_it(name: str) -> None:
    told = section(f"`{name}`")
    how, source, doubts = re.split(r"\*\*(?:Source|When not to trust it):\*\*", told)
    assert re.search(r"(19|20)\d\d|et al\.", source)
    assert min(map(len, (how, source, doubts))) > 60


def test_the_numbers_of_the_strategies_are_those_of_the_code() -> None:
    assert f"their {DIMENSIONS} first principal components" in TEXT
    assert f"at least {typical.MIN_CLUSTERS}, at most {typical.MAX_CLUSTERS}" in section("`typical`")
    assert uncertain.DISAGREEMENT_WEIGHT == 0.25
    assert "A quarter of the disagreement" in section("`uncertain`")
    told = section("`diverse-uncertain`")
    assert uncertain.CANDIDATES_PER_PICK == 10
    assert "ten times as many as wished for" in told
    assert uncertain.CANDIDATES_SHARE == 0.1
    assert "at most a tenth" in told
    assert f"from the {CANDIDATES:,} most uncertain" in section("`badge`")


def test_every_setting_is_told_with_its_default_and_no_other() -> None:
    told = {code(name): default for name, _, default in rows("`--conf`")}
    assert set(told) == set(active_conf.KEYS)
    names = {"model": "active_model", "seed": "active_seed"}
    for each in fields(ActiveConf):
        default = told[names.get(each.name, each.name)]
        if each.name == "scoring":
            assert code(default) == "on"
            assert each.default is True
        elif each.default != "":
            written = f"{each.default:g}" if isinstance(each.default, float) else str(each.default)
            assert code(default) == written, each.name


def test_every_way_to_retrain_is_told() -> None:
    told = {code(row[0]) for row in rows("`--conf retrain`")}
    assert told == {active_conf.OFF, active_conf.PROPOSE, active_conf.START}


def test_every_reason_to_skip_is_told_and_no_other() -> None:
    assert [code(row[0]) for row in rows("reason")] == list(SKIP_REASONS)


def test_every_field_of_a_proposal_is_told_and_no_other() -> None:
    told = [code(row[0]) for row in rows("key")]
    assert set(told) == Proposal("p1", "auto", 0.5, "because").to_json().keys()


def test_the_numbers_of_the_retraining_rule_are_those_of_the_code() -> None:
    rule, told = RetrainRule(), section("When to train again")
    assert f"last {rule.window} new labels" in told
    assert f"at least {rule.min_compared}, more" in told
    assert f"less than 1 time in {1 / rule.rarer_than:g}" in told
    # What the page says of false alarms and of a version that guesses is what this file asserts.
    tests = (ROOT / "tests" / "active" / "test_retrain.py").read_text(encoding="utf-8")
    assert "alarms / runs <= 0.03" in tests
    assert "at most 3 of 100" in told
    assert "noticed / runs >= 0.9" in tests
    assert "9 times in 10" in told


def test_the_numbers_of_the_fair_sample_are_those_of_the_code() -> None:
    assert COVERED == 0.9
    assert "nine in ten have a label" in TEXT


def test_how_long_and_how_many_leases_last_is_told() -> None:
    most = inspect.signature(LeaseBook.__init__).parameters["max_held"].default
    assert f"One reader can have {most} studies in hand." in TEXT
    assert worklist_history.ENOUGH_SKIPS == 2
    assert "when two readers skipped it" in TEXT


def test_the_cold_start_scores_as_many_studies_as_is_told() -> None:
    assert f"At most {COLD_START_LIMIT:,} studies are scored for that" in TEXT


def test_what_the_page_says_was_measured_is_in_the_tables_of_the_benchmark() -> None:
    first_table = table_rows(read_page(MEASURED).partition("start alike.**")[0], "strategy")
    areas = {code(row[0]): row[2] for row in first_table}
    assert areas.keys() == set(STRATEGIES)
    told = section("Does it save labels?").replace("\u2212", "-")
    for name, less in areas.items():
        if name != "random":
            value, low, high = re.findall(r"[-+]?[0-9]\.[0-9]{3}", less)
            both = f"`{name}` ({value})", f"{value.lstrip('+')} ({low.lstrip('+')} to {high.lstrip('+')})"
            long = f"{value.lstrip('+')} above that of `random` (95 % interval {low[1:]} to {high[1:]})"
            assert any(each in told for each in (*both, long)), name


def test_what_a_first_batch_covers_is_told_as_in_the_table_of_the_benchmark() -> None:
    told = section("Scoring")
    (examination, *_), (anatomy, *_) = (re.findall(r"[0-9]\.[0-9]{2}", row) for row in _covered())
    assert f"covers {examination} of the five kinds" in told
    assert f"it covers {anatomy}, which cannot be told from the 3.86 of chance" in told


def _covered() -> list[str]:
    return [row[1] for row in table_rows(read_page(MEASURED), "kinds of")]


def test_the_files_and_their_schemas_are_those_of_the_code() -> None:
    told = " ".join(row[0] + row[1] for row in rows("file"))
    assert f"`labels/{leases.FOLDER}/{lease_file.FILE_NAME}`" in told
    assert f"`labels/{leases.FOLDER}/{worklist_history.FILE_NAME}`" in told
    for schema in (lease_file.SCHEMA, worklist_history.SCHEMA, scores.SCHEMA, offers.SCHEMA):
        assert f"`{schema}`" in PAGE, schema
    assert {CSV_NAME, JSON_NAME, PNG_NAME} <= {code(row[0]) for row in rows("file")}


def test_the_columns_of_the_agreement_are_those_that_are_printed() -> None:
    printed = (ROOT / "vpt_plugin" / "cli" / "labels_agreement.py").read_text(encoding="utf-8")
    (shown,) = (block for block in blocks(r"\w*") if "read by two or more readers" in block)
    for column in ("finding", "readers", "studies", "the same", "kappa", "on present", "on absent"):
        assert f'"{column}"' in printed
        assert column in shown
    assert agreement.SCHEMA.startswith("vptct.agreement/")


def commands() -> list[str]:
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip()]


@pytest.mark.parametrize("line", commands())
def test_every_command_on_the_page_is_one_that_there_is(line: str) -> None:
    words = shlex.split(line, comments=True)
    if words[0] in ("curl", "make"):
        return
    assert words[0] == "vpt"
    command: Any = typer.main.get_command(vpt)
    words = words[1:]
    while subcommands := getattr(command, "commands", None):
        name, *words = words
        command = subcommands[name]
    # Parses it without running it.
    context = command.make_context(command.name, list(words))
    for name in str(context.params.get("strategies") or context.params.get("strategy") or "auto").split(","):
        assert name in STRATEGIES


def test_every_command_of_active_learning_is_on_the_page() -> None:
    shown = {tuple(shlex.split(line)[1:3]) for line in commands() if line.startswith("vpt ")}
    first = {words[0] for words in shown}
    assert {"next", "worklist", "skip", "give-back", "score", "simulate"} <= first
    assert ("labels", "agreement") in shown


def test_every_route_on_the_page_is_one_of_the_server() -> None:
    server = read_page("server.md")
    routes = set(re.findall(r"`(?:(?:GET|POST|PUT|DELETE) )?(/activelearning/[^`?]*)", PAGE))
    assert routes
    for route in routes:
        assert route in server, route


def test_every_file_that_the_page_names_is_there() -> None:
    targets = [each for each in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGE) if "://" not in each]
    for target in targets:
        assert (ROOT / "docs" / target).exists(), target
    for name in re.findall(r"`((?:tests|benchmarks)/[A-Za-z0-9_/.-]+)`", PAGE):
        assert (ROOT / name).exists(), name


def test_every_heading_that_the_page_links_to_is_there() -> None:
    pages = {"": PAGE} | {name: read_page(name) for name in re.findall(r"\]\(([a-z-]+\.md)#", PAGE)}
    for name, anchor in re.findall(r"\]\(([a-z-]*(?:\.md)?)#([^)]+)\)", PAGE):
        headings = re.findall(r"^#+ (.+)$", pages[name], re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}, anchor
