"""Fields: one JSON object of an answer, read key by key; what is not as agreed is named with its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, TypeVar

from ..errors import ContractError

T = TypeVar("T")
_HINT = "Is this the address of a VPTCT server? If so, update this module or the server."
_KINDS = {
    dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number",
    float: "a number", type(None): "null",
}  # fmt: skip


class Fields:
    """One object of an answer. Every method raises ContractError where something else stands there.

    Args:
        data: the decoded JSON.
        at: where it stands, for messages: ``vptct.result/1: findings[0]``.
    """

    def __init__(self, data: object, at: str) -> None:
        if not isinstance(data, dict):
            raise _wrong(at, data, "an object")
        self.data: Mapping[str, Any] = data
        self.at = at

    @classmethod
    def of_schema(cls, data: object, schema: str) -> Fields:
        """An object that says itself of which contract it is.

        Raises:
            ContractError: of none, or of another one.
        """
        fields = cls(data, schema)
        said = fields.data.get("schema")
        if said != schema:
            what = f"says {said!r}" if isinstance(said, str) else "names no schema"
            raise ContractError(f"the server's answer {what[:100]}, where {schema} is understood.", _HINT)
        return fields

    def text(self, name: str) -> str:
        """A text."""
        value = self._value(name)
        if not isinstance(value, str):
            raise _wrong(self._at(name), value, "a text")
        return value

    def number(self, name: str) -> float:
        """A number, whole or not."""
        return _number(self._value(name), self._at(name))

    def whole(self, name: str) -> int:
        """A whole number."""
        value = self._value(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(self._at(name), value, "a whole number")
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        value = self._value(name)
        if not isinstance(value, bool):
            raise _wrong(self._at(name), value, "true or false")
        return value

    def inner(self, name: str) -> Fields:
        """An object."""
        return Fields(self._value(name), self._at(name))

    def maybe(self, read: Callable[[str], T], name: str) -> T | None:
        """What ``read`` makes of the key; None for null: ``fields.maybe(fields.text, "problem")``."""
        return None if self._value(name) is None else read(name)

    def optional(self, read: Callable[[str], T], name: str) -> T | None:
        """The same; None also where an older server has no such key."""
        return self.maybe(read, name) if name in self.data else None

    def part(self, name: str, read: Callable[[Fields], T]) -> T:
        """What ``read`` makes of the object of that name."""
        return read(self.inner(name))

    def part_or_none(self, name: str, read: Callable[[Fields], T]) -> T | None:
        """The same; None where null stands."""
        return None if self._value(name) is None else read(self.inner(name))

    def parts(self, name: str, read: Callable[[Fields], T]) -> tuple[T, ...]:
        """What ``read`` makes of each object in a list."""
        return tuple(read(Fields(each, at)) for each, at in self._elements(name))

    def named(self, name: str, read: Callable[[Fields], T]) -> dict[str, T]:
        """What ``read`` makes of each object in an object whose keys are names."""
        inner = self.inner(name)
        return {key: read(inner.inner(key)) for key in inner.data}

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        found = []
        for each, at in self._elements(name):
            if not isinstance(each, str):
                raise _wrong(at, each, "a text")
            found.append(each)
        return tuple(found)

    def numbers(self, name: str) -> dict[str, float]:
        """An object of numbers by name."""
        inner = self.inner(name)
        return {key: inner.number(key) for key in inner.data}

    def numbers_or_null(self, name: str) -> dict[str, float | None]:
        """An object of numbers by name, of which some may not be known."""
        inner = self.inner(name)
        return {key: inner.maybe(inner.number, key) for key in inner.data}

    def counts(self, name: str) -> dict[str, int]:
        """An object of whole numbers by name."""
        inner = self.inner(name)
        return {key: inner.whole(key) for key in inner.data}

    def pair(self, name: str) -> tuple[float, float]:
        """A list of two numbers."""
        return _pair(self._value(name), self._at(name))

    def point(self, name: str) -> tuple[float, float, float]:
        """A list of three numbers."""
        value = self._value(name)
        if not isinstance(value, list) or len(value) != 3:
            raise _wrong(self._at(name), value, "a list of three numbers")
        x, y, z = (_number(each, f"{self._at(name)}[{index}]") for index, each in enumerate(value))
        return x, y, z

    def interval(self, name: str) -> tuple[float, float] | None:
        """A list of two numbers; None where there is none, which the server writes as two nulls, or one."""
        value = self._value(name)
        return None if value is None or value == [None, None] else self.pair(name)

    def pairs(self, name: str) -> tuple[tuple[float, float], ...]:
        """A list of lists of two numbers."""
        return tuple(_pair(each, at) for each, at in self._elements(name))

    def table(self, name: str) -> tuple[tuple[int, ...], ...]:
        """A list of lists of whole numbers."""
        rows = []
        for each, at in self._elements(name):
            if not isinstance(each, list) or not all(type(cell) is int for cell in each):
                raise _wrong(at, each, "a list of whole numbers")
            rows.append(tuple(each))
        return tuple(rows)

    def _value(self, name: str) -> Any:
        if name not in self.data:
            raise ContractError(f"the server's answer has no {self._at(name)}.", _HINT)
        return self.data[name]

    def _elements(self, name: str) -> list[tuple[Any, str]]:
        value = self._value(name)
        if not isinstance(value, list):
            raise _wrong(self._at(name), value, "a list")
        return [(each, f"{self._at(name)}[{index}]") for index, each in enumerate(value)]

    def _at(self, name: str) -> str:
        return (
            f"{self.at}.{name[:100]}" if " " in self.at or "." not in self.at else f"{self.at}: {name[:100]}"
        )


def _pair(value: object, at: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise _wrong(at, value, "a list of two numbers")
    return (_number(value[0], f"{at}[0]"), _number(value[1], f"{at}[1]"))


def _number(value: object, at: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(at, value, "a number")
    try:
        return float(value)
    except OverflowError as error:
        raise _wrong(at, value, "a number that a float can hold") from error


def _wrong(at: str, value: object, agreed: str) -> ContractError:
    return ContractError(f"in the server's answer {at} is {_KINDS[type(value)]}, not {agreed}.", _HINT)
