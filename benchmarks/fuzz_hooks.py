"""Loaded by schemathesis (see ``fuzz.py``): puts ids that exist into many of its requests.

Of random texts none is ever the id of a study, and what lies behind the look-up would never be reached.
"""

from __future__ import annotations

import random
from typing import Any

import schemathesis

# What exists on the server of ``fuzz.py``, and what nearly does.
KNOWN: dict[str, tuple[str, ...]] = {
    "image": ("ct.nii.gz", "p01--ct", "ct.nii", "../ct.nii.gz"),
    "id": ("ct.nii.gz", "ct.nii.gz.nodule.0001"),
    "label": ("ct.nii.gz.nodule.0001", "ct.nii.gz.nodule.0002", "ct.nii.gz.nodule.9999"),
    "model": ("nodule_tiny", "pe_tiny", "nodule_"),
    "strategy": ("random", "auto", "typical", "first"),
    "study": ("ct.nii.gz", "p01--ct", "ct.nii"),
    "tag": ("final", "original"),
    "task": ("nodule", "pe"),
    "if_version": ("0", "1", "2", "99"),
    "output": ("all", "train", "json", "image"),
}
LABEL = (
    '{"schema": "vptct.label/1", "task": "nodule", "annotator": "anna",'
    ' "findings": {"lung_nodule": {"state": "present", "slices_mm": [[1, 2]]}}}'
)
# The same choices every time; nothing here is a secret.
_draw = random.Random(0)  # noqa: S311


@schemathesis.hook
def map_query(context: Any, query: Any) -> Any:
    """A third as it is, a third with ids that exist or nearly do, a third that should be answered well."""
    chance = _draw.random()
    if not isinstance(query, dict) or chance < 0.33:
        return query
    if chance < 0.67:
        return _with_known(query)
    # Of a request with several studies none is read, so no other than the image is named.
    return {"image": KNOWN["image"][0], **{name: KNOWN[name][0] for name in query if name in KNOWN}}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Ids that exist, in two of three requests."""
    return _with_known(path_parameters)


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """A label that follows the contract, or nearly, in half of the forms that have one."""
    if isinstance(body, dict) and "label" in body and _draw.random() < 0.5:
        body["label"] = LABEL[: _draw.choice((len(LABEL), len(LABEL) - 1, 60))].encode()
    if isinstance(body, dict) and "params" in body and _draw.random() < 0.7:
        body["params"] = "{}"
    return body


def _with_known(values: Any) -> Any:
    if isinstance(values, dict):
        for name in set(values) & set(KNOWN):
            if _draw.random() < 0.67:
                values[name] = _draw.choice(KNOWN[name])
    return values
