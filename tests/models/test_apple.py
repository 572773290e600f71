"""Apple's graphics, as far as they can be told on other computers: what they lack is noticed, and nothing is lost."""

from __future__ import annotations

import contextlib

import pytest
import torch

from napari_unet.core.errors import ModelError
from napari_unet.models import devices
from napari_unet.models.devices import choose_device, mixed


@pytest.fixture
def apple(monkeypatch):
    """Have this computer say that it has them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    devices._apple_lacks.cache_clear()
    yield
    devices._apple_lacks.cache_clear()


def test_volumes_are_computed_where_they_can_be(apple, monkeypatch):
    real = devices._try_network

    def lacking(ndim, device):
        if device == "mps" and ndim == 3:
            raise RuntimeError("ConvTranspose 3D is not supported on MPS\nand more")
        return real(ndim, "cpu")

    monkeypatch.setattr(devices, "_try_network", lacking)
    assert (choose_device("auto"), choose_device("auto", 3), choose_device("mps"), choose_device("cpu", 3)) == (
        "mps", "cpu", "mps", "cpu",
    )  # fmt: skip
    with pytest.raises(ModelError, match=r"networks of volumes .* \(ConvTranspose 3D is not supported on MPS\)"):
        choose_device("mps", 3)


def test_what_computes_something_else_is_not_used(apple, monkeypatch):
    real = devices._try_network
    monkeypatch.setattr(
        devices, "_try_network", lambda ndim, device: [v + 1 if device == "mps" else v for v in real(ndim, "cpu")]
    )
    assert choose_device("auto") == "cpu"
    with pytest.raises(ModelError, match="something else than the processor"):
        choose_device("mps")


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_network_that_is_tried_learns_in_every_layer(ndim):
    found, *slopes = devices._try_network(ndim, "cpu")
    assert found.shape == (2, 2, *[8] * ndim)
    assert all(bool(torch.isfinite(each).all()) and float(each.abs().max()) > 0 for each in slopes)


def test_no_context_is_asked_of_a_device_that_does_not_know_it(monkeypatch):
    assert isinstance(mixed("mps"), contextlib.nullcontext)
    monkeypatch.setattr(devices, "bfloat16_is_fast", lambda device: True)
    assert isinstance(mixed("cpu"), torch.autocast)


@pytest.mark.gpu
@pytest.mark.parametrize("ndim", [2, 3])
def test_what_apple_computes_is_what_the_processor_does(ndim):
    if not torch.backends.mps.is_available():
        pytest.skip("not a graphics card of Apple's")
    lacks = devices._apple_lacks(ndim)
    assert not lacks or ndim == 3
