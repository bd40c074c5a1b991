"""A page of docs/, for the tests that keep pages and code together."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def read_page(name: str) -> str:
    """The text of docs/<name>."""
    return (DOCS / name).read_text(encoding="utf-8")


def table_rows(page: str, first_header: str) -> list[list[str]]:
    """The cells of every table whose first column has this header."""
    found: list[list[str]] = []
    inside = False
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if cells and cells[0] == first_header:
            inside = True
        elif not cells:
            inside = False
        elif inside and set(cells[0]) - set("-:"):
            found.append(cells)
    return found


def code_blocks(page: str, language: str) -> list[str]:
    """The texts between ```language and ```; the language is a pattern."""
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
