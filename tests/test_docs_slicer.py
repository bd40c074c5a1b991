"""docs/slicer.md says what the module does: keys, settings, messages, names on screen, pictures, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from docs_page import DOCS, code_blocks, read_page, table_rows
from VPTCTLib.settings import CA_BUNDLE, SETTINGS

ROOT = DOCS.parent
MODULE = ROOT / "slicer_module"
PICTURES = MODULE / "Screenshots"
SERVER = (ROOT / "apps" / "vptct", ROOT / "vpt_plugin")
PAGE = read_page("slicer.md")
rows = partial(table_rows, PAGE)
# On the page in italics, but Slicer's own words.
SLICERS = {"Additional module paths", "Reload and Test", "Resample Scalar/Vector/DWI Volume", "Sequences"}


def trees(*folders: Path) -> Iterator[ast.Module]:
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            yield ast.parse(path.read_text(encoding="utf-8"))


def texts(tree: ast.AST) -> Iterator[str]:
    """All texts in a file, with … for what is filled in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"\{[^{}]*\}", "…", node.value)


@cache
def texts_of(*folders: Path) -> frozenset[str]:
    return frozenset(as_compared(text) for tree in trees(*folders) for text in texts(tree))


def as_compared(text: str) -> str:
    """The panel begins a message with a capital letter, the code does not always."""
    return " ".join(text.split()).lower()


def shortcuts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Keys and what they do, of every ``Shortcut(keys, _(text), press)``."""
    constants: dict[str, Any] = {
        node.targets[0].id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Shortcut":
            keys, text, _ = node.args
            assert isinstance(text, ast.Call)
            yield (
                constants[keys.id] if isinstance(keys, ast.Name) else ast.literal_eval(keys),
                ast.literal_eval(text.args[0]),
            )


def test_every_key_is_in_the_table_with_what_it_does_and_no_other() -> None:
    told = {key.strip("`"): does for key, does in rows("key")}
    assert told == dict(each for tree in trees(MODULE) for each in shortcuts(tree))
    assert len(told) >= 9


def default_in_words(setting: Any) -> str:
    if isinstance(setting.default, bool):
        return "on" if setting.default else "off"
    if isinstance(setting.default, int):
        return f"{setting.default} s"
    assert setting.default == ""
    return "none" if setting is CA_BUNDLE else "empty"


def test_every_setting_is_in_the_table_with_its_default_and_no_other() -> None:
    told = {title: default for title, default, _ in rows("setting")}
    assert told == {setting.title: default_in_words(setting) for setting in SETTINGS}


def messages(header: str) -> list[str]:
    return [row[0] for row in rows(header)]


@pytest.mark.parametrize("message", messages("message"))
def test_every_message_on_the_page_is_one_of_the_module(message: str) -> None:
    assert as_compared(message) in texts_of(MODULE)


@pytest.mark.parametrize("message", messages("message of the server"))
def test_every_message_of_the_server_on_the_page_is_one_of_the_server(message: str) -> None:
    assert as_compared(message) in texts_of(*SERVER)


def test_every_message_has_a_cause_and_a_way_out() -> None:
    told = rows("message") + rows("message of the server")
    assert len(told) > 40
    assert all(len(row) == 3 and min(map(len, row)) > 5 for row in told)


def words_on_screen() -> set[str]:
    """Those of the .ui files and of the code; the strategies have their names from the server."""
    files = sorted((MODULE / "VPTCT" / "Resources" / "UI").glob("*.ui"))
    found = [each for file in files for each in re.findall(r">([^<>]+)</string>", file.read_text("utf-8"))]
    return {as_compared(each) for each in found} | texts_of(MODULE) | texts_of(*SERVER)


def test_what_stands_in_italics_is_what_stands_on_the_screen() -> None:
    named = {" ".join(each.split()) for each in re.findall(r"(?<!\*)\*([A-Z][^*>]+)\*(?!\*)", PAGE)}
    assert len(named) > 20
    seen = words_on_screen()
    unknown = {
        each
        for each in named - SLICERS
        if not any(text.startswith(as_compared(each.rstrip("… "))) for text in seen)
    }
    assert not unknown


def targets(page: str) -> list[str]:
    return [each for each in re.findall(r"\]\(([^)]+)\)", page) if "://" not in each]


def slugs(page: str) -> set[str]:
    """How GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("target", sorted(set(targets(PAGE))))
def test_every_link_leads_somewhere(target: str) -> None:
    place, _, heading = target.partition("#")
    path = (DOCS / place) if place else DOCS / "slicer.md"
    assert path.exists()
    assert not heading or heading in slugs(path.read_text(encoding="utf-8"))


def test_every_picture_is_shown_and_small() -> None:
    pages = PAGE + (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = sorted(PICTURES.glob("*.png"))
    assert len(pictures) >= 5
    for path in pictures:
        assert f"slicer_module/Screenshots/{path.name})" in pages, path.name
        assert path.stat().st_size < 120_000, path.name
    assert sum(path.stat().st_size for path in pictures) < 600_000


def test_the_pictures_on_the_page_are_those_that_the_whole_day_takes() -> None:
    day = (ROOT / "tests" / "slicer" / "panel" / "test_whole_day.py").read_text(encoding="utf-8")
    assert set(re.findall(r'picture\("([^"]+)"', day)) == {path.stem for path in PICTURES.glob("*.png")}


def test_folders_and_variables_are_those_of_the_code() -> None:
    shell = (MODULE / "VPTCT" / "VPTCT.py").read_text(encoding="utf-8")
    selftest = (MODULE / "VPTCT" / "VPTCTLib" / "panel" / "selftest.py").read_text(encoding="utf-8")
    assert '"VPTCT" / "labels that wait"' in shell
    assert len(re.findall(r"labels that wait`", PAGE)) == 3
    commands = "".join(code_blocks(PAGE, "sh"))
    named = set(re.findall(r"VPTCT_\w+", selftest))
    assert named == set(re.findall(r"VPTCT_\w+", commands))
    assert (MODULE / "VPTCT" / "Testing" / "Python" / "VPTCTPanelTest.py").is_file()
