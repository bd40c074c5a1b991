"""A version of the model store, written for other programs."""

from __future__ import annotations

from pathlib import Path

from vpt_plugin.export import BUNDLE, ONNX, check_format
from vpt_plugin.export.bundle import write_bundle
from vpt_plugin.export.facts import Exported
from vpt_plugin.export.one_file import SUFFIXES, write_file
from vpt_plugin.export.onnx_file import require_onnx
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.model_store import ModelStore


def export_version(
    store: ModelStore,
    task: ReadingTask,
    model: str,
    kind: str,
    place: Path | None = None,
    *,
    version: int | None = None,
) -> tuple[Path, float]:
    """Write a version as a bundle, as TorchScript or as ONNX; nothing is overwritten.

    Args:
        store: where it lies.
        task: that it is of.
        model: its network.
        kind: one of ``FORMATS``.
        place: what is written; None takes ``<task>_<model>-v0001`` with the suffix of its kind, here.
        version: None takes the served one.

    Returns:
        What was written, and by how much its logits differ from torch's at most.

    Raises:
        ConfigurationError: no such format, it is there already, the network cannot be exported, or what
            writes ONNX is not installed.
        NotTrainedError, WeightsError: as of ``ModelStore.load``.
        BackendDisagreesError: what was to be written answers otherwise than torch.
        OSError: the disk is full, the folder is not writable.
    """
    check_format(kind)
    if kind == ONNX:
        require_onnx()
    classifier, card = store.load(task, model, version)
    exported = Exported(task, classifier.spec, card)
    place = place or Path(f"{exported.name}-v{card.version:04d}{SUFFIXES.get(kind, '')}")
    if kind != BUNDLE:
        return place, write_file(classifier, exported, kind, place)
    folder = store.place(card.task, card.model, card.version)
    return place, write_bundle(classifier, exported, place, version_folder=folder)
