"""What a result depends on, as hashes: one of other studies, labels or facts is never taken for it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.study.cell_records import CellResult
from vpt_plugin.tasks import ReadingTask

_WORDS = {
    "manifest_sha256": "the manifest's studies, sides or labels",
    "task_sha256": "the facts of the task",
    "pretrained_sha256": "the published weights",
    "start_sha256": "the pretraining on CTs",
    "learning_rate": "the chosen learning rate",
}


def manifest_sha256(manifest: Manifest, task: str) -> str:
    """SHA-256 over the studies with a label of the task: side, patient and what the label says.

    Where they lie is not looked at: a folder may be moved.
    """
    rows = sorted(
        [row.study, row.split, row.patient, row.labels[task].to_json()["findings"]]
        for row in manifest.studies
        if task in row.labels
    )
    return _sha256(rows)


def task_sha256(task: ReadingTask) -> str:
    """SHA-256 over the facts of a task that move what a network trained for it answers."""
    facts = asdict(task)
    # What is only compared with a study, or written into a report, leaves the results of a grid as they are.
    del facts["contrast_phase"], facts["codes"]
    return _sha256(facts)


def require_same(done: CellResult, facts: Mapping[str, Any]) -> None:
    """Refuse a result that was made of something else than is asked for now.

    Args:
        done: the result.
        facts: what it has to be of: ``cell``, its JSON, and what ``_WORDS`` lists.

    Raises:
        ConfigurationError: names what changed, and the ways out.
    """
    then = {"learning_rate": done.learning_rate, **asdict(done.provenance)}
    before, wanted = done.cell.to_json(), facts["cell"]
    changed = [f"{name} (was {before[name]!r})" for name in wanted if before[name] != wanted[name]]
    changed += [words for name, words in _WORDS.items() if facts[name] != then[name]]
    if changed:
        raise ConfigurationError(
            f"{done.cell.id} is done, but of something else: changed since: {', '.join(changed)}.",
            f"Choose another folder for the study, or remove cells/{done.cell.id} and what builds on it.",
        )


def code_commit() -> str:
    """The git commit that this code is of, with ``-dirty`` where it was changed since; "" outside of git."""
    git, here = shutil.which("git"), Path(__file__).resolve()
    if git is None:
        return ""
    # Installed below some other repository, this file is not one of that.
    ours = [git, "-C", str(here.parent), "ls-files", "--error-unmatch", here.name]
    commit = [git, "-C", str(here.parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    if subprocess.run(ours, capture_output=True, check=False).returncode:  # noqa: S603  our own words
        return ""
    found = subprocess.run(commit, capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip()


def _sha256(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
