"""Scores without a trained head: from published features, or from four numbers one can check by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vpt_plugin.active import cold_start
from vpt_plugin.active.cold_start import BackboneScorer, cold_start_scorer, image_statistics, noise
from vpt_plugin.active.pool_reader import StudyContent
from vpt_plugin.active.scores import ScoreFolder
from vpt_plugin.ct.statistics import StudyFacts
from vpt_plugin.models.catalog import MODELS
from vpt_plugin.models.sources import WeightsSource
from vpt_plugin.models.weights import WeightsFolder
from vpt_plugin.tasks import TASKS

NODULE = TASKS["nodule"]


def facts(**changes: float) -> StudyFacts:
    return replace(StudyFacts(*[1.0] * 12), **changes)


def test_noise_is_the_median_distance_of_a_pixel_from_its_neighbours() -> None:
    flat = np.full((4, 8, 8), 100, dtype=np.uint8)
    assert noise(flat) == 0
    # A chessboard of 100 and 110: each pixel differs from each of its four neighbours by 10.
    board = (100 + 10 * (np.indices((4, 8, 8)).sum(axis=0) % 2)).astype(np.uint8)
    assert noise(board) == 40
    edge = flat.copy()
    edge[:, :, 4:] = 200
    assert noise(edge) == 0, "one edge is no noise"
    assert noise(np.zeros((4, 8, 8), dtype=np.uint8)) == 0, "nothing lies within the window"


def test_the_statistics_are_spacing_noise_contrast_and_lung() -> None:
    board = (100 + 10 * (np.indices((4, 8, 8)).sum(axis=0) % 2)).astype(np.uint8)
    told = image_statistics(
        StudyContent(board, facts(slice_spacing_mm=2.5, bright_share=0.04, lung_share=0.22), False)
    )
    np.testing.assert_allclose(told, [np.log(2.5), np.log(40), 0.04, 0.22], rtol=1e-6)
    without = image_statistics(StudyContent(np.zeros_like(board), facts(), False))
    assert np.isfinite(without).all()


def test_without_published_weights_no_network_is_computed_and_the_scores_say_so(pool, tmp_path: Path) -> None:
    scorer = cold_start_scorer(NODULE, "tiny", weights=WeightsFolder(tmp_path / "none"))
    pool.folder = ScoreFolder(tmp_path / "scores", scorer.by)
    pool.add(6, slices=3)
    result = pool.score(scorer=scorer)
    found = pool.folder.read()
    assert (result.scored, result.unreadable) == (5, 1)
    assert "needs at least 4" in found.unreadable["s006.nrrd"], (
        "who cannot be read later need not be labelled"
    )
    assert found.probabilities is None
    assert found.key_embeddings is found.embeddings
    assert (found.by.version, found.by.pretraining, found.by.model) == (0, "none", "tiny")
    assert found.embeddings.shape == (5, 4)
    (warning,) = found.state.warnings
    assert warning.startswith("no head is trained yet and no published weights")


def test_what_brings_better_features_is_named_where_there_are_any(tmp_path: Path) -> None:
    (warning,) = cold_start_scorer(NODULE, "swin_t", weights=WeightsFolder(tmp_path)).warnings
    assert "vpt weights fetch swin_t" in warning


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsFolder:
    """Weights of the network tiny, as if somebody had published them."""
    source = WeightsSource("tiny", "tiny", "kinetics", "https://x.org/t", "TINY.pyth", "torchvision", "", 1)
    spec = replace(MODELS["tiny"], weights={"kinetics": (source,)})
    monkeypatch.setattr(cold_start, "get_model", lambda name: spec)
    torch.manual_seed(0)
    folder = WeightsFolder(tmp_path / "weights")
    folder.root.mkdir()
    torch.save(spec.build().state_dict(), folder.path(source))
    return folder


def test_published_features_are_used_where_they_are_here_and_no_head_answers(
    pool, published: WeightsFolder, tmp_path: Path
) -> None:
    scorer = cold_start_scorer(NODULE, "tiny", weights=published, device="cpu")
    assert isinstance(scorer, BackboneScorer)
    pool.folder = ScoreFolder(tmp_path / "scores", scorer.by)
    pool.score(scorer=scorer)
    found = pool.folder.read()
    assert (found.probabilities, found.disagreement, found.by.pretraining) == (None, None, "kinetics")
    content = pool.reader().read("s001.nrrd", "", lambda: False).content
    features = scorer.predictor.score(content.slices, study="s001").features
    np.testing.assert_allclose(found.embeddings[0], features.mean(axis=0), rtol=1e-3, atol=1e-6)
    assert "kinetics" in found.state.warnings[0]


def test_published_weights_that_nobody_checked_answer_in_float32_unless_bfloat16_is_asked_for(
    published: WeightsFolder,
) -> None:
    def scorer(precision: str) -> BackboneScorer:
        made = cold_start_scorer(NODULE, "tiny", weights=published, device="cpu", precision=precision)
        assert isinstance(made, BackboneScorer)
        return made

    made = {asked: scorer(asked) for asked in ("auto", "float32", "bfloat16")}
    computed = {asked: each.predictor.engine.precision for asked, each in made.items()}
    assert computed == {"auto": "float32", "float32": "float32", "bfloat16": "bfloat16"}
    assert made["auto"].by.key == made["float32"].by.key != made["bfloat16"].by.key


def test_before_lrcn_is_trained_the_features_are_those_of_the_network_that_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = WeightsSource(
        "slices", "resnet18_2d", "imagenet", "https://x.org/s", "S.pth", "torchvision", "", 1
    )
    small = replace(MODELS["resnet18_2d"], weights={"imagenet": (file,)}, resize_px=40, crop_px=32)
    lrcn = replace(small, name="lrcn", family="lrcn")
    monkeypatch.setattr(cold_start, "get_model", lambda name: {"lrcn": lrcn, "resnet18_2d": small}[name])
    folder = WeightsFolder(tmp_path)
    torch.save(small.build().state_dict(), folder.path(file))
    # Its file is checked against the network it is of.
    monkeypatch.setattr("vpt_plugin.models.weights.get_model", lambda name: small)
    scorer = cold_start_scorer(NODULE, "lrcn", weights=folder, device="cpu")
    assert isinstance(scorer, BackboneScorer)
    assert (scorer.by.model, scorer.predictor.spec.name) == ("lrcn", "resnet18_2d")
    assert "features that ResNet-18 (2D) has from its pretraining (imagenet)" in scorer.warnings[0]


def test_other_weights_another_network_or_another_way_of_reading_are_other_scores(
    published: WeightsFolder, tmp_path: Path
) -> None:
    def key(task=NODULE, weights=published) -> str:
        return cold_start_scorer(task, "tiny", weights=weights, device="cpu").by.key

    brighter = replace(NODULE, hu_window=replace(NODULE.hu_window, centre=40.0))
    keys = [key(), key(task=brighter), key(weights=WeightsFolder(tmp_path / "none"))]
    assert key() == keys[0]
    assert len(set(keys)) == 3
