"""LIDC-IDRI-0001 and its own XML through the whole way to what a network learns from.

One study proves no performance. It proves that labels and slices agree on a real CT: the network finds the
marked clips again, in every stored orientation, and the nodule is where the readers drew it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  the name its documentation uses
import torch
from numpy.typing import NDArray

from vpt_plugin.ct.dicom import read_slice_headers
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Volume
from vpt_plugin.data.augmentation import CentreCrop
from vpt_plugin.data.bags import TrainingBags
from vpt_plugin.data.clip_dataset import ClipShape, CoveringClips, LabelledStudy
from vpt_plugin.data.importers.lidc import lidc_label, read_lidc
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.studies import StudyFolder
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.answers import clip_logits
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import clip_shape
from vpt_plugin.training.loop import Observer, TrainingLoop
from vpt_plugin.training.metrics import auroc
from vpt_plugin.training.placement import Placement
from vpt_plugin.training.sources import LabelStoreSource
from vpt_plugin.training.usable import UsableStudies

TASK, SPEC = TASKS["nodule"], get_model("tiny")
PLACEMENT = Placement(torch.device("cpu"), torch.float32)
CONFIG = FinetuneConfig(
    pretraining="none", epochs=1, steps_per_epoch=60, batch=8, learning_rate=3e-3, augmentation="none"
)
# Every clip there is: 126 of 8 slices in 133, and those that begin on the 82nd to the 90th are positive.
EVERY_CLIP = replace(clip_shape(TASK, SPEC), stride=1)


def write_turned(volume: Volume, path: Path, axes: tuple[int, int, int], flipped: Sequence[int]) -> None:
    """The same voxels at the same places, stored with other axes in another order and direction."""
    hu, direction = volume.hu.transpose(axes), volume.direction[:, axes].copy()
    spacing, origin = np.array(volume.spacing_mm)[list(axes)], np.array(volume.origin_mm)
    for axis in flipped:
        origin = origin + direction[:, axis] * spacing[axis] * (hu.shape[axis] - 1)
        direction[:, axis] *= -1
        hu = np.flip(hu, axis)
    # SimpleITK counts axes from the one that changes fastest.
    image = sitk.GetImageFromArray(np.ascontiguousarray(hu))
    image.SetSpacing(spacing[::-1].tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction[:, ::-1].ravel().tolist())
    sitk.WriteImage(image, str(path))


@pytest.fixture(scope="module")
def studies(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Sequence[LabelledStudy]:
    """As DICOM, and turned as NIfTI and as NRRD; each with the label that the XML gives."""
    root, labels = tmp_path_factory.mktemp("studies"), LabelFolder(tmp_path_factory.mktemp("labels"))
    with zipfile.ZipFile(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip") as archive:
        archive.extractall(root / "dicom")
    volume = read_study(root / "dicom")
    write_turned(volume, root / "turned.nii.gz", (0, 2, 1), flipped=(0, 2))
    write_turned(volume, root / "turned.nrrd", (2, 0, 1), flipped=(1,))
    reading = read_lidc(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_annotations.xml")
    assert reading is not None
    label = lidc_label(reading, read_slice_headers(root / "dicom", "LIDC-IDRI-0001"))
    folder = StudyFolder(root)
    for study in folder.ids():
        labels.save(study, label)
    usable = UsableStudies(
        TASK,
        EVERY_CLIP,
        PreparedStudies(tmp_path_factory.mktemp("prepared"), TASK.hu_window, pixels=SPEC.resize_px),
        progress=lambda done, total, note: None,
        cancelled=lambda: False,
    )
    taken = [member.labelled for member in usable.take(LabelStoreSource(folder, labels).studies(TASK.name))]
    assert [each.study.rpartition(".")[2] for each in taken][1:] == ["gz", "nrrd"]
    return taken


@pytest.fixture(scope="module")
def overfitted(studies: Sequence[LabelledStudy]) -> Classifier:
    """``tiny`` from random weights, 60 steps of 8 clips of the DICOM study, seed 0."""
    bags = TrainingBags(
        studies[:1],
        EVERY_CLIP,
        bags=CONFIG.steps * CONFIG.batch,
        bag_clips=CONFIG.bag_clips,
        seed=CONFIG.seed,
        augmentation=CentreCrop(SPEC.crop_px),
    )
    classifier = new_classifier(SPEC, TASK.findings, seed=CONFIG.seed)
    TrainingLoop(
        classifier, bags, offset=TASK.offset, config=CONFIG, placement=PLACEMENT, observer=Observer()
    ).run()
    return classifier


def clip_auroc(classifier: Classifier, study: LabelledStudy, shape: ClipShape = EVERY_CLIP) -> float:
    logits, _ = clip_logits(classifier, [study], shape, offset=TASK.offset, placement=PLACEMENT)
    return auroc(CoveringClips([study], shape).clip_states[:, 0], logits[:, 0])


def test_the_same_slices_are_positive_in_every_stored_orientation(studies: Sequence[LabelledStudy]) -> None:
    for study in studies:
        marked_mm = study.prepared.slice_z_mm[study.positive[:, 0]]
        assert np.allclose(marked_mm, np.arange(-125.0, -106.0, 2.5), atol=0.01)
        assert np.flatnonzero(study.positive[:, 0]).tolist() == list(range(86, 94))
        assert np.array_equal(study.prepared.slices, studies[0].prepared.slices)


def contours(xml: Path) -> dict[float, list[NDArray[np.int64]]]:
    """What the readers drew around nodules of 3 mm or more, (column, row) of 512, by patient z."""
    found: dict[float, list[NDArray[np.int64]]] = {}
    for roi in ElementTree.parse(xml).getroot().iter("{http://www.nih.gov}roi"):
        z, _, _, *points = (child for child in roi)
        if len(points) > 1:
            line = np.array([[int(each.text or "") for each in point] for point in points])
            found.setdefault(float(z.text or ""), []).append(line)
    return found


def test_the_nodule_is_on_the_marked_slices_where_the_readers_drew_it_and_on_no_other(
    studies: Sequence[LabelledStudy], real_data: Path
) -> None:
    drawn = contours(real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_annotations.xml")
    middles = {z: np.concatenate(lines).mean(axis=0) * SPEC.resize_px / 512 for z, lines in drawn.items()}
    for study in studies:
        slices, z_mm = study.prepared.slices, study.prepared.slice_z_mm
        for number in range(78, 102):
            nearest = min(middles, key=lambda z: abs(z - z_mm[number]))
            # Above -525 HU: more nodule than lung. The slice at -105 mm, which one reader outlined, is half.
            assert (seen(slices[number], middles[nearest]) > 0.55) == study.positive[number, 0]


def seen(image: NDArray[np.uint8], middle: NDArray[np.float64]) -> float:
    """Mean over 3 x 3 pixels, as a share of the HU window from -1350 to 150."""
    column, row = np.rint(middle).astype(int)
    return float(image[row - 1 : row + 2, column - 1 : column + 2].mean() / 255)


def test_the_network_finds_the_marked_clips_again_in_every_stored_orientation(
    studies: Sequence[LabelledStudy], overfitted: Classifier
) -> None:
    assert CoveringClips(studies[:1], EVERY_CLIP).clip_states.sum() == 9
    for study in studies:
        assert clip_auroc(overfitted, study) >= 0.99


def test_marks_elsewhere_are_not_found(studies: Sequence[LabelledStudy], overfitted: Classifier) -> None:
    moved = replace(studies[0], positive=np.roll(studies[0].positive, -40, axis=0))
    assert clip_auroc(overfitted, moved) < 0.5
