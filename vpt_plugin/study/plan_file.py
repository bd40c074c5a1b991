"""A plan from YAML: every error names the file, the line and the field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.catalog import MODELS, get_model
from vpt_plugin.study.cells import NetworkSize
from vpt_plugin.study.datasets import PhantomSet, StudyDataset
from vpt_plugin.study.plan import ALL, AUTO, Plan
from vpt_plugin.training.config import require_setting

BUILT_IN = ("paper", "quick")
_KINDS = ("2d", "3d")
_Read = TypeVar("_Read")


def read_plan(name_or_path: str) -> Plan:
    """A built-in plan by its name, or one from a YAML file; see ``Plan.read``."""
    if name_or_path in BUILT_IN:
        file = resources.files("vpt_plugin.study") / "plans" / f"{name_or_path}.yaml"
        return _plan(file.read_text(encoding="utf-8"), name_or_path, f"the plan {name_or_path}", Path())
    path = Path(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the plan {name_or_path} cannot be read: {error}.",
            f"Name a YAML file, or one of the built-in plans: {', '.join(BUILT_IN)}.",
        ) from error
    return _plan(text, path.stem, name_or_path, path.absolute().parent)


def _plan(text: str, name: str, file: str, folder: Path) -> Plan:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError(f"{file}, line {line}: is not YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{file}: is not YAML: {error}.") from error
    if root is None:
        raise ConfigurationError(f"{file}, line 1: the file is empty.", f"Fields: {', '.join(_FIELDS)}.")
    top = _Field(file, "", root)
    given = top.fields(_FIELDS, required=("title", "datasets", "networks", "learning_rates"))
    values = {key: _READERS[key](field, folder) for key, field in given.items()}
    with top.told():
        return Plan(name=name, **{"seeds": (0,), "training": {}, **values})


@dataclass(frozen=True)
class _Field:
    """A value of the file.

    Attributes:
        file: as messages call it.
        at: the field's name, with those above it: ``training.2d.batch``; "" for the whole file.
        node: the YAML.
    """

    file: str
    at: str
    node: yaml.Node

    def error(self, problem: str, hint: str = "") -> ConfigurationError:
        line = self.node.start_mark.line + 1
        return ConfigurationError(
            f"{self.file}, line {line}: {self.at or 'the file'} {problem.rstrip('.')}.", hint
        )

    @contextmanager
    def told(self) -> Iterator[None]:
        """What is wrong with the value, with its line."""
        try:
            yield
        except ConfigurationError as error:
            raise self.error(f"cannot be used: {error.message.rstrip('.;')}", error.hint) from error

    def fields(self, known: tuple[str, ...] = (), required: tuple[str, ...] = ()) -> dict[str, _Field]:
        """The fields of a set of them, by name.

        Args:
            known: the names that there are; empty where any may be.
            required: those that have to be there.
        """
        hint = f"Fields: {', '.join(known)}." if known else ""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("must be a set of fields", hint)
        found: dict[str, _Field] = {}
        for key_node, value_node in self.node.value:
            name = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            key = _Field(self.file, f"{self.at}.{name}" if self.at else name, key_node)
            if not name:
                raise key.error("has a key that is no name", hint)
            if known and name not in known:
                raise key.error("is not a known field", hint)
            if name in found:
                raise key.error("is there twice")
            found[name] = _Field(self.file, key.at, value_node)
        if missing := [name for name in required if name not in found]:
            raise self.error(f"lacks the field {missing[0]}", hint)
        return found

    def value(self) -> Any:
        try:
            return yaml.SafeLoader("").construct_object(self.node, deep=True)
        except yaml.MarkedYAMLError as error:
            raise self.error(f"cannot be used: {error.problem}") from error
        except ValueError as error:  # a date like 2026-99-99
            raise self.error(f"cannot be used: {error}") from error

    def text(self) -> str:
        value = self.value()
        if not isinstance(value, str) or not value:
            raise self.error(f"must be a text, not {value!r}")
        return value

    def number(self) -> float:
        value = self.value()
        # YAML reads 1e-3 as a text: it wants a point in it.
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            with suppress(ValueError, OverflowError):
                return float(value)
        raise self.error(f"must be a number, not {value!r}")

    def whole_number(self) -> int:
        value = self.value()
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f"must be a whole number, not {value!r}")
        return value

    def several(self, read: Callable[[_Field], _Read]) -> tuple[_Read, ...]:
        """A list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("must be a list")
        return tuple(read(_Field(self.file, self.at, each)) for each in self.node.value)

    def by_network(self, read: Callable[[_Field], _Read]) -> dict[str, _Read]:
        """Values by ``all``, a kind of network, or a network."""
        found = {}
        for name, field in self.fields().items():
            if name not in (ALL, *_KINDS, *MODELS):
                raise field.error(
                    "is set for no network that there is",
                    f"Choose from {', '.join((ALL, *_KINDS, *MODELS))}.",
                )
            found[name] = read(field)
        return found

    def for_all_or_by_network(self, read: Callable[[_Field], _Read]) -> dict[str, _Read]:
        """One value for all networks, or as ``by_network``."""
        if isinstance(self.node, yaml.MappingNode):
            return self.by_network(read)
        return {ALL: read(self)}


def _dataset(field: _Field, name: str, folder: Path) -> StudyDataset:
    given = field.fields(("task", "task_file", "manifest", "phantoms", "arms"))
    values: dict[str, Any] = {}
    if "task" in given:
        values["task"] = given["task"].text()
    for key in ("task_file", "manifest"):
        if key in given:
            values[key] = folder / given[key].text()
    if "phantoms" in given:
        values["phantoms"] = _phantoms(given["phantoms"])
    if "arms" in given:
        values["arms"] = _arms(given["arms"])
    with field.told():
        dataset = StudyDataset(name, **values)
        dataset.reading_task()
    return dataset


def _phantoms(field: _Field) -> PhantomSet:
    known = tuple(each.name for each in fields(PhantomSet))
    given = field.fields(known, required=("count", "seed"))
    values: dict[str, Any] = {
        name: each.several(_Field.number) if name.endswith("_mm") else each.whole_number()
        for name, each in given.items()
    }
    with field.told():
        return PhantomSet(**values)


def _arms(field: _Field) -> Mapping[float, tuple[str, ...]]:
    arms = {}
    for percent, each in field.fields().items():
        try:
            arms[float(percent)] = each.several(_Field.text)
        except ValueError as error:
            raise each.error("is no percentage of the training side") from error
    return arms


def _ct(field: _Field, folder: Path) -> StudyDataset:
    found = field.fields()
    if len(found) != 1:
        raise field.error("must be one dataset, by its name")
    ((name, dataset),) = found.items()
    return _dataset(dataset, name, folder)


def _network(field: _Field) -> str:
    name = field.text()
    with field.told():
        return get_model(name).name


def _size(field: _Field) -> NetworkSize:
    known = tuple(each.name for each in fields(NetworkSize))
    given = field.fields(known, required=known)
    with field.told():
        return NetworkSize(**{name: each.whole_number() for name, each in given.items()})


def _settings(field: _Field) -> dict[str, Any]:
    values = {}
    for name, each in field.fields().items():
        values[name] = each.value()
        if (name, values[name]) == ("steps_per_epoch", AUTO):
            continue
        if name in ("weight_decay", "layer_decay"):
            values[name] = each.number()
        with each.told():
            require_setting(name, values[name])
    return values


def _rates(field: _Field) -> tuple[float, ...]:
    return field.several(_Field.number)


_READERS: Mapping[str, Callable[[_Field, Path], Any]] = {
    "title": lambda field, _: field.text(),
    "datasets": lambda field, folder: tuple(
        _dataset(each, name, folder) for name, each in field.fields().items()
    ),
    "ct": _ct,
    "networks": lambda field, _: field.several(_network),
    "seeds": lambda field, _: field.several(_Field.whole_number),
    "learning_rates": lambda field, _: field.for_all_or_by_network(_rates),
    "search_percent": lambda field, _: field.number(),
    "training": lambda field, _: field.by_network(_settings),
    "sizes": lambda field, _: field.by_network(_size),
    "cpus": lambda field, _: field.for_all_or_by_network(_Field.number),
    "gpus": lambda field, _: field.for_all_or_by_network(_Field.number),
}
_FIELDS = tuple(_READERS)
