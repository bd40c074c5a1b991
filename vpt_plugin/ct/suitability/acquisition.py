"""How a study was taken: its slices and pixels, held against what the network was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from vpt_plugin.ct.statistics import StudyFacts, fact_in_words, range_warnings
from vpt_plugin.ct.study_header import StudyHeader
from vpt_plugin.ct.suitability.seen import SeenInTraining
from vpt_plugin.ct.suitability.verdict import DOUBTFUL, FITS, UNKNOWN, Check

# The facts that say how a study was taken, with their units. The others are of the patient as much as of the
# scanner: those that lie outside what was seen are told, and do not make a study doubtful.
GEOMETRY: MappingProxyType[str, str] = MappingProxyType(
    {
        "slices": "",
        "slice_spacing_mm": "mm",
        "pixel_spacing_mm": "mm",
        "field_of_view_mm": "mm",
        "length_mm": "mm",
    }
)
# Too coarse for any network that was not trained on it: a nodule of 6 mm is in one or two slices or pixels.
# A routine CT of the chest has slices of 1 to 3 mm and pixels of 0.6 to 0.9 mm.
_COARSEST_MM: MappingProxyType[str, float] = MappingProxyType(
    {"slice_spacing_mm": 5.0, "pixel_spacing_mm": 4.0}
)
_THICKEST_MM = 5.0


def acquisition_checks(
    facts: StudyFacts, header: StudyHeader | None, seen: SeenInTraining
) -> Iterator[Check]:
    """One check per figure of how the study was taken.

    Args:
        facts: of the study.
        header: of its series; None where there is none.
        seen: in training.
    """
    for name in GEOMETRY:
        yield _geometry(name, facts, seen)
    yield _thickness(header, seen)


def _geometry(name: str, facts: StudyFacts, seen: SeenInTraining) -> Check:
    value, unit = facts.as_dict()[name], GEOMETRY[name]
    told = fact_in_words(name, value)
    coarsest_mm = _COARSEST_MM.get(name)
    if name in seen.ranges:
        outside = range_warnings(facts, {name: seen.ranges[name]})
        if outside:
            return Check(name, DOUBTFUL, outside[0], value, unit)
        return Check(name, FITS, f"{told} is within what this model was trained on", value, unit)
    if coarsest_mm is not None and value > coarsest_mm:
        sentence = f"{told} is coarse (more than {coarsest_mm:g} mm): small findings do not show"
        return Check(name, DOUBTFUL, sentence, value, unit)
    return Check(name, UNKNOWN, f"{told}; what this model was trained on is not known", value, unit)


def _thickness(header: StudyHeader | None, seen: SeenInTraining) -> Check:
    """Of slices that overlap or leave gaps the spacing does not tell how thick they are."""
    thick_mm = header.slice_thickness_mm if header else None
    if thick_mm is None:
        return Check("slice_thickness", UNKNOWN, "no header tells how thick the slices are", None, "mm")
    thickest_mm = max(_THICKEST_MM, seen.ranges.get("slice_spacing_mm", (0.0, 0.0))[1])
    if thick_mm <= thickest_mm:
        return Check("slice_thickness", FITS, f"the slices are {thick_mm:g} mm thick", thick_mm, "mm")
    sentence = (
        f"the slices are {thick_mm:g} mm thick: small findings do not show in slices above {thickest_mm:g} mm"
    )
    return Check("slice_thickness", DOUBTFUL, sentence, thick_mm, "mm")
