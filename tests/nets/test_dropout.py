"""Dropout: what it drops, and networks in which it is drawn once."""

from __future__ import annotations

import pytest
import torch

from napari_unet.core.networks import NetSpec
from napari_unet.nets import build, halo
from napari_unet.nets._dropout import ChannelDropout, ElementDropout, frozen
from napari_unet.nets._norm import fold
from napari_unet.nets._reach import reach


def test_whole_channels_are_dropped_and_the_mean_stays():
    drop, x = ChannelDropout(0.3).train(), torch.ones(40, 50, 3, 4)
    y = drop(x)
    flat = y.flatten(2)
    assert torch.equal(flat.amin(2), flat.amax(2))
    assert sorted(set(flat.flatten().tolist())) == [0, pytest.approx(1 / 0.7)]
    assert float(y.mean()) == pytest.approx(1, abs=0.1)
    # Each image has channels of its own.
    assert not torch.equal(y[0], y[1])
    assert drop.eval()(x) is x


def test_single_values_are_dropped():
    y = ElementDropout(0.5).train()(torch.ones(2, 8, 16, 16))
    assert len(set(y.flatten(2).mean(2).flatten().tolist())) > 4
    assert float(y.mean()) == pytest.approx(1, abs=0.1)
    x = torch.ones(2, 8, 4, 4)
    assert torch.equal(ElementDropout(0.5).eval()(x), x)


@pytest.mark.parametrize(
    ("more", "kind", "down", "up"),
    [
        ({}, ChannelDropout, [True] * 3, [True] * 2),
        ({"dropout_kind": "elements"}, ElementDropout, [True] * 3, [True] * 2),
        ({"dropout_levels": 1}, ChannelDropout, [False, False, True], [False] * 2),
        ({"block": "residual"}, ChannelDropout, [True] * 3, [True] * 2),
        ({"dropout": 0.0}, ChannelDropout, [False] * 3, [False] * 2),
    ],
)
def test_where_it_drops(more, kind, down, up):
    network = build(NetSpec(widths=(2, 3, 4), **{"dropout": 0.2} | more))

    def drops(block):
        last = block[-1] if isinstance(block, torch.nn.Sequential) else block
        return type(last) is kind

    assert ([drops(block) for block in network.down], [drops(block) for block in network.merge]) == (down, up)


@pytest.mark.parametrize("kind", ["channels", "elements"])
@pytest.mark.parametrize("architecture", ["unet", "dense", "nested"])
def test_a_frozen_network_is_a_network(architecture, kind):
    spec = NetSpec(architecture=architecture, widths=(4, 6), dropout=0.4, dropout_kind=kind, growth=12)
    network, x = build(spec).eval(), torch.randn(1, 1, 32, 40)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.inference_mode():
        plain = network(x)
        one, same, other = (frozen(network, seed)(x) for seed in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.allclose(one, other)
        assert not torch.allclose(one, plain)
        # The masks do not change from call to call, image to image or place to place.
        sample = frozen(network, 1)
        assert torch.equal(sample(x), sample(x))
        torch.testing.assert_close(sample(torch.cat([x, x])), torch.cat([one, one]))
        part = sample(x[..., :32])
        torch.testing.assert_close(part[..., : 32 - halo(spec)], one[..., : 32 - halo(spec)])
        # Nor do they stand in the way of folding.
        torch.testing.assert_close(fold(frozen(network, 1))(x), one, rtol=1e-4, atol=1e-4)
    assert torch.equal(network(x), plain)
    assert not [m for m in sample.modules() if isinstance(m, ChannelDropout)]
    assert not sample.training
    assert reach(sample, 0, 0) == halo(spec)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_samples_average_to_the_network():
    torch.manual_seed(0)
    spec = NetSpec(widths=(32,), dropout=0.3, norm="none", convolutions=1)
    network, x = build(spec).eval(), torch.randn(1, 1, 8, 8)
    with torch.inference_mode():
        mean = torch.stack([frozen(network, seed)(x) for seed in range(200)]).mean(0)
        # One layer drops and what follows is linear, so the mean of many samples is the network itself.
        spread = torch.stack([frozen(network, seed)(x) for seed in range(20)]).std(0).mean()
        assert float((mean - network(x)).abs().mean()) < 0.2 * float(spread)


def test_dropped_channels_differ_between_layers():
    network = build(NetSpec(widths=(64, 64), dropout=0.5))
    with torch.inference_mode():
        sample = frozen(network, 0)
        sample(torch.zeros(1, 1, 4, 4))
    masks = [block[-1]._drawn[64] for block in (*sample.down, *sample.merge)]
    assert len({tuple(mask.flatten().tolist()) for mask in masks}) == 3
