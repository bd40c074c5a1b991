"""What is to be done of an experiment, by what lies in its folder: no result of something else is taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_experiment import make_experiment

from vpt_plugin.data.manifest import Manifest
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.models.card import Estimate
from vpt_plugin.study.cell_folder import CellFolder
from vpt_plugin.study.cell_records import CellResult, Failure
from vpt_plugin.study.cell_studies import read_manifest
from vpt_plugin.study.cells import Cell
from vpt_plugin.study.facts import manifest_sha256, task_sha256
from vpt_plugin.study.plan import Plan
from vpt_plugin.study.results import StudyResults
from vpt_plugin.study.runner_orders import Part, is_ready, standing_of, waits_for

CHOSEN, OTHER = 1e-3, 1e-4


def change(out: Path, cell: Cell, how: Callable[[CellResult], CellResult]) -> None:
    """Write the cell's result anew."""
    folder = CellFolder.of(out, cell.id)
    result = folder.result()
    assert result is not None
    folder.write_result(how(result), folder.answers())


def of(**provenance: str) -> Callable[[CellResult], CellResult]:
    return lambda result: replace(result, provenance=replace(result.provenance, **provenance))


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[..., tuple[Plan, Path]]:
    """A plan and its folder, all its cells done on the very studies that it names."""

    def make(**options: Any) -> tuple[Plan, Path]:
        out = make_experiment(tmp_path, seeds=(0,), **options)
        plan = Plan.read(str(tmp_path / "plan.yaml"))
        task = plan.datasets[0].reading_task()
        manifest = read_manifest(Manifest.read(plan.datasets[0].manifest_file()), task)
        sha256 = manifest_sha256(manifest, task.name)
        for cell in plan.cells():
            change(out, cell, of(manifest_sha256=sha256, task_sha256=task_sha256(task)))
            if cell.stage == "search":
                auroc = {"lung_nodule": Estimate(0.9 if cell.learning_rate == CHOSEN else 0.6, (0.5, 1.0), 9)}
                change(out, cell, lambda result, auroc=auroc: replace(result, validation_auroc=auroc))
        return plan, out

    return make


def test_what_is_done_of_other_parts_of_the_plan_is_checked_and_not_counted(
    experiment: Callable[..., tuple[Plan, Path]],
) -> None:
    plan, out = experiment(arms="{100: [none]}", networks=("slow_r50", "resnet18_2d"))
    slow, flat = plan.cells()
    shutil.rmtree(CellFolder.of(out, flat.id).root)
    part = Part(networks=("resnet18_2d",))
    standing = standing_of(plan, part.of(plan.cells()), out)
    assert (standing.done, standing.to_run) == (frozenset(), (flat,))

    changed = plan.with_settings({"epochs": 2})
    with pytest.raises(ConfigurationError, match=rf"{slow.id} is done, but of something else.*training"):
        standing_of(changed, part.of(changed.cells()), out)


def test_a_folder_with_results_of_two_plans_is_no_table(
    experiment: Callable[..., tuple[Plan, Path]],
) -> None:
    plan, out = experiment(arms="{100: [none]}", networks=("slow_r50", "resnet18_2d"))
    assert len(StudyResults.read(out).finals) == 2
    changed = plan.with_settings({"epochs": 2})
    (out / "plan.json").write_text(json.dumps(changed.to_json()), encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=rf"{plan.cells()[0].id} is done .*not as its plan\.json says"
    ):
        StudyResults.read(out)


def test_what_began_from_a_pretraining_that_was_done_again_is_not_taken(
    experiment: Callable[..., tuple[Plan, Path]],
) -> None:
    plan, out = experiment(arms="{100: [none, ct]}", networks=("slow_r50",))
    (final,) = (cell for cell in plan.cells() if cell.arm == "ct")
    change(out, final, of(start_sha256="d" * 64))  # the weights of the pretraining
    assert len(standing_of(plan, plan.cells(), out).done) == 3
    pretraining = next(cell for cell in plan.cells() if cell.stage == "pretrain")
    change(out, pretraining, of(weights_sha256="1" * 64))
    with pytest.raises(
        ConfigurationError, match=rf"{final.id} is done.*changed since: the pretraining on CTs"
    ):
        standing_of(plan, plan.cells(), out)


def test_what_was_trained_at_a_rate_that_the_search_no_longer_chooses_is_not_taken(
    experiment: Callable[..., tuple[Plan, Path]],
) -> None:
    plan, out = experiment(arms="{100: [none]}", networks=("slow_r50",), rates=("1.0e-3", "1.0e-4"))
    assert len(standing_of(plan, plan.cells(), out).done) == 3
    (final,) = (cell for cell in plan.cells() if cell.stage == "final")
    change(out, final, lambda result: replace(result, learning_rate=OTHER))
    with pytest.raises(ConfigurationError, match=rf"{final.id} is done.*the chosen learning rate"):
        standing_of(plan, plan.cells(), out)
    # Where a rate is to be tried again, nothing is chosen yet.
    shutil.rmtree(CellFolder.of(out, final.search_cells[0]).root)
    assert len(standing_of(plan, plan.cells(), out).done) == 2


def test_a_learning_rate_that_failed_leaves_the_choice_to_the_others() -> None:
    final = Cell("final", "a", "nodule", "tiny", "ct", 100, 0, None, {}, None, "begun", ("one", "two"))
    failed = Failure("it failed")
    one = {"one": failed}
    assert not is_ready(final, {"begun", "one"}, {})
    assert is_ready(final, {"begun", "one", "two"}, {})
    assert is_ready(final, {"begun", "two"}, one)
    assert not is_ready(final, {"two"}, one)
    assert waits_for(final, one) is None
    both = waits_for(final, {**one, "two": failed})
    assert both is not None
    assert both.needs == "one"
    begun = waits_for(final, {"begun": failed})
    assert begun is not None
    assert begun.needs == "begun"
