"""Figures of merit over studies or clips, their intervals, and thresholds. Undefined is nan, never 0.

``definitions`` holds what each figure means, ``bootstrap`` the intervals over patients, ``thresholds`` the
rules that choose from which probability on a finding counts as present.
"""

from __future__ import annotations

from vpt_plugin.training.metrics.bootstrap import (
    PatientBootstrap,
    Resampled,
    bootstrap_auroc,
    figures,
    mean_of,
    resampled_figures,
)
from vpt_plugin.training.metrics.definitions import (
    FIGURES,
    auroc,
    average_precision,
    brier_score,
    calibration_error,
    figure_value,
    log_loss,
    negative_predictive_value,
    positive_predictive_value,
    sensitivity,
    specificity,
)
from vpt_plugin.training.metrics.perfect import few_studies_warning, perfect_by_chance
from vpt_plugin.training.metrics.thresholds import (
    choose_threshold,
    sensitivity_threshold,
    threshold_rule,
    youden_threshold,
)

__all__ = [
    "FIGURES",
    "PatientBootstrap",
    "Resampled",
    "auroc",
    "average_precision",
    "bootstrap_auroc",
    "brier_score",
    "calibration_error",
    "choose_threshold",
    "few_studies_warning",
    "figure_value",
    "figures",
    "log_loss",
    "mean_of",
    "negative_predictive_value",
    "perfect_by_chance",
    "positive_predictive_value",
    "resampled_figures",
    "sensitivity",
    "sensitivity_threshold",
    "specificity",
    "threshold_rule",
    "youden_threshold",
]
