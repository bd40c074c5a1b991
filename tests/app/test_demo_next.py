"""The demo shows what is proposed, goes on without scores, and fails where the server does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from demo import ask_which_next
from server_process import ServerError


def answer(status: int, **content: Any) -> SimpleNamespace:
    return SimpleNamespace(ok=status < 400, status_code=status, text="words", json=lambda: content)


def server(state: SimpleNamespace, *answers: SimpleNamespace) -> Any:
    """One that answers so, each strategy in its turn."""
    rest = list(answers)
    http = SimpleNamespace(get=lambda *_, **__: state, post=lambda *_, **__: rest.pop(0))
    return SimpleNamespace(url="", http=http)


SCORED = answer(200, tasks=[{"scoring": {"scored": 24, "complete": True}}])
PROPOSED = answer(200, vptct={"studies": [{"study": "p01", "strategy": "random", "why": "By chance."}]})


def test_a_strategy_without_scores_is_passed_over() -> None:
    told = ask_which_next(server(SCORED, PROPOSED, answer(409, error="NotScoredError")), lambda *_: None)
    assert [each.study for each in told] == ["p01"]


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
