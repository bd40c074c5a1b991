"""Whether a plan can be run at all, asked before anything is trained: manifests, sides, published weights."""

from __future__ import annotations

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.splits import patient_key
from vpt_plugin.errors import ConfigurationError, ManifestError, VptError, WeightsNotFoundError
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.sources import WeightsSource
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.study.cell_studies import fraction_of, read_manifest
from vpt_plugin.study.datasets import StudyDataset
from vpt_plugin.study.plan import Plan
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.finetune import clip_shape
from vpt_plugin.words import studies_in_words


def require_ready(plan: Plan, weights: WeightsFolder | None = None) -> None:
    """Refuse a plan that would fail after hours; no study is opened.

    Args:
        plan: with its manifests; phantoms are made.
        weights: where published weights lie; None takes the folder of this computer.

    Raises:
        ConfigurationError: a dataset has no manifest, several things are missing (all are named), or a
            network cannot take its clips.
        ManifestError: a manifest cannot be used, a side lacks a state of a finding, or the CT set holds
            patients that the arms with CT are validated or tested on.
        WeightsNotFoundError: names the networks and the commands that bring their weights here.
    """
    _require_all_there(plan, weights or WeightsFolder())
    for dataset in plan.all_datasets:
        task = dataset.reading_task()
        for network in plan.networks:
            clip_shape(task, plan.spec(network))
        _check_sides(plan, dataset, task)
    for dataset in plan.datasets:
        if plan.ct and any(arm in ("ct", "video+ct") for arms in dataset.arms.values() for arm in arms):
            _require_apart(plan.ct, dataset)


def _require_all_there(plan: Plan, weights: WeightsFolder) -> None:
    """Refuse a plan that lacks manifests or weights, and name all of them at once."""
    missing: list[VptError] = [*plan.missing_manifests()]
    try:
        require_weights(plan, weights)
    except WeightsNotFoundError as error:
        missing.append(error)
    if len(missing) == 1:
        raise missing[0]
    if missing:
        told = "\n".join(f"  - {each}" for each in missing)
        raise ConfigurationError(f"{len(missing)} things are missing:\n{told}")


def require_weights(plan: Plan, weights: WeightsFolder) -> None:
    """Refuse a plan with arms that begin from weights which are not on this computer.

    Raises:
        WeightsNotFoundError: names the networks and the commands that bring their weights here.
    """
    arms = {arm for each in plan.datasets for own in each.arms.values() for arm in own}
    if not any(arm.startswith("video") for arm in arms):
        return
    specs = [plan.spec(network) for network in plan.networks]
    missing = [spec for spec in specs if published_source(spec, weights) is None]
    if not missing:
        return
    names = ", ".join(spec.name for spec in missing)
    files = list(dict.fromkeys(next(iter(spec.weights.values()))[0].name for spec in missing))
    fetch = ", ".join(f"`vpt weights fetch {name}`" for name in files)
    take = ", ".join(f"`vpt weights import {name} FILE`" for name in files)
    raise WeightsNotFoundError(
        f"the arm video/image begins from published weights, and those of {names} are not on this computer.",
        f"Get them with {fetch}; or, without internet, download the files elsewhere (their "
        f"addresses: `vpt weights list`) and run {take}.",
    )


def published_source(spec: ModelSpec, weights: WeightsFolder) -> WeightsSource | None:
    """The file that the arm ``video`` of a network begins from; None where none is on this computer."""
    sources = next(iter(spec.weights.values()), ())
    return next((each for each in sources if weights.has(each)), None)


def _check_sides(plan: Plan, dataset: StudyDataset, task: ReadingTask) -> None:
    whole = read_manifest(Manifest.read(dataset.manifest_file()), task)
    # Of the CT set no test side is looked at.
    sides = ("train", "validation") if dataset == plan.ct else ("train", "validation", "test")
    percents = {*dataset.percents, 100.0}
    if any(len(plan.rates_of(network)) > 1 for network in plan.networks):
        percents.add(plan.search_percent)
    for percent in sorted(percents):
        rows = fraction_of(whole, percent).studies
        for side in sides:
            labels = [row.labels[task.name] for row in rows if row.split == side]
            for finding in task.findings:
                states = {label.findings[finding].state for label in labels if finding in label.findings}
                if lacking := {"present", "absent"} - states:
                    raise ManifestError(
                        f"{whole.path}: at {percent:g} % no study of the side {side} has {finding} "
                        f"{min(lacking)}.",
                        "Label more studies, or put some of that state on the side.",
                    )


def _require_apart(ct: StudyDataset, dataset: StudyDataset) -> None:
    """Refuse patients, as the manifests call them, whom a cell would be refused for after its training.

    The same scan under another name is found there alone, when it has been read.
    """
    learned, tested = _patients(ct), _patients(dataset)
    for sides, their in ((("train",), "validation"), (("train", "validation"), "test")):
        seen = {patient for side in sides for patient in learned[side]}
        if both := sorted(study for patient in seen & set(tested[their]) for study in tested[their][patient]):
            raise ManifestError(
                f"{studies_in_words(len(both))} of the side {their} of {dataset.name} ({both[0]}) "
                f"{'is' if len(both) == 1 else 'are'} of patients of the set {ct.name}, too, whom the CT "
                "pretraining sees: the arms with CT would be asked what they know.",
                f"Take these patients out of {ct.manifest_file()}, or put them on the training side of both.",
            )


def _patients(dataset: StudyDataset) -> dict[str, dict[str, list[str]]]:
    """By side and patient the names of the studies; those whose patient is not named are left out."""
    found: dict[str, dict[str, list[str]]] = {"train": {}, "validation": {}, "test": {}}
    for row in read_manifest(Manifest.read(dataset.manifest_file()), dataset.reading_task()).studies:
        if row.patient:
            found[row.split].setdefault(patient_key(row.patient), []).append(row.study)
    return found
