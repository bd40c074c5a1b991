"""A bundle that ``vpt export`` wrote, on its way back: its weights and its card become a version again."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from vpt_plugin.digest import file_sha256
from vpt_plugin.errors import ChecksumError, ModelCardError, WeightsError
from vpt_plugin.export.bundle import METADATA, TYPICAL, WEIGHTS
from vpt_plugin.export.facts import SCHEMA
from vpt_plugin.export.one_file import json_bytes
from vpt_plugin.inference.typicality import reference_file
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier, save_weights
from vpt_plugin.models.layouts import check_layout
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.version_folder import CARD
from vpt_plugin.training.version_folder import WEIGHTS as VERSION_WEIGHTS

_MOST_METADATA_BYTES = 64 << 20


def import_bundle(
    bundle: Path, store: ModelStore, *, serve: bool = False, why: str = "", by: str = ""
) -> ModelCard:
    """Take the classifier out of a bundle, as the next version of its task and model.

    Only the card, the weights and what the training studies were like are read, and none of the bundle's code
    is run.

    Args:
        bundle: its folder.
        store: takes the version.
        serve, why, by: as of ``ModelStore.import_``.

    Returns:
        The card, with the number that the version has here.

    Raises:
        ModelCardError: it is no bundle, or one that VPTCT did not write: says what is missing.
        ChecksumError: a file is not the one that was exported.
        WeightsError: the weights are damaged or do not fit the network.
        UnknownModelError: this VPTCT does not have the network.
        ConfigurationError: it is here already.
        TrainingError: it cannot be written; what was served before still is.
    """
    card, checksums = _card(bundle)
    for name in (WEIGHTS, TYPICAL):
        _require_unchanged(bundle, name, checksums)
    classifier = new_classifier(get_model(card.model), card.findings)
    entries = _entries(bundle / WEIGHTS)
    check_layout(entries, classifier, head="", what=str(bundle / WEIGHTS))
    classifier.load_state_dict(entries)
    with TemporaryDirectory(prefix="vptct-bundle-") as folder:
        package = Path(folder)
        weights_sha256 = save_weights(classifier, package / VERSION_WEIGHTS)
        if (bundle / TYPICAL).is_file() and card.typicality_sha256:
            copyfile(bundle / TYPICAL, package / reference_file(card.typicality_sha256))
        card = _of_these_weights(card, weights_sha256)
        (package / CARD).write_bytes(json_bytes(card.to_json()))
        return store.import_(package, serve=serve, why=why, by=by, called=str(bundle))


def _card(bundle: Path) -> tuple[ModelCard, Mapping[str, str]]:
    """The card in a bundle, and the checksums of its files."""
    facts = _facts(bundle)
    if not isinstance(facts, Mapping) or facts.get("schema") != SCHEMA:
        raise _foreign(
            bundle,
            f"its {METADATA} has no block `vptct` of the schema {SCHEMA!r}, with the model card: the task, "
            "its findings, how a study is read, thresholds",
        )
    checksums = facts.get("files")
    if not isinstance(checksums, Mapping) or WEIGHTS not in checksums:
        raise _foreign(bundle, f"its {METADATA} does not tell the checksum of {WEIGHTS}")
    try:
        return ModelCard.from_json(facts.get("card")), checksums
    except ModelCardError as error:
        what = error.message.removeprefix("the model card ").rstrip(".")
        raise _foreign(bundle, f"the model card in its {METADATA} {what}") from error


def _facts(bundle: Path) -> Any:
    """What stands under ``vptct`` in the metadata; None where nothing does."""
    path = bundle / METADATA
    if not bundle.is_dir():
        raise _foreign(bundle, "it is no folder; unpack it first")
    if not path.is_file():
        raise _foreign(bundle, f"there is no {METADATA} in it")
    if path.stat().st_size > _MOST_METADATA_BYTES:
        raise _foreign(bundle, f"its {METADATA} is larger than {_MOST_METADATA_BYTES >> 20} MiB")
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _foreign(bundle, f"its {METADATA} is no JSON ({error})") from error
    return told.get("vptct") if isinstance(told, Mapping) else None


def _require_unchanged(bundle: Path, name: str, checksums: Mapping[str, str]) -> None:
    path = bundle / name
    if name in checksums and not path.is_file():
        raise _foreign(bundle, f"there is no {name} in it")
    if path.is_file() and (found := file_sha256(path)) != checksums.get(name):
        raise ChecksumError(
            f"{path} is not the file that was exported: SHA-256 {found}, in {METADATA} "
            f"{checksums.get(name)}.",
            "Copy the bundle again, or export it again.",
        )


def _entries(path: Path) -> dict[str, Tensor]:
    """The weights in a file of torch, which runs no code when it is read so.

    Raises:
        WeightsError: it holds anything else, or is damaged.
    """
    damaged = WeightsError(f"{path}: is damaged or no file of weights.", "Export the bundle again.")
    try:
        entries = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise damaged from error
    if not isinstance(entries, dict) or not all(isinstance(each, Tensor) for each in entries.values()):
        raise damaged
    return entries


def _of_these_weights(card: ModelCard, weights_sha256: str) -> ModelCard:
    """The card of weights that were written anew.

    The entries are the same; where another version of safetensors arranges them otherwise, the file is
    another one, and what was measured of the first is not told of it.
    """
    same = card.weights_sha256 == weights_sha256
    checks = card.precision_checks if same else {}
    return replace(card, weights_sha256=weights_sha256, precision_checks=checks)


def _foreign(bundle: Path, cause: str) -> ModelCardError:
    return ModelCardError(
        f"{bundle} cannot become a version here: {cause}.",
        "Give the folder of a bundle that `vpt export --format bundle` wrote.",
    )
