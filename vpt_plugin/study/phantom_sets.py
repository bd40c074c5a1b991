"""The phantoms that a plan asks for, made below the study's folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from vpt_plugin.data.phantom import write_phantom_set
from vpt_plugin.study.datasets import PhantomSet, StudyDataset
from vpt_plugin.study.plan import Plan


def make_phantom_sets(
    plan: Plan, out: Path, *, progress: Callable[[str, int, int], None] = lambda name, done, total: None
) -> Plan:
    """Make the phantoms of every dataset that asks for them and has no manifest.

    Those that are there are used; a set that was interrupted is made anew.

    Args:
        plan: of the study.
        out: the study's folder; a set lies in ``phantoms/<dataset>``.
        progress: called with the name of the dataset, the studies done and in all.

    Returns:
        The plan with their manifests.

    Raises:
        OSError: the disk is full, the folder is not writable.
    """
    made = {
        each.name: _made(each, each.phantoms, out / "phantoms" / each.name, progress)
        for each in plan.all_datasets
        if each.phantoms and each.manifest is None
    }
    return plan.with_manifests(made)


def _made(
    dataset: StudyDataset, phantoms: PhantomSet, folder: Path, progress: Callable[[str, int, int], None]
) -> Path:
    manifest = folder / "manifest.csv"
    if manifest.exists():
        return manifest
    # Without a manifest it is a set that was interrupted.
    shutil.rmtree(folder, ignore_errors=True)
    return write_phantom_set(
        folder,
        count=phantoms.count,
        seed=phantoms.seed,
        task=dataset.task,
        # Not compressed: quicker to write and to read.
        formats=("mha",),
        config=phantoms.config,
        first_patient=phantoms.first_patient,
        progress=lambda done, total: progress(dataset.name, done, total),
    )
