"""The MONAI Label app of VPTCT.

::

    python -m monailabel.main start_server --app apps/vptct --studies DIR
        [--conf tasks pe,nodule] [--conf models swin_t,tiny] [--conf task_file my.yaml]
        [--conf device cpu] [--conf models_dir DIR]
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

from lib import errors, routes
from lib.conf import read_conf
from lib.datastore import StudyDatastore
from lib.infer_task import ClassifyTask, Workplace
from lib.info import NOTICE, server_info
from lib.predictors import Predictors
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask

import vpt_plugin
from vpt_plugin.errors import ConfigurationError, UnknownModelError
from vpt_plugin.models.device import keep_freed_memory
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.studies import LABELS_FOLDER, StudyFolder
from vpt_plugin.training.model_store import ModelStore

logger = logging.getLogger(__name__)


class VptctApp(MONAILabelApp):
    """Chest CT classification with video-pretrained 3D networks: one infer task per task and network."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        if "://" in studies:
            raise ConfigurationError(f"--studies {studies}: only a folder of studies can be served.")
        self.served = read_conf(conf or {})
        self.model_store = ModelStore(self.served.models_dir)
        self.labels_folder = LabelFolder(Path(studies) / LABELS_FOLDER, fresh_seconds=1.0)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="VPTCT",
            description="Video-pretrained 3D networks for chest CT",
            version=vpt_plugin.__version__,
        )
        # Scoring at every start and every next sample is MONAI Label's default; there is nothing to score.
        self._auto_update_scoring = False

    def init_datastore(self) -> StudyDatastore:
        """The studies folder with its labels."""
        return StudyDatastore(StudyFolder(Path(self.studies)), self.labels_folder, self.served.tasks)

    def init_infers(self) -> dict[str, InferTask]:
        """``<task>_<model>`` for every task and network; none of them is loaded before it is asked."""
        if self.served.device == "cpu":
            keep_freed_memory()
        predictors = Predictors(self.model_store, device=self.served.device)
        workplace = Workplace(predictors, self.labels_folder)
        tasks = [ClassifyTask(t, spec, workplace) for t in self.served.tasks for spec in self.served.models]
        return {task.name: task for task in tasks}

    def classify_task(self, name: str) -> ClassifyTask:
        """The infer task of that name.

        Raises:
            UnknownModelError: names those that are served.
        """
        if name not in self._infers:
            raise UnknownModelError(name[:100], list(self._infers))
        return self._infers[name]

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The study to label next; its path on the server stays here."""
        sample = dict(super().next_sample(request))
        sample.pop("path", None)
        return sample

    def info(self) -> dict[str, Any]:
        """MONAI Label's answer with our block ``vptct`` in it."""
        return {
            **super().info(),
            "vptct": server_info(self.served, self.model_store, self.labels_folder),
        }

    def on_init_complete(self) -> None:
        """Called by the server when it is about to open."""
        super().on_init_complete()
        # Imported here: the server's module imports the app's settings, and only the server has one.
        from monailabel.app import app as server

        secret_folders = [Path(self.studies), self.model_store.root, Path(self.app_dir), Path.home()]
        errors.install(server, [*secret_folders, Path(tempfile.gettempdir())])
        routes.install(server)
        self._say_what_is_served()

    def _say_what_is_served(self) -> None:
        models = self.info()["vptct"]["models"]
        trained = [f"{model['name']} version {model['version']}" for model in models if model["trained"]]
        untrained = [model["name"] for model in models if not model["trained"]]
        studies = len(self.datastore().list_images())
        lines = (
            "=" * 78,
            f"VPTCT {vpt_plugin.__version__} on {self.served.device}: {studies} studies in {self.studies}",
            f"trained: {', '.join(trained) or 'none'}",
            f"not trained, so they do not answer: {', '.join(untrained) or 'none'}",
            NOTICE,
            "=" * 78,
        )
        logger.warning("\n%s", "\n".join(lines))
