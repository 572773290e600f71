"""A training where Apple's graphics are pretended: they have no numbers of 64 bits, and cannot resample patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.core.specs import NetSpec, TargetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.models import devices
from napari_unet.models.runtimes import eager
from napari_unet.samples.simulated import nuclei
from napari_unet.training.patches import Sampler
from napari_unet.training.run import train_model


class Pretended(TorchFunctionMode):
    """What is to go to the device stays here, if the device could hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        there = [each for each in (*args, *kwargs.values()) if self._is_there(each)]
        if there and func.__name__ not in ("device", "_parse_to"):
            self.sent += 1
            held = [a.dtype for a in args if isinstance(a, torch.Tensor)]
            held += [d for d in (*args, *kwargs.values()) if isinstance(d, torch.dtype)] if held else []
            numbers = held[-1] if held else None
            assert numbers != torch.float64, f"{func.__name__} sends numbers of 64 bits"
            args = tuple("cpu" if self._is_there(a) else a for a in args)
            kwargs = {name: "cpu" if self._is_there(a) else a for name, a in kwargs.items()}
            found = func(*args, **kwargs)
            assert not isinstance(found, torch.Tensor) or found.dtype != torch.float64, func.__name__
            return found
        return func(*args, **kwargs)

    @staticmethod
    def _is_there(value: Any) -> bool:
        return value == "mps" if isinstance(value, str) else isinstance(value, torch.device) and value.type == "mps"


def examples(count: int) -> list[Example]:
    made = [nuclei((64, 64), count=5, diameter=14, seed=seed) for seed in range(count)]
    return [Example(Image(image, "yx", name=f"{i}"), Image(labels, "yx")) for i, (image, labels) in enumerate(made)]


@pytest.fixture
def apple(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(devices, "_apple_lacks", lambda ndim: "")

    def here(device: str, work: Any, *arguments: Any) -> Any:
        with Pretended():  # in whichever thread
            return work(*arguments)

    monkeypatch.setattr(eager, "on_device", here)
    with Pretended() as mode:
        yield mode


@pytest.mark.parametrize(
    "target", [TargetSpec(), TargetSpec(name="heat"), TargetSpec(name="classes", classes=("one",), background=True)]
)
def test_nothing_of_64_bits_is_sent(apple, tmp_path, target):
    pairs = examples(3)
    if target.name == "classes":
        pairs = [Example(one.image, Image(np.minimum(one.labels.data, 1), "yx")) for one in pairs]
    spec = TrainSpec(
        name="tiny", steps=2, batch=2, patch=32, device="mps", net=NetSpec(widths=(4, 8)), target=target, diameter=14.0
    )
    finish(train_model(pairs, spec, tmp_path / "tiny"))
    assert apple.sent > 10
    assert (tmp_path / "tiny" / "card.json").is_file()


@pytest.mark.parametrize(("device", "place"), [("mps", "cpu"), ("cpu", "cpu"), ("cuda:1", "cuda:1")])
def test_patches_are_resampled_where_that_can_be_done(device, place, monkeypatch):
    pair = type("Pair", (), {"spots": [1], "weight": 1.0, "diameter": 9.0, "labels": np.zeros((8, 8))})()
    monkeypatch.setattr("napari_unet.training.patches._shares", lambda pairs, chances: [])
    assert Sampler([pair], TrainSpec(patch=32, net=NetSpec()), object(), device).device == place
