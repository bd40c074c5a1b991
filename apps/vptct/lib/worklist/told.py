"""What clients are told of the next study and of the worklists: ``vptct.next/1`` and ``vptct.active/1``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from vpt_plugin.active.offers import Offer
from vpt_plugin.active.retrain import RetrainAdvice

SCHEMA = "vptct.active/1"
# Of copies of one study ``typical`` says ten million.
_MAX_WEIGHT = 1000


def next_block(offer: Offer, scoring: Mapping[str, Any], retrain: Mapping[str, Any] | None) -> dict[str, Any]:
    """The block ``vptct`` of the answer to who asks for a study, ``vptct.next/1``.

    Args:
        offer: what the worklist answered.
        scoring: how the scoring of the task goes.
        retrain: whether a training is due; None where nobody wants to know.
    """
    block = offer.to_json()
    return {
        **block,
        "scoring": {**block["scoring"], **scoring},
        "retrain": retrain,
        # Last: what a reader must know is read last.
        "warnings": block["warnings"],
    }


def next_answer(block: dict[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The whole answer, with the keys that MONAI Label's clients look for, of the first study.

    Args:
        block: of ``next_block``.
        facts: what is known of the first study.
    """
    if not block["studies"]:
        return {"vptct": block}
    first = block["studies"][0]
    # Nothing that a client noted about a study takes the place of the server's own words.
    weight = min(first["score"] or 0, _MAX_WEIGHT)
    return {**facts, "id": first["study"], "weight": weight, "vptct": block}


def no_network(advice: RetrainAdvice, task: str) -> RetrainAdvice:
    """The advice of a task of whose networks none is served and none was ever ordered: nobody chose one.

    Args:
        advice: on any of them: how many labels there are is the same for all.
        task: its name.
    """
    why = (
        f"No network was ever trained for {task}, and which one is to be nobody has said: order its training "
        f"once (POST /train/{task}_NETWORK), or name it with --conf active_model."
    )
    return replace(advice, due=False, why=why, version=0)


def with_training(advice: Mapping[str, Any], training: str) -> dict[str, Any]:
    """The advice of a network, with whether a training of it is ordered: none is due while one runs or waits.

    Args:
        advice: whether one is due.
        training: ``training 3 of nodule_tiny runs``; "" for none.
    """
    if not training:
        return {**advice, "ordered": False}
    return {**advice, "due": False, "ordered": True, "why": f"{training[0].upper()}{training[1:]}."}
