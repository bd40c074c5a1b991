"""Whose a study of an import is: the data set says so, or PatientID does where it is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from vpt_plugin.data.importers.importer import ReadStudy
from vpt_plugin.words import count_in_words

# Up to three studies may well be one patient's; in a larger set an ID that most of them have is no name.
_ONE_PATIENTS_STUDIES = 3
# Of a patient with more studies than this, and with more than this share of all, a person should know.
_MANY_STUDIES = 5
_MANY_SHARE = 0.05


def patients_of(studies: Mapping[str, ReadStudy]) -> dict[str, str]:
    """What the patient of every study is called in a manifest.

    What the data set says, else PatientID unless it is a stand-in, else the name of the study. In a manifest
    that name says nothing, and a training then goes by the PatientID of the files. So where a patient is
    called like a study whose files say something else, he gets a name of his own.
    """
    nobody = stand_ins(studies)

    def written(patient: str) -> str:
        namesake = studies.get(patient)
        like_a_study = namesake is not None and namesake.patient_id not in ("", patient)
        return f"patient-{patient}" if like_a_study else patient

    return {name: written(_patient(study, nobody) or name) for name, study in studies.items()}


def stand_ins(studies: Mapping[str, ReadStudy]) -> frozenset[str]:
    """The PatientID that tells no patients apart, as anonymised sets have it: that of most studies."""
    if len(studies) <= _ONE_PATIENTS_STUDIES:
        return frozenset()
    counts = Counter(study.patient_id for study in studies.values() if study.patient_id)
    return frozenset(name for name, count in counts.items() if count > len(studies) / 2)


def patient_notes(studies: Mapping[str, ReadStudy]) -> Iterator[str]:
    """What a person should know of the patients, as sentences."""
    nobody = stand_ins(studies)
    total = len(studies)
    if alone := sum(not _patient(study, nobody) for study in studies.values()):
        yield (
            f"{alone:,} of {total:,} studies name no patient, or a PatientID that most studies share: "
            "each of them counts as a patient of its own."
        )
    counts = Counter(study.patient_id for study in studies.values() if not study.patient)
    most = max(_MANY_STUDIES, _MANY_SHARE * total)
    many = [
        (name, count) for name, count in counts.most_common() if name not in {"", *nobody} and count > most
    ]
    if many:
        name, count = many[0]
        others = f" ({count_in_words(len(many) - 1, 'other ID')} likewise)" if many[1:] else ""
        yield (
            f"PatientID {name!r} is that of {count:,} of {total:,} studies{others}: they count as one "
            "patient's, all on one side. Where it stands for several patients, import the set by a table of "
            "your own (vpt import csv) that tells them apart in a column, named with --patient-column."
        )


def _patient(study: ReadStudy, nobody: frozenset[str]) -> str:
    """As the data set or the files say; "" where neither does."""
    return study.patient or ("" if study.patient_id in nobody else study.patient_id)
