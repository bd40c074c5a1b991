"""What an answer may have beside its probabilities: where the network looked, and the files of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MapFacts:
    """What is said in words and numbers of the heat map of one finding.

    Attributes:
        name: the finding.
        part: the part of the server's multipart answer that is the map's file; "" where there is no file.
        key_slice_mm: patient z of the slice where it glows most; None where nothing speaks for the finding.
        hottest_mm: patient position (x, y, z) of its hottest voxel in LPS, as DICOM: x to the patient's left,
            y to the back, z to the head (viewers of NIfTI show x and y with the other sign). None likewise.
    """

    name: str
    part: str
    key_slice_mm: float | None
    hottest_mm: tuple[float, float, float] | None

    def to_json(self) -> dict[str, Any]:
        """They as the JSON of the contract."""
        return {
            "name": self.name,
            "part": self.part,
            "key_slice_mm": self.key_slice_mm,
            "hottest_mm": None if self.hottest_mm is None else list(self.hottest_mm),
        }


@dataclass(frozen=True)
class HeatMapFacts:
    """What is said of all heat maps of an answer.

    Attributes:
        method: by which they came about.
        findings: those that were asked for.
    """

    method: str
    findings: tuple[MapFacts, ...]

    def to_json(self) -> dict[str, Any]:
        """They as the JSON of the contract."""
        return {"method": self.method, "findings": [each.to_json() for each in self.findings]}


@dataclass(frozen=True)
class AnswerFile:
    """A file that goes along with an answer.

    Attributes:
        part: what it is called among the parts of the answer: ``file``, ``file_lung_nodule``.
        name: of the file.
        content: its bytes.
    """

    part: str
    name: str
    content: bytes
