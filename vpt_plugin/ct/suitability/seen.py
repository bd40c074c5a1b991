"""What a network was trained on, as far as a study can be compared with it before the network looks at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from vpt_plugin.ct.study_header import StudyHeader

# What of a header is compared. Protocols and contrast media have names of their own at every site, and of
# scanners there is a new model every year.
COMPARED = ("manufacturer", "kernel")
# Of a scanner park there are a few; what a site writes in free text may be endless.
_MOST_NAMES = 50


@dataclass(frozen=True)
class SeenInTraining:
    """Figures and words of the training studies; empty where nobody knows.

    Attributes:
        ranges: lowest and highest value of every study fact (``vpt_plugin.ct.statistics``).
        headers: per field of ``COMPARED`` how many of the training studies said what.
    """

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=lambda: MappingProxyType({}))
    headers: Mapping[str, Mapping[str, int]] = field(default_factory=lambda: MappingProxyType({}))


def headers_seen(headers: Iterable[StudyHeader | None]) -> dict[str, dict[str, int]]:
    """How often the headers say what, per field that is compared: for ``SeenInTraining.headers``.

    Args:
        headers: of the training studies; None of one that has no header.
    """
    told = [header for header in headers if header is not None]
    counts = {name: Counter(getattr(header, name) for header in told) for name in COMPARED}
    return {
        name: {word: count for word, count in words.most_common(_MOST_NAMES) if word}
        for name, words in counts.items()
        if any(words)
    }
