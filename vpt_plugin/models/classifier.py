"""Classifier: a backbone with a linear head for the findings of a task; making, saving and loading one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vpt_plugin.durable import write_over
from vpt_plugin.errors import ClipShapeError, ConfigurationError, WeightsError, WeightsNotFoundError
from vpt_plugin.models.catalog import ModelSpec
from vpt_plugin.models.layouts import check_layout, load_strictly
from vpt_plugin.models.weights import WeightsFolder


class Classifier(nn.Module):
    """Backbone and head: clips in, one logit per finding out.

    Attributes:
        spec: what is known about the network.
        findings: what the logits mean, in their order.
    """

    def __init__(self, spec: ModelSpec, findings: tuple[str, ...], backbone: nn.Module) -> None:
        super().__init__()
        self.spec = spec
        self.findings = findings
        self.backbone = backbone
        self.head = nn.Linear(spec.feature_dim, len(findings))

    def features(self, clips: Tensor) -> Tensor:
        """The vector before the head.

        Args:
            clips: (batch, 1, slices, rows, columns).

        Returns:
            (batch, feature_dim).

        Raises:
            ClipShapeError: clips that this network cannot take.
        """
        if clips.ndim != 5 or clips.shape[1] != 1:
            raise ClipShapeError(
                f"{self.spec.name} takes clips of shape (batch, 1, slices, rows, columns),",
                f"not {tuple(clips.shape)}.",
            )
        self.spec.check_clip(*clips.shape[2:])
        features: Tensor = self.backbone(clips)
        return features

    def forward(self, clips: Tensor) -> Tensor:
        """(batch, 1, slices, rows, columns) -> logits (batch, findings)."""
        logits: Tensor = self.head(self.features(clips))
        return logits


def new_classifier(
    spec: ModelSpec,
    findings: tuple[str, ...],
    *,
    pretraining: str = "none",
    weights: WeightsFolder | None = None,
    seed: int = 0,
) -> Classifier:
    """A classifier whose head was never trained, on a random or a pretrained backbone.

    Args:
        spec: the network.
        findings: what the logits will mean.
        pretraining: ``none`` or what there are published weights for.
        weights: where those lie; None takes the folder of this computer.
        seed: of everything random in it. The generators of torch are left as they are.

    Raises:
        ConfigurationError: there is no such pretraining for this network.
        WeightsNotFoundError: names the file, its address and the commands that bring it here.
        WeightsLayoutError, ChecksumError: the file is not the right one.
    """
    if pretraining not in spec.pretrainings:
        raise ConfigurationError(
            f"{spec.name} has no weights for the pretraining {pretraining!r};",
            f"choose from {', '.join(spec.pretrainings)}.",
        )
    # Only the CPU's generator is forked and seeded: torch.manual_seed would also seed every GPU's.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = spec.build()
        if pretraining != "none":
            _load_published(network, spec, pretraining, weights or WeightsFolder())
        return Classifier(spec, findings, spec.backbone(network))


def with_new_head(classifier: Classifier, findings: tuple[str, ...], *, seed: int = 0) -> Classifier:
    """A classifier with the backbone of another, taken over, and a head that was never trained.

    Args:
        classifier: gives its backbone.
        findings: what the logits will mean.
        seed: of the head. The generators of torch are left as they are.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Classifier(classifier.spec, findings, classifier.backbone)


def _load_published(network: nn.Module, spec: ModelSpec, pretraining: str, weights: WeightsFolder) -> None:
    sources = spec.weights[pretraining]
    source = next((each for each in sources if weights.has(each)), sources[0])
    load_strictly(network, weights.load(source), head=spec.head, what=source.filename)


def save_weights(classifier: Classifier, path: Path) -> str:
    """Writes the classifier's weights as safetensors, whole or not at all.

    Returns:
        The file's SHA-256.
    """
    entries = {name: each.detach().cpu().contiguous() for name, each in classifier.state_dict().items()}
    content = safetensors.torch.save(entries)
    write_over(path, content)
    return hashlib.sha256(content).hexdigest()


def load_weights(classifier: Classifier, path: Path) -> None:
    """Loads what ``save_weights`` wrote, all of it or nothing.

    Raises:
        WeightsNotFoundError: there is no such file.
        WeightsError: it is damaged or no safetensors file.
        WeightsLayoutError: it belongs to another network or to other findings.
    """
    if not path.is_file():
        raise WeightsNotFoundError(f"{path}: the classifier's weights are not there.")
    try:
        entries = safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path}: is damaged or no safetensors file ({error}).") from error
    check_layout(entries, classifier, head="", what=str(path))
    classifier.load_state_dict(entries)
