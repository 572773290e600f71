"""What all tests share: the example images, and the marks that skip."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of example images; a test that asks for it is skipped where there is none."""
    folder = Path(os.environ.get("NAPARI_UNET_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no example images in {folder}; NAPARI_UNET_DATA names their folder")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a graphics card where torch finds none."""
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no graphics card"))


@pytest.fixture(scope="session")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small model made by hand: what is bright and smooth is an object, about 12 pixels wide."""
    import torch

    from napari_unet.core.model_card import ModelCard
    from napari_unet.core.sizes import SIZE_RANGE
    from napari_unet.core.specs import NetSpec, TargetSpec
    from napari_unet.models.store import write_model
    from napari_unet.nets import build

    net = NetSpec(inputs=3, outputs=4, widths=(4, 8))
    torch.manual_seed(0)
    network = build(net).eval()
    with torch.no_grad():
        first, second = network.down[0][0].weight, network.down[0][3].weight
        third, fourth = network.merge[0][0].weight, network.merge[0][3].weight
        for weight in (first, second, third, fourth):
            weight[0] = 0
        first[0, :, 1, 1], second[0, 0], third[0, 0, 1, 1], fourth[0, 0] = 1 / 3, 1 / 9, 1, 1 / 9
        # A little of the coarse level, so that a tile off the grid would be noticed.
        third[0, 4:] = 0.02 * torch.randn(4, 3, 3)
        network.head.weight.zero_()
        network.head.weight[:2, 0] = torch.tensor([[[14.0]], [[5.0]]])
        share = (torch.tensor(12.0 / SIZE_RANGE[0]).log2() / torch.tensor(SIZE_RANGE[1] / SIZE_RANGE[0]).log2()).item()
        network.head.bias.copy_(torch.tensor([-5.0, -3.0, -9.0, torch.logit(torch.tensor(share)).item()]))
    folder = tmp_path_factory.mktemp("models") / "bright"
    target = TargetSpec(name="distance", persistence=0.1)
    write_model(folder, ModelCard(name="bright", net=net, target=target, channels=(1, 3), diameter=12.0), network)
    return folder


@pytest.fixture(scope="session")
def disks() -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int32]]:
    """A noisy picture of 42 disks, 9 to 14 pixels wide, and their labels."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:96, :112]
    truth = np.zeros(y.shape, np.int32)
    for i, (row, column) in enumerate(np.ndindex(6, 7)):
        place = np.array([16 * row + 8, 16 * column + 8]) + rng.uniform(-1, 1, 2)
        truth[np.hypot(y - place[0], x - place[1]) < rng.uniform(4.5, 7)] = i + 1
    return (rng.normal(1000, 60, y.shape) + 3000 * (truth > 0)).astype(np.uint16), truth
