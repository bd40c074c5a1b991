from __future__ import annotations

import copy
import hashlib
import pickle
from pathlib import Path

import pytest
import torch

from vpt_plugin.errors import (
    ClipShapeError,
    ConfigurationError,
    WeightsError,
    WeightsLayoutError,
    WeightsNotFoundError,
)
from vpt_plugin.models.catalog import get_model
from vpt_plugin.models.classifier import Classifier, load_weights, new_classifier, save_weights
from vpt_plugin.models.weights import WeightsFolder

TINY = get_model("tiny")


def tiny(seed: int = 0, findings: tuple[str, ...] = ("lung_nodule",)) -> Classifier:
    return new_classifier(TINY, findings, seed=seed).eval()


def same(first: Classifier, second: Classifier) -> bool:
    there = second.state_dict()
    return all(torch.equal(each, there[name]) for name, each in first.state_dict().items())


def test_a_classifier_gives_one_logit_per_finding() -> None:
    classifier = tiny(findings=("lung_nodule", "pulmonary_embolism", "effusion"))
    clips = torch.rand(2, 1, 8, 96, 96)
    with torch.no_grad():
        assert classifier.features(clips).shape == (2, 32)
        assert classifier(clips).shape == (2, 3)
        torch.testing.assert_close(classifier(clips), classifier.head(classifier.features(clips)))
    assert classifier.findings == ("lung_nodule", "pulmonary_embolism", "effusion")
    assert classifier.spec is TINY


def test_the_answer_does_not_depend_on_the_other_clips_of_a_batch() -> None:
    classifier = tiny()
    clips = torch.rand(3, 1, 8, 64, 64)
    with torch.no_grad():
        together = classifier(clips)
        alone = torch.cat([classifier(clip[None]) for clip in clips])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_the_same_seed_makes_the_same_classifier_and_another_seed_another() -> None:
    assert same(tiny(seed=5), tiny(seed=5))
    assert not torch.equal(tiny(seed=5).head.weight, tiny(seed=6).head.weight)


def test_making_a_classifier_leaves_torchs_generator_as_it_was() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    tiny(seed=5)
    assert torch.equal(torch.rand(3), expected)


def test_a_classifier_can_be_copied_and_sent_to_another_process() -> None:
    classifier = tiny()
    assert same(copy.deepcopy(classifier), classifier)
    assert pickle.loads(pickle.dumps(classifier)).spec == TINY


@pytest.mark.parametrize("shape", [(1, 3, 16, 96, 96), (1, 16, 96, 96)])
def test_clips_of_several_channels_or_without_any_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ClipShapeError, match=r"takes clips of shape \(batch, 1, slices, rows, columns\), not"
    ):
        tiny()(torch.zeros(shape))


def test_a_clip_the_network_cannot_take_is_refused_before_it_is_computed() -> None:
    with pytest.raises(ClipShapeError, match="at least 32 x 32 pixels"):
        tiny()(torch.zeros(1, 1, 16, 20, 96))


def test_an_unknown_pretraining_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        ConfigurationError, match=r"swin_t has no weights for .* 'ct'; choose from none, kinetics"
    ):
        new_classifier(get_model("swin_t"), ("lung_nodule",), pretraining="ct")


def test_missing_weights_are_an_error_that_names_file_address_licence_and_both_commands(
    tmp_path: Path,
) -> None:
    with pytest.raises(WeightsNotFoundError) as caught:
        new_classifier(
            get_model("penet"), ("lung_nodule",), pretraining="kinetics", weights=WeightsFolder(tmp_path)
        )
    message = str(caught.value)
    assert str(tmp_path / "xnet_kin_90.pth.tar") in message
    assert "https://drive.usercontent.google.com/download?id=1IyMmgjr3Wk2oyqKkv4_BjATJm_17vu5M" in message
    assert "`vpt weights fetch penet`" in message
    assert "`vpt weights import penet FILE`" in message
    assert "No licence is stated by its publisher" in message


def test_saved_weights_come_back_the_same(tmp_path: Path) -> None:
    first, second = tiny(seed=1), tiny(seed=2)
    digest = save_weights(first, tmp_path / "weights.safetensors")
    assert digest == hashlib.sha256((tmp_path / "weights.safetensors").read_bytes()).hexdigest()
    load_weights(second, tmp_path / "weights.safetensors")
    assert same(first, second)
    assert [file.name for file in tmp_path.iterdir()] == ["weights.safetensors"]


def test_weights_in_another_memory_format_are_saved_alike(tmp_path: Path) -> None:
    digest = save_weights(tiny(), tmp_path / "a.safetensors")
    channels_last = tiny().to(memory_format=torch.channels_last_3d)
    assert save_weights(channels_last, tmp_path / "b.safetensors") == digest


def test_weights_for_other_findings_are_refused(tmp_path: Path) -> None:
    save_weights(tiny(findings=("a", "b")), tmp_path / "weights.safetensors")
    with pytest.raises(WeightsLayoutError, match=r"head.weight \(2, 32\) instead of \(1, 32\)"):
        load_weights(tiny(), tmp_path / "weights.safetensors")


def test_weights_that_are_not_there_or_damaged_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        WeightsNotFoundError, match=r"weights.safetensors: the classifier's weights are not there"
    ):
        load_weights(tiny(), tmp_path / "weights.safetensors")
    save_weights(tiny(), tmp_path / "weights.safetensors")
    whole = (tmp_path / "weights.safetensors").read_bytes()
    (tmp_path / "weights.safetensors").write_bytes(whole[:-100])
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(tiny(), tmp_path / "weights.safetensors")


@pytest.mark.parametrize("name", ["tiny", "penet"])
def test_mixed_precision_gives_nearly_the_same_features_still_in_float32(name: str) -> None:
    classifier = new_classifier(get_model(name), ("lung_nodule",)).eval()
    clips = torch.rand(1, 1, 4, 32, 32)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = classifier.features(clips)
    with torch.no_grad():
        exact = classifier.features(clips)
    assert mixed.dtype == torch.float32
    assert (mixed - exact).norm() < 0.05 * exact.norm()
