from __future__ import annotations

import pytest
import torch

from vpt_plugin.models.architectures.penet import Bottleneck, PENet, SqueezeExcite


@pytest.fixture(scope="module")
def penet() -> PENet:
    return PENet()


def test_the_published_checkpoint_has_these_entries(penet: PENet) -> None:
    shapes = {name: tuple(each.shape) for name, each in penet.state_dict().items()}
    # As listed from the publisher's own PENetClassifier(model_depth=50): 225 entries, 29,626,056 numbers.
    assert len(shapes) == 225
    assert sum(each.numel() for each in penet.parameters()) == 29_626_056
    assert shapes["in_conv.0.weight"] == (64, 3, 7, 7, 7)
    assert shapes["encoders.0.penet_blocks.0.down_sample.0.weight"] == (256, 64, 1, 1, 1)
    assert shapes["encoders.0.penet_blocks.2.conv2.weight"] == (128, 4, 3, 3, 3)
    assert shapes["encoders.1.penet_blocks.0.conv1.weight"] == (256, 256, 1, 1, 1)
    assert shapes["encoders.2.penet_blocks.5.se_block.excite.0.weight"] == (64, 1024)
    assert shapes["encoders.3.penet_blocks.0.down_sample.1.bias"] == (2048,)
    assert shapes["encoders.3.penet_blocks.2.norm3.weight"] == (2048,)
    assert shapes["classifier.fc.weight"] == (600, 2048)
    assert "encoders.0.penet_blocks.1.down_sample.0.weight" not in shapes


def test_group_norm_has_sixteen_channels_per_group(penet: PENet) -> None:
    norms = [module for module in penet.modules() if isinstance(module, torch.nn.GroupNorm)]
    assert len(norms) == 1 + 16 * 3 + 4
    assert {norm.num_channels // norm.num_groups for norm in norms} == {16}


def test_a_block_at_birth_passes_its_skip_through_the_leaky_relu() -> None:
    block = PENet().encoders[0].penet_blocks[1].eval()
    maps = torch.tensor([2.0, -2.0]).repeat(128).reshape(1, 256, 1, 1, 1).expand(-1, -1, 4, 4, 4)
    # norm3 starts with weight 0 and bias 0, so the branch is 0; the slope below 0 is a hundredth.
    assert block(maps)[0, :2, 0, 0, 0].tolist() == pytest.approx([2.0, -0.02])


def test_squeeze_and_excitation_halves_a_map_when_its_last_layer_says_nothing() -> None:
    gate = SqueezeExcite(32)
    torch.nn.init.zeros_(gate.excite[2].weight)
    torch.nn.init.zeros_(gate.excite[2].bias)
    maps = torch.randn(2, 32, 3, 4, 5)
    torch.testing.assert_close(gate(maps), maps / 2)  # sigmoid(0) = 1/2


def test_blocks_survive_with_a_probability_that_falls_from_one(penet: PENet) -> None:
    survivals = [block.survival for block in penet.modules() if isinstance(block, Bottleneck)]
    assert survivals[:2] == [1, 1 - 1 / 16 * 0.5]
    assert survivals[-1] == 1 - 15 / 16 * 0.5
    assert len(survivals) == 16


def test_in_training_a_block_that_does_not_survive_is_its_skip_alone() -> None:
    block = Bottleneck(64, 32, stride=1, survival=0.0).train()
    maps = torch.randn(1, 64, 2, 4, 4)
    assert torch.equal(block(maps), maps)
    assert not torch.equal(block.eval()(maps), maps)


def test_the_draws_of_a_training_are_repeated_by_torchs_seed(penet: PENet) -> None:
    clip = torch.rand(1, 3, 1, 32, 32)
    answers = []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        for seed in (3, 3, 4):
            torch.manual_seed(seed)
            answers.append(penet.train()(clip))
    assert torch.equal(answers[0], answers[1])
    assert not torch.equal(answers[0], answers[2])


def test_gates_in_bfloat16_are_those_of_means_summed_in_float32() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        excite = SqueezeExcite(32).requires_grad_(False).bfloat16()
        maps = torch.rand(2, 32, 6, 20, 30).bfloat16().to(memory_format=torch.channels_last_3d)
    # Summed in bfloat16, 3,600 numbers about 0.5 would stay at 256 and their mean below 0.1.
    with torch.autocast("cpu", torch.bfloat16):
        gates = excite.excite(maps.float().mean(dim=(2, 3, 4)))
        torch.testing.assert_close(excite(maps), maps * gates[:, :, None, None, None], atol=0.004, rtol=0)
