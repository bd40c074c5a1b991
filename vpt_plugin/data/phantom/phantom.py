"""make_phantom: a chest CT with known truth from a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vpt_plugin.ct.volume import Provenance, Volume
from vpt_plugin.data.phantom import lesions, look_alikes, organs, scanner, skeleton, vessels
from vpt_plugin.data.phantom.anatomy import Chest, back_of_body, draw_chest
from vpt_plugin.data.phantom.lesions import Embolus, Nodule
from vpt_plugin.data.phantom.look_alikes import LookAlikes
from vpt_plugin.data.phantom.organs import Contrast, Tissue
from vpt_plugin.data.phantom.places import LesionPlace, mask_of
from vpt_plugin.data.phantom.scanner import Scan
from vpt_plugin.data.phantom.shapes import Grid, Pose
from vpt_plugin.data.phantom.skeleton import Bones
from vpt_plugin.data.phantom.vessels import Vessels
from vpt_plugin.digest import uid_of
from vpt_plugin.labels import FindingLabel, StudyLabel


@dataclass(frozen=True)
class PhantomConfig:
    """What phantoms are drawn from; the defaults are those of the demo.

    Attributes:
        pixels: rows and columns of a slice.
        slice_spacings_mm: one of them is drawn.
        nodule_diameters_mm: smallest and largest diameter of a nodule. The smallest should be 4 slices or
            more, or no clip with it alone counts as positive (``ClipRule.min_positive_slices``).
        nodule_counts, embolus_counts: fewest and most that a phantom has that has any.
        clot_lengths_mm: shortest and longest way of an embolus along its artery, before that gets too thin.
        clot_fills: least and most of an artery's width that is clot.
        clot_from_radius_mm: emboli begin in arteries of more than that radius, mm of the reference man. Some
            three branches have 4.5 mm and a dozen 3 mm, the four main arteries 8 mm and more.
        noise_hu: least and most noise.
        extent: from where to where the chest is scanned, as shares of the usual height, 0 below the lungs.
    """

    pixels: int = 128
    slice_spacings_mm: tuple[float, ...] = (2.0, 2.5, 3.0)
    nodule_diameters_mm: tuple[float, float] = (14.0, 30.0)
    nodule_counts: tuple[int, int] = (1, 3)
    embolus_counts: tuple[int, int] = (1, 5)
    clot_lengths_mm: tuple[float, float] = (15.0, 50.0)
    clot_fills: tuple[float, float] = (0.7, 0.95)
    clot_from_radius_mm: float = 3.0
    noise_hu: tuple[float, float] = (6.0, 26.0)
    extent: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.pixels < 32:
            raise ValueError(f"a phantom needs at least 32 pixels, not {self.pixels}")
        if not self.slice_spacings_mm or min(self.slice_spacings_mm) <= 0:
            raise ValueError(f"slice spacings must be above 0 mm, not {self.slice_spacings_mm}")
        if not 4 <= self.nodule_diameters_mm[0] <= self.nodule_diameters_mm[1]:
            raise ValueError(f"nodules are of 4 mm and more, smallest first, not {self.nodule_diameters_mm}")
        for fewest, most in (self.nodule_counts, self.embolus_counts):
            if not 1 <= fewest <= most:
                raise ValueError(f"lesions are 1 and more, fewest first, not {(fewest, most)}")
        if not 0 < self.clot_lengths_mm[0] <= self.clot_lengths_mm[1]:
            raise ValueError(f"clots are longer than 0 mm, shortest first, not {self.clot_lengths_mm}")
        if not 0 < self.clot_fills[0] <= self.clot_fills[1] <= 1:
            raise ValueError(f"a clot fills more than 0 and at most 1, least first, not {self.clot_fills}")
        if not 0 < self.clot_from_radius_mm < 8:
            raise ValueError(f"clots begin in arteries of 0 to 8 mm, not {self.clot_from_radius_mm} mm")
        if not 0 <= self.noise_hu[0] <= self.noise_hu[1]:
            raise ValueError(f"noise is 0 HU and more, least first, not {self.noise_hu}")
        if not 0 <= self.extent[0] < self.extent[1] <= 1:
            raise ValueError(f"the extent is from 0 to 1, lower end first, not {self.extent}")


@dataclass(frozen=True)
class Phantom:
    """A phantom study with known truth.

    Attributes:
        volume: in canonical orientation.
        labels: by task (``pe``, ``nodule``).
        lesions: by task, the voxels of every lesion that fills any.
    """

    volume: Volume
    labels: Mapping[str, StudyLabel]
    lesions: Mapping[str, tuple[LesionPlace, ...]]

    def lesion_mask(self, task: str) -> NDArray[np.bool_]:
        """The voxels of all lesions of that task: bool (slices, rows, columns), as ``volume.hu``."""
        return mask_of(self.lesions[task], self.volume.hu.shape)


@dataclass(frozen=True)
class Patient:
    """One patient, lesions and contrast medium included, used or not; in reference coordinates.

    Attributes:
        scale: patient mm per reference mm along (x, y, z).
        blood: without and with contrast medium, in this order.
    """

    scale: tuple[float, float, float]
    chest: Chest
    bones: Bones
    tissue: Tissue
    vessels: Vessels
    blood: tuple[Contrast, Contrast]
    look_alikes: LookAlikes
    nodules: tuple[Nodule, ...]
    emboli: tuple[Embolus, ...]


def draw_patient(rng: np.random.Generator, config: PhantomConfig) -> Patient:
    """Draw a patient, always in the same order.

    What is asked to be in the phantom changes no draw: with and without a nodule, a seed is the same patient
    in the same scanner.
    """
    chest = draw_chest(rng)
    scale = (rng.uniform(0.9, 1.1), rng.uniform(0.9, 1.1), rng.uniform(0.84, 1.0))
    size = float(np.mean(scale))
    bones, tissue = skeleton.draw_bones(rng), organs.draw_tissue(rng)
    tree = vessels.draw_vessels(rng, chest)
    blood = organs.draw_contrast(rng, tissue)
    return Patient(
        scale=scale,
        chest=chest,
        bones=bones,
        tissue=tissue,
        vessels=tree,
        blood=blood,
        look_alikes=look_alikes.draw_look_alikes(rng, chest),
        nodules=lesions.draw_nodules(
            rng, size, chest, tree, counts=config.nodule_counts, diameters_mm=config.nodule_diameters_mm
        ),
        emboli=lesions.draw_emboli(
            rng,
            tree,
            counts=config.embolus_counts,
            lengths_mm=config.clot_lengths_mm,
            fills=config.clot_fills,
            from_radius_mm=config.clot_from_radius_mm,
        ),
    )


@dataclass(frozen=True)
class Visit:
    """How the patient lay on the table, and the scan that was taken."""

    pose: Pose
    scan: Scan


def draw_visit(rng: np.random.Generator, patient: Patient, config: PhantomConfig) -> Visit:
    """One visit of the patient to the scanner."""
    pose = Pose(
        scale=patient.scale,
        roll_rad=rng.normal(0, 0.04),
        shift_mm=(rng.uniform(-10, 10), rng.uniform(-10, 10), rng.uniform(-320, 60)),
    )
    scan = scanner.draw_scan(rng, pose, spacings_mm=config.slice_spacings_mm, noise_hu=config.noise_hu)
    return Visit(pose, scan)


def make_phantom(
    seed: int,
    *,
    config: PhantomConfig | None = None,
    nodule: bool,
    contrast: bool,
    emboli: bool,
    visit: int = 0,
) -> Phantom:
    """A chest CT from a seed, and what it shows.

    Args:
        seed: the patient; the same seed and arguments give the same voxels.
        config: what is drawn from.
        nodule: whether there are nodules in the lungs.
        contrast: whether the pulmonary arteries are filled with contrast medium.
        emboli: whether there are clots in them.
        visit: 0 is the patient's first scan, 1 the second, with another position, spacing and noise.

    Raises:
        ValueError: emboli without contrast, which nobody could see.
    """
    if emboli and not contrast:
        raise ValueError("emboli are seen only in arteries filled with contrast medium: set contrast as well")
    if visit < 0:
        raise ValueError(f"visits are counted from 0, not {visit}")
    config = config or PhantomConfig()
    rng = np.random.default_rng(seed)
    patient = draw_patient(rng, config)
    taken = [draw_visit(rng, patient, config) for _ in range(visit + 1)][visit]
    # Everything was drawn; what was not asked for is left out only now.
    patient = replace(
        patient, nodules=patient.nodules if nodule else (), emboli=patient.emboli if emboli else ()
    )
    provenance = Provenance(
        kind="phantom",
        series_uid=uid_of(f"phantom {seed} {visit} {config} {nodule} {contrast} {emboli}"),
        patient_id=f"PHANTOM-{seed}",
        description="Chest phantom" + (" with contrast medium" if contrast else ""),
    )
    grid = scanner.grid_of(taken.scan, taken.pose, pixels=config.pixels, extent=config.extent)
    hu, found = _scanned(patient, patient.blood[contrast], taken, grid)
    volume = Volume(
        hu=hu,
        spacing_mm=grid.spacing_mm,
        origin_mm=(float(grid.x_mm[0]), float(grid.y_mm[0]), float(grid.z_mm[0])),
        direction=np.eye(3)[:, ::-1].copy(),
        study=f"phantom-{seed}-{visit + 1}",
        provenance=provenance,
    )
    return Phantom(volume, _labels(patient, taken.pose, provenance.series_uid), found)


def _scanned(
    patient: Patient, blood: Contrast, visit: Visit, grid: Grid
) -> tuple[NDArray[np.int16], dict[str, tuple[LesionPlace, ...]]]:
    """The voxels, and the places of the lesions in them by task."""
    pose, scan, chest, tree = visit.pose, visit.scan, patient.chest, patient.vessels
    hu = np.full(grid.shape, organs.AIR_HU, dtype=np.float32)
    scanner.paint_table(hu, grid, scan, pose, under_mm=back_of_body(chest))
    organs.paint_body(hu, grid, pose, chest)
    organs.paint_abdomen(hu, grid, pose, chest, patient.tissue, blood)
    organs.paint_heart(hu, grid, pose, chest, blood)
    lungs = organs.paint_lungs(hu, grid, pose, chest, patient.tissue)
    look_alikes.paint_look_alikes(hu, grid, pose, chest, patient.look_alikes, lungs)
    organs.paint_great_vessels(hu, grid, pose, tree, blood)
    organs.paint_lung_trees(hu, grid, pose, tree, blood, lungs)
    skeleton.paint_bones(hu, grid, pose, chest, patient.bones)
    emboli = lesions.paint_emboli(hu, grid, pose, patient.emboli, tree, lungs)
    painted = [lesions.paint_nodule(hu, grid, pose, nodule, lungs) for nodule in patient.nodules]
    nodules = [place for place in painted if place is not None]
    found = {"nodule": tuple(nodules), "pe": tuple(emboli)}
    return scanner.digitise(scanner.reconstruct(hu, grid, scan), grid, scan), found


def _labels(patient: Patient, pose: Pose, series_uid: str) -> dict[str, StudyLabel]:
    chest = patient.chest
    ranges = {
        ("nodule", "lung_nodule"): [lesions.nodule_range_mm(n, pose, chest) for n in patient.nodules],
        ("pe", "pulmonary_embolism"): [
            lesions.embolus_range_mm(e, pose, chest, patient.vessels) for e in patient.emboli
        ],
    }
    return {
        task: StudyLabel(
            task=task,
            findings={finding: _finding([shown for shown in found if shown])},
            annotator="phantom",
            series_uid=series_uid,
            comment="Truth by construction.",
        )
        for (task, finding), found in ranges.items()
    }


def _finding(ranges_mm: Sequence[tuple[float, float]]) -> FindingLabel:
    """Present where anything shows; ranges that touch are joined."""
    if not ranges_mm:
        return FindingLabel(state="absent")
    merged: list[tuple[float, float]] = []
    for low, high in sorted(ranges_mm):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return FindingLabel(state="present", slices_mm=tuple(merged), confidence="certain")
