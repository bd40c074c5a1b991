"""``--conf`` of active learning: what the server computes ahead so that it can propose studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vpt_plugin.errors import ConfigurationError

KEYS = ("scoring",)
_ON_OFF = ("on", "off")


@dataclass(frozen=True)
class ActiveConf:
    """How studies are proposed.

    Attributes:
        scoring: whether what a version says of each study is computed ahead, in the background.
    """

    scoring: bool = True


def read_active_conf(conf: Mapping[str, str]) -> ActiveConf:
    """The settings out of MONAI Label's pairs of texts.

    Raises:
        ConfigurationError: a value that is not possible; names the choices.
    """
    return ActiveConf(scoring=_choice(conf, "scoring", _ON_OFF) == "on")


def _choice(conf: Mapping[str, str], key: str, choices: Sequence[str]) -> str:
    """One of the choices; the first is the default."""
    if (value := conf.get(key, choices[0]).lower()) not in choices:
        raise ConfigurationError(
            f"--conf {key} {value[:50]}: is unknown;", f"choose from {', '.join(choices)}."
        )
    return value
