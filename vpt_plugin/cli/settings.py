"""Settings of a training as the command line takes them: a YAML file, ``--set NAME=VALUE``, and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vpt_plugin.errors import ConfigurationError


def training_settings(
    file: Path | None, assignments: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """All settings that were given, as ``FinetuneConfig.from_dict`` takes them.

    Args:
        file: YAML of names and values; None for none.
        assignments: ``NAME=VALUE`` each; they count more than the file.
        options: by name, None where one was not given; they count more than both.

    Raises:
        ConfigurationError: the file cannot be read, or a text is no assignment.
    """
    settings = {} if file is None else _from_file(file)
    for text in assignments:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ConfigurationError(f"--set {text!r} is no setting;", "write NAME=VALUE, as in epochs=20.")
        settings[name.strip()] = _value(text, value)
    return settings | {name: value for name, value in options.items() if value is not None}


def _from_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            f"{file}: there is no such file of settings.", "Give one of NAME: VALUE lines, or leave it out."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file}: the settings cannot be read: {error}.") from error
    try:
        lines = _lines(file, yaml.compose(text, yaml.SafeLoader))
        found = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}, line {mark.line + 1}" if mark else str(file)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ConfigurationError(
            f"{where}: the settings cannot be read: {problem}.", "Write one NAME: VALUE per line."
        ) from error
    settings = {name: _number(value) for name, value in found.items()}
    for name, value in settings.items():
        _check(f"{file}, line {lines[name]}", name, value)
    return settings


def _lines(file: Path, document: yaml.Node | None) -> dict[str, int]:
    """On which line, from 1, every setting stands.

    Raises:
        ConfigurationError: the document is none of settings, or has one of them twice.
    """
    if document is None:
        return {}
    pairs = document.value if isinstance(document, yaml.MappingNode) else [(document, document)]
    lines: dict[str, int] = {}
    for key, _ in pairs:
        line = key.start_mark.line + 1
        if key.tag != "tag:yaml.org,2002:str":
            raise ConfigurationError(
                f"{file}, line {line}: this is no setting;", "write one NAME: VALUE per line."
            )
        if key.value in lines:
            raise ConfigurationError(
                f"{file}, line {line}: {key.value} is there already, on line {lines[key.value]};",
                "keep one of the two.",
            )
        lines[key.value] = line
    return lines


def _check(where: str, name: str, value: Any) -> None:
    """Refuse one setting that could not be, with the line where it stands."""
    from vpt_plugin.training.config import require_setting

    try:
        require_setting(name, value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error.message}", error.hint) from error


def _value(text: str, value: str) -> Any:
    try:
        return _number(yaml.safe_load(value))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"--set {text!r}: the value cannot be read.") from error


def _number(value: Any) -> Any:
    """YAML takes 1e-4, which has no point, for a text."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value
