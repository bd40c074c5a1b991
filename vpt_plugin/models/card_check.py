"""Whether the JSON of a model card says what a card says, each in its own type.

A card may come from anywhere: what is not looked at here would fail later and elsewhere, or answer wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field
from typing import Any

# By how a field is annotated.
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "no text"),
    "int": ((int,), "no whole number"),
    "bool": ((bool,), "neither true nor false"),
    "float": ((int, float), "no number"),
}
_OBJECT = ((dict,), "no object")


def check_card(data: Mapping[str, Any], fields: Iterable[Field[Any]]) -> None:
    """Refuse what cannot be a card; what cards of before lack is not missed.

    Args:
        data: JSON of a card.
        fields: of the card.

    Raises:
        ValueError: names the field, and says what it is not.
    """
    for each in fields:
        if each.name not in data and each.default is MISSING and each.default_factory is MISSING:
            raise ValueError(f"it lacks {each.name}")
        annotation = str(each.type)
        kinds, what = _OBJECT if annotation.startswith("Mapping") else _KINDS.get(annotation, ((), ""))
        if kinds and each.name in data:
            _require(_is_one_of(kinds, data[each.name]), data, each.name, what)
    findings = data["findings"]
    named = isinstance(findings, list) and all(isinstance(each, str) and each for each in findings)
    distinct = named and 0 < len(findings) == len(set(findings))
    _require(distinct, data, "findings", "no list of different names")
    _require(data["clip_slices"] >= 1, data, "clip_slices", "no number of slices")
    temperature = data.get("temperature", 1.0)
    _require(0 < temperature < math.inf, data, "temperature", "nothing that logits can be divided by")
    counted = all(
        isinstance(values, dict) and all(_is_one_of((int,), number) for number in values.values())
        for values in data.get("headers", {}).values()
    )
    _require(counted, data, "headers", "no count of what headers said")


def _is_one_of(kinds: tuple[type, ...], value: Any) -> bool:
    # True is a 1 to Python.
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _require(is_so: bool, data: Mapping[str, Any], name: str, what: str) -> None:
    if not is_so:
        raise ValueError(f"{name} is {data[name]!r:.80}, {what}")
