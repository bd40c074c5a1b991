from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vpt_plugin.data.clip_dataset import ClipShape
from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.data.prepared import PreparedStudies, PreparedStudy
from vpt_plugin.errors import CancelledError, TrainingError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.selection import TrainingData, select_studies
from vpt_plugin.training.sources import ManifestSource

NODULE = TASKS["nodule"]
SHAPE = ClipShape(length=8, stride=6, crop_px=32, min_positive_slices=4, air=58)


def select(manifest: Manifest, cache: Path, notes: list[str] | None = None, **facts: Any) -> TrainingData:
    options: dict[str, Any] = {
        "progress": lambda done, total, note: notes.append(note) if notes is not None and note else None,
        "cancelled": lambda: False,
    }
    prepared = facts.pop("prepared", PreparedStudies(cache, NODULE.hu_window, pixels=40))
    shape = facts.pop("shape", SHAPE)
    config = facts.pop("config", FinetuneConfig())
    source = ManifestSource(manifest)
    return select_studies(source, NODULE, shape, prepared, config, **{**options, **facts})


def relabelled(study: ManifestStudy, finding: FindingLabel) -> ManifestStudy:
    return replace(study, labels={"nodule": StudyLabel("nodule", {"lung_nodule": finding})})


def with_first(manifest: Manifest, study: ManifestStudy) -> Manifest:
    return Manifest((study, *manifest.studies[1:]))


def test_ranges_in_mm_become_positive_slices(ball_manifest: Manifest, ball_cache: Path) -> None:
    data = select(ball_manifest, ball_cache)
    assert (len(data.rounds[0].train), len(data.rounds[0].validation)) == (12, 8)
    first = data.rounds[0].train[0]
    (low, high) = ball_manifest.studies[0].labels["nodule"].findings["lung_nodule"].slices_mm[0]  # type: ignore[index]
    assert (first.states.tolist(), first.positive.shape) == ([1.0], (20, 1))
    assert np.flatnonzero(first.positive).tolist() == list(range(round(low / 2), round(high / 2) + 1))
    assert data.rounds[0].train[1].states.tolist() == [0.0]
    assert not data.rounds[0].train[1].positive.any()


def test_the_card_hears_of_counts_ranges_and_phantoms(ball_manifest: Manifest, ball_cache: Path) -> None:
    data = select(ball_manifest, ball_cache)
    assert data.counts(NODULE) == {
        "left_out": {},
        "train": {"lung_nodule": {"present": 6, "absent": 6}},
        "validation": {"lung_nodule": {"present": 4, "absent": 4}},
    }
    assert data.ranges()["slice_spacing_mm"] == (2.0, 2.0)
    assert data.synthetic


def as_patients(manifest: Manifest) -> Manifest:
    return Manifest(tuple(replace(study, synthetic=False) for study in manifest.studies))


def test_phantoms_and_patients_are_not_mixed_in_one_training(
    ball_manifest: Manifest, ball_cache: Path
) -> None:
    real = as_patients(ball_manifest)
    assert not select(real, ball_cache).synthetic
    mixed = with_first(real, ball_manifest.studies[0])
    with pytest.raises(
        TrainingError, match=r"phantoms \(study-000\) and patients \(study-001 and \d+ more\)"
    ):
        select(mixed, ball_cache)
    # What takes no part does not count: a phantom that has no label for this task.
    assert not select(with_first(real, replace(ball_manifest.studies[0], labels={})), ball_cache).synthetic


class OnePatient(PreparedStudies):
    """Every study says that it is of the same patient."""

    def get(self, path: Path, **options: Any) -> PreparedStudy:
        return replace(super().get(path, **options), patient="5eb6")


def test_one_patient_id_on_both_sides_is_refused_unless_the_manifest_knows_better(
    ball_manifest: Manifest, ball_cache: Path
) -> None:
    same = OnePatient(ball_cache, NODULE.hu_window, pixels=40)
    unnamed = Manifest(tuple(replace(study, patient=study.study) for study in ball_manifest.studies))
    message = (
        r"study-000 \(train\) and study-012 \(validation\) have the same PatientID\. Fill the patient column"
    )
    with pytest.raises(TrainingError, match=message):
        select(unnamed, ball_cache, prepared=same)
    with pytest.raises(TrainingError, match=message):
        select(with_first(ball_manifest, unnamed.studies[0]), ball_cache, prepared=same)
    # Two names for one ID: it only stands for anonymised studies.
    assert len(select(ball_manifest, ball_cache, prepared=same).rounds[0].train) == 12
    # No ID says nothing.
    assert len(select(unnamed, ball_cache).rounds[0].train) == 12


@pytest.mark.parametrize(
    ("finding", "reason"),
    [
        (FindingLabel("indeterminate"), "indeterminate"),
        (FindingLabel("present", ((900.0, 910.0),)), "present, but the marked slices lie outside the study"),
    ],
)
def test_a_training_study_that_teaches_nothing_is_left_out_and_counted(
    ball_manifest: Manifest, ball_cache: Path, finding: FindingLabel, reason: str
) -> None:
    notes: list[str] = []
    manifest = with_first(ball_manifest, relabelled(ball_manifest.studies[0], finding))
    data = select(manifest, ball_cache, notes)
    assert data.left_out == {reason: 1}
    assert len(data.rounds[0].train) == 11
    assert notes == [f"study-000 is left out: {reason}"]


@pytest.mark.parametrize("ranges", [None, ((0.0, 4.0),)])
def test_a_present_study_without_enough_marked_slices_is_labelled_as_a_whole(
    ball_manifest: Manifest, ball_cache: Path, ranges: tuple[tuple[float, float], ...] | None
) -> None:
    # 0 to 4 mm are 3 slices, a positive clip has 4.
    first = relabelled(ball_manifest.studies[0], FindingLabel("present", ranges))
    data = select(with_first(ball_manifest, first), ball_cache)
    train = data.rounds[0].train
    assert (data.left_out, len(train)) == ({}, 12)
    assert (train[0].states.tolist(), train[0].marked.tolist()) == ([1.0], [False])
    assert not train[0].positive.any()
    assert all(study.marked.all() for study in train[1:])
    assert np.isnan(train[0].clip_states(0, SHAPE)).all()


def test_studies_without_a_label_of_the_task_and_test_studies_stay_out(
    ball_manifest: Manifest, ball_cache: Path
) -> None:
    studies = list(ball_manifest.studies)
    studies[0] = replace(studies[0], labels={})
    studies[1] = replace(studies[1], split="test", path=Path("not-even-there"))
    data = select(Manifest(tuple(studies)), ball_cache)
    assert data.left_out == {"not labelled": 1}
    assert [study.study for study in data.rounds[0].train] == [f"study-{n:03d}" for n in range(2, 12)]


def test_an_unreadable_study_is_left_out_and_the_others_are_not(
    ball_manifest: Manifest, ball_cache: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.nrrd"
    broken.write_bytes(ball_manifest.studies[0].path.read_bytes()[:5_000])
    notes: list[str] = []
    data = select(
        with_first(ball_manifest, replace(ball_manifest.studies[0], path=broken)), ball_cache, notes
    )
    assert data.left_out == {"unreadable": 1}
    assert notes[0].startswith("study-000 is left out: the file is cut short")


def test_a_study_of_fewer_slices_than_the_network_needs_is_left_out(
    ball_manifest: Manifest, ball_cache: Path
) -> None:
    with pytest.raises(
        TrainingError, match="none of 20 labelled studies can be used; 20 left out: too few slices"
    ):
        select(ball_manifest, ball_cache, shape=replace(SHAPE, length=41, min_slices=21))


def test_a_side_without_one_of_the_states_is_refused_before_anything_is_trained(
    ball_manifest: Manifest, ball_cache: Path
) -> None:
    absent = [study for study in ball_manifest.studies if study.split == "train" or int(study.study[-1]) % 2]
    with pytest.raises(
        TrainingError, match=r"no validation study has lung nodule present \(of 4 usable ones\)"
    ):
        select(Manifest(tuple(absent)), ball_cache)


def test_hashes_follow_the_split_and_the_labels_and_nothing_else(
    ball_manifest: Manifest, ball_cache: Path
) -> None:
    def hashes(manifest: Manifest) -> tuple[str, str]:
        data = select(manifest, ball_cache)
        return data.split_hash(), data.labels_hash(NODULE)

    first = ball_manifest.studies[0]
    (low, high), *_ = first.labels["nodule"].findings["lung_nodule"].slices_mm or ()
    split, labels = hashes(ball_manifest)
    assert hashes(Manifest(tuple(reversed(ball_manifest.studies)))) == (split, labels)
    moved = hashes(with_first(ball_manifest, replace(first, split="validation")))
    assert moved[0] != split
    assert moved[1] == labels
    wider = relabelled(first, FindingLabel("present", ((low, high + 2),)))
    assert hashes(with_first(ball_manifest, wider))[0] == split
    assert hashes(with_first(ball_manifest, wider))[1] != labels
    signed = replace(first, labels={"nodule": replace(first.labels["nodule"], annotator="someone else")})
    assert hashes(with_first(ball_manifest, signed)) == (split, labels)


def test_a_disk_that_takes_no_prepared_study_is_told(ball_manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(TrainingError, match=r"prepared study study-000 cannot be kept: .*Make room"):
        select(ball_manifest, tmp_path / "cache")


def test_preparing_can_be_cancelled(ball_manifest: Manifest, ball_cache: Path) -> None:
    with pytest.raises(CancelledError):
        select(ball_manifest, ball_cache, cancelled=lambda: True)


def test_a_damaged_copy_in_the_cache_is_told_and_made_again(ball_manifest: Manifest, tmp_path: Path) -> None:
    sound = select(ball_manifest, tmp_path).rounds[0].train[0].prepared
    before = sound.slices.copy()
    content = bytearray(sound.file.read_bytes())
    content[1000] ^= 1
    sound.file.write_bytes(content)
    notes: list[str] = []
    data = select(ball_manifest, tmp_path, notes)
    assert notes == ["study-000: its prepared copy was damaged (its checksum is wrong) and is made again"]
    assert (data.rounds[0].train[0].prepared.slices == before).all()
    assert data.left_out == {}
