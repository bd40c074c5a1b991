"""Experiments on real Ray: each cell once, whatever fails or is killed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from vpt_plugin.cluster import RayComputer, RayPlace
from vpt_plugin.errors import ConfigurationError, ManifestError, TrainingError
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cells import NetworkSize
from vpt_plugin.study.datasets import PhantomSet, StudyDataset
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.results import StudyResults
from vpt_plugin.study.runner import StudyProgress, _remote_order, run_study
from vpt_plugin.study.runner_amounts import Amounts, amounts_of
from vpt_plugin.study.runner_cell import CellOrder, CellProgress, run_order
from vpt_plugin.study.runner_orders import Part, RunOptions, cell_in_words

MakeManifest = Callable[..., Path]
PRETRAIN, NONE, CT = "others-tiny-none-100-s0-pretrain", "balls-tiny-none-100-s0", "balls-tiny-ct-100-s0"


@pytest.fixture
def plan(tmp_path: Path, make_manifest: MakeManifest) -> Plan:
    """Three cells of the tiny network: the pretraining on CTs, what begins from it, and what does not."""
    return Plan(
        name="small",
        title="A small plan",
        datasets=(
            StudyDataset(
                "balls", "nodule", {100.0: ("none", "ct")}, make_manifest(tmp_path / "balls", 4, 4, 4)
            ),
        ),
        networks=("tiny",),
        seeds=(0,),
        learning_rates={"all": (1e-3,)},
        training={"all": {"epochs": 1, "steps_per_epoch": 2, "batch": 4}},
        ct=StudyDataset("others", "nodule", {}, make_manifest(tmp_path / "others", 4, 4, 0, first=100)),
        sizes={"tiny": NetworkSize(8, 40, 32)},
    )


def finished(out: Path) -> dict[str, float]:
    """When each cell that is done was done."""
    return {each.parent.name: each.stat().st_mtime for each in out.glob("cells/*/result.json")}


def test_a_study_is_run_once_and_another_run_of_it_trains_nothing(
    ray_here: RayPlace, plan: Plan, tmp_path: Path
) -> None:
    out, seen = tmp_path / "out", []

    def watch(now: StudyProgress) -> None:
        seen.append(now)
        if len(seen) == 1:
            with pytest.raises(ConfigurationError, match=rf"runs already: process {os.getpid()} on"):
                run_study(plan, out, ray_here)

    first = run_study(plan, out, ray_here, watch=watch)
    assert (first.done, first.trained, first.failures) == (3, 3, {})
    ended = [cell.id for now in seen for cell, _ in now.ended]
    assert sorted(ended) == sorted([PRETRAIN, NONE, CT])
    assert ended.index(PRETRAIN) < ended.index(CT)
    assert (seen[-1].total, seen[-1].done, seen[-1].running) == (3, 3, ())
    assert not list(out.glob("cells/*/progress.json"))

    before = finished(out)
    again = run_study(plan, out, ray_here)
    assert (again.done, again.trained) == (3, 0)
    assert finished(out) == before

    slower = plan.with_settings({"epochs": 2})
    with pytest.raises(ConfigurationError, match="is done, but of something else"):
        run_study(slower, out, ray_here)


def test_a_cell_that_fails_stops_only_what_needs_it_and_is_tried_again_when_asked(
    ray_here: RayPlace, plan: Plan, tmp_path: Path
) -> None:
    out, studies = tmp_path / "out", sorted((tmp_path / "others").glob("*.nrrd"))
    kept = {path: path.read_bytes() for path in studies}
    for path in studies:
        path.write_bytes(b"nothing")
    run = run_study(plan, out, ray_here)
    assert set(run.failures) == {PRETRAIN, CT}
    assert finished(out).keys() == {NONE}
    assert run.failures[PRETRAIN].message.startswith(f"{PRETRAIN}: ")
    assert "Traceback" in run.failures[PRETRAIN].trace
    assert run.failures[CT].in_words() == f"not run: it needs {PRETRAIN}, which failed. See there."
    assert StudyResults.read(out).failures.keys() == {PRETRAIN, CT}

    for path, data in kept.items():
        path.write_bytes(data)
    before = finished(out)
    assert run_study(plan, out, ray_here).failures.keys() == {PRETRAIN, CT}
    run = run_study(plan, out, ray_here, RunOptions(retry_failed=True))
    assert (run.done, run.trained, run.failures) == (3, 2, {})
    assert finished(out)[NONE] == before[NONE]
    assert StudyResults.read(out).failures == {}


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such signal")
def test_a_worker_that_is_killed_is_replaced_and_its_training_goes_on(
    ray_here: RayPlace, plan: Plan, tmp_path: Path
) -> None:
    out, killed, runs = tmp_path / "out", [], []
    longer = plan.with_settings({"epochs": 40, "patience": 40})

    def watch(now: StudyProgress) -> None:
        for cell, progress in now.running:
            if not killed and progress.now.epoch >= 2:
                killed.append((cell.id, progress.process))
                os.kill(progress.process, signal.SIGKILL)
                (record,) = CellFolder.of(out, cell.id).models.glob(".runs/*/run.json")
                runs.append(json.loads(record.read_text())["number"])

    run = run_study(longer, out, ray_here, RunOptions(Part(arms=("none",))), watch)
    assert (run.done, run.failures) == (1, {})
    assert [name for name, _ in killed] == [NONE]
    cards = sorted(CellFolder.of(out, NONE).models.rglob("card.json"))
    # It is one training, and not two.
    assert [json.loads(path.read_text())["training"]["run"] for path in cards] == runs


def test_a_worker_that_never_ends_well_is_a_failure_told_in_words(
    ray_here: RayPlace, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(order: CellOrder) -> None:
        os._exit(1)

    monkeypatch.setattr("vpt_plugin.study.runner.run_order", die)
    monkeypatch.setattr("vpt_plugin.study.runner._RETRIES", 1)
    run = run_study(plan, tmp_path / "out", ray_here, RunOptions(Part(arms=("none",))))
    assert run.failures[NONE].message.startswith(f"{NONE}: its process ended 2 times before it was done")
    assert "memory" in run.failures[NONE].hint


def test_what_ray_itself_could_not_do_is_told_by_its_own_words(
    ray_here: RayPlace, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(order: CellOrder) -> None:
        raise RuntimeError("the code of that computer is another")

    monkeypatch.setattr("vpt_plugin.study.runner.run_order", fail)
    run = run_study(plan, tmp_path / "out", ray_here, RunOptions(Part(arms=("none",))))
    assert "RuntimeError: the code of that computer is another" in run.failures[NONE].message
    assert "memory" not in run.failures[NONE].in_words()


def test_a_process_that_has_used_a_gpu_ends_with_its_cell_and_hands_its_memory_back(
    ray_here: RayPlace,
) -> None:
    # Ray takes this from where the function is made remote, and from nowhere else.
    calls = [_remote_order(RayPlace(None, 8, gpus))._default_options["max_calls"] for gpus in (1, 0)]
    assert calls == [1, 0]


def test_phantoms_are_made_below_the_study_and_what_is_missing_is_told_before_anything_is_trained(
    ray_here: RayPlace, plan: Plan, tmp_path: Path
) -> None:
    few = StudyDataset("few", "nodule", {100.0: ("none",)}, phantoms=PhantomSet(count=2, seed=1))
    made = []
    with pytest.raises(ManifestError, match=r"phantoms.few.manifest\.csv: .*no study of the side"):
        run_study(
            replace(plan, datasets=(few,), ct=None), tmp_path / "out", ray_here,
            watch=lambda now: made.append((now.making, now.done, now.total)),
        )  # fmt: skip
    assert made[-1] == ("few", 2, 2)
    assert not (tmp_path / "out" / "cells").exists()


def test_a_disk_without_room_is_told_before_anything_is_trained(
    ray_here: RayPlace, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vpt_plugin.training.readiness._free_bytes", lambda folder: 50_000_000)
    # 12 + 8 studies of 4 MiB each.
    with pytest.raises(TrainingError, match="50 MB are free, at least 84 MB are needed"):
        run_study(plan, tmp_path / "out", ray_here)
    assert not (tmp_path / "out" / "cells").exists()


def test_what_no_single_computer_can_give_a_training_is_told_before_anything_is_trained(
    ray_here: RayPlace, plan: Plan, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigurationError, match=r"tiny is to have 64 cores and no GPU.* has 2 cores and no GPU"
    ):
        run_study(plan, tmp_path / "out", ray_here, RunOptions(cpus=64))
    assert not (tmp_path / "out" / "cells").exists()


def test_a_training_is_given_its_cores_and_its_gpu_on_one_computer(plan: Plan) -> None:
    big, gpus = RayComputer("big", cpus=64, gpus=0), RayComputer("gpus", cpus=8, gpus=2)
    cluster = RayPlace("head:6379", 72, 2, (big, gpus))
    asks_much = replace(plan, cpus={"all": 16}, gpus={"all": 1})

    def given(place: RayPlace, **options: float) -> Amounts:
        return amounts_of(asks_much, RunOptions(**options), place, {"tiny"})["tiny"]

    # The plan's cores are those that the computer with the GPU has, at most.
    assert given(cluster) == Amounts(8, 1)
    assert given(cluster, gpus=0) == Amounts(16, 0)
    assert given(cluster, gpus=0.5, cpus=4) == Amounts(4, 0.5)
    assert given(RayPlace(None, 64, 0, (big,))) == Amounts(16, 0)
    with pytest.raises(
        ConfigurationError, match=r"to have 16 cores and 1 GPU, .*big has 64 .*gpus has 8 cores"
    ):
        given(cluster, cpus=16)
    with pytest.raises(ConfigurationError, match=r"16 cores and 4 GPUs"):
        given(cluster, gpus=4)
    with pytest.raises(ConfigurationError, match=r"16 cores and 0\.5 GPU, .*big has 64 cores and no GPU"):
        given(RayPlace(None, 64, 0, (big,)), gpus=0.5)


@pytest.mark.parametrize("asked", [{"cpus": 0}, {"cpus": 1.5}, {"gpus": -1}, {"gpus": 1.5}])
def test_amounts_that_ray_cannot_give_at_all_are_refused(asked: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=f"--{next(iter(asked))}: "):
        RunOptions(**asked)


def test_what_a_computer_of_the_cluster_does_not_see_is_told_together_before_anything_is_trained(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_two(what: Callable[[list[str]], list[bool]], paths: list[str]) -> dict[str, list[bool]]:
        return {"here": what(paths), "there": ["out" in path for path in paths]}

    monkeypatch.setattr("vpt_plugin.cluster.on_every_node", on_two)
    out, cache, weights = (tmp_path / name for name in ("out", "cache", "weights"))
    weights.mkdir()
    with pytest.raises(ConfigurationError) as refused:
        run_study(plan, out, RayPlace("head:6379", 2, 0), RunOptions(cache=cache, weights_dir=weights))
    blind = [
        cache, tmp_path / "balls/manifest.csv", tmp_path / "others/manifest.csv",
        tmp_path / "balls/study-000.nrrd", tmp_path / "others/study-100.nrrd", weights,
    ]  # fmt: skip
    assert refused.value.message == "; ".join(f"{path} is not seen by there" for path in blind) + "."
    assert not list(tmp_path.rglob(".shared*"))


def test_another_process_that_trains_the_cell_is_waited_for_and_then_told(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr("vpt_plugin.study.runner_cell._PATIENCE_SECONDS", 0.1)
    cell = plan.cells()[1]
    folder = CellFolder.of(tmp_path, cell.id)
    folder.write_cell(cell)
    with FileLock(folder.root / ".lock"):
        failure = run_order(CellOrder(cell, plan, tmp_path))
    assert failure is not None
    assert "another process trains this very cell" in failure.message
    assert folder.failure() == failure


def test_a_part_of_a_plan_is_what_was_named_and_what_that_needs(plan: Plan) -> None:
    cells = plan.cells()
    assert [cell.id for cell in Part().of(cells)] == [PRETRAIN, NONE, CT]
    assert [cell.id for cell in Part(arms=("ct",)).of(cells)] == [PRETRAIN, CT]
    assert [cell.id for cell in Part(arms=("none",), seeds=(0,)).of(cells)] == [NONE]
    searched = replace(plan, learning_rates={"all": (1e-3, 1e-4)}).cells()
    assert len(Part(arms=("none",)).of(searched)) == 3
    with pytest.raises(ConfigurationError, match=r"no 'video' among its arms; choose from ct, none"):
        Part(arms=("video",)).of(cells)
    with pytest.raises(ConfigurationError, match=r"no 10\.0 among its percents; choose from 100"):
        Part(percents=(10.0,)).of(cells)


def test_cells_and_their_progress_in_words(plan: Plan, tmp_path: Path) -> None:
    pretrain, none, ct = plan.cells()
    assert cell_in_words(pretrain) == "pretraining: others, tiny, none, 100 %, seed 0"
    assert cell_in_words(ct) == "balls, tiny, CT, 100 %, seed 0"
    assert CellProgress.read(tmp_path, none.id) is None
