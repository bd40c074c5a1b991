"""A training that could not be done is refused before anything is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vpt_plugin.data.manifest import Manifest, ManifestStudy
from vpt_plugin.errors import ConfigurationError, TrainingError, VptError, WeightsNotFoundError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.readiness import check_ready, check_source_ready
from vpt_plugin.training.sources import ManifestSource

MB = 10**6


def labels(*states: str) -> list[StudyLabel]:
    return [StudyLabel("nodule", {"lung_nodule": FindingLabel(state)}) for state in states]


ENOUGH = labels("present", "present", "absent", "absent")


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., None]:
    """Checks a training of the nodule task on a computer without any weights."""

    def run(
        given: list[StudyLabel] = ENOUGH, *, model: str = "tiny", free: int = 10**12, **settings: Any
    ) -> None:
        check_ready(
            TASKS["nodule"],
            get_model(model),
            FinetuneConfig.from_dict(settings),
            given,
            store=ModelStore(tmp_path / "models"),
            cache=tmp_path / "prepared",
            weights=WeightsFolder(tmp_path / "weights"),
            free_bytes=lambda folder: free,
        )

    return run


def test_two_studies_of_each_state_are_enough_to_start(check) -> None:
    check()


@pytest.mark.parametrize(
    "states", [(), ("present",) * 9, ("present", "absent", "absent"), ("present", "present", "absent")]
)
def test_too_few_of_a_state_are_refused(check, states: tuple[str, ...]) -> None:
    with pytest.raises(TrainingError, match=f"{states.count('present')} stud(y|ies) with lung nodule, "):
        check(labels(*states))


def test_indeterminate_ones_do_not_count(check) -> None:
    with pytest.raises(TrainingError, match="2 studies with lung nodule, 1 without"):
        check(labels("present", "present", "absent", "indeterminate", "indeterminate"))


def test_weights_that_are_not_here_are_named_with_the_command_that_brings_them(check) -> None:
    with pytest.raises(WeightsNotFoundError, match="kinetics weights of swin_t") as caught:
        check(model="swin_t")
    assert "vpt weights fetch swin_t" in caught.value.hint
    check(model="swin_t", pretraining="none")


def test_a_pretraining_that_the_network_does_not_have_is_refused(check) -> None:
    with pytest.raises(
        ConfigurationError, match="tiny has no weights for the pretraining 'imagenet'"
    ) as tiny:
        check(pretraining="imagenet")
    # Nothing of tiny can have begun from Kinetics.
    assert tiny.value.hint == "choose from none, ct."
    with pytest.raises(ConfigurationError, match="no weights") as swin:
        check(model="swin_t", pretraining="imagenet")
    assert "kinetics+ct" in swin.value.hint


def test_starting_from_a_classifier_of_the_site_asks_that_it_is_there(check, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"never trained here.*nothing of the network tiny"):
        check(pretraining="ct", start="nodule_tiny")
    classifier = new_classifier(get_model("tiny"), ("lung_nodule",))
    card = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 8)
    ModelStore(tmp_path / "models").publish(classifier, card)
    check(pretraining="ct", start="nodule_tiny")
    check(pretraining="ct", start="nodule_tiny:1")
    with pytest.raises(ConfigurationError, match=r"version 2.*choose from nodule_tiny:1"):
        check(pretraining="ct", start="nodule_tiny:2")
    with pytest.raises(ConfigurationError, match=r"no classifier of any network.*choose from nodule_tiny:1"):
        check(pretraining="ct", start="nodule_tinny")
    with pytest.raises(ConfigurationError, match="weights do not fit another network"):
        check(pretraining="ct", start="nodule_swin_t")


def test_a_disk_without_room_is_told_with_the_numbers(check) -> None:
    with pytest.raises(TrainingError, match="16 MB are free, at least 17 MB are needed"):
        check(free=16 * MB)
    with pytest.raises(TrainingError, match=r"its result.* 20 MB are free, at least 67 MB"):
        check(free=20 * MB)
    check(free=68 * MB)


@pytest.mark.parametrize(("folder", "what"), [("models", "models"), ("prepared", "prepared studies")])
def test_a_file_in_place_of_a_folder_is_told_as_that_and_not_as_a_full_disk(
    check, tmp_path: Path, folder: str, what: str
) -> None:
    (tmp_path / folder).touch()
    with pytest.raises(TrainingError, match=f"^{what} cannot be kept in .*{folder}: (File exists|Not a dir)"):
        check()


@pytest.mark.parametrize(
    ("sides", "folds", "told"),
    [
        ("train train validation validation", 3, "training setting folds is 3, but the manifest says"),
        ("train validation validation validation", None, "no train study has lung nodule absent"),
        ("train train train train", None, "no validation study has lung nodule present"),
    ],
)
def test_what_the_sides_of_a_csv_make_impossible_is_told_before_a_study_is_opened(
    tmp_path: Path, sides: str, folds: int | None, told: str
) -> None:
    rows = []
    for number, side in enumerate(sides.split()):
        (tmp_path / f"{number}.nii").touch()  # no study: opened, it would be another error
        state = "absent" if number % 2 else "present"
        label = StudyLabel("nodule", {"lung_nodule": FindingLabel(state)})
        rows.append(
            ManifestStudy(str(number), tmp_path / f"{number}.nii", str(number), side, {"nodule": label})
        )
    with pytest.raises(VptError, match=told):
        check_source_ready(
            ManifestSource(Manifest(tuple(rows))), TASKS["nodule"], get_model("tiny"),
            FinetuneConfig(folds=folds), store=ModelStore(tmp_path / "m"), cache=tmp_path / "p",
        )  # fmt: skip
