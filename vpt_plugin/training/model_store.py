"""ModelStore: the classifiers of this site, in numbered versions that are published whole or not at all.

::

    <root>/<task>_<model>/v0001/weights.safetensors
                                card.json

A version is written beside its place and renamed into it, so a reader sees all of it or nothing, and a
training that dies half way leaves what was served before. Versions are never overwritten.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vpt_plugin.durable import make_folder, publish_folder, write_over
from vpt_plugin.errors import (
    ChecksumError,
    ModelCardError,
    NotTrainedError,
    TrainingError,
    WeightsNotFoundError,
)
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, load_weights, new_classifier, save_weights
from vpt_plugin.models.weights import vptct_home
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.reading import reading_difference, reading_facts

_logger = logging.getLogger(__name__)
_WEIGHTS, _CARD = "weights.safetensors", "card.json"
_VERSION = re.compile(r"v(\d{4,})")


class ModelStore:
    """The classifiers that were trained or imported here.

    Args:
        root: folder of the store; None takes ``models`` in ``vptct_home()``.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or vptct_home() / "models"

    def publish(self, classifier: Classifier, card: ModelCard) -> ModelCard:
        """Publish a classifier as the next version of its task and model.

        Args:
            classifier: whose weights are written.
            card: what is known about it; version and checksum are filled in here.

        Returns:
            The card as published.

        Raises:
            TrainingError: it cannot be written; what was published before stays as it was.
        """
        folder = self._folder(card.task, card.model)
        # Not tempfile.mkdtemp: its folders are private, and the server may be another user.
        unfinished = folder / f".unfinished-{uuid.uuid4().hex}"
        try:
            make_folder(unfinished)
            checksum = save_weights(classifier, unfinished / _WEIGHTS)
            return self._rename(unfinished, folder, replace(card, weights_sha256=checksum))
        except OSError as error:
            raise TrainingError(
                f"{card.task}_{card.model} cannot be published in {folder}: {error}.",
                "Make room on that disk and see who may write there.",
            ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def _rename(self, unfinished: Path, folder: Path, card: ModelCard) -> ModelCard:
        """Take the next free number; when another process is quicker, the one after."""
        while True:
            card = replace(card, version=max(_versions(folder), default=0) + 1)
            text = json.dumps(card.to_json(), indent=2) + "\n"
            write_over(unfinished / _CARD, text.encode())
            try:
                publish_folder(unfinished, folder / f"v{card.version:04d}")
            except FileExistsError:
                continue
            return card

    def current_version(self, task: str, model: str) -> int | None:
        """The version that is served: the newest; None where there is none."""
        return max(_versions(self._folder(task, model)), default=None)

    def load(self, task: ReadingTask, model: str, version: int | None = None) -> tuple[Classifier, ModelCard]:
        """A published classifier with its card; the current version unless one is given.

        Raises:
            UnknownModelError: no such model in the catalog.
            NotTrainedError: nothing was published for this task and model, or not that version.
            ModelCardError: its card cannot be read, or it was trained for other findings, or on studies that
                were read in another way.
            WeightsNotFoundError: the folder holds no weights.
            ChecksumError: the weights are not those that were published.
            WeightsLayoutError: the weights do not fit the network.
        """
        spec = get_model(model)
        card = self.card(task.name, model, version)
        _check_task(card, task, reading_facts(task, spec))
        weights = self._folder(task.name, model) / f"v{card.version:04d}" / _WEIGHTS
        _check(weights, card.weights_sha256)
        classifier = new_classifier(spec, card.findings)
        load_weights(classifier, weights)
        return classifier, card

    def card(self, task: str, model: str, version: int | None = None) -> ModelCard:
        """The card of a published classifier; the current version unless one is given.

        Raises:
            NotTrainedError: nothing was published for this task and model, or not that version.
            ModelCardError: its card cannot be read, or is that of another task or model.
        """
        wanted = version if version is not None else self.current_version(task, model)
        folder = self._folder(task, model)
        if wanted is None or wanted not in _versions(folder):
            what = f"{task}_{model}" + (f" version {version}" if version is not None else "")
            raise NotTrainedError(
                f"{what} was never trained here (looked in {folder}).",
                f"Train it: vpt finetune MANIFEST.csv --task {task} --model {model}; or copy a published "
                f"folder v0001 from another computer into {folder}.",
            )
        return _read_card(folder, wanted)

    def cards(self) -> list[ModelCard]:
        """The cards of all versions of all tasks and models, by name and version; damaged ones are logged."""
        cards = []
        for folder in sorted(self.root.iterdir()) if self.root.is_dir() else []:
            for version in _versions(folder):
                try:
                    cards.append(_read_card(folder, version))
                except ModelCardError as error:
                    _logger.warning("%s", error)
        return cards

    def _folder(self, task: str, model: str) -> Path:
        return self.root / f"{task}_{model}"


def _versions(folder: Path) -> list[int]:
    """Numbers of the published versions, ascending."""
    if not folder.is_dir():
        return []
    matches = (_VERSION.fullmatch(each.name) for each in folder.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def _read_card(folder: Path, version: int) -> ModelCard:
    """The card of ``<task>_<model>/v<version>``; the folder's name decides which version it is."""
    path = folder / f"v{version:04d}" / _CARD
    try:
        card = ModelCard.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ModelCardError) as error:
        raise ModelCardError(
            f"{path}: the model card cannot be read: {error}.", "Copy it again, or remove this version."
        ) from error
    if f"{card.task}_{card.model}" != folder.name:
        raise ModelCardError(
            f"{path}: this is the model card of {card.task}_{card.model}.",
            f"Copy it into {folder.parent / f'{card.task}_{card.model}'}, or remove this version.",
        )
    return replace(card, version=version)


def _check_task(card: ModelCard, task: ReadingTask, reading: Mapping[str, Any]) -> None:
    """Refuse a classifier that was trained for other findings, or on studies read in another way."""
    difference = ""
    if card.findings != task.findings:
        difference = f"for {', '.join(card.findings)}, the task asks for {', '.join(task.findings)}"
    elif card.reading:  # a card written by hand says nothing of it
        difference = reading_difference(card.reading, reading)
        difference = difference and f"with {difference}"
    if difference:
        raise ModelCardError(
            f"{card.task}_{card.model} version {card.version} was trained {difference}.",
            "Train it again, or use the task file it was trained with.",
        )


def _check(weights: Path, sha256: str) -> None:
    if not weights.is_file():
        raise WeightsNotFoundError(
            f"{weights} is not there.", "Copy it again from where it was published, or remove this version."
        )
    digest = hashlib.sha256()
    with weights.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    if (found := digest.hexdigest()) != sha256:
        raise ChecksumError(
            f"{weights} is not the file that was published: SHA-256 {found}, in the card {sha256}.",
            "Copy it again from where it was published, or train again.",
        )
