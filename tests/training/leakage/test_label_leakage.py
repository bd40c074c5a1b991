"""No patient is trained on and validated on: whatever studies, labels and files come, change and go."""

from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from labelled_site import NODULE, SIDES, Site, sides_of, small_volume

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.phantom import write_nrrd
from vpt_plugin.errors import ConfigurationError, ManifestError, TrainingError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.training.config import FinetuneConfig

FOLDS = FinetuneConfig()


def patients_twice(site: Site, patients: int) -> None:
    """Every patient with two DICOM studies, one of them with the finding."""
    for number in range(patients):
        for visit in (1, 2):
            site.add(f"p{number:02d}-{visit}", f"MRN-{number:02d}")


def patient_of(study: str) -> str:
    return study.split("-")[0]


def test_the_studies_of_one_patient_are_on_one_side(site: Site) -> None:
    patients_twice(site, 14)
    sides = sides_of(site.select())
    by_patient = {patient_of(study): set() for study in sides}
    for study, side in sides.items():
        by_patient[patient_of(study)].add(side)
    assert len(sides) == 28
    assert all(len(own) == 1 for own in by_patient.values())
    # 15 % of 14 patients are 2.1.
    assert Counter(side for own in by_patient.values() for side in own) == {"train": 12, "validation": 2}


def test_in_folds_every_study_is_validated_once_and_its_patient_never_trained_on_then(site: Site) -> None:
    patients_twice(site, 8)
    data = site.select(FOLDS)
    assert data.folds == len(data.rounds) == 5
    validated = [study.study for each in data.rounds for study in each.validation]
    assert sorted(validated) == [study.study for study in data.everything]
    assert len(validated) == 16
    for each in data.rounds:
        trained_on = {patient_of(study.study) for study in each.train}
        assert not trained_on & {patient_of(study.study) for study in each.validation}
        assert {study.patient for study in each.train}.isdisjoint(study.patient for study in each.validation)
        assert len(each.train) + len(each.validation) == 16
    # With few labels who validates whom may change: nobody has a side, but that they took part is noted.
    assert site.split().sides == {}
    assert {name for name, each in site.split().studies.items() if each.took_part} == set(validated)


def test_nobody_changes_sides_when_labels_come_in(site: Site) -> None:
    patients_twice(site, 10)
    before = sides_of(site.select())
    for number in range(5, 30):  # five of them new studies of known patients
        site.add(f"p{number:02d}-3", f"MRN-{number:02d}")
    after = sides_of(site.select())
    assert {study: after[study] for study in before} == before
    known = {patient_of(study): side for study, side in before.items()}
    late = {study: side for study, side in after.items() if study.endswith("-3")}
    assert len(late) == 25
    assert all(known.get(patient_of(study), side) == side for study, side in late.items())
    # 15 % of 30 patients are 4.5.
    assert len({patient_of(study) for study, side in after.items() if side == "validation"}) in (4, 5)


def test_nobody_changes_sides_when_a_study_is_relabelled(site: Site) -> None:
    patients_twice(site, 10)
    first = site.select()
    before = sides_of(first)
    for number in range(0, 10, 2):
        site.label(f"p{number:02d}-1", "absent")
        site.label(f"p{number:02d}-2", "present")
    second = site.select()
    assert sides_of(second) == before
    states = {study.study: study.states[0] for study in second.everything}
    assert (states["p00-1"], states["p00-2"], states["p01-1"], states["p01-2"]) == (0, 1, 1, 0)


def test_nobody_changes_sides_when_labels_are_withdrawn_and_come_back(site: Site) -> None:
    patients_twice(site, 14)
    before = sides_of(site.select())
    validated = next(patient_of(study) for study, side in before.items() if side == "validation")
    gone = [study for study in before if patient_of(study) in (validated, "p00", "p01", "p02", "p03")]
    for study in gone:
        site.label(study, "indeterminate")
    data = site.select()
    assert sides_of(data) == {study: side for study, side in before.items() if study not in gone}
    assert data.left_out == {"indeterminate": len(gone)}
    for number, study in enumerate(gone):
        site.label(study, "present" if number % 2 else "absent")
    assert sides_of(site.select()) == before


def test_from_a_hundred_studies_on_a_side_is_kept_apart_for_good(site: Site) -> None:
    names = [site.add(f"s{number:03d}") for number in range(99)]
    assert site.select(FOLDS).folds == 5
    assert "99 studies: each is validated once, in 5 folds" in site.notes
    names.append(site.add("s099"))
    data = site.select(FOLDS)
    sides = sides_of(data)
    assert (data.folds, len(sides)) == (0, 100)
    # 50 with the finding and 50 without: 7.5 of each are wanted.
    assert Counter(sides.values())["validation"] in (14, 15, 16)
    # Fewer again: the validation side stays one, for versions were chosen by it.
    for name in names[:30]:
        site.label(name, "indeterminate")
    fewer = site.select(FOLDS)
    assert fewer.folds == 0
    assert sides_of(fewer) == {name: side for name, side in sides.items() if name not in names[:30]}


def test_a_lost_file_of_the_split_gives_the_same_sides_to_the_same_labels(site: Site) -> None:
    patients_twice(site, 10)
    before = sides_of(site.select())
    site.split_file.unlink()
    assert sides_of(site.select()) == before


def test_a_damaged_file_of_the_split_stops_the_training(site: Site) -> None:
    patients_twice(site, 4)
    site.select()
    site.split_file.write_text(site.split_file.read_text()[:-20])
    with pytest.raises(TrainingError, match=r"nodule\.json: who is trained on.*backup"):
        site.select()


def test_sides_that_cannot_be_noted_stop_the_training_and_known_ones_need_no_note(site: Site) -> None:
    patients_twice(site, 4)
    (site.studies / "labels" / "splits").write_text("in the way")
    with pytest.raises(TrainingError, match="the sides of the split cannot be written down"):
        site.select()
    (site.studies / "labels" / "splits").unlink()
    before = sides_of(site.select())
    noted = site.split_file.read_bytes(), site.split_file.stat().st_mtime_ns
    assert sides_of(site.select()) == before
    assert (site.split_file.read_bytes(), site.split_file.stat().st_mtime_ns) == noted


def test_no_patient_id_is_written_into_the_file_of_the_split(site: Site) -> None:
    patients_twice(site, 4)
    site.select()
    assert "MRN" not in site.split_file.read_text()
    assert len(site.split().sides) == 4


def test_two_trainings_that_start_at_once_agree(site: Site) -> None:
    patients_twice(site, 6)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: sides_of(site.select()), range(4)))
    assert all(sides == found[0] for sides in found)
    assert len(site.split().sides) == 6


def test_one_scan_under_two_names_takes_part_once_with_its_newest_label(site: Site) -> None:
    for number in range(30):
        site.add(f"s{number}")
    first = site.select()
    before = sides_of(first)
    states = {study.study: study.states[0] for study in first.everything}
    held_out = next(name for name, side in before.items() if side == "validation" and states[name] == 1)
    shutil.copy(site.studies / held_out, site.studies / "copy.nrrd")
    site.label("copy.nrrd", "absent", created="2026-11-21T08:00:00Z")
    data = site.select()
    assert f"{held_out} is left out: it is the same scan as copy.nrrd" in site.notes
    assert data.left_out == {"the same scan as another study": 1}
    # Whoever has seen the one name has seen the other: it is on the same side.
    others = {name: side for name, side in before.items() if name != held_out}
    assert sides_of(data) == {**others, "copy.nrrd": "validation"}
    (copy,) = (study for study in data.everything if study.study == "copy.nrrd")
    assert copy.states.tolist() == [0]


def test_two_patients_who_turn_out_to_be_one_are_trained_on(site: Site) -> None:
    patients_twice(site, 14)
    before = sides_of(site.select())
    validated = next(study for study, side in before.items() if side == "validation")
    trained_on = next(study for study, side in before.items() if side == "train")
    # A copy of a validation study among the files of a patient who was trained on.
    shutil.copytree(site.studies / validated, site.studies / "moved")
    for file in (site.studies / "moved").iterdir():
        data = file.read_bytes().replace(
            b"MRN-%02d" % int(validated[1:3]), b"MRN-%02d" % int(trained_on[1:3])
        )
        file.write_bytes(data)
    site.label("moved", "present", created="2026-11-21T08:00:00Z")
    after = sides_of(site.select())
    both = {study: side for study, side in after.items() if patient_of(study) == patient_of(validated)}
    assert both
    assert set(both.values()) == {"train"}
    assert after["moved"] == "train"


def test_gone_doubted_and_disputed_studies_are_told(site: Site) -> None:
    for number in range(8):
        site.add(f"s{number}")
    site.label("s0.nrrd", "indeterminate")
    site.label("s1.nrrd", "present", annotator="bert")  # anna said absent
    (site.studies / "s2.nrrd").unlink()
    site.add("short", state="present", slices=3)
    (site.studies / "s3.nrrd").write_bytes((site.studies / "s3.nrrd").read_bytes()[:300])
    data = site.select()
    assert data.left_out == {
        "indeterminate": 1,
        "labelled, but not there": 1,
        "too few slices": 1,
        "unreadable": 1,
    }
    assert "s1.nrrd: readers disagree on lung_nodule; the newest label counts" in site.notes
    assert "left out (labelled, but not there): s2.nrrd" in site.notes
    assert "short.nrrd is left out: it has 3 slices, a clip has 8" in site.notes
    (unreadable,) = (note for note in site.notes if note.startswith("s3.nrrd is left out: "))
    assert unreadable.count("s3.nrrd") == 1
    states = {study.study: study.states[0] for study in data.everything}
    assert states["s1.nrrd"] == 1


def test_all_studies_under_one_patient_id_are_refused_with_the_way_out(site: Site) -> None:
    for number in range(6):
        site.add(f"s{number}", "ANONYMOUS")
    with pytest.raises(TrainingError, match=r"All studies have one PatientID.*CSV with a patient column"):
        site.select()


def write_manifest(site: Site, rows: list[tuple[str, str, str]]) -> Path:
    """Study, patient and split of every row."""
    path = site.studies / "manifest.csv"
    lines = [
        f"{study},{study},{patient},{split},labels/final/{study}/nodule.0001.json"
        for study, patient, split in rows
    ]
    path.write_text("\n".join(["study,path,patient,split,nodule_label", *lines]) + "\n")
    return path


def test_blank_cells_of_a_csv_are_decided_once_and_noted_beside_it(site: Site) -> None:
    names = [site.add(f"s{number}") for number in range(12)]
    rows = [(name, f"P{number // 2}", "") for number, name in enumerate(names)]
    path = write_manifest(site, rows)
    before = sides_of(site.select(source=_source(path)))
    assert path.with_name("manifest.csv.nodule.split.json").is_file()
    assert all(before[names[n]] == before[names[n + 1]] for n in range(0, 12, 2))
    more = [*rows, *((site.add(f"t{number}"), f"Q{number}", "") for number in range(6))]
    after = sides_of(site.select(source=_source(write_manifest(site, list(reversed(more))))))
    assert {name: after[name] for name in before} == before


def test_given_sides_stay_and_blank_ones_are_filled_up_around_them(site: Site) -> None:
    names = [site.add(f"s{number}") for number in range(20)]
    rows = [(name, "", "validation" if number < 4 else "") for number, name in enumerate(names)]
    path = write_manifest(site, rows)
    sides = sides_of(site.select(FOLDS, source=_source(path)))
    # Four of twenty are more than 15 % already: all the others are trained on.
    assert [name for name, side in sides.items() if side == "validation"] == names[:4]
    with pytest.raises(ConfigurationError, match="folds is 5, but the manifest says who is trained on"):
        site.select(replace(FOLDS, folds=5), source=_source(path))


def test_a_patient_of_a_test_row_is_known_again_by_his_patient_id(site: Site) -> None:
    for number in range(10):
        site.add(f"p{number}", f"MRN-{number % 9}")  # p9 is of the patient of p0
    rows = [(f"p{number}", "", "" if number else "test") for number in range(10)]
    assert set(sides_of(site.select(source=_source(write_manifest(site, rows))))) == {
        f"p{number}" for number in range(1, 9)
    }
    # Also where the test row calls him by another name, and the other row is to be trained on.
    rows[0], rows[9] = ("p0", "Jane", "test"), ("p9", "", "train")
    assert "p9" not in sides_of(site.select(source=_source(write_manifest(site, rows))))
    # Two names are two patients.
    rows[9] = ("p9", "Joan", "train")
    assert sides_of(site.select(source=_source(write_manifest(site, rows))))["p9"] == "train"


def test_one_scan_on_two_given_sides_is_refused(site: Site) -> None:
    names = [site.add(f"s{number}") for number in range(4)]
    shutil.copy(site.studies / names[0], site.studies / "copy.nrrd")
    site.label("copy.nrrd", "present")
    sides = ["train", "train", "validation", "validation"]
    rows = [
        *((name, "", side) for name, side in zip(names, sides, strict=True)),
        ("copy.nrrd", "", "validation"),
    ]
    with pytest.raises(
        TrainingError, match=r"s0.nrrd \(train\) and copy.nrrd \(validation\) are the same scan"
    ):
        site.select(source=_source(write_manifest(site, rows)))
    # The very same file is seen before anything is read.
    rows[-1] = (names[0], "", "validation")
    with pytest.raises(ManifestError, match="is there already"):
        Manifest.read(write_manifest(site, rows))


def test_more_folds_than_patients_of_a_state_are_refused_and_usual_ones_are_fewer(site: Site) -> None:
    for number in range(10):
        site.add(f"s{number}", state="present" if number < 3 else "absent")
    with pytest.raises(
        TrainingError, match="5 folds need as many patients of each state; of lung_nodule present"
    ):
        site.select(replace(SIDES, folds=5))
    assert site.select(FOLDS).folds == 3
    assert site.notes == [
        "10 studies: each is validated once, in 3 folds, for there are only 3 patients of lung_nodule present"
    ]


def test_no_fold_is_validated_without_a_state_of_a_finding(site: Site) -> None:
    two = replace(NODULE, findings=("lung_nodule", "mass"))
    states = ["present absent", "absent present", "absent", "absent absent", "present present",
              "present absent", "present absent", "absent present"]  # fmt: skip
    for number, own in enumerate(states):
        study = site.add(f"p{number}", f"MRN-{number:02d}")
        found = {name: FindingLabel(state) for name, state in zip(two.findings, own.split(), strict=False)}
        site.labels.save(study, StudyLabel("nodule", found, annotator="anna"))
    # Every state has at least three patients, but of three folds the last one would have no mass absent.
    with pytest.raises(TrainingError, match=r"no validation study of fold 3 has mass absent.*fewer folds"):
        site.select(replace(FOLDS, folds=3), task=two)
    data = site.select(FOLDS, task=two)
    assert data.folds == 2
    assert site.notes == [
        "8 studies: each is validated once, in 2 folds, for with more one of them would lack a state of a "
        "finding"
    ]
    for each in data.rounds:
        for index in range(2):
            assert {0.0, 1.0} <= {study.states[index] for study in each.validation}


def test_a_state_that_one_patient_alone_has_is_refused(site: Site) -> None:
    for number in range(10):
        site.add(f"s{number}", state="absent" if number else "present")
    with pytest.raises(
        TrainingError, match="1 patient of lung_nodule present: one is needed to train on and"
    ):
        site.select(FOLDS)


def _source(path: Path):  # type: ignore[no-untyped-def]
    from vpt_plugin.training.sources import open_source

    return open_source(path)


def test_a_volume_written_twice_is_the_same_scan_in_any_format(site: Site) -> None:
    for number in range(6):
        site.add(f"s{number}", f"MRN-{number:02d}")
    write_nrrd(small_volume(1), site.studies / "again.nrrd")
    site.label("again.nrrd", "present")
    assert site.select().left_out == {"the same scan as another study": 1}
