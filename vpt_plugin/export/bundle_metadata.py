"""``configs/metadata.json`` of a bundle, by MONAI's specification."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from vpt_plugin.export.facts import Exported
from vpt_plugin.words import in_a_sentence

SCHEMA_URL = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
# What running a bundle takes beside MONAI. Its reader of NIfTI files is not among what VPTCT needs itself.
_OURS = ("opencv-python-headless", "pytorch-ignite")
PACKAGES = (*_OURS, "nibabel")
_NIBABEL = "5.0"


def metadata(exported: Exported, checksums: Mapping[str, str]) -> dict[str, Any]:
    """The metadata; under ``vptct`` all that is needed to give our answer.

    Args:
        checksums: SHA-256 of the bundle's other files by their paths.
    """
    card, task = exported.card, exported.task
    return {
        "schema": SCHEMA_URL,
        "version": f"{card.version}.0.0",
        "changelog": {f"{card.version}.0.0": f"version {card.version} of {exported.name}, {card.created}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {**{name: version(name) for name in _OURS}, "nibabel": _NIBABEL},
        "name": f"{task.title} by {exported.spec.title}",
        "task": f"Classification of chest CT: {_findings(exported)}",
        "description": f"{exported.spec.title} looks at a whole chest CT, {exported.clip_shape[0]} slices at "
        f"once, for {_findings(exported)}. {exported.use()}",
        "authors": "Whoever trained it with VPTCT",
        "copyright": "See docs/license.txt",
        "data_type": "nibabel",
        "image_classes": "one channel: a chest CT in its HU window, less an offset",
        "pred_classes": f"one logit per finding: {', '.join(task.findings)}",
        "eval_metrics": _figures(exported),
        "intended_use": exported.use(),
        "references": [exported.spec.paper],
        "network_data_format": _data_format(exported),
        "vptct": {**exported.to_json(), "files": dict(checksums)},
    }


def _data_format(exported: Exported) -> dict[str, Any]:
    findings = exported.task.findings
    return {
        "inputs": {
            "image": {
                "type": "image",
                "format": "hounsfield",
                "modality": "CT",
                "num_channels": 1,
                "spatial_shape": list(exported.clip_shape),
                "dtype": "float32",
                "value_range": list(exported.input_range),
                "is_patch_data": True,
                "channel_def": {"0": "CT"},
            }
        },
        "outputs": {
            "pred": {
                "type": "probabilities",
                "format": "logits",
                "num_channels": len(findings),
                "spatial_shape": [],
                "dtype": "float32",
                "value_range": [],
                "is_patch_data": True,
                "channel_def": {str(index): name for index, name in enumerate(findings)},
            }
        },
    }


def _figures(exported: Exported) -> dict[str, Any]:
    """The AUROC that the version was found to have; an undefined one is null."""
    return {
        f"validation AUROC of {name}": found.to_json()
        for name, found in exported.card.validation_auroc.items()
    }


def _findings(exported: Exported) -> str:
    return ", ".join(map(in_a_sentence, exported.task.findings))
