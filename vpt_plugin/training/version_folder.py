"""VersionFolder: one ``<task>_<model>`` of the model store on the disk.

::

    v0001/weights.safetensors    a version; nothing in it ever changes
          card.json              but for what was measured of it afterwards, as
          typicality-....safetensors    this: new ones come under names of their own, then the card names them
          ...                    what else was written when it was published: its record, its report
    served.json                  which version is served, and what was before; the newest where it is absent
    .lock                        held while versions or served.json change; readers need no lock
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from vpt_plugin.digest import file_sha256
from vpt_plugin.durable import make_folder, publish_folder, sync_folder, write_over
from vpt_plugin.errors import (
    ChecksumError,
    ConfigurationError,
    ModelCardError,
    NotTrainedError,
    WeightsNotFoundError,
)
from vpt_plugin.inference.typicality import FeatureReference, reference_file
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS, get_model
from vpt_plugin.models.classifier import Classifier, load_weights, new_classifier
from vpt_plugin.training.served import Served

_logger = logging.getLogger(__name__)
WEIGHTS, CARD = "weights.safetensors", "card.json"
_SERVED = "served.json"
_VERSION = re.compile(r"v(\d{4,})")
# A change takes milliseconds, and a second or two on a slow share.
_PATIENCE_SECONDS = 60
# Of a site with all tasks and networks, some times over.
_CARDS_KEPT = 512


class VersionFolder:
    """The versions of one task and model, and the record of what is served.

    Args:
        root: of the model store.
        task, model: their names; the folder need not be there yet.
    """

    def __init__(self, root: Path, task: str, model: str) -> None:
        self.task = task
        self.model = model
        self.name = f"{task}_{model}"
        self.path = root / self.name

    def place(self, version: int) -> Path:
        """The folder of a version."""
        return self.path / f"v{version:04d}"

    def versions(self) -> list[int]:
        """Numbers of the published versions, ascending."""
        if not self.path.is_dir():
            return []
        matches = (_VERSION.fullmatch(each.name) for each in self.path.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def card(self, version: int) -> ModelCard:
        """The card of a version; the folder's name decides which version it is.

        Raises:
            ModelCardError: it cannot be read, or is that of another task or model.
        """
        path = self.place(version) / CARD
        card = read_card(path)
        if f"{card.task}_{card.model}" != self.name:
            raise ModelCardError(
                f"{path}: this is the model card of {card.task}_{card.model}.",
                f"Copy it into {self.path.parent / f'{card.task}_{card.model}'}, or remove this version.",
            )
        return replace(card, version=version)

    def classifier(self, card: ModelCard) -> Classifier:
        """The classifier that this card is of.

        Raises:
            UnknownModelError: no such model in the catalog.
            WeightsNotFoundError, ChecksumError, WeightsError, WeightsLayoutError: as of ``read_classifier``.
        """
        return read_classifier(self.place(card.version), card)

    def served(self) -> Served:
        """The record of what is served; where there is none, the newest version is.

        Raises:
            ModelCardError: it is damaged. Which model would be served is then unknown, so none is.
        """
        recorded = self._recorded()
        if recorded is not None:
            return recorded
        newest = Served.newest_of(self.versions())
        # A version that came after the first look is not served by being the newest: whoever published it
        # wrote the record before.
        return self._recorded() or newest

    def current(self) -> int | None:
        """The version that is served; None where none is.

        Raises:
            ModelCardError: the record is damaged, or names a version that is gone.
        """
        version = self.served().version
        if version is not None and version not in (here := self.versions()):
            raise ModelCardError(
                f"{self.name}: version {version} is to be served, but it is gone.",
                f"Copy {self.place(version)} back, or choose another one: vpt versions promote {self.name} "
                f"VERSION --why TEXT. There are: {', '.join(map(str, here)) or 'none'}.",
            )
        return version

    def record(self, served: Served) -> None:
        """Write what is served from now on. Only under ``changing``.

        Raises:
            OSError: the disk is full, the folder is not writable; what was served stays as it was.
        """
        write_over(self.path / _SERVED, (json.dumps(served.to_json(), indent=2) + "\n").encode())

    def served_or_new(self) -> Served:
        """The record of what is served, or an empty one where it is damaged; for choosing anew."""
        try:
            return self.served()
        except ModelCardError as error:
            _logger.warning("%s The record begins anew.", error.message)
            return Served()

    def prunable(self, keep: int, rollback_too: bool) -> list[int]:
        """The versions but the ``keep`` newest, the served one and, unless told, what it replaced.

        Raises:
            ConfigurationError: fewer than one should stay.
            ModelCardError: what is served cannot be told, so neither can what is needed.
        """
        if keep < 1:
            raise ConfigurationError(f"{keep} versions cannot be kept;", "keep at least the newest one.")
        served = self.served()
        needed = {served.version} if rollback_too else {served.version, served.before}
        return [version for version in self.versions()[:-keep] if version not in needed]

    def add(self, unfinished: Path, card: ModelCard) -> ModelCard:
        """Give a finished folder of weights the next free number. Only under ``changing``.

        Where nothing was recorded yet, what is served now is recorded first: a new version is never served
        only because it is the newest. A number that was ever served is not given again, even if its version
        was removed by hand.

        Returns:
            The card as written into the folder.
        """
        try:
            served = self.served()
        except ModelCardError:
            # A damaged record stays: to choose what is served takes more than a new version.
            served = Served()
        if not (self.path / _SERVED).exists():
            self.record(served)
        while True:
            card = replace(card, version=max(served.highest, *self.versions(), 0) + 1)
            write_over(unfinished / CARD, _card_bytes(card))
            try:
                publish_folder(unfinished, self.place(card.version))
            except FileExistsError:
                continue  # copied there by hand just now
            return card

    def rewrite(self, card: ModelCard) -> None:
        """Replace the card of a version. Only under ``changing``.

        Raises:
            OSError: the disk is full, the folder is not writable; the card stays as it was.
        """
        write_over(self.place(card.version) / CARD, _card_bytes(card))

    def write_reference(self, version: int, reference: FeatureReference) -> None:
        """Write what a version's studies are like, for a card to name it. Only under ``changing``.

        Raises:
            OSError: the disk is full, the folder is not writable.
        """
        write_over(self.place(version) / reference_file(reference.sha256), reference.to_bytes())

    def remove_other_references(self, card: ModelCard) -> None:
        """Remove those that the card does not name any more. Only under ``changing``.

        What cannot be removed is logged and stays; it does no harm.
        """
        kept = reference_file(card.typicality_sha256) if card.typicality_sha256 else ""
        for path in self.place(card.version).glob("typicality*.safetensors"):
            if path.name != kept:
                try:
                    path.unlink()
                except OSError as error:
                    _logger.warning("%s is not needed any more and cannot be removed: %s", path, error)

    def remove(self, version: int) -> None:
        """Remove a version. Only under ``changing``. A reader sees all of it or nothing."""
        leaving = _unfinished_name(self.path)
        self.place(version).rename(leaving)
        sync_folder(self.path)
        shutil.rmtree(leaving)

    def of_run(self, number: str) -> ModelCard | None:
        """The version that the training of this number published; damaged cards are passed over."""
        for version in self.versions():
            with suppress(ModelCardError):
                card = self.card(version)
                if card.training.get("run") == number:
                    return card
        return None

    def holding(self, weights_sha256: str) -> int | None:
        """The version that has these weights; versions with a damaged card are passed over."""
        for version in self.versions():
            with suppress(ModelCardError):
                if self.card(version).weights_sha256 == weights_sha256:
                    return version
        return None

    def nothing_there(self, version: int | None = None) -> NotTrainedError:
        """The error for a version that is not there, or, without one, where none is served."""
        here = ", ".join(map(str, self.versions()))
        if version is None and here:
            return NotTrainedError(
                f"{self.name}: no version is served; there are candidates: {here}.",
                f"Choose one: vpt versions promote {self.name} VERSION --why TEXT.",
            )
        if here:
            return NotTrainedError(
                f"{self.name} version {version} was never trained here, or was removed; there are: {here}.",
                f"See `vpt versions list {self.name}`.",
            )
        what = self.name + (f" version {version}" if version is not None else "")
        return NotTrainedError(
            f"{what} was never trained here (looked in {self.path}).",
            f"Train it: vpt finetune MANIFEST.csv --task {self.task} --model {self.model}; or bring it from "
            "another computer: vpt versions import FILE.",
        )

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Only one process at a time changes versions or the record.

        Raises:
            OSError: the folder is not writable, or another process has been at it for a minute.
        """
        make_folder(self.path)
        with FileLock(self.path / ".lock", timeout=_PATIENCE_SECONDS):
            yield

    def _recorded(self) -> Served | None:
        path = self.path / _SERVED
        try:
            return Served.from_json(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, ModelCardError) as error:
            raise ModelCardError(
                f"{path}: which version is served cannot be read: {error}",
                f"Choose it anew: vpt versions promote {self.name} VERSION --why TEXT.",
            ) from error


@contextmanager
def unfinished_in(folder: Path) -> Iterator[Path]:
    """An empty folder to prepare a version in; it is removed in the end unless it became one."""
    # Not tempfile.mkdtemp: its folders are private, and the server may be another user.
    unfinished = _unfinished_name(folder)
    try:
        make_folder(unfinished)
        yield unfinished
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _card_bytes(card: ModelCard) -> bytes:
    return (json.dumps(card.to_json(), indent=2) + "\n").encode()


def _unfinished_name(folder: Path) -> Path:
    return folder / f".unfinished-{uuid.uuid4().hex}"


def split_name(name: str) -> tuple[str, str]:
    """Task and model of ``<task>_<model>``; either may have ``_`` in it, so the catalog is asked.

    Returns:
        With the text after the last ``_`` as the model where the catalog has none; two empty texts where
        there is no ``_``.
    """
    known = [model for model in MODELS if name.endswith(f"_{model}")]
    model = max(known, key=len, default=name.rpartition("_")[2])
    return (name[: -len(model) - 1], model) if "_" in name else ("", "")


def read_card(path: Path, *, called: str = "") -> ModelCard:
    """The card in a file.

    Args:
        called: what messages call the file; its path by default.

    Raises:
        ModelCardError: it cannot be read.
    """
    try:
        status = path.stat()
        return _card_in(path, (status.st_mtime_ns, status.st_size, status.st_ino))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ModelCardError) as error:
        raise ModelCardError(
            f"{called or path}: the model card cannot be read: {str(error).rstrip('.')}.",
            "Copy it again, or remove this version.",
        ) from error


@lru_cache(maxsize=_CARDS_KEPT)
def _card_in(path: Path, stamp: tuple[int, int, int]) -> ModelCard:
    """The card in a file, which is read again when its time, its size or the file itself is another.

    A server tells of all cards whenever it is asked what it serves.
    """
    return ModelCard.from_json(path.read_text(encoding="utf-8"))


def read_classifier(folder: Path, card: ModelCard) -> Classifier:
    """The classifier in a folder, if its weights are those of the card.

    Raises:
        UnknownModelError: no such model in the catalog.
        WeightsNotFoundError: the folder holds no weights.
        ChecksumError: the weights are not those that were published.
        WeightsError: they are damaged or no safetensors file.
        WeightsLayoutError: they do not fit the network.
    """
    spec = get_model(card.model)
    weights = folder / WEIGHTS
    _check(weights, card.weights_sha256)
    classifier = new_classifier(spec, card.findings)
    load_weights(classifier, weights)
    return classifier


def _check(weights: Path, sha256: str) -> None:
    if not weights.is_file():
        raise WeightsNotFoundError(
            f"{weights} is not there.", "Copy it again from where it was published, or remove this version."
        )
    if (found := file_sha256(weights)) != sha256:
        raise ChecksumError(
            f"{weights} is not the file that was published: SHA-256 {found}, in the card {sha256}.",
            "Copy it again from where it was published, or train again.",
        )
