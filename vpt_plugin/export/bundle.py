"""A classifier as a MONAI bundle: a folder that ``python -m monai.bundle run`` runs without VPTCT.

::

    configs/metadata.json     MONAI's metadata; under ``vptct`` our card, how to read a study, checksums
            inference.json    a folder of studies in, an answer for each out
    models/model.ts           the network as TorchScript
           model.pt           its weights
           typicality.safetensors    what its training studies were like, where the version knows it
    docs/README.md, license.txt
    vptct_bundle/             the code that inference.json uses
"""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import torch

from vpt_plugin.digest import file_sha256
from vpt_plugin.durable import publish_folder
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.export.bundle_config import CODE, inference_config
from vpt_plugin.export.bundle_metadata import metadata
from vpt_plugin.export.bundle_readme import licence, readme
from vpt_plugin.export.facts import Exported
from vpt_plugin.export.network import network_of
from vpt_plugin.export.one_file import json_bytes, require_free
from vpt_plugin.export.torchscript import write_torchscript
from vpt_plugin.inference.typicality import FeatureReference, reference_file
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.training.version_folder import unfinished_in

METADATA, WEIGHTS, SCRIPT = "configs/metadata.json", "models/model.pt", "models/model.ts"
TYPICAL = "models/typicality.safetensors"
_CODE_FILES = ("__init__.py", "reading.py", "answering.py")


def write_bundle(
    classifier: Classifier, exported: Exported, place: Path, *, version_folder: Path | None = None
) -> float:
    """Write a bundle, whole or not at all.

    Args:
        classifier: the network; left as it is.
        exported: what is known about it.
        place: the new folder.
        version_folder: of the version in the model store; what else it knows goes along. None takes nothing.

    Returns:
        By how much the logits of its TorchScript differ from torch's at most.

    Raises:
        ConfigurationError: the folder is there already, or the network cannot be exported.
        BackendDisagreesError: the TorchScript answers otherwise than torch.
        WeightsError: what else the version knows is not there, or damaged.
        OSError: the disk is full, the folder is not writable.
    """
    require_free(place)
    network = network_of(classifier)
    with unfinished_in(place.absolute().parent) as folder:
        for name in ("configs", "models", "docs", CODE):
            (folder / name).mkdir()
        difference = write_torchscript(network, exported, folder / SCRIPT)
        torch.save(classifier.state_dict(), folder / WEIGHTS)
        _write_beside(exported, folder, version_folder)
        written = sorted(path for path in folder.rglob("*") if path.is_file())
        checksums = {path.relative_to(folder).as_posix(): file_sha256(path) for path in written}
        (folder / METADATA).write_bytes(json_bytes(metadata(exported, checksums)))
        try:
            publish_folder(folder, place)
        except FileExistsError as error:
            raise ConfigurationError(f"{place} is there already;", "choose another name.") from error
    return difference


def _write_beside(exported: Exported, folder: Path, version_folder: Path | None) -> None:
    """All but the network and the metadata."""
    (folder / "configs" / "inference.json").write_bytes(json_bytes(inference_config()))
    (folder / "docs" / "README.md").write_text(readme(exported), encoding="utf-8")
    (folder / "docs" / "license.txt").write_text(licence(exported), encoding="utf-8")
    source = files("vpt_plugin.export").joinpath("bundle_code")
    for name in _CODE_FILES:
        (folder / CODE / name).write_bytes(source.joinpath(name).read_bytes())
    sha256 = exported.card.typicality_sha256
    if version_folder is not None and sha256:
        FeatureReference.read(version_folder, sha256)
        shutil.copyfile(version_folder / reference_file(sha256), folder / TYPICAL)
