"""What the demo shows: right and wrong answers, an honest figure, a picture, a file to read again."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from demo_report import Answer, Outcome, Proposed, draw_picture, print_proposed, print_report, write_report
from rich.console import Console

from vpt_plugin.ct.volume import Volume
from vpt_plugin.models.card import Estimate
from vpt_plugin.tasks import TASKS

CONTRACT = Path(__file__).resolve().parents[1] / "contract"


def answer(
    study: str, truth: str, probability: float, truth_mm: tuple[tuple[float, float], ...] = ()
) -> Answer:
    result = json.loads((CONTRACT / "result.json").read_text(encoding="utf-8"))
    finding = result["vptct"]["findings"][0]
    finding["probability"] = probability
    finding["decision"] = "present" if probability >= finding["threshold"] else "absent"
    return Answer(study, "id", truth, truth_mm, 0.25, result)


def outcome(auroc: float) -> Outcome:
    return Outcome(Estimate(auroc, (auroc - 0.05, auroc + 0.02), 40), ("mean_hu", 0.61), {"phantoms": 61.4})


ANSWERS = [
    answer("found", "present", 0.93, ((-130.0, -120.0),)),
    answer("overlooked", "present", 0.11, ((10.0, 20.0),)),
    answer("elsewhere", "present", 0.88, ((10.0, 20.0),)),
    answer("a-patient", "", 0.7),
]


def printed() -> str:
    text = io.StringIO()
    print_report(Console(file=text, width=120), ANSWERS, outcome(0.957))
    return text.getvalue()


def row(study: str) -> str:
    return next(line for line in printed().splitlines() if line.strip().startswith(study))


def test_every_answer_stands_beside_the_truth() -> None:
    assert row("found").split() == [
        "found",
        "id",
        "present",
        "present",
        "0.930",
        "-128",
        "mm",
        "yes",
        "0.25",
    ]
    assert row("overlooked").split() == ["overlooked", "id", "present", "absent", "0.110", "0.25"]
    assert row("elsewhere").split()[-2:] == ["no", "0.25"]


def test_a_patient_has_no_truth_and_the_servers_warnings_are_printed() -> None:
    assert "patient " in row("a-patient").replace("a-patient", "")
    assert "slice spacing 5.0 mm is outside what this model was trained on" in printed()


def test_the_figure_has_its_interval_and_the_baseline_beside_it() -> None:
    assert "AUROC on 40 held-out phantoms: 0.957 (95 % interval 0.907 to 0.977" in printed()
    assert "Best single number of a volume (mean_hu): 0.610" in printed()
    assert "phantoms 61 s" in printed()


@pytest.mark.parametrize(("auroc", "enough"), [(0.90, True), (0.8999, False), (math.nan, False)])
def test_only_an_auroc_of_at_least_090_is_good_enough(auroc: float, enough: bool) -> None:
    assert outcome(auroc).good_enough is enough


def test_the_report_can_be_read_again(tmp_path: Path) -> None:
    write_report(tmp_path / "result.json", ANSWERS, outcome(0.957))
    report = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert report["auroc"] == {"value": 0.957, "ci95": [pytest.approx(0.907), pytest.approx(0.977)], "n": 40}
    assert [each["study"] for each in report["answers"]] == ["found", "overlooked", "elsewhere", "a-patient"]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    hu = np.random.default_rng(0).integers(-1000, 300, (60, 32, 32)).astype(np.int16)
    volume = Volume(hu, (1.25, 2.0, 2.0), (0.0, 0.0, -180.0), np.eye(3)[:, ::-1].copy(), "found")
    assert draw_picture(tmp_path / "picture.png", volume, ANSWERS[0], TASKS["nodule"])
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_proposed_stands_with_its_reason() -> None:
    text = io.StringIO()
    console = Console(file=text, width=120)
    print_proposed(console, [])
    assert text.getvalue() == ""
    print_proposed(console, [Proposed("p07.nii", "uncertain", "Probability 0.46 [one clip].")])
    assert text.getvalue().splitlines()[1:] == ["  - p07.nii (uncertain): Probability 0.46 [one clip]."]
