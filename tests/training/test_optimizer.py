"""What moves the weights: kernels by orthogonal steps, everything else by AdamW."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_unet.core.specs import NetSpec
from napari_unet.nets import build
from napari_unet.training.optimizer import Muon, Optimizer, orthogonal


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), power=st.integers(-6, 6), seed=st.integers(0, 99))
def test_all_directions_of_a_matrix_become_about_equal(rows, columns, power, seed):
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    values = torch.linalg.svdvals(matrix)
    found = torch.linalg.svdvals(orthogonal(10.0**power * matrix))
    assert found.max() < 1.3
    assert found[values > 0.05 * values.max()].min() > 0.6


def test_directions_stay_those_of_the_matrix():
    matrix = torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonal(left @ torch.diag(torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0])) @ right)
    turned = left.T @ found @ right.T
    torch.testing.assert_close(turned, torch.diag(turned.diagonal()), atol=1e-4, rtol=0)
    assert (turned.diagonal() > 0).all()


def test_no_slope_is_no_step():
    torch.testing.assert_close(orthogonal(torch.zeros(3, 4)), torch.zeros(3, 4))


@pytest.mark.parametrize("shape", [(16, 8, 3, 3), (8, 16, 2, 2), (4, 4, 3, 3, 3), (1, 16, 1, 1)])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_steps_are_as_long_whatever_the_slope(shape, scale):
    kernel = nn.Parameter(torch.zeros(shape))
    mover = Muon([kernel], lr=0.1)
    kernel.grad = scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mover.step()
    assert 0.6 < kernel.square().mean().sqrt() / (0.2 * 0.1) < 1.3


def test_weights_decay_without_a_slope_that_asks_for_it():
    kernel = nn.Parameter(torch.ones(2, 2, 3, 3))
    kernel.grad = torch.zeros_like(kernel)
    Muon([kernel], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(kernel.detach(), torch.full_like(kernel, 0.95))


def test_a_kernel_without_a_slope_stays():
    kernel = nn.Parameter(torch.ones(2, 2, 3, 3))
    Muon([kernel], lr=0.1, weight_decay=0.5).step()
    assert (kernel == 1).all()


def test_slopes_of_earlier_steps_are_remembered():
    kernels = [nn.Parameter(torch.zeros(2, 2, 1, 1)) for _ in range(2)]
    first, second = torch.eye(2).reshape(2, 2, 1, 1), torch.eye(2).flip(0).reshape(2, 2, 1, 1)
    for kernel, slopes in zip(kernels, ((first, second), (second, second)), strict=True):
        mover = Muon([kernel], lr=0.1)
        for slope in slopes:
            before = kernel.detach().clone()
            kernel.grad = slope.clone()
            mover.step()
        kernel.grad = kernel.detach() - before
    assert not torch.allclose(kernels[0].grad, kernels[1].grad)


def _step(network, mover, rate=None):
    network(torch.ones(2, 1, 16, 16)).square().sum().backward()
    mover.step(rate)
    mover.zero_grad()


def _network():
    torch.manual_seed(0)
    return build(NetSpec(widths=(4, 8)))


def test_every_weight_of_a_network_is_moved():
    network = _network()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    _step(network, Optimizer(network, 0.01, 0.0))
    still = [name for name, value in network.named_parameters() if torch.equal(value, before[name])]
    assert not still
    assert all(value.grad is None for value in network.parameters())


def test_a_rate_that_is_given_is_that_of_all_weights():
    network = _network()
    before = [value.detach().clone() for value in network.parameters()]
    _step(network, Optimizer(network, 1.0, 0.5), rate=0.0)
    assert all(torch.equal(value, kept) for value, kept in zip(network.parameters(), before, strict=True))


def test_what_is_remembered_can_be_kept():
    one, other = _network(), _network()
    first = Optimizer(one, 0.01, 0.1)
    assert not list(first.memories())
    _step(one, first)
    assert list(first.memories())
    other.load_state_dict(one.state_dict())
    second, fresh = Optimizer(other, 0.5, 0.1), _network()
    assert second.fits(first.state_dict())
    second.load_state_dict(deepcopy(first.state_dict()))  # as a file holds it
    fresh.load_state_dict(one.state_dict())
    forgetful = Optimizer(fresh, 0.01, 0.1)
    for network, mover in ((one, first), (other, second), (fresh, forgetful)):
        _step(network, mover)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one.parameters(), fresh.parameters(), strict=True))


@pytest.mark.parametrize(
    ("network", "parts"), [(nn.Linear(2, 2), {"adamw"}), (nn.Conv2d(1, 2, 3, bias=False), {"muon"})]
)
def test_a_network_may_have_only_one_kind_of_weights(network, parts):
    mover = Optimizer(network, 0.01, 0.0)
    assert set(mover.state_dict()) == parts
    assert not mover.fits(torch.optim.AdamW(network.parameters()).state_dict())
