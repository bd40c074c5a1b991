"""Whether two orders ask for the same training."""

from __future__ import annotations

from typing import Any

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.job import TrainingJob


def same_training(one: TrainingJob, other: TrainingJob) -> bool:
    """Whether both train the same network for the same task with the same settings.

    A setting that is left out is its default: a stock client sends all of them, others none.
    """
    return one.name == other.name and _all_settings(one) == _all_settings(other)


def _all_settings(job: TrainingJob) -> dict[str, Any]:
    try:
        return FinetuneConfig.from_dict(job.settings).to_dict()
    except ConfigurationError:
        # Ordered from another version of this server: it is like one with the very same words only.
        return dict(job.settings)
