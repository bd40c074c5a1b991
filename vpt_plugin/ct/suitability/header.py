"""What the header says: of which part of the body the study is, and by which scanner and kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from vpt_plugin.ct.study_header import StudyHeader
from vpt_plugin.ct.suitability.seen import COMPARED, SeenInTraining
from vpt_plugin.ct.suitability.verdict import DOUBTFUL, FITS, UNFIT, UNKNOWN, Check

# Beginnings of words in BodyPartExamined and ProtocolName, which scanners and sites fill in as they like.
_CHEST = re.compile(
    r"\b(CHEST|THORA|THX|LUNG|PULM|HEART|CARDI|CORONARY|WHOLE ?BODY|TORSO|TRUNK|CAP\b|TAP\b|CTPA|MEDIAST)",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(
    r"\b(HEAD|BRAIN|SKULL|CRANI|FACE|FACIAL|SINUS|ORBIT|EAR\b|IAC|JAW|DENT|MANDIB|NECK|CSPINE|LSPINE|ABD|LIVER|"
    r"PANCREA|KIDNEY|RENAL|COLON|BLADDER|PELVI|PROSTAT|HIP|LEG|KNEE|ANKLE|FOOT|FEET|EXTREM|ARM\b|ELBOW|WRIST|"
    r"HAND|PHANTOM)",
    re.IGNORECASE,
)
# Of fewer training studies whose headers say something it does not tell much that one says something else.
_LEAST_TOLD = 20
_WORDS = {"manufacturer": "the manufacturer of the scanner", "kernel": "the reconstruction kernel"}


def header_checks(header: StudyHeader | None, lungs: Check, seen: SeenInTraining) -> Iterator[Check]:
    """What the header says of the body part, and whether it is like those of the training.

    Args:
        header: of the series; None where there is none.
        lungs: what was found of them. A header is wrong more easily than they are.
        seen: in training.
    """
    yield _body_part(header or StudyHeader(), lungs)
    for name in COMPARED:
        yield _compared(name, getattr(header or StudyHeader(), name), seen.headers.get(name, {}))


def names_chest(header: StudyHeader | None) -> bool:
    """Whether either field of a header names a chest; the other may be left from another protocol."""
    return header is not None and any(map(_CHEST.search, (header.body_part, header.protocol)))


def _body_part(header: StudyHeader, lungs: Check) -> Check:
    said = (header.body_part, header.protocol)
    chest = next(filter(_CHEST.search, said), "")
    if chest:
        return Check("body_part", FITS, f"the header names {chest!r}")
    told = next(filter(_ELSEWHERE.search, said), "")
    if not told:
        return Check("body_part", UNKNOWN, "no header names the part of the body")
    if lungs.verdict == FITS:
        return Check("body_part", FITS, f"the header names {told!r}, but lungs were found", noted=True)
    sentence = f"the header names {told!r}, and next to no lungs were found: the study does not show a chest"
    return Check("body_part", UNFIT, sentence)


def _compared(name: str, said: str, counts: Mapping[str, int]) -> Check:
    what, told = _WORDS[name], sum(counts.values())
    if not said or told < _LEAST_TOLD:
        whose = (
            "the header of this study does not name" if not said else "too few studies of the training name"
        )
        return Check(name, UNKNOWN, f"{whose} {what}")
    if said.casefold() in {word.casefold() for word in counts}:
        return Check(name, FITS, f"{what}, {said!r}, is known from the training")
    most = ", ".join(sorted(counts, key=lambda word: -counts[word])[:5])
    sentence = f"{what}, {said!r}, is none of those that this model was trained on ({most})"
    return Check(name, DOUBTFUL, sentence)
