"""StudyDataset: labelled studies that an experiment learns from, and the arms that are run on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vpt_plugin.data.phantom import PhantomConfig
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.study.cells import ARMS
from vpt_plugin.tasks import ReadingTask, get_task, load_task_file

PHANTOM_TASKS = ("nodule", "pe")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class PhantomSet:
    """Phantoms that a dataset is made of.

    Attributes:
        count: how many studies.
        seed: the same seed makes the same studies; two datasets need two seeds.
        first_patient: the number in the first patient's name. Two datasets need patients of their own: what
            was learned of one in the pretraining must not be told again in the test.
        pixels: rows and columns of a slice.
        slice_spacings_mm, nodule_diameters_mm: see ``PhantomConfig``; wide slices and large nodules are quick
            to make and to learn.
    """

    count: int
    seed: int
    first_patient: int = 1
    pixels: int = PhantomConfig.pixels
    slice_spacings_mm: tuple[float, ...] = PhantomConfig.slice_spacings_mm
    nodule_diameters_mm: tuple[float, float] = PhantomConfig.nodule_diameters_mm

    def __post_init__(self) -> None:
        for name, least in (("count", 1), ("seed", 0), ("first_patient", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name} of phantoms must be at least {least}.")
        if len(self.nodule_diameters_mm) != 2:
            raise ConfigurationError("nodule_diameters_mm are two: the smallest and the largest.")
        try:
            _ = self.config
        except ValueError as error:
            raise ConfigurationError(f"{error}.") from error

    @property
    def config(self) -> PhantomConfig:
        """What they are drawn from."""
        return PhantomConfig(
            pixels=self.pixels,
            slice_spacings_mm=self.slice_spacings_mm,
            nodule_diameters_mm=self.nodule_diameters_mm,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PhantomSet:
        """The set that ``asdict`` wrote down as JSON."""
        values: dict[str, Any] = {
            name: tuple(each) if isinstance(each, list) else each for name, each in data.items()
        }
        return cls(**values)


@dataclass(frozen=True)
class StudyDataset:
    """Labelled studies that an experiment learns from.

    Attributes:
        name: part of the ids of cells.
        task: the name of a built-in task; "" where ``task_file`` tells it.
        arms: by percent of the training side, the arms that are run; empty of the set for CT pretraining.
        manifest: the CSV; None where it is still to be named, or the phantoms to be made.
        task_file: a site's own task.
        phantoms: what the dataset is made of where it is made of phantoms.
    """

    name: str
    task: str = ""
    arms: Mapping[float, tuple[str, ...]] = field(default_factory=dict)
    manifest: Path | None = None
    task_file: Path | None = None
    phantoms: PhantomSet | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"{self.name!r} is no name of a dataset:", "use a-z, 0-9 and _, beginning with a letter."
            )
        if bool(self.task) == (self.task_file is not None):
            raise ConfigurationError(f"dataset {self.name}: give either task or task_file.")
        if self.phantoms and self.task not in PHANTOM_TASKS:
            raise ConfigurationError(
                f"dataset {self.name}: there are no phantoms of the task {self.task or self.task_file};",
                f"choose from {', '.join(PHANTOM_TASKS)}.",
            )
        for percent, arms in self.arms.items():
            if not 0 < percent <= 100:
                raise ConfigurationError(f"dataset {self.name}: {percent:g} is no percentage above 0.")
            if unknown := [arm for arm in arms if arm not in ARMS]:
                raise ConfigurationError(
                    f"dataset {self.name}: the arm {unknown[0]!r} is unknown;",
                    f"choose from {', '.join(ARMS)}.",
                )

    @property
    def percents(self) -> tuple[float, ...]:
        """Shares of the training side."""
        return tuple(self.arms)

    def reading_task(self) -> ReadingTask:
        """The task.

        Raises:
            UnknownTaskError, TaskFileError: it cannot be had.
        """
        return load_task_file(self.task_file) if self.task_file else get_task(self.task)

    def manifest_file(self) -> Path:
        """The CSV.

        Raises:
            ConfigurationError: it was not named.
        """
        if self.manifest is None:
            raise ConfigurationError(
                f"dataset {self.name}: no manifest was named.",
                f"Name one (--dataset {self.name}=DIR/manifest.csv); `vpt import` makes one.",
            )
        return self.manifest

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **asdict(self),
            "arms": [{"percent": percent, "arms": list(arms)} for percent, arms in self.arms.items()],
            "manifest": str(self.manifest) if self.manifest else None,
            "task_file": str(self.task_file) if self.task_file else None,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StudyDataset:
        """The dataset that ``to_json`` wrote down."""
        arms = {float(each["percent"]): tuple(each["arms"]) for each in data["arms"]}
        paths = {name: Path(data[name]) if data[name] else None for name in ("manifest", "task_file")}
        phantoms = PhantomSet.from_json(data["phantoms"]) if data["phantoms"] else None
        return cls(**{**data, "arms": arms, **paths, "phantoms": phantoms})
