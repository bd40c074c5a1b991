"""A CT series on disk and an answer for it, small enough to check a report by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.phantom import write_dicom
from vpt_plugin.inference.conformal import ConformalDecision
from vpt_plugin.inference.prediction import ClipProbability, FindingPrediction, Prediction
from vpt_plugin.models.card import Estimate, ModelCard

SERIES = "1.2.826.0.1.9"
# Ten slices, 2 mm apart: at 0, 2, 4 ... 18 mm.
SLICES, SPACING_MM = 10, 2.0
CARD = ModelCard(
    "nodule",
    "tiny",
    ("lung_nodule",),
    "none",
    4,
    version=3,
    trained_on=212,
    calibrated=True,
    validation_auroc={"lung_nodule": Estimate(0.88, (0.81, 0.94), 60)},
    weights_sha256="ab" * 32,
)


def code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    """An item of a sequence of codes."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


# As The Cancer Imaging Archive writes it.
PUBLIC = {
    "PatientIdentityRemoved": "YES",
    "DeidentificationMethod": "Per DICOM PS 3.15 AnnexE. Details in 0012,0064",
    "DeidentificationMethodCodeSequence": Sequence(
        [
            code("113100", "Basic Application Confidentiality Profile"),
            code("113105", "Clean Descriptors Option"),
        ]
    ),
}
# In letters, ideographs and syllables; the space between the ideographs is theirs (U+3000).
JAPANESE = {
    "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
    "PatientName": "Yamada^Tarou=山田\u3000太郎=やまだ^たろう",
}


def write_series(folder: Path, **values: object) -> Path:
    """A CT of ten slices of 16 x 16 pixels; ``values`` replace attributes of every slice."""
    hu = np.random.default_rng(0).integers(-900, 300, (SLICES, 16, 16)).astype(np.int16)
    volume = Volume(
        hu=hu,
        spacing_mm=(SPACING_MM, 3.0, 3.0),
        origin_mm=(0.0, 0.0, 0.0),
        direction=np.eye(3)[:, ::-1].copy(),
        study="made up",
        provenance=Provenance("dicom", series_uid=SERIES, patient_id="p01", description="thin"),
    )
    write_dicom(volume, folder)
    if values:
        for path in folder.iterdir():
            slice_ = pydicom.dcmread(path)
            for keyword, value in values.items():
                setattr(slice_, keyword, value)
            slice_.save_as(path)
    return folder


def answer(
    probability: float = 0.8312,
    *,
    conformal: str | None = None,
    card: ModelCard = CARD,
    warnings: tuple[str, ...] = (),
) -> Prediction:
    """Three clips of four slices; the second, at 6 to 12 mm, says the study's probability."""
    said = (0.1, probability, 0.2)
    clips = tuple(
        ClipProbability(first, first + 3, (2.0 * first, 2.0 * first + 6), each)
        for first, each in zip((0, 3, 6), said, strict=True)
    )
    decided = conformal and ConformalDecision(conformal, 0.1, 0.42, 0.13, "Neither can be ruled out.")
    finding = FindingPrediction(card.findings[0], probability, 0.41, 8.0, clips, decided or None)
    return Prediction(card, (finding,), warnings, {"total": 1.0})
