"""Every member of the family, small."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from napari_unet.core.networks import NetSpec, read_preset


@pytest.fixture(autouse=True)
def _steady() -> Iterator[None]:
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny() -> Callable[..., NetSpec]:
    """Return a preset with few levels and features, otherwise as it is."""

    def make(name: str, ndim: int = 2, levels: int = 3, **more: object) -> NetSpec:
        preset = read_preset(name)
        spec = preset.spec(ndim, 2, 3)
        changes: dict = {"widths": (2, 3, 4, 6)[:levels]}
        if spec.blocks:
            changes["blocks"] = tuple(min(count, 2) for count in spec.blocks[:levels])
        if spec.architecture == "dense":
            changes["growth"] = 2
        return preset.spec(ndim, 2, 3, **changes | more)

    return make
