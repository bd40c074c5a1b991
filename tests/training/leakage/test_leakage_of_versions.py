"""Whole trainings, one after the other: no version is judged by a patient whom it has learned from."""

from __future__ import annotations

from pathlib import Path

import pytest
from labelled_site import NODULE, Site

from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.finetune import FinetuneResult, finetune
from vpt_plugin.training.model_store import ModelStore
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
