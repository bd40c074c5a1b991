"""Series to put into archives, and an archive that behaves as badly as it is told to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.store.archive import Patience

# For archives that misbehave on purpose: a test does not wait as long as a hospital would.
QUICK = Patience(connect_seconds=2, silence_seconds=0.5, pauses_seconds=(0.01, 0.01), retry_seconds=5)


@dataclass(frozen=True)
class Series:
    """A series on disk: what an archive should hand out.

    Attributes:
        uid: SeriesInstanceUID.
        study: StudyInstanceUID.
        files: by SOPInstanceUID, in the order of the slices.
    """

    uid: str
    study: str
    files: dict[str, Path]


def write_series(folder: Path, name: str, *, slices: int = 6, **values: str) -> Series:
    """A CT of 16 x 16 pixels; ``values`` replace attributes of every slice."""
    noise = np.random.default_rng(sum(name.encode())).integers(-900, 300, (slices, 16, 16))
    uid = values.pop("SeriesInstanceUID", f"1.2.826.{sum(name.encode())}.{len(name)}")
    volume = Volume(
        hu=noise.astype(np.int16),
        spacing_mm=(2.0, 3.0, 3.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=np.eye(3)[:, ::-1].copy(),
        study=name,
        provenance=Provenance("dicom", series_uid=uid, patient_id=name, description=name),
    )
    write_dicom(volume, folder / name)
    files = {}
    for path in sorted((folder / name).iterdir()):
        slice_ = pydicom.dcmread(path)
        for keyword, value in values.items():
            setattr(slice_, keyword, value)
        slice_.save_as(path)
        files[str(slice_.SOPInstanceUID)] = path
    return Series(uid, str(slice_.StudyInstanceUID), files)


def bytes_in(folder: Path) -> dict[str, bytes]:
    """What lies in a folder of slices, by SOPInstanceUID."""
    return {path.name.removesuffix(".dcm"): path.read_bytes() for path in folder.iterdir()}


def bytes_of(series: Series) -> dict[str, bytes]:
    return {uid: path.read_bytes() for uid, path in series.files.items()}


@dataclass
class Rude:
    """An archive that speaks DICOMweb as badly as it is told to; it counts what it is asked.

    Attributes:
        series: what it holds.
        listed: what it lists of a series, where that is not all.
        most_rows: it never sends more rows than that.
        minds_offset, minds_limit: whether it pages as it is asked to.
        lists_all_series: whether it offers the search for series without a study.
        before: called with each path; what it returns is answered instead: (status, content type, body).
    """

    series: list[Series] = field(default_factory=list)
    listed: dict[str, list[str]] = field(default_factory=dict)
    most_rows: int = 10**6
    minds_offset: bool = True
    minds_limit: bool = True
    lists_all_series: bool = True
    row_values: dict[str, Any] = field(default_factory=dict)
    before: Callable[[str], tuple[int, str, bytes] | None] = lambda path: None
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def count(self, end: str) -> int:
        """How many requests were made for paths with that end."""
        return sum(path.endswith(end) for path in self.asked)

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, str, bytes]:
        self.asked.append(path)
        if (own := self.before(path)) is not None:
            return own
        match path.strip("/").split("/"):
            case ["series"] if self.lists_all_series:
                rows = [self._row(each) for each in self.series]
            case ["studies"]:
                rows = [{"0020000D": value(each.study), "00080061": value("CT")} for each in self.series]
            case ["studies", study, "series"]:
                rows = [self._row(each) for each in self.series if each.study == study]
            case ["studies", _, "series", uid, "instances"]:
                held = next((list(each.files) for each in self.series if each.uid == uid), [])
                rows = [{"00080018": value(each)} for each in self.listed.get(uid, held)]
            case ["studies", _, "series", uid, "instances", instance]:
                (held_series,) = (each for each in self.series if each.uid == uid)
                return file_answer(held_series.files[instance].read_bytes())
            case _:
                return 404, "text/html", b"<html>not here</html>"
        return 200, "application/dicom+json", json.dumps(self._page(rows, query)).encode()

    def _row(self, series: Series) -> dict[str, Any]:
        texts = {"0020000D": series.study, "0020000E": series.uid, "00080060": "CT"}
        counted = {"00201209": {"vr": "IS", "Value": [len(series.files)]}}
        return {**{tag: value(text) for tag, text in texts.items()}, **counted, **self.row_values}

    def _page(self, rows: list[Any], query: dict[str, list[str]]) -> list[Any]:
        offset = int(query.get("offset", ["0"])[0]) if self.minds_offset else 0
        limit = int(query.get("limit", ["1000000"])[0]) if self.minds_limit else 10**6
        return rows[offset:][: min(limit, self.most_rows)]


def value(text: str) -> dict[str, Any]:
    return {"vr": "UI", "Value": [text]}


def file_answer(data: bytes) -> tuple[int, str, bytes]:
    body = b"--edge\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--edge--\r\n"
    return 200, 'multipart/related; type="application/dicom"; boundary=edge', body


def eventually(true: Callable[[], bool], *, seconds: float = 5) -> bool:
    """Whether it becomes true within that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.01)
    return true()
