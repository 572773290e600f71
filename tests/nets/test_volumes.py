"""Convolutions of volumes: what is learned with 16 bits is what is learned with 32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_unet.core.networks import list_networks
from napari_unet.nets import build
from napari_unet.nets._volumes import Conv3d


def slopes(layer, x, exact):
    layer.zero_grad()
    weigh = torch.linspace(-1, 1, x[0, 0].numel()).reshape(x.shape[2:])
    with torch.autocast("cpu", torch.bfloat16, enabled=not exact):
        found = layer(x)
    (found.float() * weigh).mean().backward()
    return layer.weight.grad.clone()


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (1, 3, 3)])
def test_kernels_learn_alike_at_any_depth(depth, kernel):
    torch.manual_seed(0)
    layer = Conv3d(16, 16, kernel, padding=tuple(n // 2 for n in kernel))
    x = torch.randn(2, 16, depth, 5, 6)
    exact = slopes(layer, x, exact=True)
    for _ in range(3):
        spoiled = torch.full((16 * 16 * 27 * 2,), 1e30)  # what is taken from memory unwritten is far from right
        del spoiled
        assert (slopes(layer, x, exact=False) - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize("preset", list_networks(), ids=lambda preset: preset.name)
def test_all_of_a_network_is_convolved_so(preset):
    with torch.device("meta"):
        network = build(preset.spec(3))
    parts = [part for part in network.modules() if isinstance(part, nn.Conv3d)]
    assert len(parts) > 4
    assert {type(part) for part in parts} == {Conv3d}


def test_scores_are_those_of_torch():
    torch.manual_seed(0)
    layer = Conv3d(3, 4, 3, padding=1).eval()
    plain = nn.Conv3d(3, 4, 3, padding=1)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(1, 3, 2, 6, 7)
    assert torch.equal(layer(x), plain(x))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), plain(x))
