"""Trainee: the network of a task that a training is proposed of, and ordered of."""

from __future__ import annotations

from collections.abc import Callable

from vpt_plugin.active.served_last import served_versions
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore

from ..conf import AppConf


class Trainee:
    """Tells which network of a task is to be trained: the one that readers work with.

    That is the one whose version is served, and not the one whose scores choose at the moment: while a new
    version scores the studies, those of another network may.

    Args:
        conf: of the server.
        store: where versions lie.
        ordered_last: the network of a task that a person had trained last; "" for none.
    """

    def __init__(self, conf: AppConf, store: ModelStore, ordered_last: Callable[[str], str]) -> None:
        self._conf = conf
        self._store = store
        self._ordered_last = ordered_last

    def of(self, task: ReadingTask) -> str:
        """Its name: what is served, else what a person chose; "" where nobody has said anything so far.

        A site that serves one network, or has ``active_model`` name one, has chosen.
        """
        if self._conf.active.model:
            return self._conf.active.model
        if (served := served_versions(self._store, task, self._conf.models).last) is not None:
            return served.model
        names = [spec.name for spec in self._conf.models]
        if len(names) == 1:
            return names[0]
        last = self._ordered_last(task.name)
        return last if last in names else ""
