"""What is uploaded is answered as the volume itself, and tells nothing of the patient."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from standin.wheel import require_scene

slicer = require_scene()

from vpt_plugin.ct.intensity import prepare_slices
from vpt_plugin.ct.reader import read_study
from vpt_plugin.ct.volume import MAX_HU, MIN_HU, Volume, canonical
from vpt_plugin.data.phantom import PhantomConfig, make_phantom
from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.tasks import TASKS
from VPTCTLib.contract.info import StudyNeeds
from VPTCTLib.errors import CancelledError, LocalFileError
from VPTCTLib.scene.export import PackedStudy, VolumeSnapshot, snapshot, write_packed, write_study
from VPTCTLib.scene.fingerprint import revision
from VPTCTLib.scene.geometry import geometry_of
from VPTCTLib.scene.load import add_study, read_files
from VPTCTLib.scene.refusal import refusal_of
from VPTCTLib.scene.unpack import ready_to_load
from VPTCTLib.transport.cancel import Cancel

NODULE, TINY = TASKS["nodule"], get_model("tiny")
NewVolume = Callable[..., Any]


def needs(pixels: int | None) -> StudyNeeds:
    return StudyNeeds(MIN_HU, MAX_HU, pixels)


def written(taken: VolumeSnapshot, what: StudyNeeds | None, folder: Path) -> Path:
    return write_study(taken, what, folder, progress=lambda done, total: None, cancel=Cancel())


def oblique_and_flipped() -> np.ndarray:
    """To RAS+: k from left to right, j from head to feet, i to the back, all turned by 20 degrees."""
    angle = np.radians(20)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.array([[0.0, 0, 2.7], [-2.4, 0, 0], [0, -6, 0]])
    matrix[:3, 3] = (-170.0, 160, 130)
    return matrix


@pytest.fixture(scope="module")
def phantom() -> Volume:
    config = PhantomConfig(pixels=151, slice_spacings_mm=(6.0,), nodule_diameters_mm=(34.0, 48.0))
    return make_phantom(0, config=config, nodule=True, contrast=False, emboli=False).volume


@pytest.fixture(scope="module")
def predict(phantom: Volume, spread_out: Callable[..., None]) -> Callable[[Volume], Prediction]:
    classifier = new_classifier(TINY, NODULE.findings, seed=0)
    with torch.no_grad():
        spread_out(classifier, NODULE, phantom)
    card = ModelCard(NODULE.name, TINY.name, NODULE.findings, "none", TINY.clip_slices)
    return Predictor(classifier, NODULE, card, device="cpu", precision="float32").predict


def as_the_server(volume: Any) -> Volume:
    """What the server reads from a file with all voxels of a node, in their order there."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ slicer.util.arrayFromVTKMatrix(matrix)
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    hu = np.clip(slicer.util.arrayFromVolume(volume), MIN_HU, MAX_HU)
    sides = tuple(spacing[::-1].tolist())
    return canonical(Volume(hu, sides, tuple(lps[:3, 3]), (lps[:3, :3] / spacing)[:, ::-1], "study"))


def largest_difference(one: Prediction, other: Prediction) -> float:
    pairs = [(a, b) for f, g in zip(one.findings, other.findings, strict=True)
             for a, b in [(f, g), *zip(f.clips, g.clips, strict=True)]]  # fmt: skip
    return max(abs(a.probability - b.probability) for a, b in pairs)


def in_the_scene(new_volume: NewVolume, phantom: Volume, *, turned: bool) -> Any:
    if not turned:
        hu = phantom.hu[:, 7:-4, :]  # rows and columns of different number
        return new_volume(hu, np.diag([-2.4, -2.4, 6.0, 1.0]))
    stored = phantom.hu[::-1, :, ::-1].transpose(2, 0, 1)[:, :, 7:-4]
    return new_volume(np.ascontiguousarray(stored), oblique_and_flipped())


@pytest.mark.parametrize("turned", [False, True], ids=["straight", "sagittal, flipped, oblique, anisotropic"])
@pytest.mark.parametrize("pixels", [TINY.resize_px, None])
def test_an_upload_is_answered_as_the_volume_itself(
    new_volume: NewVolume, phantom: Volume, predict: Any, tmp_path: Path, turned: bool, pixels: int | None
) -> None:
    volume = in_the_scene(new_volume, phantom, turned=turned)
    whole = predict(as_the_server(volume))

    uploaded = read_study(written(snapshot(volume), needs(pixels), tmp_path))
    answer = predict(uploaded)

    difference = largest_difference(whole, answer)
    print(f"{pixels} pixels, turned {turned}: probabilities differ by {difference:.1e}")
    assert difference < (1e-9 if pixels is None else 1e-3)
    finding, same = whole.findings[0], answer.findings[0]
    assert same.key_slice_mm == pytest.approx(finding.key_slice_mm, abs=1e-6)
    assert same.clips[0].z_mm == pytest.approx(finding.clips[0].z_mm, abs=1e-6)
    assert max(clip.probability for clip in finding.clips) - min(c.probability for c in finding.clips) > 0.2
    geometry = geometry_of(volume)
    assert geometry.z_of(geometry.slice_of(same.key_slice_mm)) == pytest.approx(same.key_slice_mm, abs=1e-6)


def test_a_reduced_study_lies_where_the_whole_one_does(
    new_volume: NewVolume, phantom: Volume, tmp_path: Path
) -> None:
    volume = in_the_scene(new_volume, phantom, turned=False)

    whole = as_the_server(volume)
    uploaded = read_study(written(snapshot(volume), needs(50), tmp_path))

    # By these the server tells whether it knows such studies.
    assert uploaded.provenance.reduced_from_mm == pytest.approx((2.4, 2.4))
    # 151 columns of 2.4 mm in 50 pixels; 140 rows are filled up to 151.
    assert uploaded.hu.shape == (whole.slices, 50, 50)
    assert uploaded.spacing_mm == pytest.approx((6, 151 * 2.4 / 50, 151 * 2.4 / 50))
    assert uploaded.slice_z_mm == pytest.approx(whole.slice_z_mm)
    # Bone and contrast have the same middle, in mm, to a quarter of a large pixel.
    assert centre_of_mass_mm(uploaded) == pytest.approx(centre_of_mass_mm(whole), abs=1.8)


@pytest.mark.parametrize("turned", [False, True], ids=["straight", "sagittal, flipped, oblique, anisotropic"])
@pytest.mark.parametrize("pixels", [TINY.resize_px, 75, None])
def test_both_packed_forms_are_read_as_the_nrrd_file_is(
    new_volume: NewVolume, phantom: Volume, tmp_path: Path, turned: bool, pixels: int | None
) -> None:
    taken, what = snapshot(in_the_scene(new_volume, phantom, turned=turned)), needs(pixels)
    usual = read_study(written(taken, what, tmp_path))
    streamed = PackedStudy(taken, what)
    content = b"".join(streamed.pieces())
    assert (len(content), b"".join(streamed.pieces())) == (streamed.size_bytes, content)
    (tmp_path / "streamed.vptct").write_bytes(content)
    told: list[tuple[int, int]] = []
    differences = write_packed(
        taken, what, tmp_path, progress=lambda done, total: told.append((done, total)), cancel=Cancel()
    )

    for file in (tmp_path / "streamed.vptct", differences):
        packed = read_study(file)
        assert (packed.hu == usual.hu).all()
        assert packed.spacing_mm == pytest.approx(usual.spacing_mm)
        assert packed.slice_z_mm == pytest.approx(usual.slice_z_mm)
        assert packed.direction == pytest.approx(usual.direction)
        assert packed.origin_mm == pytest.approx(usual.origin_mm)
        assert packed.provenance.reduced_from_mm == usual.provenance.reduced_from_mm
    assert told[-1] == (usual.slices, usual.slices)
    assert differences.stat().st_size < streamed.size_bytes
    assert [each.name for each in tmp_path.glob("upload*")] == ["upload.nrrd", "upload.vptct"]


def test_a_packed_study_tells_nothing_of_the_patient(new_volume: NewVolume) -> None:
    volume = new_volume(np.full((3, 4, 5), -1000, np.int16), name="DOE^JANE")
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")

    magic, line, voxels = b"".join(PackedStudy(snapshot(volume), None).pieces()).split(b"\n", 2)

    assert magic == b"VPTCT packed study 1"
    assert json.loads(line) == {
        "shape": [3, 4, 5],
        "form": "twelve_bits",
        "spacing_mm": [1.0, 1.0, 1.0],
        "directions": [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
        "origin_mm": [0.0, 0.0, 0.0],
        "pixels_mm": None,
    }
    assert voxels[:-4] == 3 * (bytes([24]) * 20 + bytes(10))


def test_cancelling_leaves_no_packed_file(new_volume: NewVolume, tmp_path: Path) -> None:
    cancel = Cancel()
    with pytest.raises(CancelledError):
        write_packed(
            snapshot(new_volume(np.zeros((40, 4, 5), np.int16))),
            None,
            tmp_path,
            progress=lambda done, total: cancel.ask(),
            cancel=cancel,
        )
    assert list(tmp_path.glob("upload*")) == []


def centre_of_mass_mm(volume: Volume) -> np.ndarray:
    weights = np.clip(volume.hu.astype(float) + 600, 0, 1200)
    index = np.array([(weights * grid).sum() for grid in np.indices(weights.shape)]) / weights.sum()
    return np.array(volume.origin_mm) + volume.direction @ (index * volume.spacing_mm)


def test_nothing_but_voxels_and_their_place_goes_along(new_volume: NewVolume, tmp_path: Path) -> None:
    volume = new_volume(np.full((3, 4, 5), -1000, np.int16), name="DOE^JANE")
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    volume.SetDescription("DOE")

    content = written(snapshot(volume), None, tmp_path).read_bytes()

    header, packed = content.split(b"\n\n", 1)
    assert header.decode().splitlines() == [
        "NRRD0004",
        "type: int16",
        "dimension: 3",
        "space: left-posterior-superior",
        "sizes: 5 4 3",
        "space directions: (1.0,0.0,0.0) (0.0,1.0,0.0) (0.0,0.0,1.0)",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: (0.0,0.0,0.0)",
    ]
    # Flags 0: no name and no comment; then no time.
    assert packed[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"
    assert gzip.decompress(packed) == np.full(60, -1000, "<i2").tobytes()


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.float32, np.float64, np.uint16])
def test_values_are_cut_and_rounded_as_the_server_does(
    new_volume: NewVolume, tmp_path: Path, kind: Any
) -> None:
    values = np.array([-3024, -1024, -300.4, -0.5, 1.5, 2.5, 3071, 30000])
    if not np.issubdtype(kind, np.floating):
        values = np.clip(np.rint(values), np.iinfo(kind).min, np.iinfo(kind).max)
    volume = new_volume(np.resize(values, (4, 4, 8)).astype(kind))

    path = written(snapshot(volume), StudyNeeds(-1000, 2000, None), tmp_path)

    found = np.frombuffer(gzip.decompress(path.read_bytes().split(b"\n\n", 1)[1]), "<i2")
    assert found[:8].tolist() == np.clip(np.rint(values), -1000, 2000).tolist()


def test_a_snapshot_shares_the_voxels_and_outlives_the_node(scene: Any, new_volume: NewVolume) -> None:
    volume = new_volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.diag([-1.0, -1, -2, 1]))
    taken = snapshot(volume)

    assert np.shares_memory(taken.voxels, slicer.util.arrayFromVolume(volume))
    assert taken.voxels[0, 0, 0] == 40
    slicer.util.arrayFromVolumeModified(volume)
    assert taken.revision != revision(volume)
    scene.RemoveNode(volume)
    del volume
    assert int(taken.voxels.sum()) == 59 * 30


def test_a_snapshot_of_a_large_ct_takes_no_time(new_volume: NewVolume) -> None:
    volume = new_volume(np.zeros((300, 512, 512), np.int16))
    began = time.perf_counter()
    snapshot(volume)
    seconds = time.perf_counter() - began
    print(f"snapshot of 300 x 512 x 512: {1000 * seconds:.2f} ms")
    assert seconds < 0.05


def test_cancelling_leaves_no_file(new_volume: NewVolume, tmp_path: Path) -> None:
    cancel, told = Cancel(), []

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        if done == 2:
            cancel.ask()

    with pytest.raises(CancelledError):
        write_study(
            snapshot(new_volume(np.zeros((9, 4, 5), np.int16))),
            None,
            tmp_path,
            progress=progress,
            cancel=cancel,
        )

    assert told == [(1, 9), (2, 9)]
    assert list(tmp_path.glob("upload*")) == []


def test_a_disk_that_cannot_be_written_is_told_in_words(new_volume: NewVolume, tmp_path: Path) -> None:
    with pytest.raises(LocalFileError, match="cannot be written"):
        written(snapshot(new_volume(np.zeros((3, 4, 5), np.int16))), None, tmp_path / "gone")


def test_a_real_ct_is_answered_the_same(scene: Any, real_data: Path, predict: Any, tmp_path: Path) -> None:
    packed = tmp_path / "study.zip"
    packed.write_bytes((real_data / "lidc-idri-0001" / "LIDC-IDRI-0001_dicom_133.zip").read_bytes())
    server = read_study(packed)
    files = ready_to_load(packed, progress=lambda done, total: None, cancel=Cancel())
    began = time.perf_counter()
    volume = add_study(scene, read_files(files), name="LIDC-IDRI-0001")
    loading = time.perf_counter() - began

    whole, figures = predict(server), []
    assert refusal_of(volume) == ""
    assert geometry_of(volume).z_of(0) == pytest.approx(server.slice_z_mm[0], abs=0.01)
    for pixels in (256, TINY.resize_px):
        began = time.perf_counter()
        path = written(snapshot(volume), needs(pixels), tmp_path)
        seconds = time.perf_counter() - began
        uploaded = read_study(path)
        levels = [prepare_slices(each, NODULE.hu_window, pixels=pixels) for each in (server, uploaded)]
        differing = np.mean(levels[0] != levels[1])
        figures.append(f"{pixels} pixels: {path.stat().st_size / 1e6:.1f} MB in {seconds:.1f} s")
        # What nearly all networks take is reduced by a whole number: there is nothing to round otherwise.
        assert np.abs(levels[0].astype(int) - levels[1]).max() <= (0 if pixels == 256 else 1)
        assert differing < 1e-3
        assert uploaded.slice_z_mm == pytest.approx(server.slice_z_mm, abs=0.01)
    difference = largest_difference(whole, predict(uploaded))
    print(f"133 slices of 512 x 512 loaded in {loading:.2f} s; {'; '.join(figures)}; "
          f"probabilities differ by {difference:.1e}")  # fmt: skip
    assert difference < 1e-3
