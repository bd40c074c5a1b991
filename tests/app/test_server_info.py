"""What ``GET /info/`` says of a model that no longer fits its task, of uploads, and of the server itself."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lib.conf import read_conf
from lib.identity import FILE, server_id
from lib.info import server_info, study_needs, uploads_info
from lib.limits import Limits

from vpt_plugin.ct.intensity import prepare_slices, resize_slices
from vpt_plugin.ct.volume import MAX_HU, MIN_HU, Volume
from vpt_plugin.models.card import ModelCard
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import new_classifier
from vpt_plugin.models.precision import computed_with, settle_precision
from vpt_plugin.models.precision_record import PrecisionCheck
from vpt_plugin.store.labels import LabelFolder
from vpt_plugin.store.source import SourceState
from vpt_plugin.tasks import TASKS
from vpt_plugin.training.model_store import ModelStore
from vpt_plugin.training.reading import reading_facts


def test_a_model_trained_with_another_hu_window_counts_as_untrained_and_says_why(tmp_path: Path) -> None:
    task, spec = TASKS["nodule"], get_model("tiny")
    card = ModelCard(
        task="nodule",
        model="tiny",
        findings=task.findings,
        pretraining="none",
        clip_slices=spec.clip_slices,
        reading={**reading_facts(task, spec), "hu_window": {"centre": 40.0, "width": 400.0}},
    )
    store = ModelStore(tmp_path)
    store.publish(new_classifier(spec, task.findings), card)
    conf = read_conf({"tasks": "nodule", "models": "tiny", "models_dir": str(tmp_path)})
    (model,) = server_info(conf, store, LabelFolder(tmp_path / "labels"), SourceState("folder"), {}, {})[
        "models"
    ]
    assert model["trained"] is False
    assert model["problem"] == (
        "It was trained with HU window 40/400, the task has -600/1500: train it again for this task."
    )


def test_a_model_says_in_which_numbers_it_answers_and_why(tmp_path: Path) -> None:
    task, spec, store = TASKS["nodule"], get_model("tiny"), ModelStore(tmp_path)
    card = ModelCard("nodule", "tiny", task.findings, "none", spec.clip_slices)
    store.publish(new_classifier(spec, task.findings), card)

    def told(**conf: str) -> dict[str, str]:
        read = read_conf({"tasks": "nodule", "models": "tiny", "models_dir": str(tmp_path), **conf})
        told = server_info(read, store, LabelFolder(tmp_path / "labels"), SourceState("folder"), {}, {})
        return dict(told["models"][0]["precision"])

    asked = {"backend": "torch", "numbers": "bfloat16", "why": "bfloat16 was asked for."}
    assert told(precision="bfloat16", device="cpu") == asked
    assert told(device="cpu")["numbers"] == "float32"
    way, here = "torch bfloat16 on cpu", computed_with("torch", torch.device("cpu"))
    check = PrecisionCheck(60, 60, 0.001, {"lung_nodule": 0.0}, computed_with=here)
    store.keep_checks("nodule", "tiny", 1, {way: check})
    expected = settle_precision(store.card("nodule", "tiny"), torch.device("cpu"))
    assert told(device="cpu") == {"backend": "torch", "numbers": expected.precision, "why": expected.why}


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_a_study_in_the_smallest_form_is_seen_by_the_network_as_the_study_itself(task) -> None:
    assert study_needs([get_model("tiny"), get_model("swin_t")])["pixels"] is None
    needs = study_needs([get_model("mvit_b"), get_model("swin_t")])
    assert needs == {"hu_low": -1024, "hu_high": 3071, "pixels": 256}
    hu = np.random.default_rng(0).integers(MIN_HU, MAX_HU, (3, 512, 512), endpoint=True, dtype=np.int16)
    study = Volume(hu, (2.5, 0.7, 0.7), (0.0, 0.0, 0.0), np.eye(3)[:, ::-1].copy(), "noise")
    reduced = replace(study, hu=resize_slices(hu, 256), spacing_mm=(2.5, 1.4, 1.4))
    seen = prepare_slices(study, task.hu_window, pixels=256)
    assert (prepare_slices(reduced, task.hu_window, pixels=256) == seen).all()
    # Why it is not cut to the HU window: beside what is brighter or darker, the mean would be another one.
    cut = replace(study, hu=np.clip(hu, int(task.hu_window.low), int(task.hu_window.high)))
    assert (prepare_slices(cut, task.hu_window, pixels=256) != seen).any()


def test_uploads_are_told_with_and_without_sessions() -> None:
    limits = Limits(upload_bytes=5 * 10**9)
    told = {
        "max_bytes": 5 * 10**9,
        "sessions": True,
        "session_minutes": 60.0,
        "add_studies": True,
        "forms": ["twelve_bits", "differences"],
    }
    assert uploads_info(limits, 3600, add_studies=True) == told
    without = {**told, "sessions": False, "session_minutes": None, "add_studies": False}
    assert uploads_info(limits, None, add_studies=False) == without


def test_a_server_has_one_id_for_its_studies_and_labels_however_often_it_starts(tmp_path: Path) -> None:
    home, labels = tmp_path / "home", tmp_path / "labels"
    first = server_id(home, "/ct", labels)
    assert first is not None
    assert (len(first), set(first) <= set("0123456789abcdef")) == (32, True)
    assert server_id(home, "/ct", labels) == first
    others = [server_id(home, "/mr", labels), server_id(home, "/ct", tmp_path / "other"),
              server_id(tmp_path / "another computer", "/ct", labels)]  # fmt: skip
    assert len({first, *others}) == 4


@pytest.mark.parametrize("content", ["", "no id", "\N{BULLET}"])
def test_where_its_file_is_no_id_the_server_has_none_and_says_so(
    tmp_path: Path, caplog, content: str
) -> None:
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    assert server_id(tmp_path, "/ct", tmp_path) is None
    assert "no id" in caplog.text


def test_who_asks_for_an_answer_learns_how_many_come_before(serve) -> None:
    running = serve()

    def told() -> dict[str, int]:
        return dict(running.ask("GET", "/info/").json()["vptct"]["inference"])

    queue = running.app._in_hand

    def wait_for_a_turn() -> None:
        with queue.turn():
            pass

    assert told() == {"running": 0, "waiting": 0}
    with queue.turn(), queue.turn():
        waits = threading.Thread(target=wait_for_a_turn)
        waits.start()
        while not queue.waiting:
            time.sleep(0.005)
        assert told() == {"running": 2, "waiting": 1}
    waits.join()
    assert told() == {"running": 0, "waiting": 0}
