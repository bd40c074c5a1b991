"""The frame of the benchmarks: medians and ratios by hand, targets, and ways in processes of their own."""

import importlib
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def frame(monkeypatch, tmp_path):
    """``benchmarks/side_by_side.py``, whose results go to a folder of the test."""
    module = _module(monkeypatch, "side_by_side")
    monkeypatch.setattr(module, "RESULTS", tmp_path)
    return module


def _module(monkeypatch, name):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def taking(frame, *seconds):
    """A way that says it took these seconds, one after the other."""
    left = list(seconds)
    return lambda: frame.Done(left.pop(0))


def race(bench, frame, **more):
    # The first seconds of each are the warm-up's, which do not count.
    ways = {"theirs": taking(frame, 99, 4, 6, 10), "ours": taking(frame, 99, 2, 1, 5)}
    return bench.race("reading", ways, rounds=3, against="theirs", **more)


def test_the_median_is_of_the_seconds_and_the_ratio_is_the_median_of_the_rounds(frame):
    bench = frame.SideBySide("made up", "numbers")
    race(bench, frame)
    theirs, ours = bench.rows
    assert (theirs.median, theirs.least, theirs.most) == (6, 4, 10)
    assert theirs.ratio is None
    assert (ours.median, ours.least, ours.most) == (2, 1, 5)
    # 4 / 2, 6 / 1 and 10 / 5
    assert ours.ratio == 2


def test_ways_run_in_turns(frame):
    order = []
    ways = {name: lambda name=name: order.append(name) for name in ("a", "b", "c")}
    frame.SideBySide("made up", "numbers").race("turns", ways, rounds=2)
    assert "".join(order) == "abc" * 3


def test_a_missed_target_gives_exit_code_1_and_is_named(frame, capsys):
    bench = frame.SideBySide("made up", "numbers")
    race(bench, frame, targets={"ours": frame.Target(at_least=2.5)})
    assert bench.finish() == 1
    said = capsys.readouterr().out
    assert "MISSED: reading, ours against theirs: 2x, target at least 2.5x" in said
    assert "0 of 1 targets met" in said


def test_a_target_that_is_just_reached_is_met(frame):
    bench = frame.SideBySide("made up", "numbers")
    race(bench, frame, targets={"ours": frame.Target(at_least=2)})
    bench.figure("memory", "ours", 120, "MiB", target=frame.Target(at_most=120))
    assert bench.finish() == 0


def test_a_figure_above_its_limit_is_missed_and_one_that_is_no_number_too(frame):
    bench = frame.SideBySide("made up", "numbers")
    assert bench.figure(
        "memory", "ours", [90, 130, 121], "MiB", target=frame.Target(at_most=120)
    ).verdict == ("MISSED")
    assert bench.figure("fit", "ours", float("nan"), "", target=frame.Target(at_most=1)).verdict == "MISSED"
    assert bench.finish() == 1


def test_one_way_is_compared_with_two_others(frame):
    bench = frame.SideBySide("made up", "numbers")
    ways = {
        "plain": taking(frame, 8, 8),
        "tuned": taking(frame, 6, 6),
        "ours": taking(frame, 2, 2),
    }
    measured = bench.race("clip", ways, rounds=2, against="plain", warm_up=False)
    row = measured.compare("ours", "tuned", target=frame.Target(at_least=2.2))
    assert (row.ratio, row.verdict, row.figure, row.target_text) == (3, "met", "3x", "at least 2.2x")


def test_what_is_skipped_misses_nothing_and_says_why(frame, capsys):
    bench = frame.SideBySide("made up", "numbers")
    bench.skip("GPU", "ours", "there is no CUDA device here", target=frame.Target(at_most=3))
    assert bench.finish() == 0
    assert "skipped: there is no CUDA device here" in capsys.readouterr().out


def test_the_json_has_machine_versions_command_rows_and_verdicts(frame, tmp_path):
    bench = frame.SideBySide("made up", "numbers", gpu="none")
    race(bench, frame, targets={"ours": frame.Target(at_least=2.5)})
    bench.finish(fit={"slope": 1.5})
    content = json.loads((tmp_path / "made up.json").read_text())
    assert {"cpu", "cores", "memory_gib", "load_before", "command", "torch", "gpu"} <= set(content["machine"])
    assert [row["verdict"] for row in content["rows"]] == ["", "MISSED"]
    assert content["rows"][1]["figure"] == "2x"
    assert content["fit"] == {"slope": 1.5}


def test_a_target_that_asks_nothing_is_refused(frame):
    with pytest.raises(ValueError, match="at_least or at_most"):
        frame.Target()


def test_a_way_in_a_process_of_its_own_has_its_own_environment_and_times_itself(frame, monkeypatch, tmp_path):
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "1")
    process = _module(monkeypatch, "way_process")
    (tmp_path / "made_up_way.py").write_text(
        "import os, time\n"
        "def make(name):\n"
        "    print('this is no answer')\n"
        "    return lambda pause: (time.sleep(pause), os.environ.get(name))[1]\n"
    )
    environment = {"PYTHONPATH": str(tmp_path), "MALLOC_TOP_PAD_": "4096"}
    with process.WayProcess("made_up_way:make", {"name": "MALLOC_TOP_PAD_"}, environment) as way:
        done = way(pause=0.05)
    assert done.answer == "4096"
    assert 0.05 <= done.seconds < 5
    with process.WayProcess("made_up_way:make", {"name": "THP_MEM_ALLOC_ENABLE"}, environment) as way:
        assert way(pause=0).answer is None


def test_what_a_way_raises_in_its_process_is_told_here(monkeypatch):
    process = _module(monkeypatch, "way_process")
    with (
        process.WayProcess("json:loads", {"s": '"x"'}) as way,
        pytest.raises(process.WayFailedError, match="not callable"),
    ):
        way()
    with pytest.raises(process.WayFailedError, match="no_such_module"):
        process.WayProcess("no_such_module:way")


@pytest.mark.parametrize("network", ["slowfast_r50", "swin_t"])
def test_the_floor_of_an_h200_is_what_was_worked_out_beforehand(monkeypatch, network):
    floors = _module(monkeypatch, "floors")
    peaks = floors.Peaks(operations=790e12, bytes=4.3e12)
    # One of them is held up by the memory, the other by the products.
    assert floors.forward_floor_ms(network, "another", peaks) == pytest.approx(
        floors.forward_floor_ms(network, "NVIDIA H200", peaks), rel=0.05
    )


def outcome_of(frame, run, script, *rows):
    """What a script came to that had these rows."""
    return run.Outcome(script, 1.0, tuple(row.to_json() for row in rows))


def test_what_was_skipped_stands_at_the_end_beside_what_was_missed(frame, monkeypatch, capsys):
    run = _module(monkeypatch, "run")
    target = frame.Target(at_most=3)
    rows = (
        frame.Row("memory", "ours", "MiB", 4, 4, 4, 1, target=target),
        frame.Row("forward pass", "ours", "MiB", target=target, skipped="there is no GPU"),
        frame.Row("100 Mbit/s", "ours", skipped="full form only"),
    )
    assert run.summarise([outcome_of(frame, run, "upload", *rows)]) == 1
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "met: 0, missed: 1, skipped: 1",
        "skipped: forward pass, ours: there is no GPU, target at most 3 MiB (upload.py)",
        "skipped: 100 Mbit/s, ours: full form only (upload.py)",
        "MISSED: memory, ours: 4 MiB, target at most 3 MiB (upload.py)",
    ]


@pytest.mark.parametrize(("script", "code"), [("gpu", 0), ("clips", 1)])
def test_only_the_script_of_the_gpu_may_judge_nothing(frame, monkeypatch, capsys, script, code):
    run = _module(monkeypatch, "run")
    skipped = frame.Row("forward pass", "ours", target=frame.Target(at_most=3), skipped="not here")
    assert run.summarise([outcome_of(frame, run, script, skipped)]) == code
    assert ("FAILED: clips.py judged nothing" in capsys.readouterr().out) == (code == 1)


def test_the_quick_forms_together_leave_room_in_ten_minutes(monkeypatch):
    assert sum(_module(monkeypatch, "run").QUICK_SECONDS.values()) <= 560
