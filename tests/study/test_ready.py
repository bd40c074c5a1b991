"""What is asked before an experiment trains anything: whose patients are where, what phantoms are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import ConfigurationError, ManifestError
from vpt_plugin.study.cells import NetworkSize
from vpt_plugin.study.datasets import PhantomSet, StudyDataset
from vpt_plugin.study.phantom_sets import make_phantom_sets
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.ready import require_ready

MakeManifest = Callable[..., Path]
QUICK = PhantomSet(count=8, seed=1, pixels=64, slice_spacings_mm=(5,), nodule_diameters_mm=(30, 48))


def plan_of(dataset: StudyDataset, ct: StudyDataset | None = None) -> Plan:
    return Plan(
        name="small",
        title="A small plan",
        datasets=(dataset,),
        networks=("tiny",),
        seeds=(0,),
        learning_rates={"all": (1e-3,)},
        training={"all": {"epochs": 1, "steps_per_epoch": 2, "batch": 4}},
        ct=ct,
        sizes={"tiny": NetworkSize(8, 40, 32)},
    )


@pytest.fixture
def balls(tmp_path: Path, make_manifest: MakeManifest) -> StudyDataset:
    """Patients 0 to 3 on the training side, 4 to 7 on the validation side, 8 to 11 on the test side."""
    arms = {100.0: ("none", "ct")}
    return StudyDataset("balls", "nodule", arms, make_manifest(tmp_path / "balls", 4, 4, 4))


@pytest.mark.parametrize(
    ("first", "said"),
    [
        # It trains on 4 to 7 and validates on 8 to 11.
        (4, r"4 studies of the side validation of balls \(study-004\) are of patients of the set others"),
        # It trains on 9 to 12 and validates on 13 to 16.
        (9, r"3 studies of the side test of balls \(study-009\) are"),
        # It trains on 7 to 10.
        (7, r"1 study of the side validation of balls \(study-007\) is of"),
    ],
)
def test_patients_of_the_ct_set_on_other_sides_are_told_before_anything_trains(
    first: int, said: str, balls: StudyDataset, tmp_path: Path, make_manifest: MakeManifest
) -> None:
    others = StudyDataset("others", "nodule", {}, make_manifest(tmp_path / "others", 4, 4, 0, first=first))
    with pytest.raises(ManifestError, match=said):
        require_ready(plan_of(balls, others))
    # Where no arm begins from that set, it matters to nothing.
    require_ready(plan_of(replace(balls, arms={100.0: ("none",)}), others))


def test_the_ct_set_may_be_the_very_set_for_then_the_sides_are_the_same(balls: StudyDataset) -> None:
    require_ready(plan_of(balls, StudyDataset("others", "nodule", {}, balls.manifest)))


def test_studies_of_unnamed_patients_are_not_taken_for_one_patient(
    balls: StudyDataset, tmp_path: Path, make_manifest: MakeManifest
) -> None:
    others = make_manifest(tmp_path / "others", 4, 4, 0, first=100)
    for path, side in ((balls.manifest_file(), "test"), (others, "train")):
        rows = Manifest.read(path).studies
        Manifest(tuple(replace(row, patient="" if row.split == side else row.patient) for row in rows)).write(
            path
        )
    require_ready(plan_of(balls, StudyDataset("others", "nodule", {}, others)))


def test_phantoms_of_a_plan_that_changed_are_not_taken_for_those_it_asks_for(tmp_path: Path) -> None:
    plan = plan_of(StudyDataset("balls", "nodule", {100.0: ("none",)}, phantoms=QUICK))
    made = make_phantom_sets(plan, tmp_path).dataset("balls").manifest_file()
    before = made.stat().st_mtime_ns
    # The same plan takes them as they are.
    assert make_phantom_sets(plan, tmp_path).dataset("balls").manifest_file() == made
    assert made.stat().st_mtime_ns == before
    for changed, said in (
        (replace(QUICK, count=9), r"count \(was 8\)"),
        (replace(QUICK, seed=2), r"seed \(was 1\)"),
        (replace(QUICK, nodule_diameters_mm=(20, 48)), r"nodule_diameters_mm \(was \[30, 48\]\)"),
    ):
        other = plan_of(replace(plan.datasets[0], phantoms=changed))
        with pytest.raises(ConfigurationError, match=rf"dataset balls: the phantoms in .* now: {said}\."):
            make_phantom_sets(other, tmp_path)


def test_phantoms_of_which_nobody_knows_what_they_were_made_of_are_refused(tmp_path: Path) -> None:
    plan = plan_of(StudyDataset("balls", "nodule", {100.0: ("none",)}, phantoms=QUICK))
    (tmp_path / "phantoms" / "balls").mkdir(parents=True)
    (tmp_path / "phantoms" / "balls" / "manifest.csv").write_text("study,path\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="were made otherwise than the plan says now: task, count"):
        make_phantom_sets(plan, tmp_path)
