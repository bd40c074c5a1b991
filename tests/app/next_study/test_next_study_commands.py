"""The curl commands of the docs on leases and skips do, on this server, what the pages say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from next_study_asks import ask, held, state

DOCS = Path(__file__).resolve().parents[3] / "docs"
STUDY = "p01--ct.nii.gz"


def commands(page: str) -> list[list[str]]:
    """The words of the curl commands on a page that are on a lease or a skip, in their order."""
    text = (DOCS / page).read_text(encoding="utf-8")
    lines = re.findall(r"^curl .*activelearning/(?:leases|skips)/.*$", text, re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


def sent(running: Any, words: list[str], token: str) -> Any:
    """The answer of this server to such a command; TOKEN stands for the token."""
    method, headers, content, address = "GET", {}, None, ""
    rest = iter(words)
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value.replace("TOKEN", token)
        elif word == "-d":
            content = next(rest)
        else:
            address = word
    parts = urlsplit(address)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return running.ask(method, path, headers=headers, content=content)


@pytest.mark.parametrize(("page", "login"), [("active-learning.md", False), ("server.md", True)])
def test_extend_give_back_skip_and_unskip_are_each_on_the_page_and_work(
    site, tokens, tmp_path: Path, page: str, login: bool
) -> None:
    (tmp_path / "studies" / "p01").mkdir(parents=True)
    (tmp_path / "studies" / "p01" / "ct.nii.gz").write_bytes(b"x")
    running = site(count=0, **({"token_file": str(tmp_path / "tokens")} if login else {}))
    # Who may do all four.
    token = tokens["rita"] if login else ""
    extend, give_back, skip, unskip = commands(page)
    wish = {"token": token, "task": "pe", "client_id": "anna"}
    first = ask(running, **wish)["vptct"]["studies"][0]
    assert first["study"] == STUDY
    assert sent(running, extend, token).json()["until"] > first["lease"]["until"]
    assert sent(running, give_back, token).json() == {}
    assert held(running, token=token) == []
    ask(running, **wish)
    assert sent(running, skip, token).json() == {}
    (told,) = state(running, token=token)["skips"]
    assert (told["study"], told["task"], told["reason"]) == (STUDY, "pe", "poor_quality")
    assert told["reader"] == ("rita" if login else "anna")
    assert "id" not in ask(running, **wish)
    assert sent(running, unskip, token).json() == {}
    assert ask(running, **wish)["id"] == STUDY
