"""The test set: patients who are locked away, so that one figure is left that nothing was ever chosen by.

Validation studies choose the epoch, the threshold and whether a version is served; after many trainings their
figures flatter. The patients of the test set take no part in any of that until they are unlocked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from vpt_plugin.ct.archive import is_archive, unpack
from vpt_plugin.ct.dicom_headers import SliceHeader, read_header
from vpt_plugin.ct.reader import is_study_file
from vpt_plugin.data.split_file import Look, NotedStudy, Split, SplitFile
from vpt_plugin.data.splits import divide, patient_key
from vpt_plugin.errors import CancelledError, ConfigurationError, StudyError, TrainingError
from vpt_plugin.store.source import OpenedStudy
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.sources import SourceStudy, TrainingSource

UNDECIDED, IN_FOLDS = "not decided", "in folds"
_SIDES = ("train", "validation", "test", IN_FOLDS, UNDECIDED)


@dataclass(frozen=True)
class SideCounts:
    """Who is on one side.

    Attributes:
        side: ``train``, ``validation``, ``test``; in folds, where each is trained on and validated on in
            turn; or not decided before the next training.
        patients, studies: how many.
        states: studies by finding and state.
    """

    side: str
    patients: int
    studies: int
    states: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class SplitOverview:
    """The split of a task as it is.

    Attributes:
        sides: that have a patient.
        locked_since: the first and the last date at which patients were locked; "" where none are.
        looks: at the test set.
    """

    sides: tuple[SideCounts, ...]
    locked_since: tuple[str, str]
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class Locked:
    """What locking came to.

    Attributes:
        patients, studies: that are locked now.
        new: how many of the patients were not before.
        seen: how many of the new ones were trained on or validated on before, on a side or in folds.
    """

    patients: int
    studies: int
    new: int
    seen: int


def patient_of(study: SourceStudy, noted: Split, cancelled: Callable[[], bool] = lambda: False) -> str:
    """The key of a study's patient, from a header at most: no pixel is looked at.

    Args:
        study: as its source has it.
        noted: whose studies are that took part before.
        cancelled: asked while a study is fetched.

    Raises:
        ArchiveError: the archive does not hand it out.
        CancelledError: ``cancelled`` said so.
    """
    if study.patient:
        return patient_key(study.patient)
    if study.study in noted.studies:
        return noted.studies[study.study].patient
    if cancelled():
        raise CancelledError
    try:
        with study.opened(cancelled) as opened:
            return patient_key(_patient_id(opened) or study.study)
    except StudyError:
        return patient_key(study.study)  # it cannot be read for a training, either


def _patient_id(opened: OpenedStudy) -> str:
    path = opened.path
    if path.is_file() and is_archive(path):
        with TemporaryDirectory(prefix="vptct-") as folder:
            unpack(path, Path(folder), study=path.name)
            return _patient_id(OpenedStudy(Path(folder)))
    if path.is_file() and is_study_file(path):
        return ""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    headers = (read_header(file) for file in files if file.is_file())
    return next((each.patient_id for each in headers if isinstance(each, SliceHeader)), "")


def show_split(source: TrainingSource, task: ReadingTask) -> SplitOverview:
    """Who is on which side.

    Raises:
        TrainingError: the file of the split is damaged.
        ArchiveError: the archive cannot be asked.
    """
    noted = SplitFile(source.split_file(task.name)).read()
    by_side: dict[str, list[tuple[str, SourceStudy]]] = {side: [] for side in _SIDES}
    for study in _usable(source, task):
        patient = patient_of(study, noted)
        by_side[_side(study, patient, noted)].append((patient, study))
    since = sorted(noted.since.get(patient, "") for patient in noted.on("test"))
    return SplitOverview(
        tuple(_counts(side, found, task) for side, found in by_side.items() if found),
        (since[0], since[-1]) if since else ("", ""),
        noted.looks,
    )


def lock_test_set(source: TrainingSource, task: ReadingTask, share: float) -> Locked:
    """Lock patients away until the test set has its share of every state of every finding.

    Who is locked already stays so, and so does who is on the validation side; of the others the hash of the
    patients decides.

    Args:
        source: of the labelled studies.
        task: whose findings are divided.
        share: of the patients, above 0 and below 1.

    Raises:
        ConfigurationError: no such share, or the source gives all sides itself.
        TrainingError: no labelled study, or the file of the split cannot be read or written.
        ArchiveError: the archive cannot be asked.
    """
    if not 0 < share < 1:
        raise ConfigurationError(f"{share} is no share of a test set;", "give one above 0 and below 1: 0.15.")
    file = SplitFile(source.split_file(task.name))
    studies = [each for each in _usable(source, task) if not each.side]
    if not studies:
        raise ConfigurationError(
            f"{source.name} has no labelled study of {task.name} whose side could still be decided.",
            "Where a CSV gives all sides, write test into its split column.",
        )
    noted = file.read()
    owners = {study.study: patient_of(study, noted) for study in studies}
    strata: dict[str, set[str]] = {}
    for study in studies:
        strata.setdefault(owners[study.study], set()).update(_strata(study, task))

    def lock(split: Split) -> Split:
        before = {patient: "test" for patient in split.on("test") if patient in strata}
        # The validation side stays whole: versions are compared on it, and it is small enough.
        kept = {patient: "rest" for patient in split.on("validation") if patient in strata}
        chosen = divide(strata, {"rest": 1 - share, "test": share}, {**before, **kept})
        sides = {patient: "test" for patient, side in chosen.items() if side == "test"}
        of_test = {
            name: NotedStudy(owner) for name, owner in owners.items() if owner in sides or owner in before
        }
        counts["new"] = len(sides)
        counts["seen"] = len(split.taken_part & sides.keys())
        return split.with_sides(sides, file.clock()).with_studies(of_test)

    counts: dict[str, int] = {}
    locked = file.change(lock).on("test")
    in_test = [owner for owner in owners.values() if owner in locked]
    return Locked(len(set(in_test)), len(in_test), counts["new"], counts["seen"])


def unlock_test_set(source: TrainingSource, task: ReadingTask) -> int:
    """Give the locked patients free: the next training decides their side. The looks stay noted.

    Returns:
        How many patients they were.

    Raises:
        TrainingError: none are locked, or the file of the split cannot be read or written.
    """
    file = SplitFile(source.split_file(task.name))
    locked = file.read().on("test")
    if not locked:
        raise TrainingError(
            f"no patient is locked for {task.name} in {source.name}.",
            "Lock some with `vpt split lock`; test rows of a CSV are changed there.",
        )
    file.change(lambda split: split.without(split.on("test")))
    return len(locked)


def _usable(source: TrainingSource, task: ReadingTask) -> list[SourceStudy]:
    return [study for study in source.studies(task.name) if any(_strata(study, task))]


def _strata(study: SourceStudy, task: ReadingTask) -> list[str]:
    found = study.label.findings
    states = {name: found[name].state for name in task.findings if name in found}
    return [f"{name}={state}" for name, state in states.items() if state in ("present", "absent")]


def _side(study: SourceStudy, patient: str, noted: Split) -> str:
    if side := noted.sides.get(patient, ""):
        return "test" if side == "test" else study.side or side
    if study.side:
        return study.side
    # Where there is a validation side, the next training gives everybody a side.
    folds = not noted.on("validation") and patient in noted.taken_part
    return IN_FOLDS if folds else UNDECIDED


def _counts(side: str, found: Sequence[tuple[str, SourceStudy]], task: ReadingTask) -> SideCounts:
    strata = Counter(stratum for _, study in found for stratum in _strata(study, task))
    return SideCounts(
        side,
        patients=len({patient for patient, _ in found}),
        studies=len(found),
        states={
            name: {state: strata[f"{name}={state}"] for state in ("present", "absent")}
            for name in task.findings
        },
    )
