"""The numbers that the papers give."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from napari_unet.core.networks import NetSpec, load_network
from napari_unet.models.cards import find_model, read_card
from napari_unet.models.store import read_network
from napari_unet.nets import build, halo, patch
from napari_unet.nets._dropout import ElementDropout
from napari_unet.nets._norm import BatchRenorm, fold

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def outline(spec):
    """The network without memory for its weights."""
    with torch.device("meta"):
        return build(spec)


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


# Ronneberger et al. 2015


def test_2015_takes_572_pixels_and_puts_out_388():
    spec = load_network("unet-2015", 2, 1, 2)
    scores = build(load_network("unet-2015", 2, 1, 2, widths=(1,) * 5)).published(torch.zeros(1, 1, 572, 572))
    assert scores.shape == (1, 2, 388, 388)
    assert patch(spec, 572) == 572
    # 268 is the next edge from 256 on of which all four poolings halve an even number.
    assert patch(spec, 256) == 268 == next(n for n in range(256, 400) if pooled_evenly(n))


def pooled_evenly(n):
    for _ in range(4):
        n -= 4
        if n % 2:
            return False
        n //= 2
    return True


def test_2015_has_23_convolutional_layers_and_its_parameters():
    network = outline(load_network("unet-2015", 2, 1, 2))
    assert len([m for m in network.modules() if isinstance(m, CONVOLUTIONS)]) == 23
    widths = (64, 128, 256, 512, 1024)
    expected = 64 * 2 + 2
    for before, width in pairwise((1, *widths)):
        expected += (9 * before + 1) * width + (9 * width + 1) * width
    for width, below in pairwise(widths):
        # The up-convolution halves the channels, the crop brings them back.
        expected += (4 * below + 1) * width + (9 * 2 * width + 1) * width + (9 * width + 1) * width
    assert size(network) == expected == 31_030_658


def test_2015_drops_at_the_end_of_the_contracting_path_and_starts_after_he():
    network = build(load_network("unet-2015", 2, 1, 2, widths=(16, 16, 32, 32, 64)))
    assert [type(block[-1]) for block in network.down] == [nn.ReLU] * 3 + [ElementDropout] * 2
    assert network.down[-1][-1].rate == 0.5
    assert [type(block[-1]) for block in network.merge] == [nn.ReLU] * 4
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            assert not layer.bias.any()
            if layer.weight.numel() > 4000:
                assert float(layer.weight.detach().std()) == pytest.approx(
                    math.sqrt(2 / (9 * layer.in_channels)), rel=0.1
                )
    assert float(network.up[-1].weight.detach().std()) == pytest.approx(math.sqrt(2 / 64), rel=0.1)


def test_unpadded_scores_are_the_inner_ones_of_padded():
    network = build(load_network("unet-2015", 2, 1, 2, widths=(2, 3, 4, 3, 4))).double()
    image = torch.randn(1, 1, 572, 572, dtype=torch.float64)
    inner = network.published(image)
    assert inner.shape[2:] == (388, 388)
    with torch.inference_mode():
        # 572 is no multiple of 16. With 2 pixels more on each side, which no score sees, it is, and pooling takes the
        # same pixels together: the unpadded convolutions before each pooling cut 2 * (1 + 2 + 4 + 8) pixels off, and
        # 2 + 30 is a multiple of 16.
        whole = network(nn.functional.pad(image, (2, 2, 2, 2)))
    assert not network.training
    assert whole.shape[2:] == (576, 576)
    torch.testing.assert_close(inner, whole[..., 94:-94, 94:-94], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "more",
    [{}, {"block": "residual"}, {"block": "separable", "skip": "add"}, {"architecture": "nested"}, {"heads": (1, 1)}],
    ids=str,
)
@pytest.mark.parametrize("ndim", [2, 3])
def test_training_is_unpadded_and_running_is_padded(ndim, more):
    spec = NetSpec(ndim=ndim, outputs=2, widths=(2, 3, 4), padding="valid", norm="none", convolutions=1, **more)
    network, edge = build(spec).double(), patch(spec, 30)
    image = torch.randn(1, 1, *(edge,) * ndim, dtype=torch.float64)
    with torch.no_grad():
        inner = network.train()(image)
        left = inner.shape[-1]
        rim = (edge - left) // 2
        assert 0 < left < edge
        assert rim <= halo(spec)
        # Padded at the same place on the grid of pooling: each block cuts off 1 pixel, of 1 and of 2 image pixels.
        front = -(1 + 2) % 4
        back = -(front + edge) % 4
        whole = network.eval()(nn.functional.pad(image, (front, back) * ndim))
    assert whole.shape[-1] == front + edge + back
    middle = (..., *(slice(front + rim, front + rim + left),) * ndim)
    torch.testing.assert_close(inner, whole[middle], rtol=1e-12, atol=1e-12)


# Cicek et al. 2016


def test_3d_unet_has_the_parameters_of_the_paper():
    network = outline(load_network("unet-3d", 3, 3, 3))
    widths = [(m.in_channels, m.out_channels) for m in network.modules() if isinstance(m, nn.Conv3d)]
    assert widths == [
        (3, 32), (32, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512),
        (192, 64), (64, 64), (384, 128), (128, 128), (768, 256), (256, 256), (64, 3),
    ]  # fmt: skip
    assert [m.out_channels for m in network.modules() if isinstance(m, nn.ConvTranspose3d)] == [128, 256, 512]
    # The paper counts the weights, one bias for each convolution with a normalization, and no gain of these; folding
    # leaves exactly that.
    gains = sum(m.weight.numel() for m in network.modules() if isinstance(m, BatchRenorm))
    assert size(network) - gains == 19_069_955
    with torch.no_grad():
        assert size(fold(network)) == 19_069_955


def test_3d_unet_takes_132_pixels_and_puts_out_44():
    # "132 x 132 x 116 voxel ... 44 x 44 x 28": cropped by 44 at each side.
    spec = load_network("unet-3d", 3, 3, 3, padding="valid", widths=(1,) * 4, doubling=False)
    scores = build(spec).published(torch.zeros(1, 3, 116, 132, 132))
    assert scores.shape == (1, 3, 28, 44, 44)


# Jegou et al. 2017


def tiramisu(layers, growth, first=48):
    widths = [first]
    for count in layers[:-1]:
        widths.append(widths[-1] + count * growth)
    return load_network("dense-unet", 2, 3, 11, growth=growth, blocks=tuple(layers), widths=tuple(widths), dropout=0.2)


@pytest.mark.parametrize(
    ("layers", "growth", "depth", "millions"),
    [([4] * 6, 12, 56, None), ([5] * 6, 16, 67, 3.5), ([4, 5, 7, 10, 12, 15], 16, 103, 9.4)],
    ids=["FC-DenseNet56", "FC-DenseNet67", "FC-DenseNet103"],
)
def test_fc_densenet_has_the_layers_and_parameters_of_the_paper(layers, growth, depth, millions):
    network = outline(tiramisu(layers, growth))
    assert len([m for m in network.modules() if isinstance(m, CONVOLUTIONS)]) == depth
    # Lasagne's count, which the paper took, has the running mean and deviation of each normalization in it.
    counted = size(network) + 2 * sum(m.weight.numel() for m in network.modules() if isinstance(m, BatchRenorm))
    assert counted == by_hand(layers, growth)
    if millions:
        assert round(counted / 1e6, 1) == millions
    else:
        # The paper says 1.5 million; its own rules give 1.40.
        assert round(counted / 1e6, 2) == 1.40


def by_hand(layers, growth):
    def layer(inputs, outputs, kernel):
        return 4 * inputs + (kernel * inputs + 1) * outputs  # normalized, then convolved

    features, total, skips = 48, (9 * 3 + 1) * 48, []
    for level, count in enumerate(layers):
        for _ in range(count):
            total += layer(features, growth, 9)
            features += growth
        if level < len(layers) - 1:
            skips.append(features)
            total += layer(features, features, 1)
    for level in reversed(range(len(layers) - 1)):
        new = layers[level + 1] * growth
        total += (9 * new + 1) * new
        features = skips.pop() + new
        for _ in range(layers[level]):
            total += layer(features, growth, 9)
            features += growth
    return total + (features + 1) * 11


# Isensee et al. 2024, Oktay et al. 2018, Zhou et al. 2018, Howard et al. 2017


def test_residual_encoder_has_the_stages_of_nnunet():
    network = outline(load_network("residual-unet", 2, 1, 2))
    stages = [[part for part in down if hasattr(part, "body")] for down in network.down]
    assert [len(stage) for stage in stages] == [1, 3, 4, 6, 6]
    assert [stage[0].body[0].stride for stage in stages] == [(1, 1)] + [(2, 2)] * 4
    assert not [m for m in network.pool if not isinstance(m, nn.Identity)]
    assert all(len([m for m in merge if isinstance(m, nn.Conv2d)]) == 1 for merge in network.merge)


def test_attention_gates_all_skips_but_the_finest():
    plain, gated = (outline(load_network("attention-unet", 3, 1, 2, skip=skip)) for skip in ("concat", "attention"))
    assert [join.gate is None for join in gated.join] == [True, False, False]
    # Oktay et al. 2018, eq. 1: W_x without and W_g with a bias, psi with one, all 1 x 1 x 1.
    expected = sum(w * w + (below * w + w) + (w + 1) for w, below in ((32, 64), (64, 128)))
    assert size(gated) - size(plain) == expected


def test_a_gate_is_additive_attention_interpolated():
    from napari_unet.nets._skips import Gate

    spec = NetSpec(widths=(2, 3, 4), skip="attention")
    gate = Gate(spec, 1, 3, 4)
    fine, coarse = torch.randn(2, 3, 8, 12), torch.randn(2, 4, 4, 6)
    inner = torch.relu(gate.theta(fine) + gate.phi(coarse))
    expected = nn.functional.interpolate(
        torch.sigmoid(gate.psi(inner)), scale_factor=2, mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(gate(fine, coarse), expected)
    with torch.no_grad():
        torch.testing.assert_close(gate(fine, coarse), expected)


def test_nested_has_a_node_for_every_place_of_the_triangle():
    network = outline(load_network("nested-unet", 2, 1, 2))
    assert sorted(network.node) == sorted(f"{i}_{j}" for j in range(1, 5) for i in range(5 - j))
    # X(i, j) takes the j nodes before it and the one from below.
    assert [network.node[f"0_{j}"][0].in_channels for j in range(1, 5)] == [64, 96, 128, 160]
    assert list(network.head) == ["1", "2", "3", "4"]


def test_separable_convolutions_are_depthwise_then_pointwise():
    network = outline(load_network("light-unet", 2, 3, 2))
    kinds = [(m.kernel_size, m.groups, m.in_channels) for m in network.down[1] if isinstance(m, nn.Conv2d)]
    assert kinds == [((3, 3), 16, 16), ((1, 1), 1, 16), ((3, 3), 32, 32), ((1, 1), 1, 32)]
    assert network.down[0][0].groups == 1
    assert size(network) < 0.2 * size(outline(load_network("light-unet", 2, 3, 2, block="plain", skip="concat")))


# What was there before


def test_the_bundled_model_keeps_its_names():
    folder = find_model("nuclei")
    card = read_card(folder)
    network = read_network(folder, card)
    depth = len(card.net.widths) - 1
    block = ["0.weight", *(f"1.{n}" for n in ("bias", "running_mean", "running_var", "seen", "weight"))]
    block += [f"{int(name[0]) + 3}{name[1:]}" for name in block]
    expected = {f"down.{i}.{name}" for i in range(depth + 1) for name in block}
    expected |= {f"merge.{i}.{name}" for i in range(depth) for name in block}
    expected |= {f"up.{i}.{name}" for i in range(depth) for name in ("weight", "bias")}
    assert set(network.state_dict()) == expected | {"head.weight", "head.bias"}
    assert card.net == NetSpec(inputs=card.net.inputs, outputs=card.net.outputs, widths=card.net.widths)
    assert halo(card.net) == {4: 53, 5: 109}[len(card.net.widths)]
