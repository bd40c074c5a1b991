"""A study worker, without Ray: the answers of the Predictor, and a refusal for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from vpt_plugin.bulk.rows import AnsweredBy, Refusal, StudyAnswer
from vpt_plugin.bulk.source import open_bulk_source
from vpt_plugin.bulk.worker import StudyWorker, WorkerSettings
from vpt_plugin.ct.reader import read_study
from vpt_plugin.errors import (
    ArchiveUnreachableError,
    ConfigurationError,
    IncompleteSeriesError,
    UnreadableStudyError,
    WeightsError,
)
from vpt_plugin.inference import Prediction, Predictor
from vpt_plugin.models.catalog import get_model
from vpt_plugin.store.archive.failures import LoginRefusedError
from vpt_plugin.store.source import OpenedStudy
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore


@pytest.fixture
def new_worker(bulk_models: Path) -> Callable[..., StudyWorker]:
    def make(opener: Any, *, sha256: str = "", in_hand: int = 1) -> StudyWorker:
        card = ModelStore(bulk_models).card("nodule", "tiny", 1)
        by = AnsweredBy("nodule", "tiny", 1, sha256 or card.weights_sha256, "0.1.0")
        settings = WorkerSettings(
            bulk_models, TASKS["nodule"], by, opener, device="cpu", precision="float32", in_hand=in_hand
        )
        return StudyWorker(settings)

    return make


def raising(error: Exception) -> Callable[..., Any]:
    @contextmanager
    def opener(study: str, where: object) -> Iterator[OpenedStudy]:
        raise error
        yield

    return opener


def test_it_says_what_the_predictor_says(
    new_worker: Callable[..., StudyWorker], new_archive: Callable[[int], Path], bulk_models: Path
) -> None:
    source = open_bulk_source(str(new_archive(2)))
    worker = new_worker(source.opener, in_hand=2)
    assert "cpu" in worker.load()
    answer = worker.answer("ct-001.nrrd", source.studies["ct-001.nrrd"])
    assert isinstance(answer, StudyAnswer)
    classifier, card = ModelStore(bulk_models).load(TASKS["nodule"], "tiny", 1)
    predictor = Predictor(classifier, TASKS["nodule"], card, device="cpu", precision="float32")
    with source.opener("ct-001.nrrd", source.studies["ct-001.nrrd"]) as opened:
        expected = predictor.predict(read_study(opened.path))
    assert answer.prediction.findings == expected.findings
    assert (answer.study, answer.device, answer.precision) == ("ct-001.nrrd", "cpu", "float32")
    assert 0 < answer.prediction.seconds["read"] < answer.prediction.seconds["total"]


def test_what_the_archive_says_of_a_copy_is_a_warning_of_the_answer(
    new_worker: Callable[..., StudyWorker], phantom_files: list[Path]
) -> None:
    @contextmanager
    def opener(study: str, where: object) -> Iterator[OpenedStudy]:
        yield OpenedStudy(phantom_files[0], ("this is the copy of Monday.",))

    worker = new_worker(opener)
    worker.load()
    answer = worker.answer("ct", None)
    assert isinstance(answer, StudyAnswer)
    assert answer.prediction.warnings[-1] == "this is the copy of Monday."


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UnreadableStudyError("ct", "it is empty."), "study"),
        (IncompleteSeriesError("3 of 9 slices came."), "study"),
        (ValueError("nobody foresaw this"), "study"),
        (MemoryError(), "study"),
        (ArchiveUnreachableError("the archive is down."), "away"),
        (chained(UnreadableStudyError("ct", "cannot be read."), OSError("stale handle")), "away"),
        (WeightsError("gave what is no number"), "run"),
        (LoginRefusedError("the login was refused"), "run"),
    ],
)
def test_whatever_is_wrong_becomes_a_refusal_that_says_whom_it_concerns(
    new_worker: Callable[..., StudyWorker], error: Exception, kind: str
) -> None:
    worker = new_worker(raising(error))
    worker.load()
    refusal = worker.answer("ct", None)
    assert isinstance(refusal, Refusal)
    assert (refusal.study, refusal.error, refusal.kind) == ("ct", type(error).__name__, kind)
    assert refusal.message
    assert not refusal.message.startswith("ct: ")


class LostGpu:
    """Stands for a network on a GPU that an earlier study has left unusable."""

    device = torch.device("cuda:0")
    spec = get_model("tiny")

    def predict(self, *arguments: object, **settings: object) -> Prediction:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize("lost", [True, False])
def test_a_worker_whose_gpu_can_compute_nothing_any_more_ends_instead_of_refusing_all_studies(
    new_worker: Callable[..., StudyWorker],
    phantom_files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    lost: bool,
) -> None:
    class Ended(BaseException):
        pass

    def synchronize(device: torch.device) -> None:
        if lost:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def end(status: int) -> None:
        raise Ended(status)

    @contextmanager
    def opener(study: str, where: object) -> Iterator[OpenedStudy]:
        yield OpenedStudy(phantom_files[0])

    worker = new_worker(opener)
    monkeypatch.setattr(worker, "_predictor", LostGpu(), raising=False)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr("vpt_plugin.bulk.worker.os._exit", end)
    if lost:
        with pytest.raises(Ended, match="3"):
            worker.answer("ct", None)
    else:
        refusal = worker.answer("ct", None)
        assert isinstance(refusal, Refusal)
        assert (refusal.error, refusal.kind) == ("RuntimeError", "study")


def test_a_file_that_is_no_study_is_refused_by_the_class_of_its_error(
    new_worker: Callable[..., StudyWorker], tmp_path: Path
) -> None:
    (tmp_path / "ct.nrrd").write_text("no NRRD")
    source = open_bulk_source(str(tmp_path))
    worker = new_worker(source.opener)
    worker.load()
    refusal = worker.answer("ct.nrrd", source.studies["ct.nrrd"])
    assert isinstance(refusal, Refusal)
    assert (refusal.error, refusal.kind) == ("UnreadableStudyError", "study")


def test_a_computer_with_other_weights_under_the_same_version_does_not_answer(
    new_worker: Callable[..., StudyWorker],
) -> None:
    worker = new_worker(raising(ValueError()), sha256="ef" * 32)
    with pytest.raises(ConfigurationError, match=r"version 1 of nodule/tiny .* is not the one"):
        worker.load()
