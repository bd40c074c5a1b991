"""The cores and the share of a GPU that Ray gives each training, asked of the computers that there are.

Ray itself waits without a word for a computer that could give them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vpt_plugin.cluster import RayPlace
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.runner_orders import RunOptions

_SHOWN_COMPUTERS = 4


@dataclass(frozen=True)
class Amounts:
    """What a training is given.

    Attributes:
        cpus: cores.
        gpus: share of a GPU, or so many; 0 for none.
    """

    cpus: float
    gpus: float


def amounts_of(
    plan: Plan, options: RunOptions, place: RayPlace, networks: Iterable[str]
) -> dict[str, Amounts]:
    """By network, what each of its trainings is given.

    Where the plan says it, a training takes no more cores than the computer has, and no GPU where there is
    none: one plan is for all places. What the options say is taken by its word.

    Raises:
        ConfigurationError: no single computer has both, the cores and the GPUs.
    """
    return {network: _of(network, plan, options, place) for network in sorted(networks)}


def _of(network: str, plan: Plan, options: RunOptions, place: RayPlace) -> Amounts:
    gpus = options.gpus
    if gpus is None:
        gpus = plan.gpus_of(network) if place.gpus else 0.0
    most = place.cpus_beside(gpus)
    cpus = min(plan.cpus_of(network), most) if options.cpus is None else options.cpus
    if not 0 < cpus <= most:
        asked = cpus or plan.cpus_of(network)
        raise ConfigurationError(
            f"a training of {network} is to have {_in_words(asked, gpus)}, and no single computer has both: "
            f"{_computers(place)}.",
            "Ask for less with --cpus and --gpus.",
        )
    return Amounts(cpus, gpus)


def _computers(place: RayPlace) -> str:
    told = [f"{each.name} has {_in_words(each.cpus, each.gpus)}" for each in place.computers]
    more = len(told) - _SHOWN_COMPUTERS
    return ", ".join(told[:_SHOWN_COMPUTERS]) + (f", and {more} more" if more > 0 else "")


def _in_words(cpus: float, gpus: float) -> str:
    """``4 cores and 0.5 GPU``."""
    cores = f"{cpus:g} core{'' if cpus == 1 else 's'}"
    return f"{cores} and {f'{gpus:g}' if gpus else 'no'} GPU{'s' if gpus > 1 else ''}"
