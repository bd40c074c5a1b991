"""Cell: one training of an experiment, and its JSON (``vptct.cell/1``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any

from vpt_plugin.errors import ConfigurationError

SCHEMA = "vptct.cell/1"
STAGES = ("search", "pretrain", "final")
ARMS: Mapping[str, str] = MappingProxyType(
    {"none": "none", "video": "video/image", "ct": "CT", "video+ct": "video/image then CT"}
)
"""Where a network of the experiment starts from, and the words for it on screen."""


@dataclass(frozen=True)
class NetworkSize:
    """A reduced size of a network, for quick plans.

    Attributes:
        clip_slices: slices per clip.
        resize_px: a slice is resized to this square before cropping.
        crop_px: side of the square that the network sees.
    """

    clip_slices: int
    resize_px: int
    crop_px: int

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {value}.")
        if self.crop_px > self.resize_px:
            raise ConfigurationError(f"crop_px must be at most resize_px, which is {self.resize_px}.")


@dataclass(frozen=True)
class Cell:
    """One training.

    Attributes:
        stage: ``search``: tries one learning rate; ``pretrain``: what the arms with CT begin from; ``final``:
            its figures are the experiment's, and it alone looks at the test side.
        dataset: the name of the plan's dataset that it learns from.
        task: the name of its task.
        network: in the catalog.
        arm: of ``ARMS``. Of a pretraining: what that begins from, ``none`` or ``video``.
        percent: share of the training side that it learns from.
        seed: of the training.
        learning_rate: None for the one that ``search_cells`` choose.
        training: settings of ``FinetuneConfig`` by name, but those that the other fields say.
            ``steps_per_epoch`` may be ``auto``: one pass over the clips of the training side.
        size: a reduced size of the network; None for the catalog's.
        start_cell: the id of the pretraining that the arms with CT begin from; "" for none.
        search_cells: the ids of the cells that the learning rate is chosen from.
    """

    stage: str
    dataset: str
    task: str
    network: str
    arm: str
    percent: float
    seed: int
    learning_rate: float | None
    training: Mapping[str, Any] = field(default_factory=dict)
    size: NetworkSize | None = None
    start_cell: str = ""
    search_cells: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Readable and unique within a plan: ``rsna-swin_t-video-100-s0``; the name of a folder."""
        name = f"{self.dataset}-{self.network}-{self.arm}-{self.percent:g}-s{self.seed}"
        if self.stage == "search":
            return f"{name}-lr{rate_in_words(self.learning_rate or 0.0)}"
        return f"{name}-pretrain" if self.stage == "pretrain" else name

    @property
    def needs(self) -> tuple[str, ...]:
        """The ids of the cells that have to be done first."""
        return (*((self.start_cell,) if self.start_cell else ()), *self.search_cells)

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "schema": SCHEMA,
            "id": self.id,
            **asdict(self),
            "training": dict(self.training),
            "search_cells": list(self.search_cells),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        """The cell that ``to_json`` wrote down.

        Raises:
            ConfigurationError: not a cell of this schema.
        """
        values = read_fields(data, SCHEMA, (*(each.name for each in fields(cls)), "id"))
        del values["id"]
        size = values["size"]
        values["size"] = None if size is None else NetworkSize(**size)
        values["search_cells"] = tuple(values["search_cells"])
        return cls(**values)


def rate_in_words(rate: float) -> str:
    """``1e-3`` of 0.001, ``2.5e-4`` of 0.00025."""
    digits, _, exponent = f"{rate:e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


def read_fields(data: Any, schema: str, names: tuple[str, ...]) -> dict[str, Any]:
    """The values of a JSON document that has exactly these fields besides its schema.

    Raises:
        ConfigurationError: another schema, or a field too many or too few.
    """
    if not isinstance(data, Mapping) or data.get("schema") != schema:
        raise ConfigurationError(f"this does not follow {schema!r}.")
    given = set(data) - {"schema"}
    if unknown := sorted(given - set(names)):
        raise ConfigurationError(f"{schema}: the field {unknown[0]!r} is unknown;", "a newer VPTCT wrote it.")
    if missing := sorted(set(names) - given):
        raise ConfigurationError(f"{schema}: the field {missing[0]!r} is missing.")
    return {name: data[name] for name in names}
