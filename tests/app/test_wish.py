"""What a client asks for beside the probabilities, out of ``params``."""

from __future__ import annotations

import json

import pytest
from lib.answers.wish import Wish, read_wish
from lib.errors import BadRequestError

from vpt_plugin.errors import ConfigurationError

FINDINGS = ("pulmonary_embolism", "effusion")


def wish(**params: object) -> Wish:
    return read_wish(json.dumps(params), FINDINGS)


def test_without_params_and_with_those_of_monai_labels_clients_nothing_is_wished() -> None:
    assert read_wish("", FINDINGS) == wish(client_id="x", result_extension=".nrrd") == Wish()
    assert wish(explain=False, versions=0, anyway=False, error_rate=None) == Wish()


@pytest.mark.parametrize(
    ("said", "findings"),
    [
        (True, FINDINGS),
        ("effusion", ("effusion",)),
        (["effusion", "pulmonary_embolism", "effusion"], FINDINGS),
    ],
)
def test_heat_maps_come_in_the_order_of_the_task_each_once(said: object, findings: tuple[str, ...]) -> None:
    assert wish(explain=said).explain == findings


def test_a_rate_a_number_of_versions_and_an_answer_all_the_same_are_wished() -> None:
    assert wish(error_rate=0.05, versions=3, anyway=True) == Wish((), 0.05, 3, True)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"explain": "nodule"}, "pulmonary_embolism, effusion"),
        ({"explain": []}, "params.explain"),
        ({"explain": 1}, "params.explain"),
        ({"explain": [["effusion"]]}, "params.explain"),
        ({"error_rate": "0.1"}, "params.error_rate"),
        ({"error_rate": True}, "params.error_rate"),
        ({"versions": 11}, "0 to 10"),
        ({"versions": -1}, "params.versions"),
        ({"versions": 1.0}, "params.versions"),
        ({"versions": True}, "params.versions"),
        ({"anyway": 1}, "params.anyway"),
        ({"device": "cuda"}, "explain, error_rate, versions, anyway"),
    ],
)
def test_what_cannot_be_wished_is_refused_and_says_what_can(params: dict[str, object], named: str) -> None:
    with pytest.raises(BadRequestError, match=named):
        wish(**params)


@pytest.mark.parametrize("rate", [0, 0.51, 1, -0.1, 1.19e-33, 1e-320, 10**400])
def test_a_rate_at_which_nothing_can_be_decided_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError, match=r"at most 0\.5"):
        wish(error_rate=rate)
