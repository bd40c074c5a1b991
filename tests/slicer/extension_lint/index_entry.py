"""Slicer's schema for an entry of its index of extensions, version 1.0.1."""

from __future__ import annotations

from typing import Any

_TYPES: dict[str, type] = {
    "$schema": str,
    "category": str,
    "scm_url": str,
    "scm_revision": str,
    "scm_type": str,
    "build_dependencies": list,
    "build_subdirectory": str,
    "enabled": bool,
    "tier": int,
}
_REQUIRED = {"$schema", "category", "scm_url"}


def problems(entry: dict[str, Any]) -> list[str]:
    """What is wrong with an entry."""
    found = [f"{name} is missing" for name in sorted(_REQUIRED - set(entry))]
    for name, value in entry.items():
        if name not in _TYPES:
            found.append(f"{name} is not of the schema")
        elif type(value) is not _TYPES[name]:
            found.append(f"{name} is no {_TYPES[name].__name__}")
        elif value == "":
            found.append(f"{name} is empty")
    if not all(isinstance(each, str) for each in entry.get("build_dependencies", ())):
        found.append("build_dependencies are no texts")
    if entry.get("scm_type", "git") not in ("git", "local"):
        found.append("scm_type is neither git nor local")
    tier = entry.get("tier", 1)
    if type(tier) is int and not 1 <= tier <= 5:
        found.append("tier is not 1 to 5")
    return found
