"""A classifier as TorchScript: one file that torch alone runs, in Python and in C++."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from vpt_plugin.export.facts import Exported
from vpt_plugin.export.network import ClipLogits, clips_to_try, folded, require_same

# Under this name the facts lie in the file itself: ``torch.jit.load(path, _extra_files={FACTS: ""})``.
FACTS = "vptct.json"
# torch has no types for it.
jit: Any = torch.jit


def write_torchscript(network: ClipLogits, exported: Exported, path: Path) -> float:
    """Trace a network, write it, read it back and hold it against torch.

    Traced and not compiled, because the published networks are not written in what TorchScript compiles. What
    is written takes clips of one shape and batches of any size.

    Args:
        network: of ``network_of``.
        path: of the file; it is written over, so give it in a folder that is not yet in its place.

    Returns:
        By how much its logits differ from torch's at most.

    Raises:
        BackendDisagreesError: by more than is allowed.
        OSError: the disk is full, the folder is not writable.
    """
    with warnings.catch_warnings():
        # torch wants to be rid of TorchScript, but MONAI's bundles are made of it. And that clips of another
        # shape would need another trace is known.
        warnings.filterwarnings("ignore", category=FutureWarning, message="`torch.jit")
        warnings.filterwarnings("ignore", category=DeprecationWarning, message="`torch.jit")
        warnings.filterwarnings("ignore", category=jit.TracerWarning)
        with torch.inference_mode():
            traced = jit.trace(folded(network), clips_to_try(exported, 1), check_trace=False)
        jit.save(traced, str(path), _extra_files={FACTS: json.dumps(exported.to_json())})
        read = jit.load(str(path), map_location="cpu")
    return require_same(network, read, exported, what="TorchScript")
