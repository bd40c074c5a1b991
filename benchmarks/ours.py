"""Our ways, as they are raced: an engine on a clip, and a whole study from its folder to the answer.

Weights are random, those of ``new_classifier`` with the seed 0, and so are those of the peers.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from memory import MemoryOf
from peers.paper import FINDINGS

from vpt_plugin.ct.reduced import read_reduced
from vpt_plugin.inference.engines import Engine, make_engine
from vpt_plugin.inference.predictor import Predictor
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import MODELS, get_model
from vpt_plugin.models.classifier import Classifier, new_classifier
from vpt_plugin.models.device import choose_device, has_native_bfloat16, keep_freed_memory
from vpt_plugin.tasks import ReadingTask, get_task

# The networks of the published experiment that see clips.
SEVEN = tuple(name for name, spec in MODELS.items() if spec.kind == "3d" and spec.family != "tiny")
# Compiled networks of random weights, out of the way of those that somebody serves.
COMPILED = Path(__file__).parent / "results" / "compiled"


def task() -> ReadingTask:
    """The task ``pe`` with one finding of no meaning."""
    return replace(get_task("pe"), findings=FINDINGS)


def classifier_and_card(network: str) -> tuple[Classifier, ModelCard]:
    """A network with random weights, and what a card says of it."""
    spec = get_model(network)
    card = ModelCard(
        task="pe", model=network, findings=FINDINGS, pretraining="none", clip_slices=spec.clip_slices
    )
    return new_classifier(spec, FINDINGS), card


def fast_precision(device: str = "auto") -> str:
    """What this device multiplies fastest; forced, because a network of random weights passes no check."""
    return "bfloat16" if has_native_bfloat16(choose_device(device)) else "float32"


def openvino_is_there() -> bool:
    """Whether it is installed, and the network would run on the processor."""
    return find_spec("openvino") is not None and choose_device().type == "cpu"


# What the rows of a version have for a note whose precision nobody checked.
UNCHECKED = "as served before any check of precision"
# What the rows with a target have: weights are random, and no check of theirs would say anything.
CHECKED = "as served where the version's check of precision passed"


def _about(engine: Engine) -> dict[str, Any]:
    """What an engine is, for whoever asked for the best that there is."""
    return {"engine": f"{engine.name}, {engine.precision}", "notes": list(engine.notes)}


class ClipForward:
    """A way: one clip through an engine, from its bytes to its logit.

    Args:
        clip: .npy of uint8 (slices, rows, columns).
        backend, device: of ``make_engine``.
        precision, many_studies: the same.
    """

    def __init__(
        self, clip: str, backend: str, precision: str, device: str = "auto", many_studies: bool = False
    ) -> None:
        keep_freed_memory()  # as the server does
        self._slices = torch.from_numpy(np.load(clip))
        self._settings: dict[str, Any] = {
            "backend": backend, "precision": precision, "device": device, "many_studies": many_studies
        }  # fmt: skip
        self._network = ""
        self._engine: Engine | None = None

    def __call__(self, network: str) -> dict[str, Any]:
        """The clip's logit and what the engine wants to be known; the first call for a network makes it."""
        if self._network != network or self._engine is None:
            self._engine = None
            classifier, card = classifier_and_card(network)
            self._engine = make_engine(classifier, task(), card, cache=COMPILED, **self._settings)
            self._network = network
        slices = self._slices[: get_model(network).clip_slices].to(self._engine.device)
        logits, _ = self._engine.answer(slices, (0,))
        return {"logit": float(logits), **_about(self._engine)}


class WholeStudy:
    """A way: from a DICOM folder to the answer, as ``vpt classify`` gives it.

    Args:
        backend, precision, device: of ``Predictor``.
        many_studies: the same; the server and `vpt classify` of many have it so: a slow first start pays.
    """

    def __init__(self, backend: str, precision: str, device: str = "auto", many_studies: bool = True) -> None:
        keep_freed_memory()  # as the server does
        self._settings: dict[str, Any] = {
            "backend": backend, "precision": precision, "device": device, "many_studies": many_studies
        }  # fmt: skip
        self._network = ""
        self._predictor: Predictor | None = None

    def __call__(
        self, study: str, network: str, warm_up: bool = False, memory: bool = False
    ) -> dict[str, Any]:
        """Probabilities and seconds; to warm up, make the predictor ready instead.

        Args:
            study: the folder.
            network: its name; the first call for a network makes its predictor.
            warm_up: whether that is all.
            memory: whether to tell ``mib``, what the answer took; that call takes longer.
        """
        if self._network != network or self._predictor is None:
            self._predictor = None
            classifier, card = classifier_and_card(network)
            self._predictor = Predictor(
                classifier, task(), card, cache=COMPILED, unsuitable="warn", **self._settings
            )
            self._network = network
        if warm_up:
            self._predictor.warm_up()
            return _about(self._predictor.engine)
        with MemoryOf() if memory else nullcontext() as taken:
            reduced = read_reduced(Path(study), pixels=get_model(network).resize_px)
            answer = self._predictor.predict(reduced)
        (finding,) = answer.findings
        clips = [clip.probability for clip in finding.clips]
        return {
            "probability": finding.probability,
            "clips": clips,
            "mib": taken.mib if taken else None,
        }
