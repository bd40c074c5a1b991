from __future__ import annotations

import importlib.util
import logging
import math
from collections.abc import Mapping
from pathlib import Path

import pytest

from vpt_plugin.errors import CancelledError, ConfigurationError
from vpt_plugin.models.card import Estimate, ModelCard
from vpt_plugin.training.progress import Progress
from vpt_plugin.training.tracking import Tracking, TrackingPlaces, tracking

CARD = ModelCard(
    "nodule", "tiny", ("lung_nodule",), "none", 32,
    training={"best_epoch": 2},
    metrics={"study": {"lung_nodule": {"auroc": Estimate(0.9, (0.8, math.nan), 20)}}},
)  # fmt: skip
# Two epochs of two steps: the loss is a mean over the steps so far, the AUROC that of the last validation.
EVENTS = (
    Progress("preparing", step=3, steps=4),
    Progress("training", step=1, epoch=1, loss=0.8),
    Progress("training", step=2, epoch=1, loss=0.7),
    Progress("validating", step=2, epoch=1, loss=0.7),
    Progress("training", step=2, epoch=1, loss=0.7, validation_auroc=math.nan),
    Progress("training", step=3, epoch=2, loss=0.5, validation_auroc=math.nan),
    Progress("validating", step=4, epoch=2, loss=0.4, validation_auroc=math.nan),
    Progress("training", step=4, epoch=2, loss=0.4, validation_auroc=0.75),
    Progress("publishing", step=4),
    Progress("done", step=4),
)


class Notebook:
    """A tracker that keeps what it is told, or fails from some step on."""

    def __init__(self, full_from: int = 99) -> None:
        self.kept: list[tuple[int, dict[str, float]]] = []
        self.state = ""
        self.full_from = full_from

    def figures(self, values: Mapping[str, float], step: int) -> None:
        if step >= self.full_from:
            raise OSError("No space left on device")
        self.kept.append((step, dict(values)))

    def close(self, state: str) -> None:
        self.state = state


def test_each_epoch_is_kept_once_with_its_last_loss_and_its_auroc() -> None:
    notebook = Notebook()
    tracked = Tracking({"notebook": notebook})
    for event in EVENTS:
        tracked.progress(event)
    assert [step for step, _ in notebook.kept] == [1, 2]
    assert notebook.kept[0][1]["loss"] == 0.7
    assert math.isnan(notebook.kept[0][1]["validation_auroc"])
    assert notebook.kept[1][1] == {"loss": 0.4, "validation_auroc": 0.75}


def test_folds_have_curves_of_their_own_and_a_stopped_epoch_is_kept_too() -> None:
    notebook = Notebook()
    tracked = Tracking({"notebook": notebook})
    for fold in (1, 2):
        tracked.progress(Progress("training", epoch=1, loss=fold / 10, fold=fold, folds=2))
    tracked.close("KILLED")
    assert notebook.kept == [(1, {"fold_1/loss": 0.1}), (1, {"fold_2/loss": 0.2})]
    assert notebook.state == "KILLED"


def test_a_tracker_that_fails_is_told_and_left_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    full, well = Notebook(full_from=2), Notebook()
    tracked = Tracking({"full": full, "well": well})
    with caplog.at_level(logging.WARNING):
        for event in EVENTS:
            tracked.progress(event)
        tracked.close("FINISHED")
    assert caplog.messages == ["full tracks no longer: No space left on device. The training goes on."]
    assert [step for step, _ in well.kept] == [1, 2]
    assert (full.state, well.state) == ("", "FINISHED")


def test_what_was_tracked_can_be_read_back_from_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    places = TrackingPlaces(tensorboard=tmp_path / "boards")
    with tracking(places, name="nodule_tiny", run="2026-11-21T06:00:00Z", settings={"epochs": 2}) as tracked:
        for event in EVENTS:
            tracked.progress(event)
        tracked.finished(CARD)
    (folder,) = (tmp_path / "boards").iterdir()
    assert folder.name == "nodule_tiny-2026-11-21T060000Z"
    board = EventAccumulator(str(folder))
    board.Reload()
    assert [(each.step, round(each.value, 6)) for each in board.Scalars("loss")] == [(1, 0.7), (2, 0.4)]
    assert [round(each.value, 6) for each in board.Scalars("study/lung_nodule/auroc_low")] == [0.8]
    (settings,) = board.Tensors("settings/text_summary")
    assert b"| epochs | 2 |" in settings.tensor_proto.string_val[0]


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making its tables takes seconds; every training adds a run."""
    return tmp_path_factory.mktemp("a folder") / "below" / "runs.db"


def test_what_was_tracked_can_be_read_back_from_mlflow(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    places = TrackingPlaces(mlflow=database)
    for run in ("first", "second"):
        with tracking(places, name="nodule_tiny", run=run, settings={"epochs": 2, "start": ""}) as tracked:
            for event in EVENTS:
                tracked.progress(event)
            tracked.finished(CARD)
    client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{database.as_posix()}")
    (experiment,) = client.search_experiments(filter_string="name = 'nodule_tiny'")
    second, first = client.search_runs([experiment.experiment_id])
    assert (first.info.run_name, second.info.run_name) == ("first", "second")
    assert first.info.status == "FINISHED"
    assert first.data.params == {"epochs": "2", "start": ""}
    losses = client.get_metric_history(first.info.run_id, "loss")
    assert [(each.step, each.value) for each in losses] == [(1, 0.7), (2, 0.4)]
    assert first.data.metrics["study/lung_nodule/auroc"] == 0.9
    assert math.isnan(first.data.metrics["study/lung_nodule/auroc_high"])
    assert not list(tmp_path.iterdir()), "nothing is left where the training was started"


def test_mlflow_tells_nobody_outside(database: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow.telemetry import get_telemetry_client

    with tracking(TrackingPlaces(mlflow=database), name="nodule_tiny", run="quiet", settings={}):
        assert get_telemetry_client() is None


@pytest.mark.parametrize(
    ("error", "state"),
    [(CancelledError(), "KILLED"), (ValueError("nan"), "FAILED")],
    ids=["stopped", "failed"],
)
def test_a_training_that_did_not_finish_is_marked_as_such(
    database: Path, error: Exception, state: str
) -> None:
    mlflow = pytest.importorskip("mlflow")
    with (
        pytest.raises(type(error)),
        tracking(TrackingPlaces(mlflow=database), name=f"pe_{state}", run="1", settings={}),
    ):
        raise error
    client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{database.as_posix()}")
    experiment = client.get_experiment_by_name(f"pe_{state}")
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == [state]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_package_is_told_with_the_command_before_anything_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    place = tmp_path / "place"
    with (
        pytest.raises(ConfigurationError, match=rf"{name} is not installed.*`pip install {name}`"),
        tracking(TrackingPlaces(**{name: place}), name="nodule_tiny", run="1", settings={}),
    ):
        pytest.fail("the training must not begin")
    assert not place.exists()


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_place_that_cannot_be_written_is_told_before_the_training(name: str, tmp_path: Path) -> None:
    pytest.importorskip(name)
    (tmp_path / "file").write_bytes(b"this is no database")
    place = tmp_path / "file" if name == "mlflow" else tmp_path / "file" / "below"
    with (
        pytest.raises(ConfigurationError, match="nothing can be tracked in"),
        tracking(TrackingPlaces(**{name: place}), name="nodule_tiny", run="1", settings={}),
    ):
        pytest.fail("the training must not begin")
