"""The studies of a cell: a fraction of the training side, validation and test sides whole."""

from __future__ import annotations

from dataclasses import replace

from vpt_plugin.data.fractions import take_fraction
from vpt_plugin.data.importers.written import strata_of
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import ManifestError
from vpt_plugin.tasks import ReadingTask


def read_manifest(manifest: Manifest, task: ReadingTask) -> Manifest:
    """The rows with a label of the task, if each has its side.

    An experiment compares trainings, so the sides may not depend on who trains first.

    Raises:
        ManifestError: a labelled study has no side, or there is none with a label.
    """
    manifest.require_labels_of(task.name)
    rows = tuple(row for row in manifest.studies if task.name in row.labels)
    if not rows:
        raise ManifestError(f"{manifest.path}: no study is labelled for {task.name}.")
    if without := [row.study for row in rows if not row.split]:
        raise ManifestError(
            f"{manifest.path}: {without[0]} has no side, nor have {len(without) - 1} others.",
            "Write train, validation or test into the column split of every row; `vpt import` does.",
        )
    return replace(manifest, studies=rows)


def fraction_of(manifest: Manifest, percent: float) -> Manifest:
    """The same with a fraction of the training side: whole patients, every state in its share.

    Which studies that are depends on nothing but the studies: all networks, arms and seeds get the same, and
    a smaller fraction is a part of a larger one.
    """
    training = {row.study: (row.patient, strata_of(row)) for row in manifest.studies if row.split == "train"}
    taken = set(take_fraction(training, percent))
    rows = tuple(row for row in manifest.studies if row.split != "train" or row.study in taken)
    return replace(manifest, studies=rows)
