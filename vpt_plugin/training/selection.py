"""Which studies take part in a training, and what their labels say slice by slice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from vpt_plugin.data.clip_dataset import ClipShape
from vpt_plugin.data.prepared import PreparedStudies
from vpt_plugin.data.split_file import Split, SplitFile
from vpt_plugin.errors import TrainingError
from vpt_plugin.labels import StudyLabel
from vpt_plugin.tasks import ReadingTask
from vpt_plugin.training.config import FinetuneConfig
from vpt_plugin.training.sides import (
    Patient,
    decide_sides,
    how_many_folds,
    join_patients,
    make_folds,
    make_rounds,
    note_in_folds,
    noted_side,
)
from vpt_plugin.training.sources import ManifestSource, SourceStudy, TrainingSource
from vpt_plugin.training.test_set import patient_of
from vpt_plugin.training.training_data import Round, TrainingData, lacking_state, states_in_words
from vpt_plugin.training.usable import Told, UsableStudies
from vpt_plugin.words import in_a_sentence

__all__ = ["Round", "TrainingData", "UsablePatients", "select_studies", "usable_patients"]


@dataclass(frozen=True)
class UsablePatients:
    """The patients whom a task can be learned from, test patients apart.

    Attributes:
        patients: with their prepared studies.
        labels: what the readers said, by study.
        synthetic: whether the studies are phantoms.
        file: of the split.
        work: says what was left out, and tells.
    """

    patients: Sequence[Patient]
    labels: Mapping[str, StudyLabel]
    synthetic: bool
    file: SplitFile
    work: UsableStudies


def select_studies(
    source: TrainingSource,
    task: ReadingTask,
    shape: ClipShape,
    prepared: PreparedStudies,
    config: FinetuneConfig,
    *,
    progress: Told,
    cancelled: Callable[[], bool],
) -> TrainingData:
    """The labelled studies that this task can be trained and validated on, prepared, and their sides.

    Left out, and counted by reason: studies without a label for the task, indeterminate, unreadable or gone
    ones, those with fewer slices than half a clip, those whose marked slices lie outside of them, and all but
    one of several that are the same scan. Of a study of the test set no pixel is looked at.

    Args:
        source: of the labelled studies.
        task: says what is looked for.
        shape: of the clips.
        prepared: where prepared studies are kept.
        config: says into which sides or folds they are divided.
        progress: called with the studies done, the studies in all, and what is to be said of the last one.
        cancelled: asked before every study.

    Raises:
        TrainingError: a side lacks one of the states of a finding, phantoms and patients are mixed, a patient
            is on both sides, the split cannot be written down, or there is no room for prepared studies.
        ConfigurationError: folds are asked for where the source gives sides.
        ArchiveUnreachableError: the archive is down; half of the studies would give another model.
        CancelledError: ``cancelled`` said so.
    """
    found = usable_patients(source, task, shape, prepared, progress=progress, cancelled=cancelled)
    folds, rounds = _rounds(found.patients, task, found.file, config, found.work)
    found.work.tell(_over_limit(prepared))
    data = TrainingData(
        rounds=rounds,
        folds=folds,
        labels=found.labels,
        synthetic=found.synthetic,
        left_out=dict(found.work.left_out),
    )
    _require_both_states(data, task, len(found.patients))
    return data


def usable_patients(
    source: TrainingSource,
    task: ReadingTask,
    shape: ClipShape,
    prepared: PreparedStudies,
    *,
    progress: Told,
    cancelled: Callable[[], bool],
) -> UsablePatients:
    """The labelled studies that something can be learned from, prepared, by patient; without the test set.

    Arguments, what is left out, and errors are those of ``select_studies``; no side is decided.
    """
    file = SplitFile(source.split_file(task.name))
    found = source.studies(task.name)
    noted = _with_test_rows(file.read(), found, cancelled)
    studies = [each for each in found if not _is_of_test(each, noted, cancelled)]
    _refuse_mixture({each.study: each.synthetic for each in studies})
    if isinstance(source, ManifestSource):
        _refuse_one_patient(studies, source.name)
    work = UsableStudies(task, shape, prepared, progress, cancelled)
    for reason, names in source.left_out(task.name).items():
        work.leave_out(reason, names, len(studies))
    members = work.take(studies)
    phantoms = {each.labelled.study: each.synthetic for each in members}
    _refuse_mixture(phantoms)
    patients = _without_test(work.without_doubles(join_patients(members, noted)), noted, file, work)
    if not patients:
        raise TrainingError(
            f"none of {len(studies)} labelled studies can be used{_why_left_out(work.left_out)}.",
            "Label more studies, or see to those that were left out.",
        )
    return UsablePatients(
        patients,
        {each.study: each.label for each in studies},
        all(phantoms.values()),
        file,
        work,
    )


def _with_test_rows(noted: Split, studies: Sequence[SourceStudy], cancelled: Callable[[], bool]) -> Split:
    """The split with the patients of a CSV's test rows, by name and, where others have none, by PatientID."""
    rows = [each for each in studies if each.side == "test"]
    keys = {patient_of(row, noted, cancelled) for row in rows}
    if any(not each.patient for each in studies):
        keys |= {patient_of(replace(row, patient=""), noted, cancelled) for row in rows}
    return noted.with_sides(dict.fromkeys(keys, "test"), when="")


def _is_of_test(study: SourceStudy, noted: Split, cancelled: Callable[[], bool]) -> bool:
    locked = noted.on("test")
    return study.side == "test" or (bool(locked) and patient_of(study, noted, cancelled) in locked)


def _without_test(
    patients: Sequence[Patient], noted: Split, file: SplitFile, work: UsableStudies
) -> list[Patient]:
    """The patients who are not of the test set; that the others are is noted, to open them no more."""
    rest = [each for each in patients if noted_side(each, noted) != "test"]
    keys = {each.key for each in rest}
    studies = {name: own for each in patients if each.key not in keys for name, own in each.noted.items()}
    if studies:
        # Those of a CSV's test rows are found again by the rows.
        file.change(
            lambda split: split.with_studies(
                {name: own for name, own in studies.items() if own.patient in split.on("test")}
            )
        )
        work.tell(f"of patients of the test set, so left out: {', '.join(sorted(studies))}")
    return rest


def _rounds(
    patients: Sequence[Patient],
    task: ReadingTask,
    file: SplitFile,
    config: FinetuneConfig,
    work: UsableStudies,
) -> tuple[int, tuple[Round, ...]]:
    """How many folds there are, 0 for one validation side; and the rounds."""
    noted = file.read()
    # Preparing takes hours, and somebody may have locked patients away meanwhile.
    patients = _without_test(patients, noted, file, work)
    folds, why = how_many_folds(patients, task, noted, config.folds)
    work.tell(why)
    if folds:
        return folds, make_folds(note_in_folds(patients, file), task, folds)
    sides = decide_sides(patients, task, file, validation_share=config.validation_share)
    return 0, make_rounds(patients, sides)


def _over_limit(prepared: PreparedStudies) -> str:
    over = prepared.over_limit_gb()
    return f"the prepared studies take {over:.1f} GB more than they should" if over else ""


def _refuse_mixture(synthetic: Mapping[str, bool]) -> None:
    """Nobody could say whether a model of both knows patients or phantoms."""
    phantoms = [study for study, is_phantom in synthetic.items() if is_phantom]
    patients = [study for study, is_phantom in synthetic.items() if not is_phantom]
    if phantoms and patients:
        raise TrainingError(
            f"phantoms ({_first_of(phantoms)}) and patients ({_first_of(patients)}) are mixed.",
            "Train on one of them: keep phantoms in a folder of their own. (Files of phantoms say that they "
            "are; who trains from a CSV says it in its column synthetic.)",
        )


def _first_of(studies: Sequence[str]) -> str:
    """``p01``, or ``p01 and 4 more``."""
    return studies[0] if len(studies) == 1 else f"{studies[0]} and {len(studies) - 1} more"


def _refuse_one_patient(studies: Sequence[SourceStudy], source: str) -> None:
    """Before anything is prepared: a CSV that names one patient for all has no two sides."""
    named = {each.patient for each in studies}
    if len(studies) > 1 and len(named) == 1 and "" not in named:
        raise TrainingError(
            f"{source}: all {len(studies)} rows name patient {named.pop()!r} in the column patient, and a "
            "patient is on one side only.",
            "Each patient needs his own name there. Where the studies are of different patients, an empty "
            "cell will do.",
        )


def _require_both_states(data: TrainingData, task: ReadingTask, patients: int) -> None:
    for number, each in enumerate(data.rounds, start=1):
        for side, studies in (("training", each.train), ("validation", each.validation)):
            if (lacking := lacking_state(studies, task)) is None:
                continue
            index, state = lacking
            fold = f" of fold {number}" if data.folds else ""
            raise TrainingError(
                f"no {side} study{fold} has {in_a_sentence(task.findings[index])} {state} "
                f"(of {len(studies)} usable ones{_why_left_out(data.left_out)}).",
                "Ask for fewer folds, or label more studies."
                if data.folds > 2
                else _more_labels(patients, states_in_words(data.everything, index)),
            )


def _why_left_out(left_out: Mapping[str, int]) -> str:
    return "".join(f"; {count} left out: {reason}" for reason, count in sorted(left_out.items()))


def _more_labels(patients: int, states: str) -> str:
    if patients == 1:
        return (
            "All studies have one PatientID, and a patient is on one side only. If the ID only stands for "
            "anonymised studies, list them in a CSV with a patient column."
        )
    return (
        f"There are {states}, of {patients} patients: label more studies, or set the split column so that "
        "each side has both states."
    )
