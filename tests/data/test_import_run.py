"""What all importers have in common: going on, refusing, patients, sides, fractions, the report."""

from __future__ import annotations

import csv
import multiprocessing
import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from filelock import FileLock

from vpt_plugin.data.importers.import_run import ImportOutcome, run_import
from vpt_plugin.data.importers.importer import FoundSet, FoundStudy, ReadStudy
from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import ConfigurationError, LabelError, ManifestError, UnreadableStudyError
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.tasks import TASKS, ReadingTask, load_task_file

SIDES = ("train", "validation", "test")
pytestmark = pytest.mark.usefixtures("disk_without_waiting")


@dataclass(frozen=True)
class Words:
    """A data set of folders with a text: ``present``, or ``absent patient=p7 split=test``, and the like.

    Every reading leaves a line in ``log``, so that a test can count them.
    """

    folder: Path
    log: Path
    findings: tuple[str, ...] = ("lung_nodule",)
    beside: Path | None = None

    @property
    def name(self) -> str:
        return "words"

    @property
    def tasks(self) -> tuple[ReadingTask, ...]:
        return (replace(TASKS["nodule"], name="words", findings=self.findings),)

    def find(self) -> FoundSet[str]:
        beside = (self.beside,) if self.beside else ()
        folders = sorted(self.folder.iterdir())
        studies = tuple(FoundStudy(folder.name, folder, "source", beside) for folder in folders)
        return FoundSet(studies, {"no-file": "There is no file."}, ("All are made up.",))

    def read(self, study: FoundStudy[str]) -> ReadStudy:
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"{study.name}\n")
        state, *others = (study.path / "text").read_text(encoding="utf-8").split()
        if state == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if state == "damaged":
            raise UnreadableStudyError(study.name, "the file is damaged.", "Get it again.")
        if state == "unforeseen":
            raise KeyError("nobody thought of it")
        if state == "wrong":
            raise LabelError("The reading is none.")
        facts = dict(each.split("=") for each in others)
        return ReadStudy(
            study.path,
            tuple(StudyLabel(task, {"lung_nodule": FindingLabel(state)}) for task in ("nodule", "words")),
            patient=facts.get("patient", ""),
            patient_id=facts.get("patient_id", ""),
            split=facts.get("split", ""),
            notes=(f"It says {state}.",) if "note" in facts else (),
        )


Write = Callable[..., Words]


@pytest.fixture
def words(tmp_path: Path) -> Write:
    """Writes a data set, or adds to it."""

    def write(**texts: str) -> Words:
        folder = tmp_path / "words"
        for name, text in texts.items():
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "text").write_text(text, encoding="utf-8")
        return Words(folder, tmp_path / "log")

    return write


def forty() -> dict[str, str]:
    """Of forty patients twenty show a nodule."""
    return {f"s{n:02d}": "present" if n % 2 else "absent" for n in range(40)}


def readings(words: Words) -> Counter[str]:
    """How often each study was read."""
    return Counter(words.log.read_text(encoding="utf-8").split()) if words.log.exists() else Counter()


def report(out: Path) -> dict[str, dict[str, str]]:
    with (out / "import-report.csv").open(encoding="utf-8", newline="") as file:
        return {row["study"]: row for row in csv.DictReader(file)}


def everything_in(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def sides(outcome: ImportOutcome) -> dict[str, str]:
    return {study.study: study.split for study in outcome.studies}


def sides_of_patients(outcome: ImportOutcome) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for study in outcome.studies:
        found.setdefault(study.patient, set()).add(study.split)
    return found


def test_studies_are_divided_70_15_15_and_every_state_with_them(words: Write, tmp_path: Path) -> None:
    outcome = run_import(words(**forty()), tmp_path / "out")
    assert Counter(sides(outcome).values()) == {"train": 28, "validation": 6, "test": 6}
    shown = Counter(sides(outcome)[name] for name, state in forty().items() if state == "present")
    assert shown == {"train": 14, "validation": 3, "test": 3}


def test_the_fractions_have_fewer_training_studies_and_the_same_others(words: Write, tmp_path: Path) -> None:
    run_import(words(**forty()), tmp_path / "out")
    manifests = {percent: read(tmp_path / "out", percent) for percent in ("", "-10", "-1")}
    assert [len(each["train"]) for each in manifests.values()] == [28, 3, 2]
    # 10 % of 28 are 2.8; 1 % is one of each state.
    assert manifests["-1"]["train"] < manifests["-10"]["train"] < manifests[""]["train"]
    for each in manifests.values():
        assert (each["validation"], each["test"]) == (manifests[""]["validation"], manifests[""]["test"])


def read(out: Path, percent: str) -> dict[str, set[str]]:
    """The studies of each side of a manifest, which is read as a training reads it."""
    studies = Manifest.read(out / f"manifest{percent}.csv").studies
    return {side: {study.study for study in studies if study.split == side} for side in SIDES}


def test_labels_of_several_tasks_lie_where_the_manifest_says(words: Write, tmp_path: Path) -> None:
    run_import(words(one="present", two="absent"), tmp_path / "out")
    studies = {study.study: study for study in Manifest.read(tmp_path / "out" / "manifest.csv").studies}
    assert {label.findings["lung_nodule"].state for label in studies["one"].labels.values()} == {"present"}
    assert set(studies["one"].labels) == {"nodule", "words"}
    assert load_task_file(tmp_path / "out" / "words.yaml").findings == ("lung_nodule",)


def test_what_cannot_be_read_is_refused_with_the_reason_and_the_rest_goes_on(
    words: Write, tmp_path: Path
) -> None:
    outcome = run_import(
        words(good="present note=yes", bad="damaged", odd="wrong", other="absent", new="unforeseen"),
        tmp_path / "out",
    )
    assert outcome.refused == {
        "bad": "the file is damaged. Get it again.",
        "new": "KeyError: 'nobody thought of it'",
        "no-file": "There is no file.",
        "odd": "The reading is none.",
    }
    rows = report(tmp_path / "out")
    assert {name: row["state"] for name, row in rows.items()} == {
        "bad": "refused", "good": "imported", "new": "refused", "no-file": "refused", "odd": "refused",
        "other": "imported",
    }  # fmt: skip
    assert (rows["bad"]["why"], rows["good"]["notes"]) == (
        "the file is damaged. Get it again.",
        "It says present.",
    )


def test_of_the_next_run_only_what_is_new_changed_or_was_refused_is_read(
    words: Write, tmp_path: Path
) -> None:
    run_import(words(same="present", changed="absent", bad="damaged"), tmp_path / "out")
    outcome = run_import(words(changed="present note=yes", bad="absent", new="absent"), tmp_path / "out")
    assert readings(words()) == {"same": 1, "changed": 2, "bad": 2, "new": 1}
    assert outcome.unchanged == 1
    assert {study.study for study in outcome.studies} == {"same", "changed", "bad", "new"}


def test_another_setting_or_a_file_beside_that_changed_has_all_read_again(
    words: Write, tmp_path: Path
) -> None:
    importer = words(one="present", two="absent")
    run_import(importer, tmp_path / "out")
    beside = replace(importer, beside=tmp_path / "beside.xml")
    for text in ("old", "newer"):
        (tmp_path / "beside.xml").write_text(text, encoding="utf-8")
        run_import(beside, tmp_path / "out")
    assert readings(importer) == {"one": 3, "two": 3}


def test_a_line_that_was_cut_off_is_read_again(words: Write, tmp_path: Path) -> None:
    run_import(words(one="present", two="absent"), tmp_path / "out")
    kept = tmp_path / "out" / ".import" / "words.jsonl"
    kept.write_bytes(kept.read_bytes()[:-30])
    run_import(words(), tmp_path / "out")
    assert readings(words()) == {"one": 1, "two": 2}


def test_the_same_import_again_changes_nothing(words: Write, tmp_path: Path) -> None:
    run_import(words(**forty()), tmp_path / "out")
    before = everything_in(tmp_path / "out")
    run_import(words(), tmp_path / "out")
    assert everything_in(tmp_path / "out") == before


def test_several_processes_write_what_one_writes(words: Write, tmp_path: Path) -> None:
    importer = words(**dict(list(forty().items())[:8]), bad="damaged")
    run_import(importer, tmp_path / "one", workers=1)
    run_import(importer, tmp_path / "two", workers=2)
    one, two = everything_in(tmp_path / "one"), everything_in(tmp_path / "two")
    kept = ".import/words.jsonl"
    assert sorted(one.pop(kept).splitlines()) == sorted(two.pop(kept).splitlines())
    assert one == two


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_process_that_is_ended_from_outside_is_told_and_what_was_read_is_kept(
    words: Write, tmp_path: Path
) -> None:
    texts = {f"a{number}": "absent" for number in range(20)}
    with pytest.raises(ConfigurationError, match=r"was ended from outside.*fewer than 2 --workers") as error:
        run_import(words(**texts, z="die"), tmp_path / "out", workers=2)
    # Of two processes one read it; what the other one read is no surer.
    (reading,) = re.findall("while it read (.*?):", error.value.message)
    assert "z" in reading.split(" or ")
    assert len(reading.split(" or ")) <= 2
    assert not multiprocessing.active_children()
    outcome = run_import(words(z="present"), tmp_path / "out")
    assert outcome.unchanged > 10
    assert len(outcome.studies) == 21


def test_who_had_a_side_keeps_it_when_studies_come(words: Write, tmp_path: Path) -> None:
    before = sides(run_import(words(**forty()), tmp_path / "out"))
    more = {f"m{number}": "present" for number in range(20)}
    after = sides(run_import(words(**more), tmp_path / "out"))
    assert {name: after[name] for name in before} == before
    assert Counter(after[name] for name in more).keys() == set(SIDES)


def test_who_is_refused_in_between_comes_back_to_the_side_he_had(words: Write, tmp_path: Path) -> None:
    before = sides(run_import(words(**forty()), tmp_path / "out"))
    tested = [name for name, side in before.items() if side == "test"]
    between = sides(run_import(words(**dict.fromkeys(tested, "damaged")), tmp_path / "out"))
    assert not set(tested) & set(between)
    after = sides(run_import(words(**{name: forty()[name] for name in tested}), tmp_path / "out"))
    assert after == before


def test_a_patient_whose_study_is_replaced_by_a_newer_one_keeps_his_side(
    words: Write, tmp_path: Path
) -> None:
    texts = {name: f"{state} patient_id=p-{name}" for name, state in forty().items()}
    before = sides_of_patients(run_import(words(**texts), tmp_path / "out"))
    older = list(texts)[:20]
    for name in older:
        shutil.rmtree(tmp_path / "words" / name)
    # The manifest in between has none of them: only what was noted tells.
    run_import(words(), tmp_path / "out")
    newer = {f"newer-{name}": f"absent patient_id=p-{name}" for name in older}
    assert sides_of_patients(run_import(words(**newer), tmp_path / "out")) == before


def test_what_is_noted_of_patients_does_not_say_who_they_are(words: Write, tmp_path: Path) -> None:
    run_import(words(one="present patient_id=Jane", two="absent patient_id=John"), tmp_path / "out")
    noted = (tmp_path / "out" / ".import" / "sides.json").read_text(encoding="utf-8")
    assert "one" in noted
    assert not re.search("Jane|John", noted)


def test_sides_that_cannot_be_read_are_not_decided_anew(words: Write, tmp_path: Path) -> None:
    run_import(words(one="present"), tmp_path / "out")
    for damaged in ("{", "[]", '{"studies": {}}'):
        (tmp_path / "out" / ".import" / "sides.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(
            ConfigurationError, match=r"sides\.json: who is trained on and who is tested on cannot"
        ):
            run_import(words(), tmp_path / "out")


def test_all_studies_of_a_patient_are_on_one_side(words: Write, tmp_path: Path) -> None:
    texts = {f"s{n}": f"absent patient_id=p{n // 3}" for n in range(60)}
    outcome = run_import(words(**texts), tmp_path / "out")
    assert len({(study.patient, study.split) for study in outcome.studies}) == 20


def test_a_patient_id_that_most_studies_have_is_that_of_none(words: Write, tmp_path: Path) -> None:
    texts = {f"s{n}": f"absent patient_id={'ANON' if n < 4 else f'p{n}'}" for n in range(7)}
    outcome = run_import(words(**texts), tmp_path / "out")
    # Not the names of the studies: in a manifest these mean that PatientID decides.
    stand_ins = ["patient-s0", "patient-s1", "patient-s2", "patient-s3"]
    assert [study.patient for study in outcome.studies] == [*stand_ins, "p4", "p5", "p6"]
    assert "4 of 7 studies name no patient" in outcome.set_notes[1]


def test_without_a_patient_id_the_study_stands_for_its_patient(words: Write, tmp_path: Path) -> None:
    outcome = run_import(words(one="absent", two="present"), tmp_path / "out")
    assert [study.patient for study in outcome.studies] == ["one", "two"]


def test_two_or_three_studies_of_one_patient_id_are_one_patients(words: Write, tmp_path: Path) -> None:
    outcome = run_import(words(**dict.fromkeys("abc", "absent patient_id=p")), tmp_path / "out")
    assert {study.patient for study in outcome.studies} == {"p"}


def test_no_follow_up_patient_is_on_two_sides_and_how_many_studies_he_has_is_told(
    words: Write, tmp_path: Path
) -> None:
    texts = {f"s{n:02d}": f"{'absent' if n % 3 else 'present'} patient_id=p{n % 8}" for n in range(60)}
    outcome = run_import(words(**texts), tmp_path / "out")
    assert {len(group) for group in sides_of_patients(outcome).values()} == {1}
    assert len(sides_of_patients(outcome)) == 8
    (note,) = outcome.set_notes[1:]
    assert note.startswith(
        "PatientID 'p0' is that of 8 of 60 studies (7 other IDs likewise): they count as one"
    )
    assert "--patient-column" in note


def test_an_id_that_fewer_than_half_have_may_be_a_name_and_stays_on_one_side(
    words: Write, tmp_path: Path
) -> None:
    texts = {f"s{n:02d}": f"absent patient_id={'ANON' if n < 9 else f'p{n}'}" for n in range(20)}
    outcome = run_import(words(**texts), tmp_path / "out")
    assert len(sides_of_patients(outcome)["ANON"]) == 1
    assert outcome.set_notes[1].startswith("PatientID 'ANON' is that of 9 of 20 studies: they count as one")


def test_what_the_data_set_calls_a_patient_is_believed(words: Write, tmp_path: Path) -> None:
    texts = {f"s{n}": "absent patient=only patient_id=x" for n in range(8)}
    outcome = run_import(words(**texts), tmp_path / "out")
    assert {study.patient for study in outcome.studies} == {"only"}


def test_sides_that_the_data_set_gives_are_kept(words: Write, tmp_path: Path) -> None:
    texts = {f"s{n:02d}": f"absent split={SIDES[n % 3]}" for n in range(30)}
    assert Counter(sides(run_import(words(**texts), tmp_path / "out")).values()) == dict.fromkeys(SIDES, 10)


def test_a_patient_on_two_sides_is_an_error(words: Write, tmp_path: Path) -> None:
    importer = words(one="absent patient=p split=test", two="absent patient=p split=train")
    with pytest.raises(ManifestError, match="its patient 'p' is in test and in train"):
        run_import(importer, tmp_path / "out")


def test_two_patients_who_turn_out_to_be_one_are_tested_on_if_one_was(words: Write, tmp_path: Path) -> None:
    before = sides(run_import(words(**forty()), tmp_path / "out"))
    tested = next(name for name, side in before.items() if side == "test")
    trained = next(name for name, side in before.items() if side == "train")
    joined = dict.fromkeys((tested, trained), "absent patient=both")
    after = sides(run_import(words(**joined), tmp_path / "out"))
    assert after[tested] == after[trained] == "test"


def test_a_dry_run_tells_the_same_and_writes_nothing(words: Write, tmp_path: Path) -> None:
    dry = run_import(words(**forty(), bad="damaged"), tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    wet = run_import(words(), tmp_path / "out")
    assert (dry.studies, dry.refused) == (wet.studies, wet.refused)


def test_a_folder_with_the_manifest_of_other_studies_is_left_alone(words: Write, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    manifest = tmp_path / "out" / "manifest.csv"
    manifest.write_text("study,path,patient,split\nother,x,p,train\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is there already, and is of other studies"):
        run_import(words(one="absent"), tmp_path / "out")
    assert manifest.read_text(encoding="utf-8").endswith("other,x,p,train\n")


def test_two_imports_into_one_folder_do_not_run_at_once(words: Write, tmp_path: Path) -> None:
    (tmp_path / "out" / ".import").mkdir(parents=True)
    with (
        FileLock(tmp_path / "out" / ".import" / "lock"),
        pytest.raises(ConfigurationError, match="another import writes to this folder"),
    ):
        run_import(words(one="absent"), tmp_path / "out")


def test_where_nothing_can_be_imported_the_first_reason_is_told_and_the_report_written(
    words: Write, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match=r"not one of 2 studies can be imported\. The first, bad: the"):
        run_import(words(bad="damaged"), tmp_path / "out")
    assert report(tmp_path / "out")["bad"]["state"] == "refused"
    assert not (tmp_path / "out" / "manifest.csv").exists()


def test_a_name_that_a_spreadsheet_would_compute_is_written_as_text(words: Write, tmp_path: Path) -> None:
    run_import(words(**{"=1+1": "damaged", "good": "absent"}), tmp_path / "out")
    assert "'=1+1" in report(tmp_path / "out")


def test_progress_counts_to_the_end(words: Write, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run_import(words(a="absent", b="damaged"), tmp_path / "out", progress=lambda *now: told.append(now))
    assert told == [(1, 2), (2, 2)]
