"""The test set: locked patients are never trained on or chosen by, and every look at them is noted."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pytest
from labelled_site import NODULE, SIDES, Site, nodule_label, sides_of
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.ct.reader import read_study
from vpt_plugin.data.split_file import Split
from vpt_plugin.data.splits import patient_key
from vpt_plugin.errors import ConfigurationError, TrainingError
from vpt_plugin.inference import Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.store.source import OpenedStudy
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.evaluation import UNKNOWN_TRAINING, Evaluation, evaluate
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.selection import TrainingData
from vpt_plugin.training.sources import SourceStudy
from vpt_plugin.training.test_set import lock_test_set, patient_of, show_split, unlock_test_set
from vpt_plugin.training.validation_record import ValidationRecord, record_of


def fill(site: Site, patients: int) -> None:
    for number in range(patients):
        site.add(f"p{number:02d}", f"MRN-{number:02d}", slices=8)


def lock(site: Site, share: float = 0.2) -> set[str]:
    """The studies of the test set."""
    lock_test_set(site.source(), NODULE, share)
    noted = site.split()
    return {study for study, own in noted.studies.items() if noted.sides.get(own.patient) == "test"}


def test_a_locked_patient_is_on_no_side_with_no_study_that_comes_later(site: Site) -> None:
    fill(site, 20)
    locked = lock(site)
    # A fifth of 10 with the finding and of 10 without.
    assert Counter(int(name[1:]) % 2 for name in locked) == {0: 2, 1: 2}
    assert not locked & sides_of(site.select()).keys()
    for name in sorted(locked):
        site.add(f"{name}-later", f"MRN-{name[1:]}", slices=8)
    assert {name for name in sides_of(site.select()) if name.endswith("later")} == set()
    data = site.select(FinetuneConfig(folds=5))
    assert not locked & {study.study for study in data.everything}
    assert len(data.everything) == 16


def test_no_pixel_of_a_locked_study_is_read(site: Site) -> None:
    fill(site, 20)
    locked = lock(site)
    later = site.add("later", f"MRN-{min(locked)[1:]}", slices=8)
    read: list[str] = []

    def reader(path: Path, **options: Any) -> Any:
        read.append(options["name"])
        return read_study(path, **options)

    site.select(read=reader)
    assert len(read) == 16
    assert not {*locked, later} & set(read)


def test_a_locked_study_in_a_zip_is_known_by_its_headers_alone(site: Site) -> None:
    for number in range(4):
        study = site.add(f"p{number:02d}", f"MRN-{number // 2:02d}", slices=8)
        for file in (site.studies / study).iterdir():
            # Nothing could decode this; whose it is stands before the pixels.
            file.write_bytes(file.read_bytes()[:-40])
        shutil.make_archive(str(site.studies / study), "zip", site.studies / study)
    patients = [patient_of(_zipped(site, f"p{number:02d}"), Split()) for number in range(4)]
    assert patients == [patient_key(f"MRN-{number // 2:02d}") for number in range(4)]


def _zipped(site: Site, study: str) -> SourceStudy:
    @contextmanager
    def opened(cancelled: Callable[[], bool]) -> Iterator[OpenedStudy]:
        yield OpenedStudy(site.studies / f"{study}.zip")

    return SourceStudy(f"{study}.zip", opened, nodule_label("present"))


def test_a_copy_of_a_locked_scan_without_its_patients_name_is_known_again(site: Site) -> None:
    for number in range(20):
        site.add(f"s{number:02d}", slices=8)
    before = sides_of(site.select())
    locked = lock(site)
    shutil.copy(site.studies / min(locked), site.studies / "copy.nrrd")
    site.label("copy.nrrd", "present")
    after = sides_of(site.select())
    assert after == {name: side for name, side in before.items() if name not in locked}
    assert "of patients of the test set, so left out: copy.nrrd" in site.notes


def test_locking_again_adds_to_the_set_and_lets_nobody_go(site: Site) -> None:
    fill(site, 20)
    first = lock(site)
    assert lock(site) == first
    for number in range(20, 40):
        site.add(f"p{number:02d}", f"MRN-{number:02d}", slices=8)
    again = lock_test_set(site.source(), NODULE, 0.2)
    assert (again.patients, again.studies, again.new, again.seen) == (8, 8, 4, 0)
    assert first < lock(site)


def test_who_was_trained_on_before_is_counted_when_locked(site: Site) -> None:
    fill(site, 20)
    site.select()
    assert lock_test_set(site.source(), NODULE, 0.2).seen == 4


@pytest.mark.parametrize("config", [SIDES, FinetuneConfig()], ids=["sides", "folds"])
def test_patients_who_are_locked_while_studies_are_prepared_take_no_part(
    site: Site, config: FinetuneConfig
) -> None:
    fill(site, 20)
    locked: set[str] = set()

    def reader(path: Path, **options: Any) -> Any:
        with locking:
            locked.update(locked or lock(site))
        return read_study(path, **options)

    locking = Lock()
    data = site.select(config, read=reader)
    assert len(locked) == 4
    assert not locked & {study.study for study in data.everything}
    assert len(data.everything) == 16
    assert f"of patients of the test set, so left out: {', '.join(sorted(locked))}" in site.notes


def test_who_took_part_in_folds_is_shown_and_counted_when_locked(site: Site) -> None:
    fill(site, 20)
    assert site.select(FinetuneConfig()).folds == 5
    site.add("new", "MRN-99", "present", slices=8)
    (folds, new) = show_split(site.source(), NODULE).sides
    assert (folds.side, folds.patients, new.side, new.patients) == ("in folds", 20, "not decided", 1)
    site.label("new", "indeterminate")
    told = vpt("split", "lock", site.studies, "--task", "nodule", "--share", "0.2").stdout
    assert "4 of these were trained on or validated on before" in told
    shown = {each.side: each.patients for each in show_split(site.source(), NODULE).sides}
    assert shown == {"test": 4, "in folds": 16}


def test_who_was_locked_and_unlocked_without_a_training_is_new_when_locked_again(site: Site) -> None:
    fill(site, 20)
    lock(site)
    unlock_test_set(site.source(), NODULE)
    again = lock_test_set(site.source(), NODULE, 0.2)
    assert (again.new, again.seen) == (4, 0)


def test_the_validation_side_stays_whole_when_patients_are_locked(site: Site) -> None:
    fill(site, 20)
    before = sides_of(site.select())
    lock(site, 0.4)
    after = sides_of(site.select())
    validated = {study for study, side in before.items() if side == "validation"}
    assert {study for study, side in after.items() if side == "validation"} == validated
    assert len(after) == 12


def test_unlocked_patients_get_a_side_again_and_the_looks_stay(site: Site) -> None:
    fill(site, 20)
    locked = lock(site)
    assert unlock_test_set(site.source(), NODULE) == 4
    assert locked < sides_of(site.select()).keys()
    with pytest.raises(TrainingError, match="no patient is locked for nodule"):
        unlock_test_set(site.source(), NODULE)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_that_is_none_is_refused(site: Site, share: float) -> None:
    fill(site, 4)
    with pytest.raises(ConfigurationError, match="no share of a test set"):
        lock_test_set(site.source(), NODULE, share)


def test_the_overview_counts_patients_studies_and_states(site: Site) -> None:
    fill(site, 20)
    site.add("p00-2", "MRN-00", "absent", slices=8)
    lock(site)
    site.select()
    site.add("new", "MRN-99", "present", slices=8)
    found = {each.side: each for each in show_split(site.source(), NODULE).sides}
    assert {side: each.patients for side, each in found.items()} == {
        "train": 14, "validation": 2, "test": 4, "not decided": 1,
    }  # fmt: skip
    assert sum(each.studies for each in found.values()) == 22
    assert found["not decided"].states == {"lung_nodule": {"present": 1, "absent": 0}}


# Versions whose answers need no training: the head alone, from a seed, tells noise from noise at random.


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def publish(store: ModelStore, data: TrainingData | None) -> ModelCard:
    """A version as if it had been trained on these; None for one that says nothing of that."""
    classifier = new_classifier(get_model("tiny"), NODULE.findings, seed=3)
    card = ModelCard("nodule", "tiny", NODULE.findings, "none", 16, thresholds={"lung_nodule": 0.5})
    if data is None:
        return store.publish(classifier, card)
    validated = data.rounds[0].validation
    record = record_of(NODULE.findings, validated, np.full((len(validated), 1), 0.5), data.trained_on)
    return store.publish(classifier, card, beside=lambda folder: record.write(folder))


def look(site: Site, store: ModelStore, **options: Any) -> Evaluation:
    return evaluate(
        site.source(), NODULE, "tiny", store=store, cache=site.cache, device="cpu",
        progress=lambda done, total, note: site.notes.extend(note.splitlines()), **options,
    )  # fmt: skip


def test_the_figures_are_those_of_the_served_answers_and_every_look_is_noted(
    site: Site, store: ModelStore
) -> None:
    fill(site, 20)
    locked = sorted(lock(site, 0.4))
    publish(store, site.select())
    found = look(site, store)
    classifier, card = store.load(NODULE, "tiny")
    predictor = Predictor(classifier, NODULE, card, device="cpu", unsuitable="warn")
    said = [predictor.predict(read_study(site.studies / name)).findings[0].probability for name in locked]
    truth = [int(name[1:]) % 2 == 0 for name in locked]
    assert found.metrics["lung_nodule"]["auroc"].value == pytest.approx(roc_auc_score(truth, said), abs=1e-9)
    assert (found.studies, found.patients, found.seen, found.looks) == (8, 8, (), 1)
    assert found.warnings == ()
    assert look(site, store).looks == 2
    noted = show_split(site.source(), NODULE).looks
    assert [(each.model, each.studies) for each in noted] == [("nodule_tiny version 1", 8)] * 2
    assert noted[0].auroc["lung_nodule"] == found.metrics["lung_nodule"]["auroc"].value


def test_the_precision_that_is_asked_for_is_evaluated(site: Site, store: ModelStore) -> None:
    fill(site, 20)
    locked = sorted(lock(site, 0.4))
    publish(store, site.select())
    classifier, card = store.load(NODULE, "tiny")
    truth = [float(int(name[1:]) % 2 == 0) for name in locked]
    found = {}
    for precision in ("float32", "bfloat16"):
        predictor = Predictor(classifier, NODULE, card, device="cpu", precision=precision, unsuitable="warn")
        said = [predictor.predict(read_study(site.studies / name)).findings[0].probability for name in locked]
        found[precision] = look(site, store, precision=precision).metrics["lung_nodule"]["brier"].value
        assert found[precision] == pytest.approx(np.mean(np.square(np.subtract(said, truth))), abs=1e-7)
    assert abs(found["float32"] - found["bfloat16"]) > 1e-6


def test_a_version_that_was_trained_before_they_were_locked_has_seen_them(
    site: Site, store: ModelStore
) -> None:
    fill(site, 20)
    publish(store, site.select())
    locked = lock(site, 0.4)
    with pytest.raises(
        TrainingError, match="nodule_tiny version 1 has seen all 8 usable studies of the test"
    ):
        look(site, store)
    # Another study of a patient whom it has seen is no new one either.
    site.add("later", f"MRN-{min(locked)[1:]}", slices=8)
    with pytest.raises(TrainingError, match="has seen all 9 usable studies"):
        look(site, store)
    assert show_split(site.source(), NODULE).looks == ()


def test_the_studies_that_a_version_has_seen_are_left_out(site: Site, store: ModelStore) -> None:
    fill(site, 20)
    before = set(sides_of(site.select()))
    for number in range(20, 40):
        site.add(f"p{number:02d}", f"MRN-{number:02d}", slices=8)
    later = site.select()
    early = later.rounds[0]
    train = tuple(study for study in early.train if study.study in before)
    publish(store, replace(later, rounds=(replace(early, train=train),)))
    locked = lock(site, 0.4)
    known = before | {study.study for study in early.validation}
    found = look(site, store)
    assert set(found.seen) == locked & known
    assert found.studies == len(locked - known) > 0


def test_a_version_without_a_record_is_evaluated_with_a_warning(site: Site, store: ModelStore) -> None:
    fill(site, 10)
    lock(site, 0.4)
    publish(store, None)
    assert ValidationRecord.read(store.place("nodule", "tiny", 1)) is None
    few, unknown = look(site, store).warnings
    assert unknown == UNKNOWN_TRAINING
    # The network knows nothing, and has all four studies the wrong way round.
    assert few.endswith("guessing alone goes as wrong in 1 of 6 tries. Label more studies.")
    ValidationRecord(NODULE.findings, (), (), complete=False).write(store.place("nodule", "tiny", 1))
    assert UNKNOWN_TRAINING in look(site, store).warnings


def test_without_a_test_set_there_is_nothing_to_look_at(site: Site, store: ModelStore) -> None:
    fill(site, 4)
    publish(store, None)
    with pytest.raises(TrainingError, match="there is no test set of nodule in studies"):
        look(site, store)


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_on_the_command_line(site: Site, store: ModelStore) -> None:
    fill(site, 20)
    (site.studies / "labels" / "final" / "p00" / "nodule.0002.json").write_text("damaged")
    assert vpt("split", "show", site.studies, "--task", "nodule").stdout.split()[-5:] == [
        "decided", "20", "20", "10", "10",
    ]  # fmt: skip
    locked = vpt("split", "lock", site.studies, "--task", "nodule", "--share", "0.4")
    assert (
        locked.stdout == "The test set of nodule: 8 patients, 8 studies; 8 of the patients are new in it.\n"
    )
    publish(store, site.select(SIDES))
    arguments = ("evaluate", site.studies, "--task", "nodule", "--model", "tiny", "--models-dir", store.root)
    told = vpt(*arguments, "--cache", site.cache, "--device", "cpu")
    assert told.exit_code == 0, told.stderr
    assert "nodule/tiny version 1 on the test set: 8 studies of 8 patients." in told.stdout
    assert "This was the first look at it." in told.stdout
    again = vpt(*arguments, "--cache", site.cache, "--device", "cpu", "--json")
    assert (json.loads(again.stdout)["looks"], json.loads(again.stdout)["studies"]) == (2, 8)
    shown = vpt("split", "show", site.studies, "--task", "nodule").stdout
    assert "Looked at 2 times:" in shown
    assert "nodule_tiny version 1" in shown
    free = vpt("split", "unlock", site.studies, "--task", "nodule")
    assert free.stdout == "8 patients of nodule may be trained on and validated on again.\n"
    refused = vpt(*arguments)
    assert refused.exit_code == 1
    assert "there is no test set of nodule" in refused.stderr


def test_the_command_line_names_a_folder_that_is_not_there(tmp_path: Path) -> None:
    result = vpt("split", "show", tmp_path / "nowhere", "--task", "nodule")
    assert result.exit_code == 2
    assert "there is no such file or folder" in result.stderr
