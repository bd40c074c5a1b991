"""What each worker gets of a computer, and what the bar says while they work."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from vpt_plugin.bulk.job import BulkJob, BulkProgress
from vpt_plugin.bulk.run import gpu_share
from vpt_plugin.cli.classify_all import _shown, speed_in_words
from vpt_plugin.cluster import RayPlace
from vpt_plugin.errors import ConfigurationError
from vpt_plugin.tasks import TASKS

NO_GPU, TWO_GPUS = RayPlace(None, cpus=2, gpus=0), RayPlace(None, cpus=16, gpus=2)


def job(*, device: str = "auto", gpus: float | None = None) -> BulkJob:
    return BulkJob("archive", Path("out"), TASKS["nodule"], "tiny", device=device, gpus=gpus)


@pytest.mark.parametrize(
    ("device", "gpus", "place", "share"),
    [
        ("auto", None, NO_GPU, 0.0),
        ("auto", None, TWO_GPUS, 1.0),
        ("cuda", None, TWO_GPUS, 1.0),
        ("auto", 0.25, TWO_GPUS, 0.25),
        ("cpu", None, TWO_GPUS, 0.0),
        ("auto", 0.0, TWO_GPUS, 0.0),
    ],
)
def test_a_worker_has_a_whole_gpu_where_there_are_any_unless_told_otherwise(
    device: str, gpus: float | None, place: RayPlace, share: float
) -> None:
    assert gpu_share(job(device=device, gpus=gpus), place) == share


@pytest.mark.parametrize(
    ("device", "gpus", "place", "why"),
    [
        ("cuda", None, NO_GPU, "Ray has 0 to share out"),
        ("auto", 0.25, NO_GPU, "to have 0.25 of a GPU"),
        ("cuda", 0.0, TWO_GPUS, "Ray has 2 to share out"),
        ("cuda:1", None, TWO_GPUS, "its only one"),
    ],
)
def test_a_gpu_that_cannot_be_had_is_an_error_and_never_a_slow_answer(
    device: str, gpus: float | None, place: RayPlace, why: str
) -> None:
    with pytest.raises(ConfigurationError, match=why):
        gpu_share(job(device=device, gpus=gpus), place)


def test_the_speed_is_that_of_this_run_and_the_time_left_follows_from_it() -> None:
    # 30 studies in 10 s; 940 are left.
    now = BulkProgress(total=1000, kept=30, answered=28, refused=2, workers=2, seconds=10.0)
    assert (now.done, now.studies_per_second) == (60, 3.0)
    assert speed_in_words(now) == "2 workers, 3.0 studies/s, 2 refused, 5 min 13 s left"


def test_a_slow_run_is_told_in_studies_per_minute() -> None:
    now = BulkProgress(total=61, kept=0, answered=1, workers=1, seconds=30.0)
    assert speed_in_words(now) == "1 worker, 2.0 studies/min, 30 min 0 s left"


def test_before_the_first_answer_nothing_is_said_of_the_speed() -> None:
    assert math.isnan(BulkProgress(total=10, kept=4, workers=1, seconds=3.0).studies_per_second)
    assert speed_in_words(BulkProgress(total=10, kept=4, workers=1, seconds=3.0)) == "1 worker"
    assert speed_in_words(BulkProgress(total=10, kept=4)) == "starting the workers"


def test_a_terminal_shows_one_time_left_and_no_second_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    with _shown() as show:
        show(BulkProgress(total=1000, kept=30, answered=28, refused=2, workers=2, seconds=10.0))
    shown = capsys.readouterr().err
    assert "5 min 13 s left" in " ".join(shown.split())
    # The time since the start is 0:00:00; a bar that knows no speed yet has dashes for the time left.
    assert "0:00:00" in shown
    assert "-:--:--" not in shown
