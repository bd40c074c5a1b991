"""Site: a folder of very small studies whose readers save labels, and trainings that select among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.clip_dataset import ClipShape
from vpt_plugin.data.phantom import write_dicom, write_nrrd
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.data.split_file import Split, SplitFile
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.selection import TrainingData, select_studies
from vpt_plugin.training.sources import TrainingSource, open_source

NODULE = TASKS["nodule"]
SHAPE = ClipShape(length=8, stride=6, crop_px=8, min_positive_slices=4, air=58, min_slices=4)
SLICES, PIXELS = 6, 8
SIDES = FinetuneConfig(folds=0)


def small_volume(seed: int, patient: str = "", *, slices: int = SLICES) -> Volume:
    """Noise; another seed, another scan."""
    hu = np.random.default_rng(seed).integers(-1000, 400, (slices, PIXELS, PIXELS)).astype(np.int16)
    provenance = Provenance("dicom", patient_id=patient)
    return Volume(hu, (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)[::-1].copy(), f"scan {seed}", provenance)


def nodule_label(state: str, *, annotator: str = "anna", created: str = "") -> StudyLabel:
    """A study-level label."""
    return StudyLabel("nodule", {"lung_nodule": FindingLabel(state)}, annotator=annotator, created=created)


class Site:
    """A folder of studies and its labels."""

    def __init__(self, studies: Path, cache: Path) -> None:
        self.studies = studies
        self.cache = cache
        self.labels = LabelFolder(studies / "labels")
        self.notes: list[str] = []
        self._scans = 0

    def add(self, study: str, patient: str = "", state: str = "", *, slices: int = SLICES) -> str:
        """A new study, DICOM where a patient is named, else NRRD; labelled, alternating unless told."""
        self._scans += 1
        volume = small_volume(self._scans, patient, slices=slices)
        if patient:
            write_dicom(volume, self.studies / study)
        else:
            study = f"{study}.nrrd"
            write_nrrd(volume, self.studies / study)
        self.label(study, state or ("present" if self._scans % 2 else "absent"))
        return study

    def label(self, study: str, state: str, **facts: str) -> None:
        """A reader's next word on a study."""
        self.labels.save(study, nodule_label(state, **facts))

    def source(self) -> TrainingSource:
        """As a training that starts now sees the site."""
        return open_source(self.studies)

    def select(self, config: FinetuneConfig = SIDES, **options: Any) -> TrainingData:
        """The studies of a training that starts now."""
        self.notes = []
        source = options.pop("source", None) or self.source()
        read: dict[str, Callable[..., Volume]] = {"read": options.pop("read")} if "read" in options else {}
        task = options.pop("task", NODULE)
        prepared = PreparedStudies(self.cache, NODULE.hu_window, pixels=PIXELS, **read)
        return select_studies(
            source, task, SHAPE, prepared, config,
            progress=lambda done, total, note: self.notes.extend(note.splitlines()),
            cancelled=lambda: False,
        )  # fmt: skip

    @property
    def split_file(self) -> Path:
        """Where the sides are noted."""
        return self.studies / "labels" / "splits" / "nodule.json"

    def split(self) -> Split:
        """What is noted of the sides."""
        return SplitFile(self.split_file).read()


def sides_of(data: TrainingData) -> dict[str, str]:
    """The side of every study of a training with one validation side."""
    (only,) = data.rounds
    return {study.study: side for side in ("train", "validation") for study in getattr(only, side)}
