from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.data.split_file import SplitFile
from vpt_plugin.errors import CancelledError, ConfigurationError, DivergedError, ManifestError, TrainingError
from vpt_plugin.models.card import Estimate
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_records import Answers, CellResult, Failure, Provenance
from vpt_plugin.study.cell_run import run_cell
from vpt_plugin.study.cell_studies import fraction_of, read_manifest
from vpt_plugin.study.cells import Cell, NetworkSize
from vpt_plugin.study.datasets import StudyDataset
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.rate_choice import choose_rate
from vpt_plugin.study.results import StudyResults
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.validation_record import ValidationRecord

MakeManifest = Callable[..., Path]
RATES = (1e-3, 1e-4)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, make_manifest: MakeManifest) -> Plan:
    """Two arms of the tiny network on 8 + 4 + 6 studies, CT pretraining on 4 + 4 others; two rates."""
    root = tmp_path_factory.mktemp("sets")
    arms = {100.0: ("none", "ct"), 50.0: ("none",)}
    return Plan(
        name="small",
        title="A small plan",
        datasets=(StudyDataset("balls", "nodule", arms, make_manifest(root / "balls", 8, 4, 6)),),
        networks=("tiny",),
        seeds=(0,),
        learning_rates={"all": RATES},
        training={"all": {"epochs": 1, "steps_per_epoch": 2, "batch": 4}},
        search_percent=50.0,
        ct=StudyDataset("others", "nodule", {}, make_manifest(root / "others", 4, 4, 0, first=100)),
        sizes={"tiny": NetworkSize(8, 40, 32)},
    )


@pytest.fixture(scope="module")
def study(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole plan, run."""
    out = tmp_path_factory.mktemp("study")
    for cell in plan.cells():
        run_cell(cell, plan, out)
    (out / "plan.json").write_text(json.dumps(plan.to_json()), encoding="utf-8")
    return out


def cell_of(plan: Plan, name: str) -> Cell:
    return next(cell for cell in plan.cells() if cell.id == name)


def test_a_final_cell_answers_every_test_study_and_says_what_it_depends_on(study: Path) -> None:
    results = StudyResults.read(study)
    result = next(each for each in results.finals if each.cell.id == "balls-tiny-ct-100-s0")
    answers = results.answers["balls-tiny-ct-100-s0"]
    assert answers.studies == tuple(f"study-{number:03d}" for number in range(12, 18))
    assert answers.states[:, 0].tolist() == [1, 0, 1, 0, 1, 0]
    assert ((answers.probabilities >= 0) & (answers.probabilities <= 1)).all()
    assert (result.train_studies, result.validation_studies, result.test_studies) == (8, 4, 6)
    assert (result.epochs, result.steps_per_epoch) == (1, 2)
    assert result.auroc["lung_nodule"].n == 6
    assert result.validation_auroc["lung_nodule"].n == 4
    known = result.provenance
    (published,) = (
        card
        for card in ModelStore(CellFolder.of(study, result.cell.id).models).cards()
        if card.split_hash == known.split_hash
    )
    assert known.weights_sha256 == published.weights_sha256
    assert (known.device, known.threads, known.pretrained_sha256) == ("cpu", 1, "")


def test_the_test_auroc_is_that_of_the_answers(study: Path) -> None:
    results = StudyResults.read(study)
    for result in results.finals:
        answers = results.answers[result.cell.id]
        present = answers.probabilities[answers.states[:, 0] == 1, 0]
        absent = answers.probabilities[answers.states[:, 0] == 0, 0]
        wins = (present[:, None] > absent).sum() + 0.5 * (present[:, None] == absent).sum()
        assert result.auroc["lung_nodule"].value == pytest.approx(wins / 9)


def test_only_final_cells_look_at_the_test_side_and_every_look_is_noted(plan: Plan, study: Path) -> None:
    results = StudyResults.read(study)
    assert {each.cell.stage for each in results.cells if each.auroc} == {"final"}
    manifest = plan.dataset("balls").manifest_file()
    looks = SplitFile(manifest.with_name("manifest.csv.nodule.split.json")).read().looks
    assert [look.model for look in looks] == [f"study cell {each.cell.id}" for each in results.finals]
    assert {look.studies for look in looks} == {6}


def test_an_arm_with_ct_remembers_whom_its_pretraining_has_seen(study: Path) -> None:
    folder = CellFolder.of(study, "balls-tiny-ct-100-s0")
    result = folder.result()
    assert result is not None
    store = ModelStore(folder.models)
    (card,) = (card for card in store.cards() if card.weights_sha256 == result.provenance.weights_sha256)
    assert card.pretraining == "ct"
    record = ValidationRecord.read(store.place("nodule", "tiny", card.version))
    assert record is not None
    assert record.complete
    names = {each.study for each in record.trained_on}
    # Its own eight, and the four that the pretraining learned from; the other four chose that one's epoch.
    assert names == {f"study-{number:03d}" for number in (*range(8), *range(100, 104))}
    assert {each.study for each in record.chosen_by} == {f"study-{number}" for number in range(104, 108)}
    begun = CellFolder.of(study, "others-tiny-none-100-s0-pretrain").result()
    assert begun is not None
    assert result.provenance.start_sha256 == begun.provenance.weights_sha256


def test_a_test_patient_of_the_ct_set_stops_an_arm_with_ct(
    plan: Plan, tmp_path: Path, make_manifest: MakeManifest
) -> None:
    # Patients 12 to 17 are the test side; here the CT pretraining learns from 14 to 17.
    overlapping = make_manifest(tmp_path / "others", 4, 4, 0, first=14)
    wrong = replace(plan, learning_rates={"all": (1e-3,)}).with_manifests({"others": overlapping})
    run_cell(cell_of(wrong, "others-tiny-none-100-s0-pretrain"), wrong, tmp_path)
    with pytest.raises(
        TrainingError, match=r"has seen 4 studies of the test side \(study-014\).*the CT pretraining"
    ):
        run_cell(cell_of(wrong, "balls-tiny-ct-100-s0"), wrong, tmp_path)


def test_a_scan_that_is_on_two_sides_under_two_names_is_left_out_of_the_test_and_counted(
    tmp_path: Path, make_manifest: MakeManifest
) -> None:
    # The scan of the test study 8 lies on the training side, too, as that of another patient.
    manifest = make_manifest(tmp_path / "balls", 4, 4, 4)
    shutil.copy(tmp_path / "balls" / "study-008.nrrd", tmp_path / "balls" / "study-000.nrrd")
    others = make_manifest(tmp_path / "others", 4, 4, 0, first=100)
    both = Plan(
        name="small", title="A small plan",
        datasets=(StudyDataset("balls", "nodule", {100.0: ("none", "ct")}, manifest),),
        networks=("tiny",), seeds=(0,), learning_rates={"all": (1e-3,)},
        training={"all": {"epochs": 1, "steps_per_epoch": 1, "batch": 4, "micro_batch": 2}},
        ct=StudyDataset("others", "nodule", {}, others), sizes={"tiny": NetworkSize(8, 40, 32)},
    )  # fmt: skip
    for cell in both.cells():
        run_cell(cell, both, tmp_path / "out")
    results = StudyResults.read(tmp_path / "out")
    # It is nothing that the CT pretraining knows: both arms are tested on the three others.
    assert [each.test_studies for each in results.finals] == [3, 3]
    for result in results.finals:
        assert result.left_out == {"its patient, or the same scan, is on the training or validation side": 1}
        assert results.answers[result.cell.id].studies == ("study-009", "study-010", "study-011")
        assert result.micro_batch == 2


def test_a_test_study_that_cannot_be_read_is_left_out_and_counted(
    tmp_path: Path, make_manifest: MakeManifest, plan: Plan
) -> None:
    manifest = make_manifest(tmp_path / "balls", 4, 4, 4)
    (tmp_path / "balls" / "study-009.nrrd").write_bytes(b"nothing")
    fixed = replace(plan, learning_rates={"all": (1e-3,)}).with_manifests({"balls": manifest})
    result = run_cell(cell_of(fixed, "balls-tiny-none-100-s0"), fixed, tmp_path / "out")
    assert (result.test_studies, result.left_out) == (3, {"unreadable": 1})
    read = CellFolder.of(tmp_path / "out", result.cell.id).result()
    assert read is not None
    assert read.to_json() == result.to_json()


def test_the_chosen_search_cell_is_the_final_cell_of_its_percent_and_is_not_trained_twice(
    plan: Plan, study: Path
) -> None:
    result = CellFolder.of(study, "balls-tiny-none-50-s0").result()
    assert result is not None
    tried = [CellFolder.of(study, name).result() for name in result.cell.search_cells]
    chosen = choose_rate([each for each in tried if each])
    assert result.provenance.taken_from == chosen.cell.id
    assert result.provenance.weights_sha256 == chosen.provenance.weights_sha256
    assert result.learning_rate == chosen.learning_rate
    assert not CellFolder.of(study, "balls-tiny-none-50-s0").models.exists()
    whole = CellFolder.of(study, "balls-tiny-none-100-s0").result()
    assert whole is not None
    assert (whole.learning_rate, whole.provenance.taken_from) == (chosen.learning_rate, "")


def test_what_is_done_is_handed_back_and_not_done_again(plan: Plan, study: Path) -> None:
    told: list[Progress] = []
    result = CellFolder.of(study, "balls-tiny-ct-100-s0").result()
    assert result is not None
    handed = run_cell(cell_of(plan, "balls-tiny-ct-100-s0"), plan, study, progress=told.append)
    assert handed.to_json() == result.to_json()
    assert told == []


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("balls-tiny-none-100-s0", {"training": {"all": {"epochs": 2, "steps_per_epoch": 2, "batch": 4}}},
         r"training \(was .*'epochs': 1"),
        ("balls-tiny-none-100-s0", {"sizes": {}}, r"size \(was .*'clip_slices': 8"),
    ],
)  # fmt: skip
def test_a_result_of_something_else_is_refused_with_what_changed(
    plan: Plan, study: Path, name: str, change: dict[str, object], said: str
) -> None:
    other = replace(plan, **change)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=said):
        run_cell(cell_of(other, name), other, study)


def test_a_result_of_other_labels_is_refused(plan: Plan, study: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(plan.dataset("balls").manifest_file())
    first, second, *rest = manifest.studies
    swapped = (replace(first, labels=second.labels), replace(second, labels=first.labels), *rest)
    Manifest(swapped).write(tmp_path / "manifest.csv")
    other = plan.with_manifests({"balls": tmp_path / "manifest.csv"})
    with pytest.raises(ConfigurationError, match="changed since: the manifest's studies, sides or labels"):
        run_cell(cell_of(other, "balls-tiny-none-100-s0"), other, study)


def test_an_interrupted_cell_goes_on_to_the_same_answers(plan: Plan, study: Path, tmp_path: Path) -> None:
    longer = replace(
        plan,
        learning_rates={"all": (1e-3,)},
        training={"all": {"epochs": 2, "steps_per_epoch": 2, "batch": 4}},
    )
    cell, cache, seen = cell_of(longer, "balls-tiny-none-100-s0"), study / "prepared", []
    folder = CellFolder.of(tmp_path, cell.id)
    with pytest.raises(CancelledError):
        run_cell(
            cell, longer, tmp_path, cache=cache, progress=seen.append,
            cancelled=lambda: any(each.epoch == 2 for each in seen),
        )  # fmt: skip
    assert folder.result() is None
    resumed: list[Progress] = []
    result = run_cell(cell, longer, tmp_path, cache=cache, progress=resumed.append)
    assert any("goes on after epoch 1" in each.note for each in resumed)
    assert not any(each.epoch == 1 and each.step for each in resumed)
    fresh = run_cell(cell, longer, tmp_path / "fresh", cache=cache)
    assert result.provenance.weights_sha256 == fresh.provenance.weights_sha256
    assert result.auroc["lung_nodule"].value == fresh.auroc["lung_nodule"].value


def test_a_cell_that_is_stopped_in_its_test_is_not_trained_again(
    plan: Plan, study: Path, tmp_path: Path
) -> None:
    fixed = replace(plan, learning_rates={"all": (1e-3,)})
    cell, seen = cell_of(fixed, "balls-tiny-none-100-s0"), []
    with pytest.raises(CancelledError):
        run_cell(
            cell, fixed, tmp_path, cache=study / "prepared", progress=seen.append,
            cancelled=lambda: any(each.state == "testing" for each in seen),
        )  # fmt: skip
    (trained,) = CellFolder.of(tmp_path, cell.id).models.glob("nodule_tiny/v*/weights.safetensors")
    resumed: list[Progress] = []
    result = run_cell(cell, fixed, tmp_path, cache=study / "prepared", progress=resumed.append)
    assert {each.state for each in resumed} == {"testing"}
    assert result.provenance.weights_sha256 == hashlib.sha256(trained.read_bytes()).hexdigest()
    # With another setting it is another training.
    other = replace(fixed, training={"all": {"epochs": 1, "steps_per_epoch": 1, "batch": 4}})
    CellFolder.of(tmp_path, cell.id).root.joinpath("result.json").unlink()
    again = run_cell(cell_of(other, cell.id), other, tmp_path, cache=study / "prepared")
    assert again.steps_per_epoch == 1


def test_a_cell_that_is_killed_when_its_training_is_over_is_not_trained_again(
    plan: Plan, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixed = replace(plan, learning_rates={"all": (1e-3,)})
    name = "balls-tiny-ct-100-s0"
    for cell in (each for each in fixed.cells() if each.stage == "pretrain"):
        run_cell(cell, fixed, tmp_path, cache=study / "prepared")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        # The version is published, and nothing is written down of it yet.
        patched.setattr(CellFolder, "write_trained", killed)
        with pytest.raises(KeyboardInterrupt):
            run_cell(cell_of(fixed, name), fixed, tmp_path, cache=study / "prepared")
    told: list[Progress] = []
    monkeypatch.setattr("vpt_plugin.study.cell_run.code_commit", lambda: "of a later code")
    result = run_cell(cell_of(fixed, name), fixed, tmp_path, cache=study / "prepared", progress=told.append)
    assert {each.state for each in told} == {"testing"}
    # The version that it began from, and its own, once.
    versions = ModelStore(CellFolder.of(tmp_path, name).models).cards()
    assert [card.weights_sha256 for card in versions if card.pretraining == "ct"] == [
        result.provenance.weights_sha256
    ]
    assert result.provenance.code_commit != "of a later code"


def test_what_a_cell_needs_has_to_be_done_first(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="needs balls-tiny-none-50-s0-lr1e-3, which is not done"):
        run_cell(cell_of(plan, "balls-tiny-none-100-s0"), plan, tmp_path)


def test_steps_per_epoch_auto_is_one_pass_over_the_clips(plan: Plan, tmp_path: Path, study: Path) -> None:
    whole = replace(
        plan,
        learning_rates={"all": (1e-3,)},
        training={"all": {"epochs": 1, "steps_per_epoch": "auto", "batch": 4}},
    )
    result = run_cell(cell_of(whole, "balls-tiny-none-100-s0"), whole, tmp_path, cache=study / "prepared")
    # 20 slices are covered by clips of 8 at 0, 6 and 12: three of each of 8 studies, four at a time.
    assert result.steps_per_epoch == 6


def test_a_rate_that_diverges_is_the_result_of_its_search_cell(
    plan: Plan, tmp_path: Path, study: Path
) -> None:
    wild = replace(plan, learning_rates={"all": (1e30, 1e-3)})
    cells = [cell for cell in wild.cells() if cell.dataset == "balls" and cell.arm == "none"]
    results = [run_cell(cell, wild, tmp_path, cache=study / "prepared") for cell in cells]
    diverged, kept, *finals = results
    assert diverged.diverged
    assert math.isnan(diverged.validation_auroc["lung_nodule"].value)
    assert not kept.diverged
    assert {each.learning_rate for each in finals} == {1e-3}
    read = CellFolder.of(tmp_path, diverged.cell.id).result()
    assert read is not None
    assert math.isnan(read.validation_log_loss)


def test_a_search_that_failed_for_another_reason_leaves_the_choice_to_the_others(
    plan: Plan, study: Path, tmp_path: Path
) -> None:
    failed, done = (f"balls-tiny-none-50-s0-lr{rate}" for rate in ("1e-3", "1e-4"))
    run_cell(cell_of(plan, done), plan, tmp_path, cache=study / "prepared")
    folder = CellFolder.of(tmp_path, failed)
    folder.write_cell(cell_of(plan, failed))
    # As long as it may still be done, nothing is chosen.
    with pytest.raises(ConfigurationError, match=f"needs {failed}, which is not done"):
        run_cell(cell_of(plan, "balls-tiny-none-50-s0"), plan, tmp_path)
    folder.write_failure(Failure("the memory is full"))
    told: list[Progress] = []
    result = run_cell(
        cell_of(plan, "balls-tiny-none-50-s0"), plan, tmp_path, cache=study / "prepared", progress=told.append
    )
    assert (result.learning_rate, result.rates_left_out) == (1e-4, (failed,))
    assert any(failed in each.note for each in told)
    read = CellFolder.of(tmp_path, result.cell.id).result()
    assert read is not None
    assert read.rates_left_out == (failed,)
    # Where all failed there is nothing to choose from.
    CellFolder.of(tmp_path, done).root.joinpath("result.json").unlink()
    CellFolder.of(tmp_path, done).write_failure(Failure("the memory is full"))
    with pytest.raises(ConfigurationError, match=f"needs {failed}, which is not done"):
        run_cell(cell_of(plan, "balls-tiny-none-100-s0"), plan, tmp_path)


def tried(rate: float, auroc: float, loss: float, *, diverged: bool = False) -> CellResult:
    cell = Cell("search", "balls", "nodule", "tiny", "none", 10, 0, rate)
    validation = {"lung_nodule": Estimate(auroc, (math.nan, math.nan), 4)}
    return CellResult(cell, {}, validation, loss, rate, 1, 2, 8, 4, 0, False, diverged, 1.0, Provenance())


def test_the_rate_of_the_highest_auroc_is_chosen_and_of_equal_ones_that_of_the_lowest_loss() -> None:
    assert choose_rate([tried(1e-2, 0.7, 0.2), tried(1e-3, 0.8, 0.9)]).learning_rate == 1e-3
    assert choose_rate([tried(1e-2, 0.8, 0.7), tried(1e-3, 0.8, 0.6)]).learning_rate == 1e-3
    assert choose_rate([tried(1e-1, 0.9, 0.1, diverged=True), tried(1e-5, 0.5, 0.7)]).learning_rate == 1e-5
    diverged = tried(1e-1, math.nan, math.nan, diverged=True)
    with pytest.raises(DivergedError, match="kept the loss a number: balls-tiny-none-10-s0-lr1e-1"):
        choose_rate([diverged])
    # An undefined AUROC is none of the rate's doing.
    with pytest.raises(TrainingError, match=r"AUROC of lung_nodule, which is undefined: .*lr1e-3\.") as error:
        choose_rate([diverged, tried(1e-3, math.nan, 0.7)])
    assert not isinstance(error.value, DivergedError)


def test_a_fraction_takes_from_the_training_side_alone_and_is_part_of_a_larger_one(plan: Plan) -> None:
    whole = read_manifest(Manifest.read(plan.dataset("balls").manifest_file()), TASKS["nodule"])
    names = {}
    for percent in (25, 50, 100):
        rows = fraction_of(whole, percent).studies
        names[percent] = {row.study for row in rows if row.split == "train"}
        assert [row.study for row in rows if row.split != "train"] == [f"study-{n:03d}" for n in range(8, 18)]
    assert [len(each) for each in names.values()] == [2, 4, 8]
    assert names[25] < names[50] < names[100]
    # Half of each show a ball: those with even numbers.
    assert [sum(int(name[-1]) % 2 == 0 for name in each) for each in names.values()] == [1, 2, 4]


def test_a_manifest_without_sides_is_refused(plan: Plan) -> None:
    manifest = Manifest.read(plan.dataset("balls").manifest_file())
    rows = tuple(replace(row, split="") for row in manifest.studies)
    with pytest.raises(ManifestError, match="study-000 has no side, nor have 17 others"):
        read_manifest(replace(manifest, studies=rows), TASKS["nodule"])


def test_the_tables_hold_a_row_per_cell_and_finding_and_one_per_answer(study: Path, tmp_path: Path) -> None:
    results = StudyResults.read(study)
    results.write_tables(tmp_path)
    rows = list(csv.DictReader((tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()))
    # Searches of two rates for the pretraining and two arms, the pretraining, and three final cells.
    assert len(rows) == 6 + 1 + 3
    final = next(row for row in rows if row["cell"] == "balls-tiny-ct-100-s0")
    assert float(final["test_auroc"]) == results.finals[-1].auroc["lung_nodule"].value
    assert next(row for row in rows if row["stage"] == "pretrain")["test_auroc"] == ""
    parquet = pyarrow.parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert [row["cell"] for row in parquet] == [row["cell"] for row in rows]
    assert next(row for row in parquet if row["stage"] == "pretrain")["test_auroc"] is None
    answers = pyarrow.parquet.read_table(tmp_path / "answers.parquet").to_pylist()
    assert len(answers) == 3 * 6
    assert {(row["study"], row["state"]) for row in answers} == {
        (f"study-{number:03d}", float(number % 2 == 0)) for number in range(12, 18)
    }


def test_answers_with_unknown_states_are_the_same_after_json() -> None:
    states = np.array([[1.0, math.nan], [0.0, 1.0]])
    answers = Answers("a", ("x", "y"), ("s1", "s2"), ("p1", "p2"), states, np.full((2, 2), 0.25))
    again = Answers.from_json(json.loads(json.dumps(answers.to_json())))
    np.testing.assert_equal(again.states, states)
    assert again.findings == ("x", "y")
    with pytest.raises(ValueError, match="answers of"):
        replace(answers, studies=("s1",))


def test_a_failure_is_told_until_the_cell_succeeds(study: Path, tmp_path: Path) -> None:
    folder = CellFolder.of(tmp_path, "balls-tiny-ct-100-s0")
    folder.write_failure(Failure("no room on the disk"))
    assert StudyResults.read(tmp_path).failures == {}  # a folder without a plan or a cell is no study
    result = CellFolder.of(study, "balls-tiny-ct-100-s0").result()
    assert result is not None
    folder.write_cell(result.cell)
    assert StudyResults.read(tmp_path).failures == {folder.root.name: "no room on the disk"}
    folder.write_result(result, None)
    assert folder.failure() is None
    assert [each.cell.id for each in StudyResults.read(tmp_path).finals] == [folder.root.name]
