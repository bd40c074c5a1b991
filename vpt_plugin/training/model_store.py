"""ModelStore: the classifiers of this site, in numbered versions of which one is served.

::

    <root>/<task>_<model>/v0001/weights.safetensors
                                card.json
                                typicality-<hash>.safetensors   where there were enough studies for it
                                validation.json, report.html, figures/     of versions trained here
                          served.json

A version is written beside its place and renamed into it, so a reader sees all of it or nothing, and a
training that dies half way leaves what was served before. Versions are never overwritten. Which one is served
is written down in ``served.json``; the others are candidates. There is no falling back: where what is served
cannot be told, nothing is, and the error says how to choose.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vpt_plugin.errors import ConfigurationError, ModelCardError, TrainingError, WeightsError
from vpt_plugin.inference.typicality import FeatureReference, KeptReference, LostReference, reference_file
from vpt_plugin.labels import now
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, save_weights
from vpt_plugin.models.conformal_record import ConformalRecord
from vpt_plugin.models.precision_record import PrecisionCheck
from vpt_plugin.models.weights import vptct_home
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.answering import check_task, require_answering
from vpt_plugin.training.model_package import take_package, write_package
from vpt_plugin.training.reading import reading_facts
from vpt_plugin.training.served import IMPORTED, PROMOTED, PUBLISHED, ROLLED_BACK, Change, Served
from vpt_plugin.training.validation_record import ValidationRecord
from vpt_plugin.training.version_folder import (
    WEIGHTS,
    VersionFolder,
    read_classifier,
    split_name,
    unfinished_in,
)

_logger = logging.getLogger(__name__)


class ModelStore:
    """The classifiers that were trained or imported here.

    Args:
        root: folder of the store; None takes ``models`` in ``vptct_home()``.
        clock: says when something is served, as ``2026-11-20T20:31:05Z``.
    """

    def __init__(self, root: Path | None = None, *, clock: Callable[[], str] = now) -> None:
        self.root = root or vptct_home() / "models"
        self._clock = clock

    def publish(
        self,
        classifier: Classifier,
        card: ModelCard,
        *,
        serve: bool = True,
        why: str = "",
        by: str = "",
        instead_of: int | None = None,
        beside: Callable[[Path], None] | None = None,
    ) -> ModelCard:
        """Publish a classifier as the next version of its task and model.

        Args:
            classifier: whose weights are written.
            card: what is known about it; version and checksum are filled in here.
            serve: from now on. Else it is kept as a candidate, also where nothing is served yet.
            why, by: for the record of what is served.
            instead_of: with ``serve``: only if this version is what is served, 0 for none. With another one
                it was not compared, so it stays a candidate. None serves it whatever is served.
            beside: writes more files into the version's folder, such as its report, before it appears.

        Returns:
            The card as published.

        Raises:
            TrainingError: it cannot be written; what was served before still is.
        """
        folder = self._folder(card.task, card.model)
        what = f"{folder.name} cannot be published in {folder.path}"
        with _told(what), unfinished_in(folder.path) as unfinished:
            card = _with_weights(card, save_weights(classifier, unfinished / WEIGHTS))
            if beside is not None:
                beside(unfinished)
            if card.typicality_sha256 and not (unfinished / reference_file(card.typicality_sha256)).is_file():
                card = replace(card, typicality_sha256="")
            return self._add(folder, unfinished, card, PUBLISHED if serve else None, why, by, instead_of)

    def published_by(self, run: str, task: str, model: str) -> ModelCard | None:
        """The version that a training published before it was interrupted; None where it had not come so far.

        Args:
            run: the number of the training's run folder, which the card bears.
            task, model: their names.
        """
        return self._folder(task, model).of_run(run)

    def serve_published(self, card: ModelCard, *, why: str, by: str, instead_of: int) -> None:
        """Serve a version whose publication was interrupted before that was recorded.

        Nothing changes where it was served before, or another one than ``instead_of`` is served (0: none).

        Raises:
            TrainingError: the record cannot be written; what was served before still is.
        """
        folder = self._folder(card.task, card.model)
        what = f"{folder.name} version {card.version} cannot be served"
        with _told(what), folder.changing():
            served = folder.served_or_new()
            was_served = card.version in {change.version for change in served.changes}
            if not was_served and (served.version or 0) == instead_of:
                self._serve(folder, served, Change(card.version, PUBLISHED, why, by))

    def current_version(self, task: str, model: str) -> int | None:
        """The version that is served; None where none is.

        Raises:
            ModelCardError: which one is served cannot be read, or it is gone.
        """
        return self._folder(task, model).current()

    def served(self, task: str, model: str) -> Served:
        """What is served and what was served before.

        Raises:
            ModelCardError: the record is damaged.
        """
        return self._folder(task, model).served()

    def versions(self, task: str, model: str) -> list[int]:
        """Numbers of all versions, ascending; those that are not served are candidates."""
        return self._folder(task, model).versions()

    def promote(self, task: str, model: str, version: int, *, why: str, by: str = "") -> ModelCard:
        """Serve this version from now on. It is loaded first: one that could not answer is not promoted.

        Where the record of what is served is damaged, a new one is begun.

        Returns:
            The version's card.

        Raises:
            NotTrainedError: there is no such version.
            WeightsError: its card or its weights are damaged, or this VPTCT reads studies in another way for
                its task; what was served before still is.
            TrainingError: the record cannot be written; what was served before still is.
        """
        folder = self._folder(task, model)
        card = self.card(task, model, version)
        require_answering(folder, card)
        with _told(f"{folder.name} version {version} cannot be promoted"), folder.changing():
            served = folder.served_or_new()
            if served.version != version:
                self._serve(folder, served, Change(version, PROMOTED, why, by))
        return card

    def rollback(self, task: str, model: str, *, why: str, by: str = "") -> ModelCard:
        """Serve again what was served before. Rolling back twice goes back two versions.

        Returns:
            The card of the version that is served now.

        Raises:
            ConfigurationError: nothing was served before.
            NotTrainedError: there is no version at all, or what was served before is gone.
            WeightsError: it could not answer, as in ``promote``, or the record of what is served is damaged;
                nothing changes.
            TrainingError: the record cannot be written; nothing changes.
        """
        folder = self._known(task, model)
        with _told(f"{folder.name} cannot be rolled back"), folder.changing():
            served = folder.served()
            if served.before is None:
                what = "nothing is served" if served.version is None else "no other version was served before"
                raise ConfigurationError(
                    f"{folder.name} cannot be rolled back: {what};",
                    "choose a version with `vpt versions promote`.",
                )
            card = self.card(task, model, served.before)
            require_answering(folder, card)
            self._serve(folder, served, Change(served.before, ROLLED_BACK, why, by))
        return card

    def prunable(self, task: str, model: str, *, keep: int, rollback_too: bool = False) -> list[int]:
        """The versions that ``prune`` would remove; errors as there."""
        return self._known(task, model).prunable(keep, rollback_too)

    def prune(self, task: str, model: str, *, keep: int, rollback_too: bool = False) -> list[int]:
        """Remove all but the newest versions, never the one that is served.

        Args:
            keep: how many of the newest stay, at least one.
            rollback_too: remove even the version that a rollback would serve.

        Returns:
            What was removed.

        Raises:
            ConfigurationError: fewer than one should stay.
            NotTrainedError: there is no version at all.
            ModelCardError: which version is served cannot be read; nothing is removed.
            TrainingError: a version cannot be removed.
        """
        folder = self._known(task, model)
        with _told(f"{folder.name}: versions cannot be removed"), folder.changing():
            removed = folder.prunable(keep, rollback_too)
            for version in removed:
                folder.remove(version)
        return removed

    def export(self, task: str, model: str, version: int, into: Path) -> Path:
        """Write a version for another computer, see ``vpt_plugin.training.model_package``.

        Args:
            into: a zip file if it is called so, else a new folder; nothing is overwritten.

        Raises:
            ConfigurationError: it is there already.
            NotTrainedError: there is no such version.
            WeightsError: the version is damaged.
        """
        folder = self._folder(task, model)
        card = self.card(task, model, version)
        folder.classifier(card)
        FeatureReference.read(folder.place(version), card.typicality_sha256)
        write_package(folder.place(version), into)
        return into

    def import_(
        self, source: Path, *, serve: bool = False, why: str = "", by: str = "", called: str = ""
    ) -> ModelCard:
        """Take a version that was exported, as the next version of its task and model.

        Args:
            source: the zip file or the folder, or the folder of a version in another store.
            serve: from now on. Else it is a candidate.
            why, by: for the record of what is served.
            called: what messages call the source; its path by default.

        Returns:
            Its card, with the number that it has here.

        Raises:
            ModelCardError: there is no model in it, it is damaged, or its names could lead elsewhere.
            UnknownModelError: this VPTCT does not have the network.
            WeightsError: the weights are not those of the card or do not fit the network.
            ConfigurationError: it is here already.
            TrainingError: it cannot be written; what was served before still is.
        """
        # Onto the store's own disk, because only there it can be renamed into its place.
        called = called or str(source)
        with _told(f"{called} cannot be imported into {self.root}"), unfinished_in(self.root) as unfinished:
            card = take_package(source, unfinished)
            read_classifier(unfinished, card)
            folder = self._folder(card.task, card.model)
            if (version := folder.holding(card.weights_sha256)) is not None:
                raise ConfigurationError(
                    f"{called} is here already;", f"it is version {version} of {folder.name}."
                )
            if card.conformal is not None:
                card = replace(card, conformal=replace(card.conformal, imported=True))
            return self._add(folder, unfinished, card, IMPORTED if serve else None, why, by)

    def adopt(self, other: ModelStore, card: ModelCard) -> ModelCard:
        """Bring a version over from another store of this site, as a candidate to begin a training from.

        Unlike one that was exported, it keeps the record of whom it was trained and validated on. Where it is
        here already, nothing is done.

        Args:
            other: the store it lies in.
            card: of the version there.

        Returns:
            Its card, with the number that it has here.

        Raises:
            WeightsError: the version is damaged.
            TrainingError: it cannot be written.
        """
        folder = self._folder(card.task, card.model)
        if (version := folder.holding(card.weights_sha256)) is not None:
            return folder.card(version)
        source = other.place(card.task, card.model, card.version)
        with _told(f"{source} cannot be brought into {self.root}"), unfinished_in(self.root) as unfinished:
            card = take_package(source, unfinished, reference_needed=False)
            read_classifier(unfinished, card)
            record = ValidationRecord.read(source)
            if record is not None:
                record.write(unfinished)
            return self._add(folder, unfinished, card, None, "", "")

    def load(self, task: ReadingTask, model: str, version: int | None = None) -> tuple[Classifier, ModelCard]:
        """A published classifier with its card; the served version unless one is given.

        Raises:
            UnknownModelError: no such model in the catalog.
            NotTrainedError: nothing is served for this task and model, or there is no such version.
            ModelCardError: its card cannot be read, or it was trained for other findings, or on studies that
                were read in another way; or what is served cannot be told.
            WeightsNotFoundError: the folder holds no weights.
            ChecksumError: the weights are not those that were published.
            WeightsLayoutError: the weights do not fit the network.
        """
        spec = get_model(model)
        card = self.card(task.name, model, version)
        check_task(card, task, reading_facts(task, spec))
        return self._folder(task.name, model).classifier(card), card

    def reference(self, card: ModelCard) -> KeptReference:
        """What the training studies of a version were like; None where that was not measured.

        Answers do without it: one that is not there, damaged, or not that of the card is logged, and a
        ``LostReference``.
        """
        place = self.place(card.task, card.model, card.version)
        try:
            return FeatureReference.read(place, card.typicality_sha256)
        except WeightsError as error:
            _logger.warning("Answers cannot tell whether a study is like those of the training: %s", error)
            return LostReference.of(error, card.typicality_sha256)

    def card(self, task: str, model: str, version: int | None = None) -> ModelCard:
        """The card of a published classifier; the served version unless one is given.

        Raises:
            NotTrainedError: nothing is served for this task and model, or there is no such version.
            ModelCardError: its card cannot be read, or is that of another task or model; or what is served
                cannot be told.
        """
        folder = self._folder(task, model)
        wanted = version if version is not None else folder.current()
        if wanted is None or wanted not in folder.versions():
            raise folder.nothing_there(version)
        return folder.card(wanted)

    def keep_evidence(
        self, card: ModelCard, conformal: ConformalRecord | None, reference: FeatureReference | None
    ) -> ModelCard:
        """Write beside a version what was measured for its answers to say how sure they are.

        A killed process leaves the version with what it had or with what is new. Who holds the old card does
        not find its reference any more, and answers without.

        Args:
            card: of the version.
            conformal, reference: None leaves what is there.

        Returns:
            Its card as it is now.

        Raises:
            NotTrainedError, ModelCardError: as of ``card``.
            TrainingError: it cannot be written.
        """
        folder = self._folder(card.task, card.model)
        with (
            _told(f"{folder.name} version {card.version}: what was measured cannot be written"),
            folder.changing(),
        ):
            card = self.card(card.task, card.model, card.version)
            if reference is not None:
                folder.write_reference(card.version, reference)
                card = replace(card, typicality_sha256=reference.sha256)
            folder.rewrite(replace(card, conformal=conformal or card.conformal))
            folder.remove_other_references(card)
        return self.card(card.task, card.model, card.version)

    def keep_checks(
        self, task: str, model: str, version: int, checks: Mapping[str, PrecisionCheck]
    ) -> ModelCard:
        """Write into the card of a version what was measured of it; earlier checks of the same ways go.

        Raises:
            NotTrainedError, ModelCardError: as of ``card``.
            TrainingError: it cannot be written; the card stays as it was.
        """
        folder = self._folder(task, model)
        with _told(f"{folder.name} version {version}: its card cannot be written"), folder.changing():
            card = self.card(task, model, version)
            card = replace(card, precision_checks={**card.precision_checks, **checks})
            folder.rewrite(card)
        return card

    def classifier(self, card: ModelCard) -> Classifier:
        """The classifier of a card of this store, whatever task it is asked for.

        Raises:
            UnknownModelError, WeightsError: as of ``load``.
        """
        return self._folder(card.task, card.model).classifier(card)

    def place(self, task: str, model: str, version: int) -> Path:
        """The folder of a version."""
        return self._folder(task, model).place(version)

    def cards(self) -> list[ModelCard]:
        """The cards of all versions of all tasks and models, by name and version; damaged ones are logged."""
        cards = []
        for folder in self.folders():
            for version in folder.versions():
                try:
                    cards.append(folder.card(version))
                except ModelCardError as error:
                    _logger.warning("%s", error)
        return cards

    def folders(self) -> list[VersionFolder]:
        """All tasks and models that have a version, by name."""
        names = sorted(path.name for path in self.root.iterdir()) if self.root.is_dir() else []
        folders = [VersionFolder(self.root, *split) for split in map(split_name, names) if all(split)]
        return [folder for folder in folders if folder.versions()]

    def _folder(self, task: str, model: str) -> VersionFolder:
        return VersionFolder(self.root, task, model)

    def _known(self, task: str, model: str) -> VersionFolder:
        folder = self._folder(task, model)
        if not folder.versions():
            raise folder.nothing_there()
        return folder

    def _add(
        self,
        folder: VersionFolder,
        unfinished: Path,
        card: ModelCard,
        how: str | None,
        why: str,
        by: str,
        instead_of: int | None = None,
    ) -> ModelCard:
        with folder.changing():
            served = folder.served_or_new()
            card = folder.add(unfinished, card)
            if how is not None and instead_of in (None, served.version or 0):
                self._serve(folder, served, Change(card.version, how, why, by))
        return card

    def _serve(self, folder: VersionFolder, served: Served, change: Change) -> None:
        folder.record(served.then(replace(change, when=self._clock())))
        _logger.info("%s: version %d is served from now on (%s)", folder.name, change.version, change.how)


def _with_weights(card: ModelCard, sha256: str) -> ModelCard:
    """The card of these weights; what was measured of others does not hold for them."""
    if card.weights_sha256 not in ("", sha256):
        card = replace(card, precision_checks={}, conformal=None, typicality_sha256="")
    return replace(card, weights_sha256=sha256)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """What the disk refuses, as an error that says what could not be done."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{what}: {error}. What is served stays as it was.",
            "Make room on that disk and see who may write there.",
        ) from error
