"""``vpt labels agreement`` on a real folder of labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import LeaseBook, Order


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["labels", "agreement", *map(str, arguments)])


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 studies that anna and bert read as in the textbook: kappa 0.4. For two of them bert was asked."""
    folder = tmp_path_factory.mktemp("agreement") / "studies"
    labels = LabelFolder(folder / "labels")
    said = {
        ("present", "present"): 20,
        ("present", "absent"): 5,
        ("absent", "present"): 10,
        ("absent", "absent"): 15,
    }
    pairs = [pair for pair, number in said.items() for _ in range(number)]
    for at, states in enumerate(pairs):
        for annotator, state in zip(("anna", "bert"), states, strict=True):
            findings = {"pulmonary_embolism": FindingLabel(state)}
            labels.save(f"p{at:02}", StudyLabel("pe", findings, annotator))
    labels.save("p99", StudyLabel("nodule", {"lung_nodule": FindingLabel("present")}, "clara"))
    orders = [Order(study, "pe", "double-read", "second") for study in ("p00", "p49")]
    LeaseBook(folder / "labels" / "worklist").offer(orders, "bert")
    return folder


def test_the_agreement_of_the_textbook_is_printed_with_its_interval_and_its_table(studies: Path) -> None:
    result = vpt(studies)
    assert (result.exit_code, result.stderr) == (0, "")
    told = words(result.stdout)
    assert "pe: 50 studies read by two or more readers; the second reading of 2 was asked for." in told
    assert "pulmonary_embolism the first reader and the second 50 0.700 0.400 [0." in told
    assert "present 20 5 0 absent 10 15 0 indeterminate 0 0 0" in told
    assert "may have seen the first label" in told
    assert "nodule" not in told


def test_only_readings_that_were_asked_for_are_few_here_and_that_is_said(studies: Path) -> None:
    told = words(vpt(studies, "--only-ordered").stdout)
    assert "pulmonary_embolism the first reader and the second 2 1.000 1.000 [n/a, n/a]" in told
    assert "2 studies are few: look at the interval." in told
    assert "may have seen" not in told


def test_programs_get_json(studies: Path) -> None:
    (pe,) = json.loads(vpt(studies / "labels", "--task", "pe", "--json").stdout)["tasks"]
    assert (pe["schema"], pe["task"], pe["studies"], pe["ordered"]) == ("vptct.agreement/1", "pe", 50, 2)
    assert pe["findings"]["pulmonary_embolism"]["kappa"]["value"] == pytest.approx(0.4)
    assert pe["pairs"][0]["readers"] == ["anna", "bert"]


def test_without_a_study_that_was_read_twice_the_way_to_one_is_told(studies: Path) -> None:
    assert "No study was read by two readers for nodule. With --conf double_read 0.1" in words(
        vpt(studies, "--task", "nodule").stdout
    )


def test_that_all_is_one_state_is_said_where_kappa_is_not_defined(tmp_path: Path) -> None:
    labels = LabelFolder(tmp_path)
    for annotator in ("anna", "bert"):
        labels.save("p1", StudyLabel("pe", {"pulmonary_embolism": FindingLabel("absent")}, annotator))
    told = words(vpt(tmp_path).stdout)
    assert "1 1.000 n/a n/a 1.000" in told
    assert "kappa is n/a where both readers say one and the same of every study." in told
