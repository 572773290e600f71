"""Volumes brick by brick: the same labels as in one piece, of lesions and of classes, in memory that stays the same."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
import zarr

from napari_unet.core.axes import Image
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec
from napari_unet.core.steps import finish
from napari_unet.io import behind
from napari_unet.models.model import Model
from napari_unet.models.segment import segment_image
from napari_unet.models.stored import store_segmentation
from napari_unet.nets import build
from napari_unet.tiling import chunks, statistics

SHAPE = (37, 61, 70)
TARGETS = {
    "lesions": TargetSpec(name="foreground", min_fraction=0.0),
    "classes": TargetSpec(name="classes", classes=("gray", "bright")),
    "nested": TargetSpec(name="classes", classes=("gray", "bright"), nested=True),
}
# What channels say of a brightness from 0 to 1: weight and bias of each.
SAYS = {
    "lesions": ((14.0, -7.0),),
    "classes": ((0.0, 4.0), (14.0, -1.0), (28.0, -13.0)),
    "nested": ((14.0, -4.0), (14.0, -9.0)),
}


def by_hand(kind):
    """Return a network that smooths an image, and looks a little at what its coarse level says."""
    says = SAYS[kind]
    net = NetSpec(ndim=3, outputs=len(says) + 1, widths=(4, 8))
    torch.manual_seed(0)
    network = build(net).eval()
    with torch.no_grad():
        first, second = network.down[0][0].weight, network.down[0][3].weight
        third, fourth = network.merge[0][0].weight, network.merge[0][3].weight
        for weight in (first, second, third, fourth):
            weight[0] = 0
        first[0, 0, 1, 1, 1], second[0, 0], third[0, 0, 1, 1, 1], fourth[0, 0] = 1, 1 / 27, 1, 1 / 27
        third[0, 4:] = 0.02 * torch.randn(4, 3, 3, 3)
        network.head.weight.zero_()
        for channel, (weight, bias) in enumerate(says):
            network.head.weight[channel, 0], network.head.bias[channel] = weight, bias
    card = ModelCard(name="by-hand", net=net, target=TARGETS[kind], grid={"kind": "pixels"})
    return Model(card, network, "cpu")


def balls(shape, count, seed=0):
    """Draw balls of two kinds that cross each other and all borders of bricks, and one long rod."""
    rng = np.random.default_rng(seed)
    image = rng.normal(300, 40, shape)
    grid = np.meshgrid(*map(np.arange, shape), indexing="ij", sparse=True)
    for _ in range(count):
        middle, radius = rng.uniform(0, shape), rng.uniform(2, 9)
        inside = sum((g - m) ** 2 for g, m in zip(grid, middle, strict=True)) < radius**2
        image[inside] += rng.choice([350, 800])
    image[:, shape[1] // 2 : shape[1] // 2 + 4, shape[2] // 3 : shape[2] // 3 + 4] += 800
    return image.clip(0, 1600).astype(np.uint16)


def settings(**tiling):
    return SegmentSpec.of(model="by-hand", device="cpu", tiling=tiling)


@pytest.mark.parametrize("kind", TARGETS)
def test_bricks_of_a_volume_are_the_volume(kind, tmp_path):
    model, data = by_hand(kind), balls(SHAPE, 60)
    image = Image(data, "zyx", scale=(3.0, 1.0, 1.0), units=("millimeter",) * 3, name="volume")
    whole = finish(segment_image(image, settings(tile=512, workers=1), model, preview=False))
    labels = whole.labels.data
    assert len(np.unique(labels)) == 3 if kind != "lesions" else whole.objects > 10
    stored = Image(zarr.array(data, chunks=(16, 32, 32)), "zyx", image.scale, image.units, name="volume")
    for number, tiling in enumerate(({"tile": 20, "batch": 2, "workers": 2}, {})):
        tiled = finish(segment_image(stored, settings(**tiling), model, preview=False))
        bricked = finish(store_segmentation(stored, settings(**tiling), model, tmp_path / f"{number}.ome.zarr"))
        assert tiled.hash == bricked.hash == whole.hash
        np.testing.assert_array_equal(np.asarray(bricked.labels.data[:]), labels)


class Repeated:
    """A volume of any number of planes that nobody holds: a few of them, again and again."""

    def __init__(self, planes, length):
        self.planes, self.shape = planes, (length, *planes.shape[1:])
        self.dtype, self.ndim = planes.dtype, 3

    def __getitem__(self, index):
        along = np.arange(*index[0].indices(self.shape[0])) % len(self.planes)
        return self.planes[along][(slice(None), *index[1:])]


class Unasked:
    """A model whose network is left out: what is bright is foreground."""

    def __init__(self, model):
        self.model, self.rim = model, model.halo

    def __getattr__(self, name):
        return getattr(self.model, name)

    def predict_stored(self, batch, outputs, tables=None, ends=()):
        sides = ends or ((False, False),) * 3
        inside = (slice(None if low else self.rim, None if high else -self.rim) for low, high in sides)
        return (batch[(slice(None), slice(0, outputs), *inside)].clip(0, 1) * 255).astype(np.uint8)


def test_memory_does_not_grow_with_a_volume(tmp_path, monkeypatch):
    # What is held of any volume, large or small: decoded chunks, samples of intensities, what waits for the disk.
    monkeypatch.setattr(chunks, "LIMIT", 2**20)
    monkeypatch.setattr(behind, "_ENTRIES", 4)
    monkeypatch.setattr(statistics, "_EXACT", 2**15)
    monkeypatch.setattr(statistics, "_READ", 2**17)
    model, planes = Unasked(by_hand("lesions")), balls((48, 64, 64), 40)
    peaks, objects, lengths = [], [], (64, 256, 2048)
    for number, length in enumerate(lengths):
        image = Image(Repeated(planes, length), "zyx", name="volume")
        tracemalloc.start()
        found = finish(store_segmentation(image, settings(tile=64, workers=1), model, tmp_path / f"{number}.ome.zarr"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        objects.append(found.objects)
    # The first one warms up. Of what is more, less than a fifth of its labels is held: tables of where bricks meet.
    assert objects[2] > 3 * objects[1] > 0
    assert peaks[2] - peaks[1] < (lengths[2] - lengths[1]) * 64 * 64 * 4 / 5
