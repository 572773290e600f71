"""The promise for networks that look differently far along their axes: labels do not depend on tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_unet.core.axes import as_image
from napari_unet.core.model_card import ModelCard
from napari_unet.core.networks import NetSpec
from napari_unet.core.specs import SegmentSpec, TargetSpec
from napari_unet.core.steps import finish
from napari_unet.models.model import Model
from napari_unet.models.segment import segment_image
from napari_unet.nets import build

FLAT = NetSpec(
    ndim=3, outputs=3, widths=(16, 16), strides=((1, 2, 2),), kernels=((1, 3, 3), (3, 3, 3)), convolutions=1,
    skip="attention",
)  # fmt: skip


@pytest.mark.parametrize(("down", "halo"), [("pool", (1, 6, 6)), ("stride", (1, 5, 5))])
def test_labels_of_a_stack_do_not_depend_on_tiles(down, halo):
    net = NetSpec(**FLAT.model_dump() | {"down": down})
    torch.manual_seed(3)
    network = build(net)
    network.train()(torch.randn(2, 1, 8, 16, 16))
    with torch.no_grad():
        network.head.weight[:2].mul_(4)
    card = ModelCard(name="flat", net=net, target=TargetSpec(name="heat", min_fraction=0.0), diameter=6.0)
    model = Model(card, network.eval(), "cpu")
    assert (model.halo, model.multiple) == (halo, (1, 2, 2))
    image = as_image(np.random.default_rng(0).random((9, 34, 27)).astype(np.float32), "zyx")
    hashes, sizes = set(), set()
    for tiling in ({"tile": 96, "workers": 1}, {"tile": 10, "batch": 2, "workers": 2}, {"tile": 7}):
        found = finish(segment_image(image, SegmentSpec(diameter=6.0, tiling=tiling), model))
        hashes.add(found.hash)
        # Measured on samples that are cut by the same halos.
        sizes.add(finish(segment_image(image, SegmentSpec(tiling=tiling), model)).diameter)
    assert len(hashes) == len(sizes) == 1
    assert found.objects > 1
