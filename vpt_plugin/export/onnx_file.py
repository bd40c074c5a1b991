"""A classifier as ONNX: one file that many runtimes run, held against torch before it is kept."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.export.facts import INPUT, OUTPUT, Exported
from vpt_plugin.export.network import ClipLogits, clips_to_try, folded, require_same

# Under this key the facts lie in the file itself, among its metadata.
FACTS = "vptct"
_NEEDED = ("onnx", "onnxscript", "onnxruntime")


def require_onnx() -> None:
    """Refuse where what writes and runs ONNX is not installed.

    Raises:
        ConfigurationError: says what is missing and how to install it.
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ConfigurationError(
            f"ONNX files need {', '.join(missing)}, not installed here.",
            "Install the extra `export`: pip install 'vptct[export]'.",
        )


def write_onnx(network: ClipLogits, exported: Exported, path: Path) -> float:
    """Export a network as ONNX, read it back by ONNX Runtime and hold it against torch.

    Args:
        network: of ``network_of``.
        path: of the file; it is written over, so give it in a folder that is not yet in its place.

    Returns:
        By how much its logits differ from torch's at most.

    Raises:
        ConfigurationError: what writes ONNX is not installed, or it cannot write this network.
        BackendDisagreesError: by more than is allowed.
        OSError: the disk is full, the folder is not writable.
    """
    require_onnx()
    program = _program(folded(network), exported)
    program.model.metadata_props[FACTS] = json.dumps(exported.to_json())
    # The largest network has 0.4 GB: all of it fits into the one file, whose limit is 2 GB.
    program.save(str(path), external_data=False)
    return require_same(network, _Session(path), exported, what="ONNX Runtime")


def _program(network: ClipLogits, exported: Exported) -> torch.onnx.ONNXProgram:
    from torch.onnx import OnnxExporterError

    try:
        program = torch.onnx.export(
            network,
            # Two clips: of one, torch would take it that batches always have one.
            (clips_to_try(exported, 2),),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={"clips": {0: torch.export.Dim("batch")}},
            verbose=False,
        )
    except OnnxExporterError as error:
        raise ConfigurationError(
            f"{exported.name} cannot be written as ONNX: {str(error).strip().splitlines()[0]}",
            "Export it as a bundle or as torchscript.",
        ) from error
    # None only of the exporter before this one.
    return cast("torch.onnx.ONNXProgram", program)


class _Session:
    """An ONNX file that computes as a torch module does."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; it warns of what it cannot compute beforehand
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def __call__(self, clips: Tensor) -> Tensor:
        (logits,) = self._session.run([OUTPUT], {INPUT: clips.numpy()})
        return torch.from_numpy(logits)
