"""Trained classifiers for other programs: MONAI bundles, TorchScript and ONNX, and bundles read back.

Beside its network every one of them says how a study is read for it (``vpt_plugin.export.facts``): without
that, a network of another program sees something else than the one that was trained.
"""
