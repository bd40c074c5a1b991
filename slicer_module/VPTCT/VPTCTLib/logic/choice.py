"""Choice: the task and the network that the reader works with."""

from __future__ import annotations

from typing import TypeVar

from ..contract.info import ModelInfo, TaskInfo
from ..scene.parameters import Parameters
from ..signal import Signal
from .server_link import ServerLink

Offered = TypeVar("Offered", TaskInfo, ModelInfo)


class Choice:
    """What the reader chose among what the server offers; kept in the scene.

    A choice that this server does not offer is not forgotten: another server, or this one later, may have it.

    Args:
        server: offers tasks and networks.

    Attributes:
        changed: any of these; not where the server merely said the same again.
        tasks: that are offered.
        task: the chosen one; None where none is offered.
        models: the networks for it, those that answer first.
        model: the chosen one; None where there is none.
    """

    def __init__(self, server: ServerLink) -> None:
        self._server = server
        self._parameters: Parameters | None = None
        self._wished_task = ""
        # By task, so that who goes to another task and back finds the same network.
        self._wished_models: dict[str, str] = {}
        self.changed = Signal()
        self.tasks: tuple[TaskInfo, ...] = ()
        self.task: TaskInfo | None = None
        self.models: tuple[ModelInfo, ...] = ()
        self.model: ModelInfo | None = None
        server.changed.connect(self._look)

    def use(self, parameters: Parameters | None) -> None:
        """Take the choice that a scene remembers.

        Args:
            parameters: of the scene; None where it closes: then the choice is kept without it.
        """
        self._parameters = parameters
        if parameters is not None and parameters.task:
            self._wished_task = parameters.task
            self._wished_models = {parameters.task: parameters.model}
        elif parameters is not None:
            # A scene that says nothing, such as a new one, gets the choice that was made before.
            self._remember(self._wished_task, self._wished_models.get(self._wished_task, ""))
        self._look()

    def select_task(self, name: str) -> None:
        """Choose a task by its name; its network is the one that was chosen for it last."""
        self._remember(name, self._wished_models.get(name, ""))
        self._look()

    def select_model(self, name: str) -> None:
        """Choose a network by its name, ``<task>_<network>``."""
        model = next((each for each in self.models if each.name == name), None)
        if model is None:
            return
        self._wished_models[model.task] = name
        self._remember(model.task, name)
        self._look()

    def _remember(self, task: str, model: str) -> None:
        self._wished_task = task
        if self._parameters is not None:
            self._parameters.task, self._parameters.model = task, model

    def _look(self) -> None:
        before = (self.tasks, self.task, self.models, self.model)
        info = self._server.info
        self.tasks = info.tasks if info is not None else ()
        self.task = _named(self.tasks, self._wished_task)
        task = self.task.name if self.task is not None else ""
        models = info.models_of(task) if info is not None else ()
        self.models = tuple(sorted(models, key=lambda each: not each.trained))
        self.model = _named(self.models, self._wished_models.get(task, ""))
        if before != (self.tasks, self.task, self.models, self.model):
            self.changed.emit()


def _named(offered: tuple[Offered, ...], name: str) -> Offered | None:
    """The one of this name, else the first one; None of none."""
    return next((each for each in offered if each.name == name), offered[0] if offered else None)
