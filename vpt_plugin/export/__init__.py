"""Trained classifiers for other programs: MONAI bundles, TorchScript and ONNX, and bundles read back.

Beside its network every one of them says how a study is read for it (``vpt_plugin.export.facts``): without
that, a network of another program sees something else than the one that was trained.
"""

from __future__ import annotations

from vpt_plugin.errors import ConfigurationError

BUNDLE, TORCHSCRIPT, ONNX = "bundle", "torchscript", "onnx"
FORMATS = (BUNDLE, TORCHSCRIPT, ONNX)


def check_format(kind: str) -> None:
    """Refuse a format that there is not.

    Raises:
        ConfigurationError: names those that there are.
    """
    if kind not in FORMATS:
        raise ConfigurationError(f"unknown format {kind[:50]!r};", f"choose from {', '.join(FORMATS)}.")
