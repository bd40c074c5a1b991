"""What this server can do, as the ``vptct`` block of ``GET /info/`` (``vptct.info/1``)."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch

import vpt_plugin
from vpt_plugin.ct import packed
from vpt_plugin.ct.volume import MAX_HU, MIN_HU
from vpt_plugin.errors import ModelCardError
from vpt_plugin.inference.engines.choose import expected_backend
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.precision import settle_precision
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.source import SourceState
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.other_versions import MOST_VERSIONS
from vpt_plugin.training.reading import reading_difference, reading_facts

from .conf import AppConf
from .evidence_conf import EvidenceConf
from .limits import Limits

_logger = logging.getLogger(__name__)
SCHEMA = "vptct.info/1"
NOTICE = "Research software. Not a medical device; not for diagnosis."


def server_info(
    conf: AppConf,
    store: ModelStore,
    labels: LabelFolder,
    studies: SourceState,
    training: dict[str, Any],
    active: dict[str, Any],
) -> dict[str, Any]:
    """Everything a client needs to know: it learns tasks, models and thresholds from here alone."""
    return {
        "schema": SCHEMA,
        "version": vpt_plugin.__version__,
        "notice": NOTICE,
        "studies": asdict(studies),
        "tasks": [_task_info(task, conf.models, labels.counts(task.name)) for task in conf.tasks],
        "models": [_model_info(task, spec, store, conf) for task in conf.tasks for spec in conf.models],
        "training": training,
        "active": active,
        "features": features_info(conf.evidence),
    }


def features_info(evidence: EvidenceConf) -> dict[str, Any]:
    """What an answer can have beside its probabilities; a client asks an older server for none of it.

    Args:
        evidence: ``report`` is ``off``, ``file``, or ``archive``.
    """
    return {
        "explain": True,
        "versions": MOST_VERSIONS,
        "error_rate": evidence.error_rate,
        "unsuitable": evidence.unsuitable,
        "report": evidence.report,
    }


def _task_info(
    task: ReadingTask, models: Sequence[ModelSpec], label_counts: dict[str, int]
) -> dict[str, Any]:
    return {
        "name": task.name,
        "title": task.title,
        "findings": list(task.findings),
        "hu_window": {"centre": task.hu_window.centre, "width": task.hu_window.width},
        "offset": task.offset,
        "clips": {
            "length_slices": task.clips.length_slices,
            "stride_slices": task.clips.stride_slices,
            "min_positive_slices": task.clips.min_positive_slices,
        },
        "aggregation": task.aggregation,
        "labels": label_counts,
        "needs": study_needs(models),
    }


def study_needs(models: Sequence[ModelSpec]) -> dict[str, float | None]:
    """The smallest form of a study that is answered as the study itself, for a client that uploads it.

    Slices may be reduced to ``pixels`` x ``pixels`` first, as ``resize_slices`` does it, and values cut to
    the range of HU then. That range is not the task's HU window: slices are reduced before they are put into
    it, the check for Hounsfield units looks for air, and warnings are of the mean and the spread of all.

    ``pixels`` is None, which is whole slices, where the networks take slices of several sizes: reduced twice,
    a slice is not the one that is reduced once, and a network may answer otherwise by some hundredths. Each
    network tells its own size, for who asks one alone.

    Args:
        models: that may be asked about the study.
    """
    sizes = {spec.resize_px for spec in models}
    return {"hu_low": MIN_HU, "hu_high": MAX_HU, "pixels": sizes.pop() if len(sizes) == 1 else None}


def uploads_info(limits: Limits, session_seconds: int | None, *, add_studies: bool) -> dict[str, Any]:
    """What an upload may be: ``forms`` are those of a packed study, beside files of the usual formats.

    Args:
        limits: say how large.
        session_seconds: how long an uploaded study is kept after its last use; None where none is.
        add_studies: whether one may also become a study of this server.
    """
    return {
        "max_bytes": limits.upload_bytes,
        "sessions": session_seconds is not None,
        "session_minutes": None if session_seconds is None else session_seconds / 60,
        "add_studies": add_studies,
        "forms": list(packed.FORMS),
    }


def _model_info(task: ReadingTask, spec: ModelSpec, store: ModelStore, conf: AppConf) -> dict[str, Any]:
    """One ``<task>_<model>``; null stands for what an untrained one cannot tell."""
    card, problem = _current_card(task, spec, store)
    auroc = {name: each.to_json() for name, each in card.validation_auroc.items()} if card else None
    return {
        "name": f"{task.name}_{spec.name}",
        "task": task.name,
        "network": spec.name,
        "title": spec.title,
        "pixels": spec.resize_px,
        "trained": card is not None,
        "problem": problem,
        "version": card.version if card else None,
        "pretraining": card.pretraining if card else None,
        "trained_on": card.trained_on if card else None,
        "synthetic": card.synthetic if card else None,
        "calibrated": card.calibrated if card else None,
        "thresholds": {name: _or_null(value) for name, value in card.thresholds.items()} if card else None,
        "validation_auroc": auroc,
        "precision": _precision(card, spec, conf) if card else None,
    }


def _precision(card: ModelCard, spec: ModelSpec, conf: AppConf) -> dict[str, str]:
    """In which numbers this server answers with a version, and why."""
    backend = expected_backend(spec, conf.device, conf.backend, card=card, precision=conf.precision)
    settled = settle_precision(card, torch.device(conf.device), conf.precision, backend)
    return {"backend": backend, "numbers": settled.precision, "why": settled.why}


def _current_card(
    task: ReadingTask, spec: ModelSpec, store: ModelStore
) -> tuple[ModelCard | None, str | None]:
    """The card of the served version, or none and what is wrong with it, if anything is."""
    try:
        version = store.current_version(task.name, spec.name)
        if version is None:
            candidates = ", ".join(map(str, store.versions(task.name, spec.name)))
            return None, f"None of its versions ({candidates}) is served." if candidates else None
        card = store.card(task.name, spec.name, version)
    except ModelCardError as error:
        _logger.warning("%s_%s: %s", task.name, spec.name, error)
        return None, "Its model card, or which version is served, cannot be read; the server's log says why."
    if card.findings != task.findings:
        return None, f"It was trained for {', '.join(card.findings)}: train it again for this task."
    if card.reading and (difference := reading_difference(card.reading, reading_facts(task, spec))):
        return None, f"It was trained with {difference}: train it again for this task."
    return card, None


def _or_null(value: float) -> float | None:
    """JSON knows no nan."""
    return None if math.isnan(value) else value
