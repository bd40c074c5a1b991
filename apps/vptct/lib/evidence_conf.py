"""``--conf`` of what stands beside a probability: how sure, whether a study is answered, the report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference.conformal import DEFAULT_ERROR_RATE, check_error_rate
from vpt_plugin.inference.fitness import REFUSE, UNSUITABLE

KEYS = ("error_rate", "unsuitable", "report")
OFF, FILE, ARCHIVE = "off", "file", "archive"
_REPORT = (FILE, ARCHIVE, OFF)


@dataclass(frozen=True)
class EvidenceConf:
    """What is said beside a probability.

    Attributes:
        error_rate: of the studies of either state so many at most are decided wrongly; the rest is unsure.
        unsuitable: ``refuse`` or ``warn``: what a study gets for which an answer would be meaningless.
        report: whether an answer can be had as a DICOM structured report: ``off``, as a ``file``, or also
            sent to the ``archive`` that the study is from.
    """

    error_rate: float = DEFAULT_ERROR_RATE
    unsuitable: str = REFUSE
    report: str = FILE


def read_evidence_conf(conf: Mapping[str, str]) -> EvidenceConf:
    """This part of the configuration; other keys are passed over.

    Raises:
        ConfigurationError: a value that is not possible; names the choices.
    """
    return EvidenceConf(
        error_rate=_error_rate(conf),
        unsuitable=_choice(conf, "unsuitable", tuple(UNSUITABLE)),
        report=_choice(conf, "report", _REPORT),
    )


def _error_rate(conf: Mapping[str, str]) -> float:
    text = conf.get("error_rate", str(DEFAULT_ERROR_RATE))
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    try:
        return check_error_rate(number)
    except ConfigurationError as error:
        raise ConfigurationError(f"--conf error_rate {text[:50]}: is no error rate;", error.hint) from error


def _choice(conf: Mapping[str, str], key: str, choices: Sequence[str]) -> str:
    """One of the choices; the first is the default."""
    if (value := conf.get(key, choices[0]).lower()) not in choices:
        raise ConfigurationError(
            f"--conf {key} {value[:50]}: is unknown;", f"choose from {', '.join(choices)}."
        )
    return value
