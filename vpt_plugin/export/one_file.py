"""An exported network in one file, with the facts about it inside and, for people and scripts, beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from vpt_plugin.digest import file_sha256
from vpt_plugin.durable import publish_new_file, write_new
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.export import ONNX, TORCHSCRIPT
from vpt_plugin.export.facts import SCHEMA, Exported
from vpt_plugin.export.network import TOLERANCE, ClipLogits, network_of
from vpt_plugin.export.onnx_file import write_onnx
from vpt_plugin.export.torchscript import write_torchscript
from vpt_plugin.models.classifier import Classifier
from vpt_plugin.training.version_folder import unfinished_in

_WRITERS: Mapping[str, Callable[[ClipLogits, Exported, Path], float]] = MappingProxyType(
    {TORCHSCRIPT: write_torchscript, ONNX: write_onnx}
)
SUFFIXES: Mapping[str, str] = MappingProxyType({TORCHSCRIPT: ".ts", ONNX: ".onnx"})


def write_file(classifier: Classifier, exported: Exported, kind: str, path: Path) -> float:
    """Write a network as ``onnx`` or ``torchscript``, and ``<path>.json`` with what goes with it.

    Nothing is overwritten, and nothing is there unless it was held against torch. Of an export that was
    killed the facts may be there alone: those are replaced.

    Args:
        classifier: the network; left as it is.
        exported: what is known about it.
        kind: a key of ``SUFFIXES``.
        path: of the file.

    Returns:
        By how much its logits differ from torch's at most.

    Raises:
        ConfigurationError: one of the files is there already, or the network cannot be exported.
        BackendDisagreesError: it answers otherwise than torch.
        OSError: the disk is full, the folder is not writable.
    """
    beside = path.with_name(f"{path.name}.json")
    require_free(path)
    if not _is_alone(beside, path):
        require_free(beside)
    with unfinished_in(path.absolute().parent) as folder:
        difference = _WRITERS[kind](network_of(classifier), exported, folder / path.name)
        checked = {"against": "torch float32", "logits_differ_by": difference, "allowed": TOLERANCE}
        facts = {**exported.to_json(), "checked": checked, "sha256": file_sha256(folder / path.name)}
        try:
            _publish(folder / path.name, path, beside, json_bytes(facts))
        except FileExistsError as error:
            taken = error.filename2 or error.filename or path
            raise ConfigurationError(f"{taken} is there already;", "choose another name.") from error
    return difference


def _publish(network: Path, path: Path, beside: Path, facts: bytes) -> None:
    """Give both files their names.

    The facts come first: they hold the checksum of a file that is not there yet, and not the reverse.

    Raises:
        FileExistsError: one of the names was taken meanwhile; what is there stays as it is.
        OSError: the disk is full, the folder is not writable.
    """
    if _is_alone(beside, path):
        beside.unlink(missing_ok=True)
    write_new(beside, facts)
    try:
        publish_new_file(network, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def _is_alone(beside: Path, path: Path) -> bool:
    """Whether these are facts about a network that is not there: its export was killed before it was."""
    try:
        told = None if path.exists() else json.loads(beside.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(told, dict) and told.get("schema") == SCHEMA and "checked" in told


def json_bytes(data: object) -> bytes:
    """JSON for people, too."""
    return (json.dumps(data, indent=2) + "\n").encode()


def require_free(*paths: Path) -> None:
    """Refuse to write over anything.

    Raises:
        ConfigurationError: names what is there.
    """
    for path in paths:
        if path.exists():
            raise ConfigurationError(f"{path} is there already;", "choose another name.")
