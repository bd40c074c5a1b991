"""The name of a finding in words; for nodes of the scene, and for the panel."""

from __future__ import annotations


def finding_in_words(name: str) -> str:
    """``pulmonary_embolism`` as "Pulmonary embolism"."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]
