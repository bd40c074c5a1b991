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
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"{file}: the settings cannot be read: {' '.join(str(error).split())}."
        ) from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ConfigurationError(f"{file} holds no settings;", "write one NAME: VALUE per line.")
    return {name: _number(value) for name, value in found.items()}


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
