"""Wish: what a client asks for beside the probabilities, out of ``params``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vpt_plugin.inference.conformal import check_error_rate
from vpt_plugin.training.other_versions import MOST_VERSIONS

from ..errors import BadRequestError
from ..params import HARMLESS, check_known, json_object

KEYS = ("explain", "error_rate", "versions", "anyway")


@dataclass(frozen=True)
class Wish:
    """What is asked for beside the probabilities.

    Attributes:
        explain: the findings whose heat maps are wanted, in the task's order.
        error_rate: at which it is decided what is unsure; None takes the server's.
        versions: how many other versions are asked, too.
        anyway: answer even where an answer would be meaningless.
    """

    explain: tuple[str, ...] = ()
    error_rate: float | None = None
    versions: int = 0
    anyway: bool = False


def read_wish(params: str, findings: Sequence[str]) -> Wish:
    """The wish in the text of ``params``.

    Args:
        params: a JSON object, or "".
        findings: of the task.

    Raises:
        BadRequestError: no JSON object, an unknown key, or a value that cannot be; names the choices.
        ConfigurationError: no error rate.
    """
    values = json_object(params, "params")
    hint = "The study is named by image, session_id or file."
    check_known(values, (*KEYS, *HARMLESS), "params", hint)
    return Wish(
        explain=_explain(values.get("explain"), findings),
        error_rate=_error_rate(values),
        versions=_versions(values.get("versions", 0)),
        anyway=_flag(values.get("anyway", False), "anyway"),
    )


def _explain(wanted: Any, findings: Sequence[str]) -> tuple[str, ...]:
    if wanted is None or isinstance(wanted, bool):
        return tuple(findings) if wanted else ()
    named = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(named, list) or not named or not all(each in findings for each in named):
        raise BadRequestError(
            "params.explain names no findings of this task;",
            f"give true for all, or one or a list of {', '.join(findings)}.",
        )
    return tuple(each for each in findings if each in named)


def _error_rate(values: Mapping[str, Any]) -> float | None:
    rate = values.get("error_rate")
    if rate is None:
        return None
    if isinstance(rate, bool) or not isinstance(rate, (int, float)):
        raise BadRequestError("params.error_rate is no number;", "give a share of studies, such as 0.1.")
    return check_error_rate(rate)


def _versions(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MOST_VERSIONS:
        raise BadRequestError(
            "params.versions is no number of other versions;",
            f"give a whole number from 0 to {MOST_VERSIONS}.",
        )
    return number


def _flag(value: Any, key: str) -> bool:
    if not isinstance(value, bool):
        raise BadRequestError(f"params.{key} is neither true nor false.")
    return value
