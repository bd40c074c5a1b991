"""The MONAI Label app of VPTCT.

::

    python -m monailabel.main start_server --app apps/vptct --studies DIR_OR_ARCHIVE
        [--conf tasks pe,nodule] [--conf models swin_t,tiny] [--conf token_file FILE] ...

docs/server.md lists all settings.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from lib import opening
from lib.access.install import install as install_access
from lib.active_conf import START
from lib.additions import Additions
from lib.archive_conf import is_archive
from lib.conf import read_conf
from lib.datastore import StudyDatastore
from lib.device_queue import FairQueue
from lib.errors import NotOfferedError, body_of_one, folder_remover
from lib.errors import install as install_errors
from lib.identity import server_id
from lib.infer_task import STUDIES_IN_HAND, ClassifyTask, Workplace
from lib.info import server_info, uploads_info
from lib.plain import plain_json
from lib.predictors import Predictors
from lib.retraining import RetrainStarter
from lib.routes.install import install as install_routes
from lib.scoring.desk import ScoringDesk
from lib.sessions import Sessions
from lib.source import open_labels, open_studies
from lib.training.desk import TrainingDesk
from lib.training.trainer import Trainer
from lib.warm_up import WarmUp
from lib.worklist.desk import WorklistDesk
from lib.worklist.strategies import listed_strategies
from lib.worklist.told import next_answer
from lib.worklist.warming import warm_in_background
from lib.workspace import Workspace, end_as_if_interrupted
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

import vpt_plugin
from vpt_plugin.errors import UnknownModelError, VptError
from vpt_plugin.models.device import heed_cpu_quota, keep_freed_memory
from vpt_plugin.models.weights import vptct_home
from vpt_plugin.training.model_store import ModelStore

logger = logging.getLogger(__name__)


class VptctApp(MONAILabelApp):
    """Chest CT classification with video-pretrained 3D networks: one infer task per task and network."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.served = read_conf(conf or {})
        self.model_store = ModelStore(self.served.models_dir)
        self.labels_folder = open_labels(studies, self.served)
        self.desk = TrainingDesk.of(
            studies, self.served, self.labels_folder, self.model_store, lambda: self.datastore().studies
        )
        self.scorings = ScoringDesk.of(
            studies, self.served, self.labels_folder, self.model_store, lambda: self.datastore().studies
        )
        folder = None if is_archive(studies) else Path(studies)
        # Headers of whole studies are read for each: a few at a time leave the disk to those who classify.
        self.series_in_question = FairQueue(2, what="questions for a series")
        self.additions = Additions(folder, switched_on=self.served.add_studies)
        self._workspaces: list[Workspace] = []
        self.ending = threading.Event()
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="VPTCT",
            description="Video-pretrained 3D networks for chest CT",
            version=vpt_plugin.__version__,
        )
        self._remove_folders = folder_remover(self._secret_folders())
        # MONAI Label's own scoring, at every start and every next sample: there is none.
        self._auto_update_scoring = False
        self.worklists = WorklistDesk.of(
            self.served,
            self.datastore().studies,
            self.labels_folder,
            self.model_store,
            scoring=self._scoring_of,
            refused=lambda task: self.without_folders(self.retraining.problem(task)),
            ordered_last=self.desk.ordered_last,
            in_hand=self.desk.in_hand,
        )
        self.retraining = RetrainStarter(
            self.served.tasks, self.desk, self.worklists.advice, self.labels_folder
        )

    def init_datastore(self) -> StudyDatastore:
        """The studies, of a folder or an archive, with their labels."""
        studies = open_studies(self.studies, self.served, self.labels_folder)
        return StudyDatastore(studies, self.labels_folder, self.served.tasks)

    def init_infers(self) -> dict[str, InferTask]:
        """``<task>_<model>`` for every task and network; none of them is loaded before it is asked."""
        if self.served.device == "cpu":
            keep_freed_memory()
            heed_cpu_quota()
        predictors = Predictors(
            self.model_store,
            device=self.served.device,
            backend=self.served.backend,
            precision=self.served.precision,
            stride=self.served.stride,
            unsuitable=self.served.evidence.unsuitable,
            warm_up=self.served.warm_up,
        )
        self._in_hand = FairQueue(STUDIES_IN_HAND, busy=self.scorings.aside.busy)
        self.workplace = Workplace(predictors, self.labels_folder, self._in_hand)
        self._warm_up = WarmUp(predictors, self.served.tasks, self.served.models)
        tasks = [
            ClassifyTask(t, spec, self.workplace) for t in self.served.tasks for spec in self.served.models
        ]
        return {task.name: task for task in tasks}

    def init_trainers(self) -> dict[str, TrainTask]:
        """``<task>_<model>`` for every task and network, as for inference."""
        trainers = [Trainer(t, spec) for t in self.served.tasks for spec in self.served.models]
        return {trainer.name: trainer for trainer in trainers}

    def init_strategies(self) -> dict[str, Strategy]:
        """Ways to choose the next study, the default first."""
        return listed_strategies()

    def _load_sessions(self, load: bool = False) -> Sessions | None:
        """Our sessions in place of MONAI Label's; it asks for this once, at the start."""
        if not load:
            return None
        return Sessions(
            self._workspace(_sessions_folder()),
            max_seconds=settings.MONAI_LABEL_SESSION_EXPIRY,
            max_bytes=self.served.limits.sessions_bytes,
        )

    def cleanup_sessions(self) -> None:
        """What MONAI Label does every five minutes."""
        super().cleanup_sessions()
        for workspace in self._workspaces:
            workspace.keep()

    def classify_task(self, name: str) -> ClassifyTask:
        """The infer task of that name.

        Raises:
            UnknownModelError: names those that are served.
        """
        if name not in self._infers:
            raise UnknownModelError(name[:100], list(self._infers))
        return self._infers[name]

    def offer_next(
        self, strategy: str, wish: dict[str, Any], *, reader: str, gone: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        """Studies to label next, kept for this reader, with what is known of the first one.

        Raises:
            VptError: see ``WorklistDesk.next``.
        """
        block = plain_json(
            self.worklists.next(strategy, wish, reader=reader, gone=gone), self.without_folders
        )
        facts: dict[str, Any] = {}
        for first in block["studies"][:1]:
            # It is given: what else is known of it may be missing, as where its file went away just now.
            with suppress(VptError):
                facts = self.datastore().get_image_info(first["study"])
        return next_answer(block, facts)

    def score_again(self, name: str, *, by: str) -> dict[str, Any]:
        """Have the studies scored with what is served of ``<task>_<model>``; how that goes.

        Raises:
            UnknownModelError: names those that are served.
            NotOfferedError: nothing is scored here.
        """
        asked = self.classify_task(name)
        if not self.served.active.scoring:
            raise NotOfferedError("studies are not scored here;", "leave out --conf scoring off.")
        return self.scorings.order(asked.task, asked.spec, by=by, plain=self.without_folders)

    def look_anew(self) -> dict[str, Any]:
        """Look for studies and labels now; how many there are."""
        store = self.datastore()
        store.refresh()
        opening.adopt_labels(store.studies, self.labels_folder)
        return dict(store.status())

    def info(self) -> dict[str, Any]:
        """MONAI Label's answer with our block ``vptct`` in it."""
        # First: the counts in it are what looks for studies, if that is due.
        answer = dict(super().info())
        state = self.datastore().studies.state()
        training = self.desk.info(self.without_folders)
        active = plain_json(self.worklists.info(), self.without_folders)
        ours = server_info(self.served, self.model_store, self.labels_folder, state, training, active)
        kept_seconds = settings.MONAI_LABEL_SESSION_EXPIRY if self.sessions() is not None else None
        ours["uploads"] = uploads_info(self.served.limits, kept_seconds, add_studies=self.additions.offered)
        ours["server_id"] = self._server_id
        ours["inference"] = {"running": self._in_hand.inside, "waiting": self._in_hand.waiting}
        return {**answer, "train_stats": self.desk.stats(), "vptct": ours}

    @cached_property
    def _server_id(self) -> str | None:
        return server_id(vptct_home(), self.studies, self.labels_folder.root)

    def without_folders(self, text: str) -> str:
        """The text without the paths of this server's folders."""
        return self._remove_folders(text)

    def told(self, error: Exception, what: str) -> dict[str, str]:
        """What a client is told of an error that is not the whole answer; ``what`` was done, for the log."""
        return body_of_one(error, what, self._secret_folders())

    def on_init_complete(self) -> None:
        """Called by the server when it is about to open."""
        super().on_init_complete()
        # Imported here: the server's module imports the app's settings, and only the server has one.
        from monailabel.app import app as server

        # Also where an upload is spooled while it comes: what a killed server leaves goes at the next start.
        tempfile.tempdir = str(self._workspace(Path(tempfile.gettempdir())))
        self._remove_folders = folder_remover(self._secret_folders())
        end_as_if_interrupted(self.ending)
        install_errors(server, self._secret_folders())
        install_access(server, self.served.access)
        install_routes(server, self.served)
        self.desk.open()
        self.scorings.open()
        self.worklists.notes.open()
        if self.served.active.retrain == START:
            self.retraining.open()
        opening.clean_up([self.labels_folder.root, self.model_store.root])
        self.additions.sweep()
        if is_archive(self.studies):
            # It may take a minute to answer, or never do.
            threading.Thread(target=self._look_around, name="vptct-opening", daemon=True).start()
        else:
            self._look_around()
        if self.served.warm_up:
            self._warm_up.open()
        warm_in_background(self.worklists.worklist, self.served.tasks, scoring=self.served.active.scoring)

    def _look_around(self) -> None:
        """Adopt labels, and tell the log what is served: both ask where studies come from."""
        studies = self.datastore().studies
        opening.adopt_labels(studies, self.labels_folder)
        models = self.info()["vptct"]["models"]
        opening.say_what_is_served(self.served, self.studies, studies, self.labels_folder, models)

    def _scoring_of(self, task: str) -> dict[str, Any]:
        """How the scoring of a task goes."""
        return self.scorings.info(task, self.without_folders)

    def _workspace(self, parent: Path) -> Path:
        """A folder of this process, for as long as it lives."""
        self._workspaces.append(Workspace(parent))
        return self._workspaces[-1].folder

    def _secret_folders(self) -> list[Path]:
        folders = [self.labels_folder.root, self.model_store.root, Path(self.app_dir), Path.home()]
        folders += [] if is_archive(self.studies) else [Path(self.studies)]
        folders += [each for each in (self.served.archive.cache_dir, self.served.access.token_file) if each]
        folders += [each.parent for each in self.served.task_files]
        # Stack traces in the log are full of these.
        folders += [Path(sys.prefix), Path(sys.base_prefix), Path(vpt_plugin.__file__).parents[1]]
        return [*folders, vptct_home(), _sessions_folder(), Path(tempfile.gettempdir())]


def _sessions_folder() -> Path:
    """Where uploaded sessions lie, a folder for each running server."""
    named = settings.MONAI_LABEL_SESSION_PATH
    return Path(named) if named else Path.home() / ".cache" / "monailabel" / "sessions"
