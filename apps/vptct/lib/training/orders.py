"""Orders: from the name and the settings that a client sends to a job that can be done, or an error."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

from vpt_plugin.errors import TrainingError, WeightsError
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.weights import WeightsFolder, vptct_home
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.source import StudySource
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.job import TrainingJob
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.readiness import check_source_ready
from vpt_plugin.training.sources import LabelStoreSource

from ..conf import AppConf


class Orders:
    """Makes the jobs of this server.

    Args:
        studies: what ``--studies`` says.
        conf: of the server.
        labels: of the studies.
        store: where classifiers are published.
        source: gives the studies themselves; asked at each order.
        free_bytes: how much room there is on the disk of a folder.
    """

    def __init__(
        self,
        studies: str,
        conf: AppConf,
        labels: LabelFolder,
        store: ModelStore,
        source: Callable[[], StudySource],
        *,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        self._studies = studies if "://" in studies else str(Path(studies).absolute())
        self._conf = conf
        self._labels = labels
        self._store = store
        self._source = source
        self._free_bytes = free_bytes

    def job(self, task: ReadingTask, spec: ModelSpec, settings: Mapping[str, Any], *, by: str) -> TrainingJob:
        """The job of one training, which can start.

        Raises:
            ConfigurationError: a setting that there is not, or of the wrong kind, or out of range.
            TrainingError: too few labelled studies of a state that can take part, no weights to start from,
                or no room on the disk.
            ArchiveError: which studies there are was never known, and cannot be asked.
        """
        cache = vptct_home() / "prepared"
        try:
            check_source_ready(
                LabelStoreSource(self._source(), self._labels),
                task,
                spec,
                FinetuneConfig.from_dict(settings),
                store=self._store,
                cache=cache,
                weights=WeightsFolder(),
                free_bytes=self._free_bytes,
            )
        except WeightsError as error:
            # Not this server's failure (503), as for an inference: what was asked for cannot be had.
            raise TrainingError(error.message, error.hint) from error
        return TrainingJob(
            studies=self._studies,
            labels_dir=str(self._labels.root.absolute()),
            task=task.name,
            model=spec.name,
            settings=dict(settings),
            models_dir=str(self._store.root.absolute()),
            task_files=tuple(str(path) for path in self._conf.task_files),
            cache=str(cache.absolute()),
            prepared_gb=self._conf.limits.prepared_gb,
            prepared_hu=self._conf.prepared_hu,
            device=self._conf.device,
            by=by,
            archive=self._conf.archive.facts,
        )

    def labels_of(self, job: TrainingJob) -> Hashable:
        """The newest labels of the job's task as they are now; equal where no label has changed."""
        newest = self._labels.newest()
        return tuple((saved.study, saved.sha256) for saved in newest if saved.task == job.task)
