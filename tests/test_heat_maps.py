"""Heat maps of whole studies, around a classifier whose evidence can be computed in one's head.

The HU window runs from 0 to 255, so that a voxel's level is its HU, and the logit for ``bright`` is the sum
of the clip's levels over 255, less 2: every voxel's evidence is its own level.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import Turn, Volume, as_stored, canonical, turned
from vpt_plugin.data.phantom import write_mha, write_nifti
from vpt_plugin.errors import CancelledError, ConfigurationError, TooFewSlicesError, WeightsError
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.heat import Explainer, HeatMap
from vpt_plugin.models.backbone import Backbone
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.spec import ShapeRule
from vpt_plugin.tasks import ClipRule, HUWindow, ReadingTask

TASK = ReadingTask(
    name="brightness",
    title="Brightness",
    findings=("bright", "dark"),
    hu_window=HUWindow(centre=127.5, width=255),
    clips=ClipRule(length_slices=4, stride_slices=3),
)
SPEC = replace(
    MODELS["tiny"], name="sum", feature_dim=1, clip_slices=4, resize_px=8, crop_px=6,
    shape_rule=ShapeRule(min_pixels=6),
)  # fmt: skip
CARD = ModelCard("brightness", "sum", TASK.findings, "none", clip_slices=4, version=7)
LPS = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])


class SumBackbone(Backbone):
    """Its only map is the clip itself, its only feature the map's sum."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Identity()

    def forward(self, clips: Tensor) -> Tensor:
        return self.map(clips).sum(dim=(2, 3, 4))  # type: ignore[no-any-return]

    def stages(self) -> tuple[nn.Module, ...]:
        return (self.map,)

    def blocks_to_recompute(self) -> tuple[nn.Module, ...]:
        return ()


def sum_classifier() -> Classifier:
    classifier = Classifier(SPEC, TASK.findings, SumBackbone())
    with torch.no_grad():
        classifier.head.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        classifier.head.bias.copy_(torch.tensor([-2.0, 2.0]))
    return classifier


def explain(volume: Volume, card: ModelCard = CARD, **arguments: Any) -> tuple[HeatMap, ...]:
    predictor = Predictor(sum_classifier(), TASK, card, device="cpu", precision="float32")
    return predictor.explain(volume, **arguments)


def dark_study(slices: int = 12, rows: int = 8, columns: int = 8, **changes: Any) -> Volume:
    """Of 0 HU everywhere, with slices 2.5 mm apart and pixels of 1 mm."""
    hu = np.zeros((slices, rows, columns), dtype=np.int16)
    plain = Volume(hu, (2.5, 1.0, 1.0), (-3.0, -4.0, -100.0), LPS, study="made-up")
    return replace(plain, **changes)


def lit(levels: dict[tuple[int, int, int], int], **changes: Any) -> Volume:
    """A dark study with these levels at these voxels."""
    volume = dark_study(**changes)
    for voxel, level in levels.items():
        volume.hu[voxel] = level
    return volume


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


def test_the_only_voxel_that_speaks_for_a_finding_glows_and_no_other() -> None:
    # Slice 10 lies in one clip alone, whose logit is 0: it says 0.5, which is the threshold.
    volume = lit({(10, 3, 2): 255, (11, 4, 5): 255})
    bright, dark = explain(volume)
    assert np.argwhere(bright.values).tolist() == [[10, 3, 2], [11, 4, 5]]
    assert bright.values[10, 3, 2] == 255
    assert bright.values.dtype == np.uint8
    # Everything speaks against "dark", which nothing speaks for.
    assert (dark.values.max(), dark.key_slice_mm, dark.hottest_mm) == (0, None, None)


def test_the_hottest_voxel_and_its_slice_are_told_in_patient_coordinates() -> None:
    (bright,) = explain(lit({(10, 3, 2): 255, (10, 5, 5): 254}), findings=["bright"])
    # Origin -3, -4, -100; columns run along x, rows along y, slices 2.5 mm apart along z.
    assert bright.hottest_mm == (-1.0, -1.0, -75.0)
    assert bright.key_slice_mm == -75.0
    assert bright.method == "HiResCAM at the last stage"


def test_a_clip_below_the_threshold_glows_by_its_share_of_it() -> None:
    # One voxel of level 255: a logit of -1.
    (bright,) = explain(lit({(10, 3, 2): 255}), findings=["bright"])
    assert bright.values.max() == round(255 * sigmoid(-1) / 0.5)
    # With a lower threshold the same clip reaches it.
    eager = replace(CARD, thresholds={"bright": 0.2, "dark": 0.2})
    assert explain(lit({(10, 3, 2): 255}), eager)[0].values.max() == 255


@pytest.mark.parametrize(("bias", "level", "place"), [(-6, 1, (-1.0, -1.0, -75.0)), (-7, 0, None)])
def test_of_a_map_that_rounds_to_nothing_no_place_is_told(
    bias: float, level: int, place: tuple[float, ...] | None
) -> None:
    # One voxel of level 1, and a threshold of 1: probabilities of 0.0025 and 0.0009, a step being 0.0039.
    classifier = sum_classifier()
    with torch.no_grad():
        classifier.head.bias.fill_(bias)
    card = replace(CARD, thresholds={"bright": 1.0, "dark": 1.0})
    predictor = Predictor(classifier, TASK, card, device="cpu", precision="float32")
    (bright,) = predictor.explain(lit({(10, 3, 2): 1}), findings=["bright"])
    assert bright.values.max() == level == round(255 * sigmoid(1 / 255 + bias))
    assert bright.hottest_mm == place
    assert bright.key_slice_mm == (None if place is None else place[2])


def test_what_lies_in_a_clip_that_speaks_against_the_finding_hardly_glows() -> None:
    # The last clip (slices 8 to 11) has a logit of 4, the first (0 to 3) of -1; both lie in one clip alone.
    volume = lit({(10, row, 2): 255 for row in range(1, 7)} | {(1, 3, 2): 255})
    (bright,) = explain(volume, findings=["bright"])
    assert bright.values[10, 1:7, 2].tolist() == [255] * 6
    assert bright.values[1, 3, 2] == round(255 * sigmoid(-1) / 0.5)


def test_where_clips_overlap_their_mean_counts() -> None:
    # Slice 3 lies in the clips of 0 to 3 and of 3 to 6: both say sigmoid(-1); slice 1 in the first alone.
    (bright,) = explain(lit({(3, 3, 2): 128, (1, 3, 2): 127, (5, 4, 4): 127}), findings=["bright"])
    peak = sigmoid(-1) / 0.5
    assert bright.values[3, 3, 2] == round(255 * peak)
    assert bright.values[1, 3, 2] == bright.values[5, 4, 4] == round(255 * peak * 127 / 128)


def test_what_the_network_never_saw_does_not_glow() -> None:
    # Of 8 x 8 pixels the network sees the middle 6 x 6.
    assert not explain(lit({(10, 0, 2): 255, (10, 3, 7): 255}))[0].values.any()


def test_a_study_shorter_than_a_clip_has_a_map_of_its_own_slices() -> None:
    (bright,) = explain(lit({(1, 3, 2): 255}, slices=3), findings=["bright"])
    assert bright.values.shape == (3, 8, 8)
    assert np.argwhere(bright.values).tolist() == [[1, 3, 2]]


def test_findings_are_told_in_the_order_they_are_asked_for_and_unknown_ones_are_refused() -> None:
    assert [each.finding for each in explain(dark_study(), findings=("dark", "bright"))] == ["dark", "bright"]
    with pytest.raises(ConfigurationError, match="brightness has no finding spot; choose from bright, dark"):
        explain(dark_study(), findings=["spot"])


def test_it_can_be_stopped_and_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    explain(dark_study(), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(CancelledError):
        explain(dark_study(), cancelled=lambda: len(told) > 0)


def test_damaged_weights_and_too_few_slices_are_refused_as_for_an_answer() -> None:
    classifier = sum_classifier()
    predictor = Predictor(classifier, TASK, CARD, device="cpu", precision="float32")
    with torch.no_grad():
        classifier.head.bias.fill_(math.nan)
    with pytest.raises(WeightsError, match="brightness/sum version 7 gave what is no number"):
        predictor.explain(dark_study())
    with pytest.raises(TooFewSlicesError):
        predictor.explain(dark_study(slices=1))


def test_the_classifier_is_left_as_it_is() -> None:
    classifier = sum_classifier().train()
    Predictor(classifier, TASK, CARD, device="cpu", precision="float32").explain(lit({(10, 3, 2): 255}))
    assert classifier.training
    assert all(each.requires_grad and each.grad is None for each in classifier.parameters())


# From here on: other axes, other pixels, files.

turns = st.builds(
    Turn,
    axes=st.permutations([0, 1, 2]).map(lambda axes: (axes[0], axes[1], axes[2])),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(turn=turns, voxel=st.tuples(st.integers(0, 11), st.integers(2, 17), st.integers(2, 17)))
def test_a_flipped_or_reoriented_study_glows_on_the_same_anatomy(
    turn: Turn, voxel: tuple[int, int, int]
) -> None:
    # 20 x 20 pixels of which the network sees 8 x 8, so that heat is spread over several voxels.
    straight = lit({voxel: 2550}, rows=20, columns=20, spacing_mm=(2.5, 0.8, 0.8))
    straight = replace(straight, hu=np.clip(straight.hu, 0, 3071))
    other = canonical(turned(straight, turn))
    one, two = (explain(study, findings=["bright"])[0] for study in (straight, other))
    assert one.hottest_mm == pytest.approx(two.hottest_mm, abs=1e-6)
    assert one.key_slice_mm == pytest.approx(two.key_slice_mm, abs=1e-6)
    stored = other.turn.back.of_voxels(two.values) if other.turn else two.values
    assert heat_by_place(as_stored(other), stored) == heat_by_place(straight, one.values)


def heat_by_place(volume: Volume, values: np.ndarray[Any, Any]) -> dict[tuple[float, ...], int]:
    """The patient position of every voxel that glows, in tenths of a millimetre, and its heat."""
    voxels = np.argwhere(values)
    places = np.array(volume.origin_mm) + voxels * np.array(volume.spacing_mm) @ volume.direction.T
    return {
        tuple(np.round(place, 1) + 0.0): int(values[tuple(voxel)])
        for place, voxel in zip(places, voxels, strict=True)
    }


@pytest.mark.parametrize("write", [write_nifti, write_mha])
@pytest.mark.parametrize(
    "turn", [Turn((0, 1, 2), (True, False, True)), Turn((2, 0, 1), (False, True, False))]
)
def test_the_file_opens_voxel_on_voxel_with_that_of_the_study(
    tmp_path: Path, write: Callable[[Volume, Path], None], turn: Turn
) -> None:
    light = {(10, row, column): 3000 for row in (4, 5) for column in (8, 9, 10, 11)}
    stored = turned(lit(light, rows=10, columns=20, spacing_mm=(2.5, 1.6, 0.8)), turn)
    study = tmp_path / ("ct.nii.gz" if write is write_nifti else "ct.mha")
    write(replace(stored, hu=np.where(stored.hu > 0, stored.hu, -1000).astype(np.int16)), study)
    (bright,) = explain(read_study(study), findings=["bright"])
    bright.write_nifti(tmp_path / "heat.nii.gz")

    ct, heat = (SimpleITK.ReadImage(str(path)) for path in (study, tmp_path / "heat.nii.gz"))
    assert heat.GetSize() == ct.GetSize()
    assert heat.GetOrigin() == pytest.approx(ct.GetOrigin(), abs=1e-4)
    assert heat.GetSpacing() == pytest.approx(ct.GetSpacing(), abs=1e-5)
    assert heat.GetDirection() == pytest.approx(ct.GetDirection(), abs=1e-6)
    levels, heats = (SimpleITK.GetArrayFromImage(image) for image in (ct, heat))
    assert levels[np.unravel_index(heats.argmax(), heats.shape)] == 3000
    assert heats.max() == pytest.approx(1)
    if write is write_nifti:
        one, other = (nibabel.Nifti1Image.from_filename(tmp_path / name) for name in (study, "heat.nii.gz"))
        np.testing.assert_allclose(one.affine, other.affine, atol=1e-4)


def test_the_file_holds_bytes_that_are_read_as_heat_from_0_to_1(tmp_path: Path) -> None:
    (bright,) = explain(lit({(10, 3, 2): 255, (11, 4, 5): 255}), findings=["bright"])
    bright.write_nifti(tmp_path / "heat.nii.gz")
    image = nibabel.Nifti1Image.from_filename(tmp_path / "heat.nii.gz")
    stored: Any = image.dataobj
    assert (stored.dtype, stored.slope, stored.inter) == (np.uint8, pytest.approx(1 / 255), 0)
    assert image.get_fdata().max() == pytest.approx(1)
    assert bright.nifti() == bright.nifti()


def test_the_weights_are_in_memory_once() -> None:
    classifier = sum_classifier()
    explainer = Explainer(classifier, TASK, CARD, device=torch.device("cpu"))
    mine = explainer._classifier.head.weight
    assert mine.data_ptr() == classifier.head.weight.data_ptr()
    assert mine is not classifier.head.weight
