"""What a classifier says of prepared studies and of their clips; as a validation sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch.utils.data import DataLoader

from vpt_plugin.ct.aggregation import study_probabilities
from vpt_plugin.data.clip_dataset import ClipShape, CoveringClips, LabelledStudy, scale_clips
from vpt_plugin.errors import CancelledError, TrainingError
from vpt_plugin.inference.engines.torch_ready import made_ready
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.models.device import arrange, full_float32, memory_format, out_of_memory
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.placement import Placement

# Without gradients a network of 224 x 224 pixels takes about 100 MB per clip; a single slice takes a tenth.
_CLIPS_AT_ONCE = 4
_SINGLE_SLICES_AT_ONCE = 32


def answers(
    classifier: Classifier,
    studies: Sequence[LabelledStudy],
    shape: ClipShape,
    *,
    task: ReadingTask,
    temperature: float,
    placement: Placement,
    told: Callable[[int, int], None] = lambda done, clips: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> NDArray[np.float64]:
    """The probabilities of whole studies, (studies, findings).

    Args:
        task: that the classifier reads for.
        temperature: of its card; 1 for what the network itself says.

    The other arguments and the errors are those of ``clip_logits``.
    """
    logits, numbers = clip_logits(
        classifier, studies, shape,
        offset=task.offset, placement=placement, told=told, cancelled=cancelled,
    )  # fmt: skip
    return study_probabilities(expit(logits / temperature), numbers, task.aggregation)


def clip_logits(
    classifier: Classifier,
    studies: Sequence[LabelledStudy],
    shape: ClipShape,
    *,
    offset: float,
    placement: Placement,
    told: Callable[[int, int], None] = lambda done, clips: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The logits of all clips that cover the studies, before any temperature, as torch serves them.

    Serving folds batch norms, and in bfloat16 that rounds at other places: answers of the network as it was
    trained were seen to differ by 0.004 from those that readers get. So a copy made ready to serve is asked.

    Args:
        classifier: is left as it is.
        studies: prepared for its task and network.
        shape: of the clips.
        offset: the task's.
        placement: of the network.
        told: of the clips done and the clips in all.
        cancelled: asked before every batch.

    Returns:
        (clips, findings), and the number (clips,) of the study each clip is of.

    Raises:
        TrainingError: the device's memory is full, or a logit is no number.
        CancelledError: ``cancelled`` said so.
    """
    ready, width = made_ready(classifier, placement.device, placement.dtype), len(classifier.findings)
    return _of_all_clips(ready, ready, width, studies, shape, offset, placement, told, cancelled)


def clip_features(
    classifier: Classifier,
    studies: Sequence[LabelledStudy],
    shape: ClipShape,
    *,
    offset: float,
    placement: Placement,
    told: Callable[[int, int], None] = lambda done, clips: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The vectors before the head of all clips that cover the studies; the head's logits follow from them.

    Arguments and errors are those of ``clip_logits``, but the classifier itself is moved to the device and
    set to evaluation.

    Returns:
        (clips, feature_dim), and the number (clips,) of the study each clip is of.
    """
    arrange(classifier.to(placement.device).eval(), placement.dtype)
    asked, width = classifier.features, classifier.spec.feature_dim
    return _of_all_clips(classifier, asked, width, studies, shape, offset, placement, told, cancelled)


def _of_all_clips(
    classifier: Classifier,
    asked: Callable[[torch.Tensor], torch.Tensor],
    width: int,
    studies: Sequence[LabelledStudy],
    shape: ClipShape,
    offset: float,
    placement: Placement,
    told: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What ``asked``, the classifier or a part of it, says of every clip, and the number of its study."""
    clips = CoveringClips(studies, shape)
    said = [np.empty((0, width))]
    numbers = [np.empty(0, dtype=np.int64)]
    at_once = _SINGLE_SLICES_AT_ONCE if shape.length == 1 else _CLIPS_AT_ONCE
    for batch in DataLoader(clips, batch_size=at_once):
        if cancelled():
            raise CancelledError
        said.append(_answer(classifier, asked, batch["image"], offset, placement))
        numbers.append(batch["label"].numpy())
        told(sum(map(len, numbers)), len(clips))
    found = np.concatenate(said)
    if not np.isfinite(found).all():
        raise TrainingError(f"{classifier.spec.name} gave what is no number.", "Its weights may be damaged.")
    return found, np.concatenate(numbers)


def _answer(
    classifier: Classifier,
    asked: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    offset: float,
    placement: Placement,
) -> NDArray[np.float64]:
    device, half = placement.device, placement.dtype == torch.bfloat16
    try:
        exact = full_float32(device)  # as served
        with exact, torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
            clips = scale_clips(images.to(device), offset).to(memory_format=memory_format(placement.dtype))
            return np.asarray(asked(clips).float().cpu().double().numpy())
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise TrainingError(
            f"the memory of {device} does not take {len(images)} clips of {classifier.spec.name} at once.",
            "End other programs that use it, or choose the device cpu.",
        ) from error
