"""Predictors that are ready to answer, of the versions that are published at the moment."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from time import perf_counter

from vpt_plugin.errors import VptError
from vpt_plugin.inference import Predictor
from vpt_plugin.inference.coarse_to_fine import TASK_STRIDE
from vpt_plugin.inference.fitness import REFUSE
from vpt_plugin.inference.typicality import KeptReference
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore

from .answers.key import digest_of

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Load:
    """A version that is loaded, or is being loaded: whoever needs it waits for the same load.

    Attributes:
        version: digest of its card.
        predictor: comes to all who wait.
    """

    version: str
    predictor: Future[Predictor] = field(default_factory=Future)


class Predictors:
    """Loads what is asked for and keeps the few that were used last. Several threads may ask.

    While one is loaded, others are handed out: only who wants this very version waits, and nobody loads it
    a second time.

    Args:
        store: where published models lie; it is asked for the current card every time, so that a new version
            answers from the moment it is published, and in the precision that was found good enough for it.
        device, backend, precision, stride, unsuitable: as of ``Predictor``.
        keep: how many stay loaded.
        warm_up: make each as fast as it will be before it answers for the first time.
    """

    def __init__(
        self,
        store: ModelStore,
        *,
        device: str,
        backend: str = "auto",
        precision: str = "auto",
        stride: str = TASK_STRIDE,
        unsuitable: str = REFUSE,
        keep: int = 3,
        warm_up: bool = False,
    ) -> None:
        self.store = store
        self.keep = keep
        self._device = device
        self._backend = backend
        self._precision = precision
        self._stride = stride
        self._unsuitable = unsuitable
        self._warm_up = warm_up
        self._loads: OrderedDict[tuple[str, str], _Load] = OrderedDict()
        self._lock = threading.Lock()
        # Of whom it was said what is wrong: the question comes every few seconds.
        self._unclear: dict[tuple[str, str], str] = {}

    def current(self, task: ReadingTask, model: str) -> Predictor:
        """The predictor of the current version.

        Raises:
            NotTrainedError: none was ever published.
            WeightsError: its file or its card is damaged, or it was trained for other findings.
        """
        name = (task.name, model)
        card = self.store.card(*name)
        load, is_new = self._load_of(name, digest_of(card))
        if is_new:
            try:
                load.predictor.set_result(self._loaded(task, card))
            except BaseException as error:
                # The next who asks tries again; who waits for this load learns why there is none.
                self._forget(name, load)
                load.predictor.set_exception(error)
        return load.predictor.result()

    def made(
        self,
        task: ReadingTask,
        classifier: Classifier,
        card: ModelCard,
        reference: KeptReference = None,
    ) -> Predictor:
        """A predictor of this server for a version; it is not kept.

        Args:
            task, classifier, card, reference: as of ``Predictor``.

        Raises:
            ConfigurationError, ClipShapeError, DeviceMemoryError: as of ``Predictor``.
        """
        return Predictor(
            classifier, task, card,
            device=self._device, backend=self._backend, precision=self._precision, many_studies=True,
            stride=self._stride, unsuitable=self._unsuitable, reference=reference,
        )  # fmt: skip

    def served_anew(self) -> list[tuple[str, str]]:
        """Task and network of those that are loaded in another version than the one that is served now.

        One of which that cannot be told is told to the log, once, and keeps back no other.
        """
        with self._lock:
            loaded = [(name, load.version) for name, load in self._loads.items()]
        return [name for name, version in loaded if self._is_served_anew(name, version)]

    def _is_served_anew(self, name: tuple[str, str], version: str) -> bool:
        try:
            served = digest_of(self.store.card(*name))
        except VptError as error:
            if self._unclear.get(name) != str(error):
                _logger.warning("%s_%s: what is served of it cannot be told: %s", *name, error)
            self._unclear[name] = str(error)
            return False
        self._unclear.pop(name, None)
        return served != version

    def _load_of(self, name: tuple[str, str], version: str) -> tuple[_Load, bool]:
        """What is loaded of a version, and whether the caller has to load it."""
        with self._lock:
            load = self._loads.get(name)
            is_new = load is None or load.version != version
            if load is None or is_new:
                # Let go of the old ones first: two may not fit into the device's memory side by side.
                self._loads.pop(name, None)
                while len(self._loads) >= self.keep:
                    self._loads.popitem(last=False)
                load = self._loads[name] = _Load(version)
            self._loads.move_to_end(name)
            return load, is_new

    def _forget(self, name: tuple[str, str], load: _Load) -> None:
        with self._lock:
            if self._loads.get(name) is load:
                del self._loads[name]

    def _loaded(self, task: ReadingTask, card: ModelCard) -> Predictor:
        began = perf_counter()
        classifier, card = self.store.load(task, card.model, card.version)
        predictor = self.made(task, classifier, card, self.store.reference(card))
        if self._warm_up:
            predictor.warm_up()
        version = f"{task.name}_{card.model} version {card.version}"
        how = f"{predictor.engine.name} {predictor.engine.precision} on {self._device}"
        _logger.info("loaded %s, %s, in %.1f s", version, how, perf_counter() - began)
        for note in predictor.engine.notes:
            _logger.info("%s.", note)
        return predictor
