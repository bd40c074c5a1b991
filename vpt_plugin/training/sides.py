"""Which studies are trained on and which are validated on: patients kept together, sides that never change.

A patient is known by what the source says, by the PatientID in the files, and by the scan itself: the same
scan under two names would be learned by heart and then recognised. Patients whom any of these joins are one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from vpt_plugin.data.clip_dataset import LabelledStudy
from vpt_plugin.data.split_file import NotedStudy, Split, SplitFile
from vpt_plugin.data.splits import divide, patient_key
from vpt_plugin.errors import ConfigurationError, TrainingError
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.training_data import Round, lacking_state

# Under so many labelled studies one validation side is too small to say anything: folds use all of them.
FEW_STUDIES = 100
USUAL_FOLDS = 5


@dataclass(frozen=True)
class Member:
    """A prepared study with all by which its patient is known.

    Attributes:
        labelled: the study; its patient is that of the study alone.
        named: ``patient_key`` of what the source calls the patient; "" where it does not say.
        scan: tells scans apart, whatever they are called.
        side: as the source says; "" where the split decides.
        created: when it was labelled.
        synthetic: whether it is a phantom.
    """

    labelled: LabelledStudy
    named: str
    scan: str
    side: str = ""
    created: str = ""
    synthetic: bool = False

    @property
    def key(self) -> str:
        """What the source says, else the PatientID in the files, else the study itself."""
        return self.named or self.labelled.prepared.patient or patient_key(self.labelled.study)


@dataclass(frozen=True)
class Patient:
    """One patient with his studies.

    Attributes:
        key: by which he is noted.
        keys: all by which he is known.
        members: his studies, each scan once.
        side: as the source says; "" where the split decides.
        doubles: the names of studies that are the same scan as a member, and which.
    """

    key: str
    keys: frozenset[str]
    members: tuple[Member, ...]
    side: str = ""
    doubles: tuple[tuple[str, str], ...] = ()

    @property
    def studies(self) -> tuple[LabelledStudy, ...]:
        """His studies, as those of one patient."""
        return tuple(replace(each.labelled, patient=self.key, keys=self.keys) for each in self.members)

    @property
    def noted(self) -> dict[str, NotedStudy]:
        """His studies, as the file of the split knows them."""
        return {member.labelled.study: NotedStudy(self.key, member.scan) for member in self.members}

    def strata(self, task: ReadingTask) -> tuple[str, ...]:
        """``lung_nodule=present`` and the like, for every state that one of his studies has."""
        return tuple(
            f"{finding}={state}"
            for index, finding in enumerate(task.findings)
            for state, value in (("present", 1), ("absent", 0))
            if any(study.states[index] == value for study in self.studies)
        )


def join_patients(members: Sequence[Member], noted: Split) -> list[Patient]:
    """The patients whom these studies are of, in the order of their keys.

    What the source calls a patient is believed, since anonymised studies often share one PatientID: two
    studies with names are of one patient only by these. A study without a name is of the patient of every
    other one with its PatientID.

    Args:
        members: the studies.
        noted: of a patient known by several keys the one that was noted first counts; and a scan that was
            read before is of the patient that it was of then.

    Raises:
        TrainingError: the source puts one patient on two sides.
    """
    unnamed = {member.labelled.prepared.patient for member in members if not member.named} - {""}
    groups, scans = _Groups(), noted.patients_of_scans()
    for member in members:
        groups.join(member.key, f"scan {member.scan}")
        if member.scan in scans:
            groups.join(member.key, scans[member.scan])
        if (patient_id := member.labelled.prepared.patient) in unnamed:
            groups.join(member.key, patient_id)
    found: dict[str, list[Member]] = {}
    for member in sorted(members, key=lambda each: each.labelled.study):
        found.setdefault(groups.of(member.key), []).append(member)
    return sorted((_patient(group, noted, scans) for group in found.values()), key=lambda each: each.key)


class _Groups:
    """Names that belong together."""

    def __init__(self) -> None:
        self._above: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The name that stands for all of the group."""
        while (above := self._above.get(name, name)) != name:
            self._above[name] = self._above.get(above, above)
            name = above
        return name

    def join(self, one: str, other: str) -> None:
        self._above[self.of(one)] = self.of(other)


def _patient(members: Sequence[Member], noted: Split, scans: Mapping[str, str]) -> Patient:
    given = {member.side: member for member in reversed(members) if member.side}
    if len(given) > 1:
        one, other = sorted(given)[:2]
        raise _on_two_sides(given[one], given[other])
    keys = {member.key for member in members} | {scans[each.scan] for each in members if each.scan in scans}
    # The one whose side was noted first stands for all of them.
    key = min(keys, key=lambda each: (each not in noted.sides, noted.since.get(each, ""), each))
    newest: dict[str, Member] = {}
    for member in members:
        if member.scan not in newest or member.created > newest[member.scan].created:
            newest[member.scan] = member
    kept = tuple(newest.values())
    names = {member.scan: member.labelled.study for member in kept}
    doubles = [(each.labelled.study, names[each.scan]) for each in members if each not in kept]
    return Patient(key, frozenset(keys), kept, next(iter(given), ""), tuple(doubles))


def _on_two_sides(one: Member, other: Member) -> TrainingError:
    names = f"{one.labelled.study} ({one.side}) and {other.labelled.study} ({other.side})"
    if one.scan == other.scan:
        return TrainingError(f"{names} are the same scan.", "Put both on one side, or remove one of them.")
    return TrainingError(
        f"{names} have the same PatientID.",
        "Fill the patient column of both: with one name if it is one patient, with two if the ID only stands "
        "for anonymised studies.",
    )


def decide_sides(
    patients: Sequence[Patient], task: ReadingTask, file: SplitFile, *, validation_share: float
) -> dict[str, str]:
    """The side of every patient by his key; what is new is written down before this returns.

    Where several keys turn out to be one patient, who was on two sides so far, he is on the test side if he
    ever was, else on the training side: what was trained on can no longer validate.

    Raises:
        TrainingError: the file of the split is damaged or cannot be written.
    """
    strata = {patient.key: patient.strata(task) for patient in patients}
    shares = {"train": 1 - validation_share, "validation": validation_share}

    def change(split: Split) -> Split:
        sides = {each.key: side for each in patients if (side := each.side or noted_side(each, split))}
        counted = {key: side for key, side in sides.items() if side in shares}
        rest = {key: own for key, own in strata.items() if key not in sides or key in counted}
        sides |= divide(rest, shares, counted)
        decided.update(sides)
        return _noted(split, patients, sides, file.clock())

    decided: dict[str, str] = {}
    file.change(change)
    return decided


def noted_side(patient: Patient, split: Split) -> str:
    """The side that was noted for a patient under any of his keys; "" where none was."""
    noted = {split.sides[key] for key in patient.keys if key in split.sides}
    return next((side for side in ("test", "train", "validation") if side in noted), "")


def _noted(split: Split, patients: Sequence[Patient], sides: Mapping[str, str], when: str) -> Split:
    """The split with what was decided; what the source decides is not noted, for it may change its mind."""
    ours = [patient for patient in patients if not patient.side]
    noted = {key: sides[patient.key] for patient in ours for key in patient.keys}
    return split.with_sides(noted, when).with_studies(_taking_part(ours))


def note_in_folds(patients: Sequence[Patient], file: SplitFile) -> list[Patient]:
    """Write down who takes part in folds: nobody has a side then, and later somebody may be locked away.

    Returns:
        Those who are to take part; not whom somebody has locked meanwhile.

    Raises:
        TrainingError: the file of the split is damaged or cannot be written.
    """

    def change(split: Split) -> Split:
        free[:] = [each for each in patients if noted_side(each, split) != "test"]
        return split.with_studies(_taking_part(free))

    free: list[Patient] = []
    file.change(change)
    return free


def _taking_part(patients: Iterable[Patient]) -> dict[str, NotedStudy]:
    noted = ((name, each) for patient in patients for name, each in patient.noted.items())
    return {name: replace(each, took_part=True) for name, each in noted}


def require_no_folds(folds: int | None) -> None:
    """Refuse folds where the source gives sides.

    Raises:
        ConfigurationError: folds are asked for.
    """
    if folds:
        raise ConfigurationError(
            f"training setting folds is {folds}, but the manifest says who is trained on and validated on.",
            "Leave the setting out, or leave the split column empty.",
        )


def how_many_folds(
    patients: Sequence[Patient], task: ReadingTask, noted: Split, folds: int | None
) -> tuple[int, str]:
    """How many folds there are, 0 for one validation side; and what a person should know of that.

    Args:
        patients: that take part.
        task: whose findings are counted.
        noted: what was decided before.
        folds: as the setting says; None lets the studies decide.

    Raises:
        ConfigurationError: folds are asked for, and the source gives sides.
        TrainingError: more folds than patients with a finding or without.
    """
    given = any(patient.side for patient in patients)
    studies = sum(len(patient.members) for patient in patients)
    if folds == 0 or (folds is None and given):
        return 0, ""
    if folds is None and (decided := noted.on("validation")):
        return 0, _no_folds_since(decided, noted) if studies < FEW_STUDIES else ""
    if given:
        require_no_folds(folds)
    if folds is None and studies >= FEW_STUDIES:
        return 0, ""
    fewest, which = _fewest(patients, task)
    if fewest < 2:
        raise TrainingError(
            f"{_patients(fewest)} of {which}: one is needed to train on and one to validate on.",
            f"Label more studies; of {studies} usable ones there are too few.",
        )
    if folds is not None and folds > fewest:
        raise TrainingError(
            f"{folds} folds need as many patients of each state; of {which} there are {fewest}.",
            "Ask for fewer folds, or label more studies.",
        )
    most = folds or min(USUAL_FOLDS, fewest)
    chosen = folds or _most_folds(patients, task, most)
    few = f", for there are only {_patients(fewest)} of {which}" if most < (folds or USUAL_FOLDS) else ""
    if chosen < most:
        few = ", for with more one of them would lack a state of a finding"
    return chosen, f"{studies} studies: each is validated once, in {chosen} folds{few}"


def _no_folds_since(validated: Iterable[str], noted: Split) -> str:
    """Why there is one validation side where there would be folds, had nothing been decided before."""
    dates = sorted(when[:10] for each in validated if (when := noted.since.get(each)))
    on = f" on {dates[0]}" if dates else ""
    return f"sides were decided{on}, so there are no folds; folds: {USUAL_FOLDS} asks for them"


def _most_folds(patients: Sequence[Patient], task: ReadingTask, most: int) -> int:
    """The most folds that all have every state to validate on; 2 where there are none such.

    With several findings a fold may lack one although each has patients enough: they have it together with
    something rarer, which decides where they go.
    """

    def have_all(folds: int) -> bool:
        return all(lacking_state(each.validation, task) is None for each in make_folds(patients, task, folds))

    return next((folds for folds in range(most, 2, -1) if have_all(folds)), 2)


def _patients(number: int) -> str:
    return {0: "no patient", 1: "1 patient"}.get(number, f"{number} patients")


def _fewest(patients: Sequence[Patient], task: ReadingTask) -> tuple[int, str]:
    """How many patients the rarest state of a finding has, and which it is."""
    strata = [stratum for patient in patients for stratum in patient.strata(task)]
    wanted = [f"{finding}={state}" for finding in task.findings for state in ("present", "absent")]
    rarest = min(wanted, key=lambda stratum: (strata.count(stratum), stratum))
    return strata.count(rarest), rarest.replace("=", " ")


def make_rounds(patients: Sequence[Patient], sides: Mapping[str, str]) -> tuple[Round, ...]:
    """One round, of the two sides."""
    train, validation = (
        _studies(each for each in patients if sides[each.key] == side) for side in ("train", "validation")
    )
    return (Round(train, validation),)


def make_folds(patients: Sequence[Patient], task: ReadingTask, folds: int) -> tuple[Round, ...]:
    """As many rounds; every study is validated in one of them and trained on in the others."""
    names = [str(number) for number in range(folds)]
    parts = divide({each.key: each.strata(task) for each in patients}, dict.fromkeys(names, 1 / folds))
    return tuple(
        Round(
            _studies(each for each in patients if parts[each.key] != name),
            _studies(each for each in patients if parts[each.key] == name),
        )
        for name in names
    )


def _studies(patients: Iterable[Patient]) -> tuple[LabelledStudy, ...]:
    found = (study for patient in patients for study in patient.studies)
    return tuple(sorted(found, key=lambda study: study.study))
