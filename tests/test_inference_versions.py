"""What other versions of a model say of a study, by real networks in a real store."""

from __future__ import annotations

import math
import shutil
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vpt_plugin.ct.volume import Volume
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.versions import ask_versions
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.other_versions import other_versions, to_be_asked

NODULE = TASKS["nodule"]
CARD = ModelCard("nodule", "tiny", ("lung_nodule",), "none", 8)


def saying(probability: float) -> Classifier:
    """A network that says this of whatever it sees."""
    classifier = new_classifier(MODELS["tiny"], ("lung_nodule",))
    with torch.no_grad():
        classifier.head.weight.zero_()
        classifier.head.bias.fill_(math.log(probability / (1 - probability)))
    return classifier


def store_of(folder: Path, *probabilities: float) -> ModelStore:
    """Version 1 says the first of every study, version 2 the second; the last one is served."""
    store = ModelStore(folder)
    for each in probabilities:
        store.publish(saying(each), CARD)
    return store


def predictor(classifier: Classifier, card: ModelCard) -> Predictor:
    return Predictor(classifier, NODULE, card, device="cpu", unsuitable="warn")


def study() -> Volume:
    """8 slices of noise: one clip."""
    hu = np.random.default_rng(0).normal(-700, 200, (8, 40, 40)).astype(np.int16)
    return Volume(hu, (2.0, 8.0, 8.0), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "made up")


def test_the_newest_other_versions_are_asked_and_their_spread_is_told(tmp_path: Path) -> None:
    store = store_of(tmp_path, 0.9, 0.5, 0.75, 0.25)
    classifier, card = store.load(NODULE, "tiny")
    alone = predictor(classifier, card).predict(study())
    assert (alone.versions, alone.version_disagreement) == ((), None)

    others = other_versions(store, NODULE, card, 2)
    asked = to_be_asked(store, NODULE, others.cards, predictor)
    answer = ask_versions(alone, asked, study(), notes=others.notes)
    said = [(each.version, round(each.probabilities["lung_nodule"], 6)) for each in answer.versions]
    assert said == [(3, 0.75), (2, 0.5)]
    # Of 0.25, 0.75 and 0.5 the mean is 0.5, and two lie 0.25 away from it.
    assert answer.version_disagreement == pytest.approx(math.sqrt((0.25**2 + 0.25**2) / 3))
    assert answer.notes[len(alone.notes) :] == (
        "version 3 says lung_nodule 0.75; version 2 says lung_nodule 0.50; "
        "the standard deviation with them is 0.20",
    )
    # The answer itself stays that of the served version.
    assert answer.card.version == 4
    assert answer.findings == alone.findings
    assert answer.seconds["total"] > alone.seconds["total"]


def test_of_fewer_versions_than_were_asked_for_all_answer_and_it_is_said(tmp_path: Path) -> None:
    store = store_of(tmp_path, 0.5, 0.25)
    found = other_versions(store, NODULE, store.card("nodule", "tiny"), 3)
    assert [card.version for card in found.cards] == [1]
    assert found.notes == ("3 other versions asked for; one can answer",)


def test_of_a_single_version_it_is_said_that_there_is_no_other(tmp_path: Path) -> None:
    store = store_of(tmp_path, 0.5)
    found = other_versions(store, NODULE, store.card("nodule", "tiny"), 3)
    assert (found.cards, found.notes) == ((), ("there is no other version of nodule_tiny",))


def test_versions_that_cannot_answer_or_say_nothing_are_left_out_with_the_reason(tmp_path: Path) -> None:
    store = store_of(tmp_path, 0.5)
    store.publish(saying(0.6), replace(CARD, reading={"offset": 0.5}))
    chance = {"lung_nodule": Estimate(0.5, (0.5, 0.5), 20)}
    store.publish(saying(0.7), replace(CARD, validation_auroc=chance))
    store.publish(saying(0.8), CARD)
    (store.place("nodule", "tiny", 4) / "card.json").write_text("{")
    served = store.publish(saying(0.9), CARD)

    found = other_versions(store, NODULE, served, 4)
    assert [card.version for card in found.cards] == [1]
    damaged, no_better, otherwise, few = found.notes
    assert damaged.startswith("version 4 was not asked: ")
    assert "card cannot be read" in damaged
    assert no_better == (
        "version 3 was not asked: its AUROC for lung_nodule on its validation studies is 0.500, "
        "as good as chance"
    )
    assert otherwise.startswith("version 2 was not asked: nodule_tiny version 2 was trained with ")
    assert "offset 0.5, the task has 0" in otherwise
    assert few == "4 other versions asked for; one can answer"


@pytest.mark.parametrize("number", [0, -1, 11])
def test_a_number_of_versions_that_means_nothing_is_refused(tmp_path: Path, number: int) -> None:
    store = store_of(tmp_path, 0.5)
    with pytest.raises(ConfigurationError, match="ask for 1 to 10"):
        other_versions(store, NODULE, store.card("nodule", "tiny"), number)


def test_a_bad_version_is_left_out_in_words_and_takes_nothing_from_the_answer(tmp_path: Path) -> None:
    store = store_of(tmp_path, 0.5, 0.75, 0.4, 0.6, 0.25)
    classifier, card = store.load(NODULE, "tiny")
    alone = predictor(classifier, card).predict(study())
    others = other_versions(store, NODULE, card, 4)
    weights = store.place("nodule", "tiny", 4) / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    # Removed between the question and the answer.
    shutil.rmtree(store.place("nodule", "tiny", 3))

    def make(network: Classifier, its_card: ModelCard) -> Predictor:
        if its_card.version == 1:
            with torch.no_grad():
                network.head.bias.fill_(math.nan)
        return predictor(network, its_card)

    answer = ask_versions(alone, to_be_asked(store, NODULE, others.cards, make), study())
    assert answer.findings == alone.findings
    assert [each.version for each in answer.versions] == [2]
    # Of 0.25 and 0.75.
    assert answer.version_disagreement == pytest.approx(0.25)
    _, cut_short, gone, no_number = answer.notes[len(alone.notes) :]
    assert cut_short.startswith("version 4 was left out: ")
    assert "is not the file that was published" in cut_short
    assert gone.startswith("version 3 was left out: ")
    assert no_number.startswith("version 1 was left out: nodule/tiny version 1 gave what is no number")

    # Where none can answer, nothing is said of a disagreement.
    bad = ask_versions(alone, to_be_asked(store, NODULE, others.cards[:1], make), study())
    assert (bad.findings, bad.version_disagreement) == (alone.findings, None)


def test_the_next_version_is_loaded_when_the_one_before_has_answered_and_gone(tmp_path: Path) -> None:
    store = store_of(tmp_path, 0.2, 0.4, 0.6)
    classifier, card = store.load(NODULE, "tiny")
    alone = predictor(classifier, card).predict(study())
    made: list[weakref.ref[Predictor]] = []
    in_memory: list[int] = []

    def make(network: Classifier, its_card: ModelCard) -> Predictor:
        in_memory.append(sum(each() is not None for each in made))
        one = predictor(network, its_card)
        made.append(weakref.ref(one))
        return one

    others = to_be_asked(store, NODULE, other_versions(store, NODULE, card, 2).cards, make)
    assert made == []
    for _ in range(2):
        ask_versions(alone, others, study())
    assert in_memory == [0, 0, 0, 0]
