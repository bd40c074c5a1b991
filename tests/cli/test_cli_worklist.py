"""``vpt next``, ``vpt worklist`` and ``vpt skip`` on a folder of studies, beside a server or without one."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from vpt_plugin.active.score_arrays import ScoredBy
from vpt_plugin.active.score_folders import scores_root
from vpt_plugin.active.score_shard import StudyScore
from vpt_plugin.active.scores import ScoreFolder
from vpt_plugin.cli import app
from vpt_plugin.labels import FindingLabel, StudyLabel
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.leases import FOLDER, LeaseBook
from vpt_plugin.store.studies import StudyFolder
from vpt_plugin.training.model_store import ModelStore

IDS = [f"p{number}--ct.nii.gz" for number in range(1, 5)]


@pytest.fixture
def studies(tmp_path: Path, write_study: Callable[[Path], Path]) -> Path:
    """Four studies; anna has labelled the first one."""
    root = tmp_path / "studies"
    for number in range(1, 5):
        write_study(root / f"p{number}" / "ct.nii.gz")
    label = StudyLabel("nodule", {"lung_nodule": FindingLabel("present")}, annotator="anna")
    LabelFolder(root / "labels").save(IDS[0], label)
    return root


@pytest.fixture
def scored(models_dir: Path, studies: Path, tmp_path: Path) -> Path:
    """Version 1 of nodule/tiny has scored all four: the third is the one it is least sure of."""
    models_dir = shutil.copytree(models_dir, tmp_path / "models")
    by = ScoredBy.of_card(ModelStore(models_dir).card("nodule", "tiny", 1))
    folder = ScoreFolder(scores_root(models_dir, StudyFolder(studies)), by)
    rows = [
        StudyScore(study, "1", np.eye(4)[row], np.eye(4)[row], np.array([chance]), np.zeros(1))
        for row, (study, chance) in enumerate(zip(IDS, (0.9, 0.1, 0.5, 0.2), strict=True))
    ]
    with folder.scoring():
        folder.begin(4)
        folder.add(rows, [])
        folder.end()
    return models_dir


@pytest.fixture
def vpt(studies: Path, tmp_path: Path) -> Callable[..., Result]:
    """A command on these studies, as ben, with a store of models that is empty unless one is given."""

    def run(command: str, *arguments: object, models: Path = tmp_path / "none", ok: bool = True) -> Result:
        given = [command, studies, *arguments, "--task", "nodule", "--reader", "ben"]
        if command != "skip":
            given += ["--models-dir", models]
        result = CliRunner().invoke(app, list(map(str, given)))
        assert (result.exit_code == 0) is ok, result.output
        return result

    return run


def held(studies: Path) -> dict[str, str]:
    leases = LeaseBook(studies / "labels" / FOLDER).held()
    return {study: lease.reader for study, lease in leases.items()}


def test_next_says_which_study_and_why_and_keeps_it(
    vpt: Callable[..., Result], studies: Path, scored: Path
) -> None:
    result = vpt("next", "--strategy", "uncertain", models=scored)
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[:2] == [IDS[2], "nifti, p3/ct.nii.gz"]
    assert lines[2].endswith("(uncertain)")
    assert lines[3] == "probability: lung_nodule 0.500"
    assert lines[4].startswith(f"most like it of the labelled ones: {IDS[0]} (distance ")
    assert lines[5].startswith("kept for ben until ")
    assert "Left: 2 studies (0 not scored yet). In readers' hands: 1." in result.stderr
    assert "Labelled: 1 (lung_nodule 1 present, 0 absent, 0 indeterminate)." in result.stderr
    assert held(studies) == {IDS[2]: "ben"}


def test_next_twice_gives_two_studies_and_in_the_end_none(vpt: Callable[..., Result], studies: Path) -> None:
    given = [vpt("next").stdout.splitlines()[0] for _ in range(3)]
    assert sorted(given) == IDS[1:]
    result = vpt("next")
    assert result.stdout == ""
    assert "no study is left" in result.stderr
    assert set(held(studies)) == set(IDS[1:])


def test_next_as_json_is_what_a_server_answers(vpt: Callable[..., Result], scored: Path) -> None:
    told = json.loads(vpt("next", "-n", 2, "--json", models=scored).stdout)
    assert (told["schema"], told["task"], len(told["studies"])) == ("vptct.next/1", "nodule", 2)
    assert told["model"] == {"name": "tiny", "version": 1, "pretraining": "none"}


def test_a_second_reading_is_asked_for_by_its_share(vpt: Callable[..., Result]) -> None:
    told = json.loads(vpt("next", "--double-read", 1, "--json").stdout)
    assert [(each["study"], each["reading"]) for each in told["studies"]] == [(IDS[0], "second")]
    assert (
        "In readers' hands: 0 and 1 for a second reading."
        in vpt("next", "--unseen", "--to", "20200101").stderr
    )


def test_a_strategy_that_needs_scores_is_refused_with_a_way_out(
    vpt: Callable[..., Result], studies: Path
) -> None:
    result = vpt("next", "--strategy", "typical", ok=False)
    assert result.exit_code == 1
    assert "Choose auto or random" in result.stderr
    assert held(studies) == {}


def test_the_worklist_is_a_table_and_keeps_nothing(
    vpt: Callable[..., Result], studies: Path, scored: Path, tmp_path: Path
) -> None:
    result = vpt("worklist", "--strategy", "uncertain", models=scored)
    rows = list(csv.DictReader(io.StringIO(result.stdout_bytes.decode("utf-8-sig"))))
    assert [row["study"] for row in rows] == [IDS[2], IDS[3], IDS[1]]
    assert [row["probability lung_nodule"] for row in rows] == ["0.5", "0.2", "0.1"]
    assert held(studies) == {}
    file = tmp_path / "worklist.csv"
    vpt("worklist", "--strategy", "uncertain", "-o", file, models=scored)
    assert file.read_bytes() == result.stdout_bytes
    again = vpt("worklist", "-o", file, ok=False)
    assert (again.exit_code, "is there already" in again.stderr) == (2, True)


def test_the_worklist_as_json_has_no_leases(vpt: Callable[..., Result]) -> None:
    told = json.loads(vpt("worklist", "-n", 2, "--json").stdout)
    assert [each["lease"] for each in told["studies"]] == [None, None]


def test_a_skipped_study_is_not_offered_again_until_it_is_taken_back(vpt: Callable[..., Result]) -> None:
    first = vpt("next").stdout.splitlines()[0]
    assert (
        f"{first} is skipped." in vpt("skip", first, "--reason", "unreadable", "--comment", "no lungs").stdout
    )
    others = json.loads(vpt("next", "-n", 9, "--json").stdout)
    assert sorted(each["study"] for each in others["studies"]) == sorted(set(IDS[1:]) - {first})
    vpt("skip", first, "--undo")
    assert vpt("next").stdout.splitlines()[0] == first


def test_a_skip_needs_a_study_that_is_there_and_a_reason_that_is_known(vpt: Callable[..., Result]) -> None:
    assert "there is no study" in vpt("skip", "p9", "--reason", "unsure", ok=False).stderr
    assert "choose from poor_quality" in vpt("skip", IDS[1], "--reason", "ugly", ok=False).stderr
    assert "give --reason" in vpt("skip", IDS[1], ok=False).stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), f"error: it is not said why {IDS[1]} is to be skipped;"),
        (("--undo", "--reason", "unsure"), "error: --reason and --undo exclude each other;"),
    ],
)
def test_a_skip_without_a_reason_and_one_that_is_taken_back_at_once_are_told_apart(
    vpt: Callable[..., Result], options: tuple[str, ...], said: str
) -> None:
    result = vpt("skip", IDS[1], *options, ok=False)
    assert (result.exit_code, result.stderr.splitlines()[0]) == (2, said)


def test_what_another_reader_has_cannot_be_skipped(vpt: Callable[..., Result], studies: Path) -> None:
    first = vpt("next").stdout.splitlines()[0]
    arguments = ["skip", studies, first, "--task", "nodule", "--reason", "unsure", "--reader", "eve"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 1
    assert held(studies) == {first: "ben"}
