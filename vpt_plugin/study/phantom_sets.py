"""The phantoms that a plan asks for, made below the study's folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vpt_plugin.data.phantom import write_phantom_set
from vpt_plugin.durable import make_folder, write_over
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.study.datasets import PhantomSet, StudyDataset
from vpt_plugin.study.plan import Plan

# Beside the manifest: what the set was made of.
_MADE_OF = "made-of.json"


def make_phantom_sets(
    plan: Plan, out: Path, *, progress: Callable[[str, int, int], None] = lambda name, done, total: None
) -> Plan:
    """Make the phantoms of every dataset that asks for them and has no manifest.

    Those that are there are used if they are the ones that are asked for; a set that was interrupted is made
    anew.

    Args:
        plan: of the study.
        out: the study's folder; a set lies in ``phantoms/<dataset>``.
        progress: called with the name of the dataset, the studies done and in all.

    Returns:
        The plan with their manifests.

    Raises:
        ConfigurationError: other phantoms are there than the plan asks for.
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
    manifest, made_of = folder / "manifest.csv", folder / _MADE_OF
    wanted = {"task": dataset.task, **asdict(phantoms)}
    if manifest.exists():
        _require_same(dataset.name, folder, wanted)
        return manifest
    # Without a manifest it is a set that was interrupted.
    shutil.rmtree(folder, ignore_errors=True)
    make_folder(folder)
    write_over(made_of, (json.dumps(wanted, indent=1) + "\n").encode())
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


def _require_same(name: str, folder: Path, wanted: Mapping[str, Any]) -> None:
    """Refuse phantoms that were made of something else than the plan says."""
    try:
        made = json.loads((folder / _MADE_OF).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        made = {}
    # As JSON has them: tuples are lists there.
    asked = json.loads(json.dumps(wanted))
    changed = [
        f"{fact} (was {made[fact]!r})" if fact in made else fact
        for fact in asked
        if fact not in made or made[fact] != asked[fact]
    ]
    if changed:
        raise ConfigurationError(
            f"dataset {name}: the phantoms in {folder} were made otherwise than the plan says now: "
            f"{', '.join(changed)}.",
            f"Choose another folder for the study, or remove {folder} and the cells that learned from it.",
        )
