"""``vpt import``: the summary, a process killed in between, Ctrl+C, and from RSNA-PE to a trained model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rsna_set import MadeStudy, usual_studies, write_rsna_set, write_table
from typer.testing import CliRunner, Result

from vpt_plugin.cli import app
from vpt_plugin.training.model_store import ModelStore

PATIENCE_SECONDS = 60
pytestmark = pytest.mark.usefixtures("disk_without_waiting")


def vpt(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(each) for each in arguments])


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def rsna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty studies of eight slices in the layout of Kaggle, without a contradiction."""
    return write_rsna_set(tmp_path_factory.mktemp("kaggle") / "rsna", usual_studies(40))


@pytest.fixture(scope="module")
def long_rsna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies enough for a process to be caught in the middle."""
    return write_rsna_set(tmp_path_factory.mktemp("long") / "rsna", usual_studies(40, slices=16), pixels=4)


@contextmanager
def importing(folder: Path, out: Path) -> Iterator[subprocess.Popen[str]]:
    """``vpt import rsna`` with two processes of its own, all in a group that can be interrupted."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vpt_plugin.cli", "import", "rsna", folder, "--to", out, "--workers", "2"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < end, "it was never reached"
        time.sleep(0.005)


def kept(out: Path) -> int:
    """How many studies an import has read so far."""
    file = out / ".import" / "rsna.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def processes_of(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,pid="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    return [pid for own, state, pid in rows if int(own) == group and not state.startswith("Z")]


def written(out: Path) -> dict[str, bytes]:
    files = (path for path in out.rglob("*") if path.is_file() and ".import" not in path.parts)
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_an_import_is_told_in_words_with_counts_per_state_and_side_and_the_next_command(
    rsna: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = vpt("import", "rsna", rsna, "--to", out, "--workers", 1)
    assert (done.exit_code, done.stderr) == (0, "")
    said = words(done.stdout)
    assert said.startswith("Imported 40 studies of 40 patients; refused 0.")
    assert "train validation test" in said
    # Of three kinds of embolism there are four each: two, one and one of them.
    assert "rsna_pe.chronic_pe present 2 1 1" in said
    assert "pe.pulmonary_embolism present 6 3 3" in said
    assert "manifest-10.csv (10 % of the training side)" in said
    assert f"vpt finetune {out / 'manifest.csv'} --task pe" in said
    assert f"vpt finetune {out / 'manifest.csv'} --task-file {out / 'rsna_pe.yaml'}" in said


def test_what_is_refused_is_told_the_first_of_them_and_how_many_more(tmp_path: Path) -> None:
    good, bad = MadeStudy("good"), [MadeStudy(f"bad {n}", {}, (1,) if n else ()) for n in range(7)]
    folder = write_rsna_set(tmp_path / "rsna", [good, *bad])
    write_table(folder, [row | ({"negative_exam_for_pe": 1} if row["pe_present_on_image"] else {})
                         for study in (good, *bad) for row in study.rows()])  # fmt: skip
    done = vpt("import", "rsna", folder, "--to", tmp_path / "out", "--workers", 1)
    assert done.exit_code == 0
    assert "refused 7." in done.stdout
    assert "train.csv contradicts itself: its rows do not agree on negative_exam_for_pe." in done.stdout
    assert "  and 2 more" in done.stdout


def test_a_dry_run_says_so_and_leaves_nothing(rsna: Path, tmp_path: Path) -> None:
    done = vpt("import", "rsna", rsna, "--to", tmp_path / "out", "--workers", 1, "--dry-run")
    assert done.stdout.startswith("Would import 40 studies")
    assert done.stdout.endswith("Nothing was written: this was a dry run.\n")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_data_set_is_a_usage_error(tmp_path: Path) -> None:
    done = vpt("import", "rsna", tmp_path, "--to", tmp_path / "out")
    assert done.exit_code == 2
    assert f"error: {tmp_path / 'train.csv'} is not there;" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_import_leaves_no_process_and_goes_on_where_it_was(long_rsna: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with importing(long_rsna, out) as process:
        wait_until(lambda: kept(out) >= 3)
        process.kill()
        process.wait()
    assert not (out / "manifest.csv").exists()
    wait_until(lambda: not processes_of(process.pid))
    before = kept(out)
    again = vpt("import", "rsna", long_rsna, "--to", out, "--workers", 1)
    assert again.exit_code == 0
    assert f"Imported 40 studies of 40 patients, {before} of them read by an earlier run" in again.stdout
    assert 3 <= before < 40
    untouched = vpt("import", "rsna", long_rsna, "--to", tmp_path / "untouched", "--workers", 1)
    assert untouched.exit_code == 0
    # The names of the labels and the paths in the manifests are relative: both folders hold the same.
    assert written(out) == written(tmp_path / "untouched")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no groups of processes to interrupt")
def test_ctrl_c_ends_in_words_and_with_the_exit_code_of_the_shell(long_rsna: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with importing(long_rsna, out) as process:
        wait_until(lambda: kept(out) >= 1)
        # As the terminal does it: to the command and to the processes that it started.
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert said == f"Stopped. What was read is kept in {out}; the same command goes on from there.\n"
    assert not (out / "manifest.csv").exists()
    # The tracker of shared memory, which Python started, notices a little later.
    wait_until(lambda: not processes_of(process.pid))


def test_from_the_download_to_trained_models_of_both_tasks(
    rsna: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VPTCT_HOME", str(tmp_path / "home"))
    out, models = tmp_path / "out", tmp_path / "models"
    assert vpt("import", "rsna", rsna, "--to", out, "--workers", 1).exit_code == 0
    for task in (("--task", "pe"), ("--task-file", out / "rsna_pe.yaml")):
        arguments = (*task, "--model", "tiny", "--models-dir", models, "--device", "cpu", "--no-report")
        short = ("--epochs", 1, "--steps-per-epoch", 1, "--batch", 2)
        trained = vpt("finetune", out / "manifest.csv", *arguments, *short)
        assert trained.exit_code == 0, trained.stderr
    card = ModelStore(models).card("pe", "tiny")
    # Of the 25 of the training side two are indeterminate: kept, never trained on.
    assert (card.trained_on, card.synthetic) == (23, False)
    assert len(ModelStore(models).card("rsna_pe", "tiny").findings) == 9
