"""The strategies as MONAI Label lists them in ``GET /info/``; its clients take the first as the default."""

from __future__ import annotations

from typing import Any, NoReturn

from monailabel.interfaces.tasks.strategy import Strategy

from vpt_plugin.acquisition.strategies import STRATEGIES, StrategySpec

from ..errors import NotOfferedError


class ListedStrategy(Strategy):
    """A strategy by its name, for a client's menu."""

    def __init__(self, spec: StrategySpec) -> None:
        super().__init__(f"{spec.title}: {spec.description}")

    def __call__(self, request: dict[str, Any], datastore: object) -> NoReturn:
        """MONAI Label's call: not offered, for it has nobody whom the study could be kept for."""
        raise NotOfferedError(
            "strategies are not called in the server;", "POST /activelearning/{strategy} asks one."
        )


def listed_strategies() -> dict[str, Strategy]:
    """All strategies by name, the default first."""
    return {name: ListedStrategy(spec) for name, spec in STRATEGIES.items()}


def strategies_info() -> list[dict[str, str]]:
    """What our clients are told of each strategy, the default first."""
    return [
        {"name": spec.name, "title": spec.title, "description": spec.description, "needs": spec.needs}
        for spec in STRATEGIES.values()
    ]
