from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from vpt_plugin.errors import ConfigurationError
from vpt_plugin.study.cells import Cell, rate_in_words
from vpt_plugin.study.plan import Plan

SOUND = """\
title: A plan
datasets:
  set_a:
    task: nodule
    arms:
      100: [none]
networks: [tiny]
learning_rates: [1e-3]
"""


def plan_of(tmp_path: Path, text: str) -> Plan:
    path = tmp_path / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return Plan.read(str(path))


def changed(old: str, new: str) -> str:
    assert old in SOUND
    return SOUND.replace(old, new)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the file is empty"),
        ("title: [", "is not YAML"),
        (changed("title: A plan", "titel: A plan"), "line 1: titel is not a known field"),
        (changed("networks: [tiny]\n", ""), "lacks the field networks"),
        (changed("[tiny]", "[tiny, swin]"), "line 7: networks cannot be used: unknown model 'swin'"),
        (changed("task: nodule", "task: nodules"), "line 4: datasets.set_a cannot be used: unknown task"),
        (changed("[none]", "[non]"), "line 4: datasets.set_a cannot be used: dataset set_a: the arm 'non'"),
        (changed("100:", "all:"), "line 6: datasets.set_a.arms.all is no percentage"),
        (changed("100:", "101:"), "101 is no percentage"),
        (changed("1e-3", "fast"), "line 8: learning_rates must be a number, not 'fast'"),
        (SOUND + "training:\n  all:\n    batches: 3\n", "line 11: training.all.batches cannot be used"),
        (SOUND + "training:\n  all:\n    epochs: soon\n", "line 11: training.all.epochs cannot be used"),
        (SOUND + "training:\n  tine:\n    epochs: 3\n", "training.tine is set for no network"),
        (SOUND + "training:\n  all: {seed: 3}\n", "seed is no setting of a plan's training"),
        (SOUND + "sizes:\n  tiny: {clip_slices: 8, resize_px: 32, crop_px: 40}\n", "crop_px must be at most"),
        (SOUND + "seeds: [1, 1]\n", "seeds must be at least one, and each only once"),
        (SOUND + "seeds: [one]\n", "line 9: seeds must be a whole number, not 'one'"),
        (changed("[none]", "[none, ct]"), "arms with CT need a set to learn from first"),
        (changed("[none]", "[none, video]"), "nothing is published that it could begin from"),
        (SOUND + "title: Again\n", "line 9: title is there twice"),
    ],
)
def test_an_error_names_the_file_the_line_and_the_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        plan_of(tmp_path, text)
    assert str(tmp_path / "site.yaml") in str(error.value)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("cpus: 0", "cpus must be above 0"),
        ("cpus: -2", "cpus must be above 0"),
        ("cpus: 1.5", "cpus must be above 0, and a whole number above 1, not 1.5"),
        ("cpus: .inf", "cpus must be above 0"),
        ("gpus: -1", "gpus must be 0 or more"),
        ("gpus: {all: 1, tiny: 1.5}", "gpus must be 0 or more, and a whole number above 1, not 1.5"),
        ("gpus: .nan", "gpus must be 0 or more"),
    ],
)
def test_an_amount_that_no_computer_can_give_is_refused(tmp_path: Path, amount: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        plan_of(tmp_path, f"{SOUND}{amount}\n")


def test_a_part_of_a_core_or_gpu_is_an_amount_and_so_are_several_whole_ones(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"{SOUND}cpus: {{all: 0.5, tiny: 4}}\ngpus: 0\n")
    assert (plan.cpus_of("tiny"), plan.gpus_of("tiny")) == (4, 0)
    assert plan_of(tmp_path, f"{SOUND}cpus: 0.5\ngpus: 2\n").gpus_of("tiny") == 2


def test_a_name_that_is_neither_file_nor_plan_is_told_with_the_plans_there_are() -> None:
    with pytest.raises(ConfigurationError, match="built-in plans: paper, quick"):
        Plan.read("papers")


def test_a_rate_without_a_point_is_a_number_and_a_manifest_lies_beside_the_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, changed("task: nodule", "task: nodule\n    manifest: set/manifest.csv"))
    assert plan.rates_of("tiny") == (0.001,)
    assert plan.dataset("set_a").manifest == tmp_path / "set" / "manifest.csv"
    assert [cell.id for cell in plan.cells()] == ["set_a-tiny-none-100-s0"]


def test_settings_of_a_kind_and_of_a_network_count_more_than_those_of_all(tmp_path: Path) -> None:
    training = "training:\n  all: {batch: 16, epochs: 9}\n  2d: {batch: 32}\n  lrcn: {batch: 8}\n"
    plan = plan_of(tmp_path, changed("[tiny]", "[tiny, resnet18_2d, lrcn]") + training)
    batches = {network: plan.training_of(network)["batch"] for network in plan.networks}
    assert batches == {"tiny": 16, "resnet18_2d": 32, "lrcn": 8}
    assert plan.training_of("lrcn")["epochs"] == 9


def test_the_plan_of_the_paper_has_the_180_cells_of_its_table() -> None:
    plan = Plan.read("paper")
    finals = [cell for cell in plan.cells() if cell.stage == "final"]
    # RSNA: four arms at 100 and 10 %, two at 1 %; LIDC: four arms at 100 and 10 %. Ten networks each.
    assert Counter((cell.dataset, cell.percent) for cell in finals) == {
        ("rsna", 100): 40, ("rsna", 10): 40, ("rsna", 1): 20, ("lidc", 100): 40, ("lidc", 10): 40,
    }  # fmt: skip
    assert {cell.arm for cell in finals if cell.percent == 1} == {"none", "video"}
    # A search of five rates for each network's four arms on two sets, and for its two pretrainings.
    assert Counter(cell.stage for cell in plan.cells()) == {"final": 180, "pretrain": 20, "search": 500}


def test_the_plan_of_the_paper_trains_as_the_paper_did() -> None:
    plan = Plan.read("paper")
    cell = next(cell for cell in plan.cells() if cell.id == "rsna-swin_t-video-100-s0")
    assert cell.training == {
        "optimizer": "adam", "weight_decay": 1e-6, "schedule": "plateau", "plateau_patience": 5, "epochs": 50,
        "steps_per_epoch": "auto", "patience": 5, "augmentation": "paper", "batch": 16,
        "micro_batch": 16,
    }  # fmt: skip
    assert plan.training_of("resnext101_2d")["batch"] == 32
    # Batch norm counts over what goes through at once: how much that is may not hang on the free memory.
    for network in plan.networks:
        settings = plan.training_of(network)
        assert settings["micro_batch"] == settings["batch"]
    assert plan.rates_of("swin_t") == (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
    assert (cell.task, cell.learning_rate, cell.start_cell) == ("pe", None, "")
    assert cell.needs == tuple(f"rsna-swin_t-video-10-s0-lr1e-{power}" for power in range(1, 6))


def test_the_arms_with_ct_need_the_pretraining_that_began_as_they_say() -> None:
    cells = {cell.id: cell for cell in Plan.read("paper").cells()}
    assert cells["lidc-penet-ct-100-s0"].start_cell == "ct_set-penet-none-100-s0-pretrain"
    assert cells["lidc-penet-video+ct-10-s0"].start_cell == "ct_set-penet-video-100-s0-pretrain"
    pretraining = cells["ct_set-penet-video-100-s0-pretrain"]
    assert (pretraining.dataset, pretraining.arm, pretraining.percent) == ("ct_set", "video", 100)
    # A search of an arm with CT begins from the pretraining, too.
    assert cells["lidc-penet-ct-10-s0-lr1e-3"].needs == ("ct_set-penet-none-100-s0-pretrain",)


@pytest.mark.parametrize("name", ["paper", "quick"])
def test_what_a_cell_needs_comes_before_it_and_ids_are_unique(name: str) -> None:
    seen: set[str] = set()
    for cell in Plan.read(name).cells():
        assert cell.id not in seen
        assert seen.issuperset(cell.needs)
        seen.add(cell.id)


def test_the_quick_plan_is_27_trainings_of_three_networks_and_says_that_it_proves_nothing() -> None:
    plan = Plan.read("quick")
    # Per network one pretraining, and two arms x two fractions x two seeds; one rate, so no search.
    assert Counter(cell.stage for cell in plan.cells()) == {"pretrain": 3, "final": 24}
    assert "phantoms" in plan.title
    assert "prove nothing" in plan.title
    sets = [each.phantoms for each in plan.all_datasets]
    first, second = (range(s.first_patient, s.first_patient + s.count) for s in sets if s)
    assert not set(first) & set(second)


@pytest.mark.parametrize("name", ["paper", "quick"])
def test_plan_and_cells_are_the_same_after_json(name: str) -> None:
    plan = Plan.read(name)
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert [Cell.from_json(json.loads(json.dumps(cell.to_json()))) for cell in plan.cells()] == list(
        again.cells()
    )


def test_json_with_a_field_that_nobody_knows_is_refused() -> None:
    plan = Plan.read("quick")
    with pytest.raises(ConfigurationError, match="the field 'gpu' is unknown"):
        Plan.from_json({**plan.to_json(), "gpu": 1})
    with pytest.raises(ConfigurationError, match=r"'vptct\.cell/1'"):
        Cell.from_json({**plan.cells()[0].to_json(), "schema": "vptct.cell/2"})


def test_manifests_are_named_by_dataset_and_the_ct_set_may_be_called_otherwise(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("study,path,patient,split\n", encoding="utf-8")
    plan = Plan.read("paper").with_manifests({"rsna": manifest, "radfusion": manifest}, ct="radfusion")
    assert plan.dataset("radfusion").manifest == manifest
    assert plan.cells()[0].id == "radfusion-slow_r50-none-10-s0-lr1e-1"
    (missing,) = plan.missing_manifests()
    assert re.search(r"dataset lidc: no manifest was named.*--dataset lidc=", str(missing))
    with pytest.raises(ConfigurationError, match="no dataset 'kaggle'; choose from rsna, lidc, ct_set"):
        Plan.read("paper").with_manifests({"kaggle": manifest})
    with pytest.raises(ConfigurationError, match="is no file"):
        plan.with_manifests({"lidc": tmp_path / "gone.csv"})


def test_rates_are_written_as_people_write_them() -> None:
    assert [rate_in_words(rate) for rate in (0.1, 1e-5, 2.5e-4)] == ["1e-1", "1e-5", "2.5e-4"]
