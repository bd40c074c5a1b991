"""Explained: an answer that was asked where it comes from, with a heat map for each finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ContractError
from .result import Result, read_result


@dataclass(frozen=True)
class Explained:
    """An answer and its reasons.

    Attributes:
        result: the answer.
        maps: by finding, a NIfTI file (gzip) of how much each voxel spoke for it, 0 to 1.
    """

    result: Result
    maps: Mapping[str, bytes]


def read_explained(data: object, parts: Mapping[str, bytes]) -> Explained:
    """The answer of ``POST /infer/`` with ``explain``.

    Args:
        data: the JSON of it.
        parts: all its parts by their names.

    Raises:
        ContractError: it is not as agreed, or has no heat map.
    """
    result = read_result(data)
    if result.heat_map is None or not result.heat_map.findings:
        raise ContractError(
            "the server's answer has no heat map.",
            "Update the server: older ones cannot tell where they look.",
        )
    missing = [each.part for each in result.heat_map.findings if each.part not in parts]
    if missing:
        raise ContractError(f"the server's answer lacks its part {missing[0][:100]!r}.", "Ask again.")
    return Explained(result, {each.name: parts[each.part] for each in result.heat_map.findings})
