"""``--conf`` of active learning: how studies are proposed, what is computed ahead for it, when to retrain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vpt_plugin.errors import ConfigurationError

KEYS = (
    "lease_minutes", "double_read", "random_share", "min_each", "active_model", "active_seed",
    "scoring", "scoring_studies", "retrain", "retrain_every",
)  # fmt: skip
OFF, PROPOSE, START = "off", "propose", "start"
_ON_OFF = ("on", "off")
_RETRAIN = (PROPOSE, OFF, START)
_WEEK_MINUTES = 7 * 24 * 60


@dataclass(frozen=True)
class ActiveConf:
    """How studies are proposed.

    Attributes:
        lease_minutes: how long a study that was offered is kept for its reader.
        double_read: the share of offers that are second readings, 0 to 1.
        random_share: the share of the picks of ``auto`` that are left to chance, 0 to 1.
        min_each: how many labels of each state of each finding ``auto`` wants before it asks the network.
        model: the network that chooses; "" takes, for each task, the one whose version was served last.
        seed: of all that is drawn.
        scoring: whether what a version says of each study is computed ahead, in the background.
        scoring_studies: how many studies are scored at most.
        retrain: ``off``, ``propose`` (a sentence with every offer) or ``start`` (a training is ordered).
        retrain_every: so many labels that the served version does not know are a reason to train again.
    """

    lease_minutes: float = 30.0
    double_read: float = 0.0
    random_share: float = 0.1
    min_each: int = 5
    model: str = ""
    seed: int = 0
    scoring: bool = True
    scoring_studies: int = 10_000
    retrain: str = PROPOSE
    retrain_every: int = 20


def read_active_conf(conf: Mapping[str, str], networks: Sequence[str]) -> ActiveConf:
    """The settings out of MONAI Label's pairs of texts; other keys are passed over.

    Args:
        conf: the pairs.
        networks: the names of those that are served; one of them may choose.

    Raises:
        ConfigurationError: a value that is not possible; names the choices.
    """
    default = ActiveConf()
    model = conf.get("active_model", "").strip()
    if model and model not in networks:
        raise ConfigurationError(
            f"--conf active_model {model[:50]}: is not served;", f"choose from {', '.join(networks)}."
        )
    return ActiveConf(
        lease_minutes=_number(conf, "lease_minutes", default.lease_minutes, _WEEK_MINUTES, above_0=True),
        double_read=_number(conf, "double_read", default.double_read, 1),
        random_share=_number(conf, "random_share", default.random_share, 1),
        min_each=_count(conf, "min_each", default.min_each),
        model=model,
        seed=_count(conf, "active_seed", default.seed, least=0),
        scoring=_choice(conf, "scoring", _ON_OFF) == "on",
        scoring_studies=_count(conf, "scoring_studies", default.scoring_studies),
        retrain=_choice(conf, "retrain", _RETRAIN),
        retrain_every=_count(conf, "retrain_every", default.retrain_every),
    )


def _choice(conf: Mapping[str, str], key: str, choices: Sequence[str]) -> str:
    """One of the choices; the first is the default."""
    if (value := conf.get(key, choices[0]).lower()) not in choices:
        raise ConfigurationError(
            f"--conf {key} {value[:50]}: is unknown;", f"choose from {', '.join(choices)}."
        )
    return value


def _number(
    conf: Mapping[str, str], key: str, default: float, most: float, *, above_0: bool = False
) -> float:
    try:
        number = float(conf.get(key, default))
    except ValueError:
        number = math.nan
    if not (0 <= number <= most) or (above_0 and number == 0):
        least = "above 0, at most" if above_0 else "from 0 to"
        raise ConfigurationError(f"--conf {key} {conf[key][:50]}: give a number {least} {most}.")
    return number


def _count(conf: Mapping[str, str], key: str, default: int, *, least: int = 1) -> int:
    text = conf.get(key, str(default)).strip()
    # Not int() alone: it takes 1_000 and digits of all alphabets.
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) >= least):
        raise ConfigurationError(f"--conf {key} {text[:50]}: give a whole number from {least} to 999999999.")
    return int(text)
