"""How a study is read for a network: the facts that must be the same in training and afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.tasks import ReadingTask

_WORDS = {
    "hu_window": "HU window", "offset": "offset", "clip_slices": "clip length", "stride_slices": "stride",
    "min_positive_slices": "min_positive_slices", "aggregation": "aggregation",
    "resize_px": "slices resized to", "crop_px": "slices cropped to",
}  # fmt: skip
_OF_THE_NETWORK = ("resize_px", "crop_px")


def reading_facts(task: ReadingTask, spec: ModelSpec) -> dict[str, Any]:
    """What task and network together say of how a study is read, as JSON knows it (``ModelCard.reading``)."""
    numbers = spec.clip_numbers(task.clips)
    return {
        "hu_window": {"centre": task.hu_window.centre, "width": task.hu_window.width},
        "offset": task.offset,
        "clip_slices": numbers.length,
        "stride_slices": numbers.stride,
        "min_positive_slices": numbers.min_positive_slices,
        "aggregation": task.aggregation,
        "resize_px": spec.resize_px,
        "crop_px": spec.crop_px,
    }


def reading_difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """``HU window -600/1500, the task has 400/1000``, for every fact that differs; "" where none does."""
    return "; ".join(
        f"{_WORDS[name]} {_in_words(then.get(name))}, "
        f"the {'network' if name in _OF_THE_NETWORK else 'task'} has {_in_words(value)}"
        for name, value in now.items()
        if then.get(name) != value
    )


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "/".join(_in_words(each) for each in value.values())
    return f"{value:g}" if isinstance(value, float) else str(value)
