"""What the rule of retraining sees of real stores: labels, versions with their records, offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from vpt_plugin.active.retrain import RetrainRule
from vpt_plugin.active.retrain_watch import RetrainWatch
from vpt_plugin.data.split_file import NotedStudy, Split, SplitFile
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import LeaseBook, Order
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.validation_record import SeenStudy, ValidatedStudy, ValidationRecord

NODULE = TASKS["nodule"]
WEIGHTS = new_classifier(get_model("tiny"), NODULE.findings, seed=0)
CARD = ModelCard("nodule", "tiny", NODULE.findings, "none", 8, thresholds={"lung_nodule": 0.5})


def seen(studies: Sequence[str]) -> tuple[SeenStudy, ...]:
    return tuple(SeenStudy(study, (f"patient of {study}",), f"scan of {study}") for study in studies)


@dataclass
class Site:
    """The stores of a site, in one folder."""

    root: Path

    def __post_init__(self) -> None:
        self.labels = LabelFolder(self.root / "labels")
        self.models = ModelStore(self.root / "models")
        self.leases = LeaseBook(self.root / "labels" / "worklist", minutes=1e4)
        self.watch = RetrainWatch(self.labels, self.models, self.leases, RetrainRule(every=5, min_each=1))

    def label(self, studies: Sequence[str], state: str = "absent", **facts: object) -> None:
        for study in studies:
            self.labels.save(study, StudyLabel("nodule", {"lung_nodule": FindingLabel(state)}, **facts))  # type: ignore[arg-type]

    def publish(
        self, trained_on: Sequence[str], *, left_out: dict[str, int] | None = None, serve: bool = True
    ) -> None:
        """A version that learned from these studies; the first one it was validated on, too."""
        validated = [
            ValidatedStudy(each, {"lung_nodule": 0.0}, {"lung_nodule": 0.1}) for each in seen(trained_on[:1])
        ]
        record = ValidationRecord(NODULE.findings, tuple(validated), seen(trained_on))
        card = ModelCard(**{**vars(CARD), "counts": {"left_out": left_out or {}}})
        self.models.publish(WEIGHTS, card, serve=serve, beside=record.write)

    def new_labels(self, **wanted: object) -> int:
        return self.watch.advice(NODULE, "tiny", **wanted).new_labels  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_before_the_first_version_all_labels_are_new(site: Site) -> None:
    site.label(["a", "b"])
    site.label(["c"], "present")
    site.label(["d"], "indeterminate")
    advice = site.watch.advice(NODULE, "tiny")
    assert (advice.due, advice.new_labels, advice.version) == (False, 3, 0)
    site.label(["e", "f"])
    assert site.watch.advice(NODULE, "tiny").due


def test_only_labels_of_studies_that_the_served_version_does_not_know_are_new(site: Site) -> None:
    site.label(["a", "b", "c", "d"])
    site.publish(["a", "b"])
    assert site.new_labels() == 2
    site.label(["e", "a"])
    assert site.new_labels() == 3
    assert site.new_labels(there=["a", "c"]) == 1


def test_a_candidate_that_was_not_better_has_learned_from_the_labels_too(site: Site) -> None:
    """Else the rule would order the same training for ever."""
    site.publish(["a"])
    site.label(["a", "b", "c", "d", "e", "f", "g"])
    assert site.watch.advice(NODULE, "tiny").due
    site.publish(["a", "b", "c", "d", "e", "f"], serve=False)
    advice = site.watch.advice(NODULE, "tiny")
    assert (advice.due, advice.new_labels, advice.version) == (False, 1, 1)


def test_studies_that_no_training_can_learn_from_do_not_call_for_one(site: Site) -> None:
    """Two could not be read; those that were merely not labelled, or gone, are not among the labels."""
    site.label(["a", "b", "c", "d"])
    site.publish(["a"], left_out={"unreadable": 2, "not labelled": 9, "labelled, but not there": 4})
    assert site.new_labels() == 1


def test_studies_of_the_locked_test_set_are_no_labels_to_learn_from(site: Site) -> None:
    site.label(["a", "b", "c"])
    locked = Split(sides={"p": "test"}, studies={"b": NotedStudy("p")})
    SplitFile(site.labels.root / "splits" / "nodule.json").change(lambda split: locked)
    assert site.new_labels() == 2


def test_readers_who_contradict_what_the_version_said_when_it_offered_the_studies_are_noticed(
    site: Site,
) -> None:
    site.publish(["a"])
    site.watch.rule = RetrainRule(every=100)
    studies = [f"s{number:02}" for number in range(12)]
    for study in studies:
        site.leases.offer(
            [
                Order(
                    study, "nodule", "uncertain", probabilities={"lung_nodule": 0.95}, model="tiny", version=1
                )
            ],
            "anna",
        )
    site.label(studies, "absent")
    advice = site.watch.advice(NODULE, "tiny")
    assert advice.due
    found = advice.contradictions["lung_nodule"]
    assert (found.compared, found.contradicted, found.expected) == (12, 12, pytest.approx(0.6))


def test_what_another_version_or_a_reader_of_a_second_reading_was_told_does_not_count(site: Site) -> None:
    site.publish(["a"])
    site.publish(["a"])
    said = {"lung_nodule": 0.95}
    site.leases.offer([Order("b", "nodule", "auto", probabilities=said, model="tiny", version=1)], "anna")
    site.leases.offer(
        [Order("c", "nodule", "double-read", "second", probabilities=said, model="tiny", version=2)], "anna"
    )
    site.label(["b", "c"])
    site.watch.rule = RetrainRule(every=100, min_compared=1)
    assert site.watch.advice(NODULE, "tiny").contradictions == {}


def test_a_study_that_nobody_was_offered_has_what_its_client_says_that_the_version_said(site: Site) -> None:
    site.publish(["a"])
    site.watch.rule = RetrainRule(every=100, min_compared=1)
    said = {"model": "nodule/tiny", "version": 1, "lung_nodule": 0.75}
    site.label(["b"], "present", model_suggestion=said)
    found = site.watch.advice(NODULE, "tiny").contradictions["lung_nodule"]
    assert (found.compared, found.contradicted, found.expected) == (1, 0, pytest.approx(0.25))


@pytest.mark.parametrize(
    "said", [{}, {"model": 3}, {"model": "tiny", "version": "1"}, {"model": "tiny", "version": 1, "p": 2}]
)
def test_whatever_a_client_writes_there_does_no_harm(site: Site, said: dict[str, object]) -> None:
    site.publish(["a"])
    site.label(["b"], "present", model_suggestion=said)
    assert site.new_labels() == 1


def test_where_it_cannot_be_told_what_is_served_none_is_due_and_the_advice_says_so(site: Site) -> None:
    site.publish(["a"])
    (site.models.root / "nodule_tiny" / "served.json").write_text("{")
    advice = site.watch.advice(NODULE, "tiny")
    assert not advice.due
    assert "served.json" in advice.why


def test_what_a_version_learned_from_is_read_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.publish(["a"])
    site.label(["a", "b"])
    assert site.new_labels() == 1
    monkeypatch.setattr(ValidationRecord, "read", lambda folder: pytest.fail("read again"))
    assert site.new_labels() == 1
