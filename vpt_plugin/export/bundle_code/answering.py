"""From the slices of a study to the probabilities of its findings, and to a file that says them."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.inferers import Inferer
from monai.transforms import MapTransform
from torch import Tensor


def clip_starts(slices: int, *, length: int, stride: int) -> list[int]:
    """First slices of the clips that cover a study; the last clip is moved back to end with the study."""
    last = max(0, slices - length)
    return [*range(0, last, stride), last]


class StudyInferer(Inferer):  # type: ignore[misc]  # MONAI has no types
    """Has the network look at every clip of a study.

    Args:
        reading, answer: those of the bundle's metadata.
        clips_at_once: how many the network sees at a time.
    """

    def __init__(self, reading: Mapping[str, Any], answer: Mapping[str, Any], clips_at_once: int = 1) -> None:
        super().__init__()
        self.reading = reading
        self.temperature = answer["temperature"]
        self.clips_at_once = clips_at_once

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """The probabilities of one study's clips.

        Args:
            inputs: uint8 (1, 1, slices, rows, columns), one study.
            network: clips (batch, 1, slices, rows, columns) to logits (batch, findings).

        Returns:
            (1, clips, findings).
        """
        length, stride = self.reading["clip_slices"], self.reading["stride_slices"]
        slices = torch.as_tensor(inputs)[0, 0]
        parts = []
        starts = clip_starts(len(slices), length=length, stride=stride)
        for first in range(0, len(starts), self.clips_at_once):
            chosen = starts[first : first + self.clips_at_once]
            clips = torch.stack([slices[start : start + length] for start in chosen])[:, None]
            parts.append(network(clips.float().div(255).sub(self.reading["offset"])))
        return torch.sigmoid(torch.cat(parts).double() / self.temperature)[None]


class WriteAnswerd(MapTransform):  # type: ignore[misc]  # MONAI has no types
    """Makes the study's answer of the probabilities of its clips, and writes it: ``<study>.json``.

    Args:
        keys: of the probabilities, (clips, findings); the study's, (findings,), take their place.
        folder: where the answers are written; it is made.
        reading, answer: those of the bundle's metadata.
    """

    def __init__(self, keys: str, folder: str, reading: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        super().__init__(keys)
        self.folder = Path(folder)
        self.reading = reading
        self.answer = answer

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The study with its answer, which is then on the disk."""
        out = dict(data)
        for key in self.key_iterator(out):
            clips = torch.as_tensor(out[key])
            out[key] = study_probability(clips, self.answer["aggregation"])
            told = self._told(str(out["study"]), int(out["slices"]), clips, out[key])
            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{out['study']}.json"
            path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        return out

    def _told(self, study: str, slices: int, clips: Tensor, probabilities: Tensor) -> dict[str, Any]:
        length, stride = self.reading["clip_slices"], self.reading["stride_slices"]
        starts = clip_starts(slices, length=length, stride=stride)
        findings = []
        for index, (name, threshold) in enumerate(self.answer["thresholds"].items()):
            probability = float(probabilities[index])
            findings.append(
                {
                    "name": name,
                    "probability": probability,
                    "threshold": threshold,
                    "decision": "present" if probability >= threshold else "absent",
                    "clips": [
                        {
                            "first_slice": start,
                            "last_slice": min(start + length, slices) - 1,
                            "probability": float(clip[index]),
                        }
                        for start, clip in zip(starts, clips, strict=True)
                    ],
                }
            )
        return {"study": study, "use": self.answer["use"], "findings": findings}


def study_probability(clips: Tensor, aggregation: str) -> Tensor:
    """The study's probabilities, (findings,), of those of its clips, (clips, findings).

    Raises:
        ValueError: no such aggregation.
    """
    if aggregation == "max":
        return clips.amax(dim=0)
    if aggregation == "mean":
        return clips.mean(dim=0)
    if aggregation == "top3_mean":
        return clips.sort(dim=0).values[-3:].mean(dim=0)
    raise ValueError(f"unknown aggregation {aggregation!r}")
