"""The demo shows what is proposed, goes on without scores, and fails where the server does."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import demo
import pytest
from demo import Demo, ask_which_next, print_how_to_keep
from rich.console import Console
from server_process import ServerError


def answer(status: int, **content: Any) -> SimpleNamespace:
    return SimpleNamespace(ok=status < 400, status_code=status, text="words", json=lambda: content)


def server(state: SimpleNamespace, *answers: SimpleNamespace, takes_back: int = 200) -> Any:
    """One that answers so, each strategy in its turn."""
    rest, freed = list(answers), []

    def delete(address: str, **options: Any) -> SimpleNamespace:
        freed.append((address, options["params"]))
        return answer(takes_back)

    http = SimpleNamespace(get=lambda *_, **__: state, post=lambda *_, **__: rest.pop(0), delete=delete)
    return SimpleNamespace(url="", http=http, freed=freed)


SCORED = answer(200, tasks=[{"scoring": {"scored": 24, "complete": True}}])
LEASE = {"study": "p01", "holder": "nobody-5f"}
PROPOSED = answer(
    200, vptct={"studies": [{"study": "p01", "strategy": "random", "why": "By chance.", "lease": LEASE}]}
)


def test_a_strategy_without_scores_is_passed_over() -> None:
    told = ask_which_next(server(SCORED, PROPOSED, answer(409, error="NotScoredError")), lambda *_: None)
    assert [each.study for each in told] == ["p01"]


def test_what_was_proposed_is_free_again_afterwards() -> None:
    asked = server(SCORED, PROPOSED, answer(409, error="NotScoredError"))
    ask_which_next(asked, lambda *_: None)
    assert asked.freed == [("/activelearning/leases/p01", {"holder": "nobody-5f"})]


def test_a_server_that_takes_no_study_back_fails_the_demo() -> None:
    asked = server(SCORED, PROPOSED, PROPOSED, takes_back=500)
    with pytest.raises(ServerError, match="500 words"):
        ask_which_next(asked, lambda *_: None)


def test_the_bar_of_a_training_stays_where_it_was_when_its_end_counts_nothing(tmp_path: Path) -> None:
    console = Console(record=True, width=110)
    with Demo(tmp_path, console)._part("training") as advance:
        advance(800, 800)
        advance(0, 0, "training: done")
    shown = console.export_text()
    assert "training: done" in shown
    assert "800/800" in shown


def test_the_command_that_keeps_everything_can_be_typed_where_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(demo.__file__).resolve().parents[1]
    monkeypatch.chdir(root)
    monkeypatch.setattr("sys.executable", str(root / ".venv" / "bin" / "python"))
    monkeypatch.setattr("sys.argv", ["apps/demo.py", "--steps", "100"])
    console = Console(record=True, width=110)
    print_how_to_keep(console)
    interpreter, script = Path(".venv/bin/python"), Path("apps/demo.py")
    assert f"{interpreter} {script} --steps 100 --keep" in console.export_text().splitlines()


@pytest.mark.parametrize(
    "asked",
    [
        (SCORED, answer(500)), (SCORED, PROPOSED, answer(503)), (answer(500),),
        (SCORED, answer(409, error="LeaseError")),
    ],
    ids=["a proposal", "the second proposal", "the state", "a refusal of another kind"],
)  # fmt: skip
def test_a_server_that_fails_fails_the_demo(asked: tuple[SimpleNamespace, ...]) -> None:
    with pytest.raises(ServerError, match=r"(50[03]|409) words"):
        ask_which_next(server(*asked), lambda *_: None)
