"""What another program must know to give our answer: how a study is read, and what the numbers mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vpt_plugin import __version__
from vpt_plugin.ct.intensity import air
from vpt_plugin.ct.volume import MAX_HU, MIN_HU
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.spec import ModelSpec
from vpt_plugin.tasks import ReadingTask

SCHEMA = "vptct.export/1"
USE = "For research only: not a medical device, not for clinical use."
SYNTHETIC = "It was trained on synthetic phantoms only: for demonstration, never for patients."
INPUT, OUTPUT = "clips", "logits"


@dataclass(frozen=True)
class Exported:
    """A published classifier on its way out, without its network.

    Attributes:
        task: says how a study is read.
        spec: of the network.
        card: of the version.
    """

    task: ReadingTask
    spec: ModelSpec
    card: ModelCard

    @property
    def name(self) -> str:
        """``nodule_tiny``."""
        return f"{self.card.task}_{self.card.model}"

    @property
    def clip_shape(self) -> tuple[int, int, int]:
        """A clip as the network sees it: (slices, rows, columns)."""
        return (self.spec.clip_numbers(self.task.clips).length, self.spec.crop_px, self.spec.crop_px)

    @property
    def input_range(self) -> tuple[float, float]:
        """The lowest and the highest value of a clip."""
        return (-self.task.offset, 1 - self.task.offset)

    def to_json(self) -> dict[str, Any]:
        """All of it as the JSON that goes along with an exported network."""
        return {
            "schema": SCHEMA,
            "use": self.use(),
            "task": self.task.name,
            "model": self.card.model,
            "version": self.card.version,
            "findings": list(self.task.findings),
            "input": self._input(),
            "output": {
                "name": OUTPUT,
                "shape": ["batch", len(self.task.findings)],
                "dtype": "float32",
                "means": "one logit per finding, in the order of findings",
            },
            "reading": self.reading(),
            "answer": self.answer(),
            "card": self.card.to_json(),
            "code_version": __version__,
        }

    def use(self) -> str:
        """What it may be used for."""
        return f"{USE} {SYNTHETIC}" if self.card.synthetic else USE

    def reading(self) -> dict[str, Any]:
        """From Hounsfield units to clips, in the order in which it is done."""
        numbers = self.spec.clip_numbers(self.task.clips)
        window = self.task.hu_window
        return {
            "orientation": "slices from feet to head, rows from front to back, columns from right to left "
            "(LPS+); flipped and swapped, never resampled",
            "least_hu": MIN_HU,
            "most_hu": MAX_HU,
            "resize_px": self.spec.resize_px,
            "resize": "pixels as wide as high, padded with air (-1000 HU) to a square, then by area where a "
            "slice shrinks (OpenCV's INTER_AREA) and linear where it grows; rounded to whole HU",
            "low_hu": window.low,
            "high_hu": window.high,
            "levels": "round(255 x (hu - low_hu) / (high_hu - low_hu)), within 0 to 255",
            "crop_px": self.spec.crop_px,
            "air_level": air(window),
            "clip_slices": numbers.length,
            "stride_slices": numbers.stride,
            "min_slices": numbers.min_slices,
            "clips": "one every stride_slices, the last moved back to end with the study; a study shorter "
            "than a clip is filled up with air_level at its end",
            "offset": self.task.offset,
            "scale": "level / 255 - offset",
        }

    def answer(self) -> dict[str, Any]:
        """From logits of clips to what is said of a study."""
        return {
            "temperature": self.card.temperature,
            "clip_probability": "sigmoid(logit / temperature)",
            "aggregation": self.task.aggregation,
            "study_probability": _AGGREGATIONS[self.task.aggregation],
            "thresholds": {name: self.card.threshold(name) for name in self.task.findings},
            "decision": "present where the study's probability is at or above the threshold",
            "use": self.use(),
        }

    def _input(self) -> dict[str, Any]:
        return {
            "name": INPUT,
            "shape": ["batch", 1, *self.clip_shape],
            "axes": ["batch", "channel", "slices", "rows", "columns"],
            "dtype": "float32",
            "range": list(self.input_range),
        }


_AGGREGATIONS: Mapping[str, str] = {
    "max": "the highest of the clips",
    "mean": "the mean of the clips",
    "top3_mean": "the mean of the three highest clips, or of all where there are fewer",
}
