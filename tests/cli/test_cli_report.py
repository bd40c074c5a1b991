"""What the answers look like, from predictions made by hand."""

from __future__ import annotations

import csv
import io
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from rich import progress as rich_progress
from rich.console import Console

from vpt_plugin.cli.console import _fitted, progress_columns
from vpt_plugin.cli.report import FORMATS, short_names
from vpt_plugin.cli.words import command_line, duration, estimate_in_words, model_in_words, progress_in_words
from vpt_plugin.ct.suitability import Check, Suitability
from vpt_plugin.inference import ClipProbability, FindingPrediction, Prediction
from vpt_plugin.inference.conformal import with_decisions
from vpt_plugin.inference.evidence import HeatMapFacts, MapFacts
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.models.conformal_record import NEARLY, ConformalRecord, ConformalScores
from vpt_plugin.training.progress import Progress

CARD = ModelCard(
    task="nodule",
    model="tiny",
    findings=("lung_nodule",),
    pretraining="none",
    clip_slices=16,
    version=2,
    trained_on=84,
    validation_auroc={"lung_nodule": Estimate(0.93, (0.85, 0.98), 18)},
)


def answer(*probabilities: float, warnings: tuple[str, ...] = (), notes: tuple[str, ...] = ()) -> Prediction:
    """Clips of 16 slices side by side, 2 mm apart, from z = -100 mm on."""
    clips = tuple(
        ClipProbability(16 * i, 16 * i + 15, (32.0 * i - 100, 32.0 * i - 70), p)
        for i, p in enumerate(probabilities)
    )
    finding = FindingPrediction("lung_nodule", max(probabilities), 0.4, -84.0, clips)
    seconds = {"read": 0.5, "prepare": 0.25, "network": 0.5, "total": 1.25}
    return Prediction(CARD, (finding,), warnings, seconds, notes)


def printed(kind: str, answers: dict[str, Prediction], capsys: pytest.CaptureFixture[str]) -> str:
    with FORMATS[kind]() as report:
        for study, prediction in answers.items():
            report.add(study, prediction)
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def words_of(line: str) -> list[str]:
    return line.split()


def test_the_table_says_finding_probability_decision_and_where_to_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed("table", {"a.nii.gz": answer(0.1, 0.83), "b": answer(0.2)}, capsys).splitlines()
    rows = [words_of(line) for line in lines if "lung_nodule" in line and "Model" not in line]
    assert rows == [
        [
            "a.nii.gz",
            "lung_nodule",
            "0.830",
            "present",
            "0.400",
            "-84.0",
            "-68.0",
            "to",
            "-38.0",
            "n/a",
            "1.2",
        ],
        ["b", "lung_nodule", "0.200", "absent", "0.400", "-84.0", "-", "n/a", "1.2"],
    ]
    assert lines[-1] == "For research only; not a medical device."


def test_the_table_says_whose_warning_it_is_unless_it_is_everybodys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = {
        name: answer(0.5, warnings=("phantoms only", *own))
        for name, own in [("a", ("thick",)), ("b", ()), ("c", ())]
    }
    lines = printed("table", answers, capsys).splitlines()
    assert [line for line in lines if line.startswith("warning")] == [
        "warning: phantoms only",
        "warning: a: thick",
    ]


def test_what_is_said_of_single_studies_stands_together_with_the_study_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = {
        "a": answer(0.5, warnings=("thick", "noisy"), notes=("two series",)),
        "b": answer(0.5, warnings=("thin", "thick")),
        "c": answer(0.5),
    }
    lines = printed("table", answers, capsys).splitlines()
    assert [line for line in lines if line.startswith(("warning", "note"))] == [
        "warning: a: thick", "warning: a: noisy", "note: a: two series",
        "warning: b: thin", "warning: b: thick",
    ]  # fmt: skip


def test_of_an_unfit_study_people_read_unsure_and_programs_the_thresholds_decision(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = {
        verdict: replace(answer(0.83), suitability=Suitability((Check("lungs", verdict, "lungs"),)))
        for verdict in ("fits", "doubtful", "unfit")
    }
    rows = [words_of(line) for line in printed("table", answers, capsys).splitlines() if "0.830" in line]
    said = {"fits": "present", "doubtful": "present", "unfit": "unsure"}
    assert [(row[0], row[3], row[-2]) for row in rows] == [(kind, said[kind], kind) for kind in said]
    table = csv.DictReader(io.StringIO(printed("csv", answers, capsys)))
    assert [(row["suits"], row["decision"]) for row in table] == list(said.items())
    (_, _, unfit) = json.loads(printed("json", answers, capsys))
    assert unfit["vptct"]["findings"][0]["decision"] == "present"


def test_the_table_says_where_heat_maps_are_and_names_the_side_of_their_hottest_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    facts = (
        MapFacts("lung_nodule", "maps/a.nii.gz", -84.0, (-12.04, 40.5, -84.0)),
        MapFacts("embolus", "maps/b.nii.gz", None, None),
    )
    answers = {"a": replace(answer(0.5), heat_map=HeatMapFacts("HiResCAM", facts))}
    lines = printed("table", answers, capsys).splitlines()
    assert [line for line in lines if line.startswith("heat map")] == [
        "heat map: a: lung_nodule in maps/a.nii.gz, hottest 12.0 mm right, 40.5 mm back of the scanner's "
        "origin, in the slice at -84.0 mm",
        "heat map: a: embolus in maps/b.nii.gz, 0 everywhere: nothing in the study speaks for it",
    ]


def test_what_is_nothing_to_worry_about_is_a_note_in_the_table_and_the_last_of_the_warnings_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = {"a": answer(0.5, warnings=("thick",), notes=("one file was no DICOM",))}
    lines = printed("table", answers, capsys).splitlines()
    assert [line for line in lines if line.startswith(("warning", "note"))] == [
        "warning: thick",
        "note: one file was no DICOM",
    ]
    (row,) = csv.DictReader(io.StringIO(printed("csv", answers, capsys)))
    assert row["warnings"] == "thick; one file was no DICOM"


def test_long_names_lose_their_middle_where_the_terminal_is_narrow_and_nothing_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = [f"1.3.6.1.4.1.14519.5.2.1.6279.6001.298806137288633453246975630{end}" for end in (178, 205)]
    answers = {uid: answer(0.5) for uid in uids}
    assert all(uid in printed("table", answers, capsys) for uid in uids)
    monkeypatch.setattr("vpt_plugin.cli.console._WIDTH_OF_A_PIPE", 106)
    rows = [line for line in printed("table", answers, capsys).splitlines() if " lung_nodule " in line][:2]
    # 75 for the other eight columns and 10 blanks leave 21: 9, the dots, 9.
    assert [row.split()[0] for row in rows] == ["1.3.6.1.4...975630178", "1.3.6.1.4...975630205"]
    assert [len(row) for row in rows] == [106, 106]


def test_names_that_would_look_the_same_are_folded_instead() -> None:
    columns, rows = ("study", "x"), [(f"{'a' * 30}{number}{'b' * 30}", "1") for number in range(2)]
    assert _fitted(columns, rows, 0, 30) == rows
    assert _fitted(columns, rows[:1], 0, 30) == [("aaaaaaaaaaa...bbbbbbbbbbbb", "1")]


def test_json_is_a_list_of_results_each_with_its_study(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed("json", {"a": answer(0.1), "b": answer(0.9)}, capsys))
    assert [each["study"] for each in found] == ["a", "b"]
    assert found[1] == {"study": "b", **answer(0.9).to_json()}


def test_json_of_no_answers_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(printed("json", {}, capsys)) == []


def test_what_was_answered_is_printed_even_when_the_rest_breaks_off(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with suppress(KeyboardInterrupt), FORMATS["json"]() as report:
        report.add("a", answer(0.1))
        raise KeyboardInterrupt
    assert [each["study"] for each in json.loads(capsys.readouterr().out)] == ["a"]


def test_csv_has_a_row_per_study_and_finding(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed("csv", {"a, with comma": answer(0.1, 0.83, warnings=("one", "two"))}, capsys)
    (row,) = csv.DictReader(io.StringIO(text))
    assert row == {
        "study": "a, with comma",
        "task": "nodule",
        "model": "tiny",
        "version": "2",
        "finding": "lung_nodule",
        "probability": "0.830000",
        "threshold": "0.400000",
        "decision": "present",
        "key_slice_mm": "-84.00",
        "evidence_mm": "-68.0 to -38.0",
        "entropy": "0.657705",
        "clip_disagreement": "0.365000",
        "seconds": "1.250",
        "warnings": "one; two",
        **dict.fromkeys(("sure", "error_rate", "p_present", "p_absent", "suits"), ""),
    }


def test_where_a_version_can_tell_how_sure_it_is_the_table_and_the_csv_say_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Of 19 that have it two got at most 0.53, of 19 that do not five got at least that.
    scores = ConformalScores.of([0.5 + 0.02 * n for n in range(19)], [0.04 * n for n in range(19)])
    card = replace(CARD, conformal=ConformalRecord({"lung_nodule": scores}, False, {}))
    answers = {
        name: with_decisions(replace(answer(probability), card=card), 0.1)
        for name, probability in (("a", 0.83), ("b", 0.53), ("c", 0.2))
    }
    lines = printed("table", answers, capsys).splitlines()
    rows = [words_of(line)[:6] for line in lines if "lung_nodule" in line and "Model" not in line]
    assert rows == [
        ["a", "lung_nodule", "0.830", "present", "0.400", "present"],
        ["b", "lung_nodule", "0.530", "present", "0.400", "unsure"],
        ["c", "lung_nodule", "0.200", "absent", "0.400", "absent"],
    ]
    meaning = (
        "Sure: present or absent where of studies like its validation studies at most 10 % are then wrong, "
        "else unsure. Decision: by the threshold alone, so that the two may differ."
    )
    assert meaning in lines
    folds = replace(card, conformal=ConformalRecord({"lung_nodule": scores}, True, {}))
    nearly = printed("table", {"a": replace(answers["a"], card=folds)}, capsys).splitlines()
    assert f"{meaning} {NEARLY}" in nearly
    (_, unsure, _) = csv.DictReader(io.StringIO(printed("csv", answers, capsys)))
    told = {name: unsure[name] for name in ("sure", "error_rate", "p_present", "p_absent")}
    assert told == {"sure": "unsure", "error_rate": "0.1", "p_present": "0.150000", "p_absent": "0.300000"}


def test_a_model_is_told_in_one_line() -> None:
    assert model_in_words(CARD) == (
        "Model nodule/tiny version 2: pretraining none, trained on 84 studies, not calibrated; "
        "validation AUROC: lung_nodule 0.930 [0.850, 0.980] (18 studies)."
    )


def test_an_undefined_figure_is_not_applicable_and_has_no_interval() -> None:
    nan = float("nan")
    assert estimate_in_words(Estimate(nan, (nan, nan), 3)) == "n/a (3 studies)"
    assert estimate_in_words(Estimate(1.0, (nan, nan), 4)) == "1.000 [n/a, n/a] (4 studies)"


def test_progress_is_told_in_words() -> None:
    now = Progress("training", step=120, steps=700, epoch=2, epochs=7, loss=0.4123, validation_auroc=0.871)
    assert progress_in_words(now) == "training: epoch 2/7, loss 0.412, validation AUROC 0.871"
    assert progress_in_words(Progress("preparing", step=3, steps=10)) == "preparing"


@pytest.mark.parametrize(
    ("seconds", "words"), [(44.6, "45 s"), (80, "1 min 20 s"), (3599.6, "1 h 0 min"), (7500, "2 h 5 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_command_to_copy_has_quotes_where_there_are_spaces() -> None:
    assert command_line("vpt", "classify", "my studies", 3) == 'vpt classify "my studies" 3'


def test_studies_are_named_without_the_folder_they_have_in_common() -> None:
    assert short_names(["/data/in/a.nii", "/data/in/otto/ct"]) == ["a.nii", str(Path("otto/ct"))]
    assert short_names(["/data/in/a.nii"]) == ["a.nii"]
    assert short_names(["/data/a.nii", "/home/b.nii"]) == ["/data/a.nii", "/home/b.nii"]


def test_a_line_of_progress_is_whole_on_a_terminal_of_80_columns() -> None:
    words = "training: fold 1/5, epoch 2/7, loss 0.412, validation AUROC 0.871, 1 min 20 s left"
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    bars = rich_progress.Progress(*progress_columns(time_left=False), console=console)
    bars.add_task(words, total=1000, completed=410)
    console.print(bars.get_renderable())
    shown = out.getvalue()
    assert all(len(line) <= 80 for line in shown.splitlines())
    assert "410/1000 0:00:00" in shown
    assert {word.strip(",") for word in words.split()} <= {word.strip(",") for word in shown.split()}
