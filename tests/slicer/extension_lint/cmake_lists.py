"""The lists in a module's CMakeLists.txt: what is not in them is not packaged."""

from __future__ import annotations

import re
from pathlib import Path


def variables(text: str) -> dict[str, list[str]]:
    """What ``set`` sets: the words by variable, quotes taken off and variables put in.

    Args:
        text: of a CMakeLists.txt.
    """
    code = re.sub(r"(?m)#.*$", "", text)
    found: dict[str, list[str]] = {}
    for name, words in re.findall(r"\bset\(\s*(\w+)\s+((?:\"[^\"]*\"|[^()\"])*)\)", code):
        values = [quoted or bare for quoted, bare in re.findall(r"\"([^\"]*)\"|([^\s\"]+)", words)]
        found[name] = [_with_variables(value, found) for value in values]
    return found


def calls(text: str, macro: str) -> list[list[str]]:
    """The words of each call of a macro."""
    code = re.sub(r"(?m)#.*$", "", text)
    return [words.split() for words in re.findall(rf"\b{macro}\(([^)]*)\)", code)]


def differences(listed: list[str], folder: Path, patterns: tuple[str, ...]) -> list[str]:
    """What is wrong with a list of the files that match the patterns in a folder."""
    there = {
        str(path.relative_to(folder))
        for pattern in patterns
        for path in folder.glob(pattern)
        if path.is_file() and "__pycache__" not in path.parts
    }
    twice = {name for name in listed if listed.count(name) > 1}
    return [
        *(f"{name} is not listed: it would not be packaged" for name in sorted(there - set(listed))),
        *(f"{name} is listed and does not exist" for name in sorted(set(listed) - there)),
        *(f"{name} is listed twice" for name in sorted(twice)),
    ]


def _with_variables(value: str, known: dict[str, list[str]]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda match: ";".join(known.get(match[1], [match[0]])), value)
