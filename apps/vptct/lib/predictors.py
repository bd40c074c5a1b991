"""Predictors that are ready to answer, of the versions that are published at the moment."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict

from vpt_plugin.inference import Predictor
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore

_logger = logging.getLogger(__name__)


class Predictors:
    """Loads what is asked for and keeps the few that were used last.

    Args:
        store: where published models lie; it is asked for the current version every time, so that a new one
            answers from the moment it is published.
        device: where the networks compute.
        keep: how many stay loaded.
    """

    def __init__(self, store: ModelStore, *, device: str, keep: int = 3) -> None:
        self.store = store
        self._device = device
        self._keep = keep
        self._loaded: OrderedDict[tuple[str, str], tuple[int, Predictor]] = OrderedDict()
        self._lock = threading.Lock()

    def current(self, task: ReadingTask, model: str) -> Predictor:
        """The predictor of the current version.

        Raises:
            NotTrainedError: none was ever published.
            WeightsError: its file or its card is damaged, or it was trained for other findings.
        """
        with self._lock:
            name = (task.name, model)
            version = self.store.current_version(*name)
            if name not in self._loaded or self._loaded[name][0] != version:
                # Let go of the old ones first: two may not fit into the device's memory side by side.
                self._loaded.pop(name, None)
                while len(self._loaded) >= self._keep:
                    self._loaded.popitem(last=False)
                self._loaded[name] = self._load(task, model, version)
            self._loaded.move_to_end(name)
            return self._loaded[name][1]

    def _load(self, task: ReadingTask, model: str, version: int | None) -> tuple[int, Predictor]:
        classifier, card = self.store.load(task, model, version)
        predictor = Predictor(classifier, task, card, device=self._device)
        _logger.info("loaded %s_%s version %d onto %s", task.name, model, card.version, self._device)
        return card.version, predictor
