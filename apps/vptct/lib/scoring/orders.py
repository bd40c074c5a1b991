"""Orders: from what is to be scored to the job that its process is told."""

from __future__ import annotations

from pathlib import Path

from vpt_plugin.active.job import COMPARE_SECONDS, ScoringJob
from vpt_plugin.models.weights import vptct_home
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.training.model_store import ModelStore

from ..archive_conf import is_archive
from ..conf import AppConf


def scoring_job(
    studies: str,
    conf: AppConf,
    labels: LabelFolder,
    store: ModelStore,
    *,
    task: str,
    model: str,
    version: int,
) -> ScoringJob:
    """The job of one scoring on this server.

    Args:
        studies: what ``--studies`` says.
        conf: of the server.
        labels: of the studies.
        store: where versions lie.
        task, model: their names.
        version: 0 where no head was trained.
    """
    return ScoringJob(
        studies=studies if is_archive(studies) else str(Path(studies).absolute()),
        labels_dir=str(labels.root.absolute()),
        task=task,
        model=model,
        version=version,
        models_dir=str(store.root.absolute()),
        task_files=tuple(str(path) for path in conf.task_files),
        cache=str((vptct_home() / "prepared").absolute()),
        device=conf.device,
        backend=conf.backend,
        precision=conf.precision,
        limit=conf.active.scoring_studies,
        archive=conf.archive.facts,
        compare_seconds=COMPARE_SECONDS,
    )
