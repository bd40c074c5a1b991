"""Whole trainings, one after the other: no version is judged by a patient whom it has learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from labelled_site import NODULE, Site

from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.evaluation import UNKNOWN_TRAINING, evaluate
from vpt_plugin.training.finetune import FinetuneResult, finetune
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.sources import TrainingSource, open_source
from vpt_plugin.training.validation_record import ValidationRecord

ONE_STEP = FinetuneConfig(folds=0, epochs=1, steps_per_epoch=1, batch=2, validation_share=0.4)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def train(site: Site, store: ModelStore, spec: ModelSpec, config: FinetuneConfig) -> FinetuneResult:
    return finetune(
        site.source(), NODULE, spec, config, store=store, cache=site.cache, device="cpu", report=False
    )


def record(store: ModelStore, version: int) -> ValidationRecord:
    found = ValidationRecord.read(store.place("nodule", "tiny", version))
    assert found is not None
    return found


def patients(site: Site, first: int, last: int) -> None:
    for number in range(first, last):
        for visit, state in ((1, "present"), (2, "absent")):
            site.add(f"p{number:02d}-{visit}", f"MRN-{number:02d}", state)


def test_with_a_validation_side_no_version_ever_learns_from_whom_another_one_is_validated_on(
    site: Site, store: ModelStore, small_spec: ModelSpec
) -> None:
    patients(site, 0, 10)
    train(site, store, small_spec, ONE_STEP)
    patients(site, 10, 16)
    for number in range(10):
        site.add(f"p{number:02d}-3", f"MRN-{number:02d}", "present")
        site.label(f"p{number:02d}-2", "absent" if number % 3 else "present")
    second = train(site, store, small_spec, ONE_STEP)
    records = [record(store, version) for version in (1, 2)]
    learned = {each.patient for found in records for each in found.trained_on}
    validated = {each.seen.patient for found in records for each in found.validated}
    assert len(learned) + len(validated) == 16
    assert learned.isdisjoint(validated)
    # So the served version can answer every study that the new one is validated on.
    assert second.comparison is not None, second.decision
    assert second.comparison.gain.n == len(records[1].validated)


def test_with_folds_new_studies_of_patients_the_served_version_knows_are_not_compared_on(
    site: Site, store: ModelStore, small_spec: ModelSpec
) -> None:
    folds = FinetuneConfig(folds=2, epochs=1, steps_per_epoch=1, batch=2)
    patients(site, 0, 6)
    train(site, store, small_spec, folds)
    assert {each.seen.patient for each in record(store, 1).validated} == {
        each.patient for each in record(store, 1).trained_on
    }
    site.add("p00-3", "MRN-00", "present")
    patients(site, 6, 8)
    second = train(site, store, small_spec, folds)
    assert len(record(store, 2).validated) == 17
    # 12 that the first version answered when it had not learned from them, and 4 of new patients.
    assert second.comparison is not None
    assert second.comparison.gain.n == 16


def test_who_chose_what_a_version_began_from_has_been_seen_by_it_and_its_descendants(
    site: Site, store: ModelStore, small_spec: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("model_store", "version_folder", "evaluation"):
        monkeypatch.setattr(f"vpt_plugin.training.{module}.get_model", lambda name: small_spec)
    patients(site, 0, 8)

    def listed(first: dict[int, str]) -> TrainingSource:
        path = site.studies / "listed.csv"
        rows = [
            f"p{number:02d}-{visit},p{number:02d}-{visit},,{side},"
            f"labels/final/p{number:02d}-{visit}/nodule.0001.json"
            for number, side in first.items()
            for visit in (1, 2)
        ]
        path.write_text("\n".join(["study,path,patient,split,nodule_label", *rows]) + "\n")
        return open_source(path)

    def train(first: dict[int, str], config: FinetuneConfig) -> None:
        finetune(
            listed(first), NODULE, small_spec, config,
            store=store, cache=site.cache, device="cpu", report=False,
        )  # fmt: skip

    train({0: "train", 1: "train", 2: "validation"}, ONE_STEP)
    for version, (learns, chooses) in enumerate([(3, 4), (5, 6)], start=1):
        begun = replace(ONE_STEP, pretraining="ct", start=f"nodule_tiny:{version}")
        train({learns: "train", chooses: "validation"}, begun)
    # Neither version 2 nor 3 had anything to do with the patients 2 and 7; version 1 was chosen by patient 2.
    found = evaluate(
        listed({2: "test", 7: "test"}), NODULE, "tiny", 3, store=store, cache=site.cache, device="cpu"
    )
    assert (found.seen, found.studies) == (("p02-1", "p02-2"), 2)
    assert UNKNOWN_TRAINING not in found.warnings
