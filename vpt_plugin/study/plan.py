"""Plan: networks x arms x fractions x seeds, and the cells that follow (``vptct.plan/1``).

Two are built in: ``paper`` (Ke et al., Video Pretraining Advances 3D Deep Learning on Chest CT Tasks, PMLR
227, 2023) and ``quick``, on phantoms; a site's own comes from a YAML file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.catalog import ModelSpec, get_model
from vpt_plugin.study.cells import Cell, NetworkSize, read_fields
from vpt_plugin.study.datasets import StudyDataset
from vpt_plugin.study.graph import cells_of
from vpt_plugin.training.config import FinetuneConfig

SCHEMA = "vptct.plan/1"
ALL = "all"
"""Where settings are given by network: those of every network."""
AUTO = "auto"
"""As ``steps_per_epoch``: one pass over the clips of the training side."""
# What the cells say themselves, and what a training on a manifest with sides has no use for.
_NOT_SETTINGS = ("pretraining", "start", "learning_rate", "rate_search", "seed", "folds", "comparison")
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Plan:
    """An experiment.

    Settings by network are looked up in three places, the later ones count: ``all``, the kind of the network
    (``2d``, ``3d``) and its name.

    Attributes:
        name: ``paper``, ``quick``, or the file's.
        title: for people.
        datasets: that are learned from.
        networks: names in the catalog.
        seeds: of the final cells; searches and pretrainings take the first.
        learning_rates: by network; one is fixed, of several the best on ``search_percent`` is taken.
        search_percent: of the training side, for the search.
        training: settings of ``FinetuneConfig``, by network; ``steps_per_epoch`` may be ``auto``.
        ct: what the arms with CT learn from first; None where no arm does.
        sizes: reduced sizes, by network.
        cpus: cores of a cell, by network.
        gpus: share of a GPU that a cell takes where there is one, by network.
    """

    name: str
    title: str
    datasets: tuple[StudyDataset, ...]
    networks: tuple[str, ...]
    seeds: tuple[int, ...]
    learning_rates: Mapping[str, tuple[float, ...]]
    training: Mapping[str, Mapping[str, Any]]
    search_percent: float = 10.0
    ct: StudyDataset | None = None
    sizes: Mapping[str, NetworkSize] = field(default_factory=dict)
    cpus: Mapping[str, float] = field(default_factory=lambda: {ALL: 1.0})
    gpus: Mapping[str, float] = field(default_factory=lambda: {ALL: 1.0})

    def __post_init__(self) -> None:
        self._check_names()
        for network in self.networks:
            self._check_network(network)
            require_amounts(f"plan {self.name}", self.cpus_of(network), self.gpus_of(network))

    def _check_names(self) -> None:
        names = [each.name for each in self.all_datasets]
        lists = {"datasets": names, "networks": self.networks, "seeds": self.seeds}
        for name, values in lists.items():
            if not values or len(set(values)) != len(values):
                raise ConfigurationError(
                    f"plan {self.name}: {name} must be at least one, and each only once."
                )
        if not 0 < self.search_percent <= 100:
            raise ConfigurationError(f"plan {self.name}: search_percent must be above 0 and at most 100.")
        arms = {arm for each in self.datasets for own in each.arms.values() for arm in own}
        if not arms:
            raise ConfigurationError(f"plan {self.name}: no dataset has an arm.")
        if self.ct is None and arms & {"ct", "video+ct"}:
            raise ConfigurationError(
                f"plan {self.name}: arms with CT need a set to learn from first;", "add the field ct."
            )

    def _check_network(self, network: str) -> None:
        place, spec = f"plan {self.name}, network {network}", get_model(network)
        rates = self.rates_of(network)
        if not rates or len(set(rates)) != len(rates) or min(rates) <= 0:
            raise ConfigurationError(f"{place}: learning_rates must be numbers above 0, each only once.")
        settings = self.training_of(network)
        if taken := [name for name in _NOT_SETTINGS if name in settings]:
            raise ConfigurationError(f"{place}: {taken[0]} is no setting of a plan's training.")
        known = {
            name: value for name, value in settings.items() if (name, value) != ("steps_per_epoch", AUTO)
        }
        try:
            FinetuneConfig.from_dict(known)
        except ConfigurationError as error:
            raise ConfigurationError(f"{place}: {error.message}", error.hint) from error
        arms = [arm for each in self.datasets for own in each.arms.values() for arm in own]
        if not spec.weights and any(arm.startswith("video") for arm in arms):
            raise ConfigurationError(
                f"{place}: nothing is published that it could begin from, so it has no arm video.",
                "Leave the network out, or the arms video and video+ct.",
            )

    @property
    def all_datasets(self) -> tuple[StudyDataset, ...]:
        """Those that are learned from, and that of the CT pretraining."""
        return (*self.datasets, *((self.ct,) if self.ct else ()))

    def dataset(self, name: str) -> StudyDataset:
        """The dataset of that name.

        Raises:
            ConfigurationError: names those there are.
        """
        for each in self.all_datasets:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.all_datasets)
        raise ConfigurationError(f"the plan {self.name} has no dataset {name!r};", f"choose from {known}.")

    def spec(self, network: str) -> ModelSpec:
        """What is known about the network, at the size that the plan gives it."""
        spec, size = get_model(network), self.sizes.get(network)
        return replace(spec, **asdict(size)) if size else spec

    def cpus_of(self, network: str) -> float:
        """Cores that a cell of the network takes."""
        return by_network(self.cpus, network, 1.0)

    def gpus_of(self, network: str) -> float:
        """Share of a GPU that a cell of the network takes."""
        return by_network(self.gpus, network, 1.0)

    def rates_of(self, network: str) -> tuple[float, ...]:
        """Its learning rates: one is fixed, several are searched."""
        return by_network(self.learning_rates, network, ())

    def training_of(self, network: str) -> dict[str, Any]:
        """Its settings."""
        return {name: value for key in _keys(network) for name, value in self.training.get(key, {}).items()}

    def with_manifests(self, manifests: Mapping[str, Path], ct: str = "") -> Plan:
        """The same on these manifests.

        Args:
            manifests: by the name of a dataset of the plan.
            ct: another name for the set of the CT pretraining, which then has its manifest under it.

        Raises:
            ConfigurationError: the plan has no such dataset, or a file is not there.
        """
        plan = replace(self, ct=replace(self.ct, name=ct)) if ct and self.ct else self
        for name, path in manifests.items():
            plan.dataset(name)
            if not path.is_file():
                raise ConfigurationError(f"dataset {name}: {path} is no file.", "Name its manifest, a CSV.")
        named = {name: path.absolute() for name, path in manifests.items()}

        def put(each: StudyDataset) -> StudyDataset:
            return replace(each, manifest=named.get(each.name, each.manifest))

        return replace(plan, datasets=tuple(map(put, plan.datasets)), ct=put(plan.ct) if plan.ct else None)

    def with_settings(self, settings: Mapping[str, Any]) -> Plan:
        """The same with these settings of ``FinetuneConfig`` for every network.

        Raises:
            ConfigurationError: there is no such setting, or it is none of a plan's.
        """
        if not settings:
            return self
        keys = {ALL: {}, **self.training}
        return replace(self, training={key: {**own, **settings} for key, own in keys.items()})

    def missing_manifests(self) -> tuple[ConfigurationError, ...]:
        """What is wrong with each dataset whose manifest nobody named, or is not there."""
        found = (_missing_manifest(each, ct=each == self.ct) for each in self.all_datasets)
        return tuple(each for each in found if each is not None)

    def cells(self) -> tuple[Cell, ...]:
        """All trainings, in an order in which what is needed comes first."""
        return cells_of(self)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "schema": SCHEMA,
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "datasets": [each.to_json() for each in self.datasets],
            "networks": list(self.networks),
            "seeds": list(self.seeds),
            "learning_rates": {name: list(rates) for name, rates in self.learning_rates.items()},
            "training": {name: dict(each) for name, each in self.training.items()},
            "ct": self.ct.to_json() if self.ct else None,
            "sizes": {name: asdict(size) for name, size in self.sizes.items()},
            "cpus": dict(self.cpus),
            "gpus": dict(self.gpus),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The plan that ``to_json`` wrote down.

        Raises:
            ConfigurationError: not a plan of this schema.
        """
        values = read_fields(data, SCHEMA, tuple(each.name for each in fields(cls)))
        return cls(
            **{
                **values,
                "datasets": tuple(StudyDataset.from_json(each) for each in values["datasets"]),
                "networks": tuple(values["networks"]),
                "seeds": tuple(values["seeds"]),
                "learning_rates": {name: tuple(rates) for name, rates in values["learning_rates"].items()},
                "ct": StudyDataset.from_json(values["ct"]) if values["ct"] else None,
                "sizes": {name: NetworkSize(**size) for name, size in values["sizes"].items()},
            }
        )

    @classmethod
    def read(cls, name_or_path: str) -> Plan:
        """A built-in plan by its name, or one from a YAML file.

        Raises:
            ConfigurationError: names the file, the line and the field.
        """
        from vpt_plugin.study.plan_file import read_plan

        return read_plan(name_or_path)


def _missing_manifest(dataset: StudyDataset, *, ct: bool) -> ConfigurationError | None:
    if dataset.manifest is None and ct:
        return ConfigurationError(
            "the set for CT pretraining is missing: --ct NAME=DIR/manifest.csv.",
            "Without one, leave out the arms ct and video+ct in a plan of your own.",
        )
    try:
        path = dataset.manifest_file()
    except ConfigurationError as error:
        return error
    if path.is_file():
        return None
    return ConfigurationError(
        f"dataset {dataset.name}: there is no {path}.",
        "The manifests of a plan are looked for beside it: correct it there, or name another "
        f"({'--ct' if ct else '--dataset'} {dataset.name}=DIR/manifest.csv).",
    )


def by_network(settings: Mapping[str, _Value], network: str, otherwise: _Value) -> _Value:
    """What is set for a network: for it alone, else for its kind, else for all."""
    found = [settings[key] for key in _keys(network) if key in settings]
    return found[-1] if found else otherwise


def _keys(network: str) -> tuple[str, str, str]:
    return ALL, get_model(network).kind, network


def require_amounts(asked: str, cpus: float | None = None, gpus: float | None = None) -> None:
    """Refuse an amount of cores or of a GPU that Ray could never give one training.

    Args:
        asked: who asks, for the message: ``plan site``, ``--cpus``.
        cpus: cores; None for none asked.
        gpus: share of a GPU; None for none asked.

    Raises:
        ConfigurationError: no cores, less than nothing of a GPU, or a part of a second one.
    """
    for name, amount, least in (("cpus", cpus, "above 0"), ("gpus", gpus, "0 or more")):
        if amount is None:
            continue
        enough = amount > 0 if name == "cpus" else amount >= 0
        if not (math.isfinite(amount) and enough and (amount <= 1 or amount == int(amount))):
            raise ConfigurationError(
                f"{asked}: {name} must be {least}, and a whole number above 1, not {amount:g}.",
                "A part of one is shared with other trainings, as 0.5; several are whole, as 2.",
            )
