"""Images of many bands, some of which are missing, from training to a map."""

from __future__ import annotations

import numpy as np
import pytest

import napari_unet
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.examples import Example
from napari_unet.core.place import Band, GeoReference
from napari_unet.core.specs import SegmentSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.models.cards import read_card
from napari_unet.training.run import train_model

BANDS = ("blue", "green", "red", "nir", "swir")


def scene(seed, names=BANDS):
    """Return reflectance times ten thousand in five bands: water is dark in the last two, which agree."""
    rng = np.random.default_rng(seed)
    truth = np.ones((96, 96), np.uint8)
    y, x = rng.integers(8, 50, 2)
    truth[y : y + 36, x : x + 36] = 2
    values = np.array([[900, 1100, 1300, 3000, 2500], [800, 900, 700, 300, 200]])[truth - 1]
    values = (values + rng.normal(0, 60, values.shape)).clip(0).astype(np.uint16)
    order = [BANDS.index(name) for name in names]
    image = np.ascontiguousarray(np.moveaxis(values[..., order], -1, 0))
    geo = GeoReference(bands=tuple(map(Band, names)))
    return Image(image, "cyx", name=str(seed), geo=geo), Image(truth, "yx")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    spec = TrainSpec.of(
        task="satellite", name="water", steps=60, every=60, patch=64, batch=4, rate=2e-2, average=0.9,
        target={"name": "classes", "classes": ["land", "water"], "background": False},
        normalize={"kind": "fixed", "offset": [0], "divisor": [3000]},
        augment={"elastic": 0, "drop_bands": 0.3, "invert": 0, "gray": 0, "shuffle": 0, "gamma": 0.2},
        net={"architecture": "unet", "ndim": 2, "inputs": 5, "outputs": 3, "widths": [8, 16, 24]},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("water") / "water"
    return finish(train_model([Example(*scene(seed)) for seed in range(4)], spec, folder))


def right(model, image, truth, **options):
    found = napari_unet.segment(image, SegmentSpec.of(model=str(model), **options))
    return (np.asarray(found.labels.data) == truth.data).mean()


def test_the_model_finds_its_bands_by_name(model):
    assert read_card(model).bands == BANDS
    image, truth = scene(9)
    assert right(model, image, truth) > 0.95
    mixed = ("swir", "red", "nir", "blue", "green")
    first = napari_unet.segment(image, SegmentSpec.of(model=str(model)))
    second = napari_unet.segment(scene(9, mixed)[0], SegmentSpec.of(model=str(model)))
    assert first.hash == second.hash
    assert right(model, scene(9, mixed)[0], truth, channels=(3, "green", "red", "nir", 0)) > 0.95


def test_a_model_bears_missing_bands_if_it_is_told(model):
    image, truth = scene(9, ("blue", "green", "red", "nir"))
    with pytest.raises(ImageError, match="lacks bands that the model has learned from: 'swir'"):
        right(model, image, truth)
    assert right(model, image, truth, channels=("blue", "green", "red", "nir", "none")) > 0.95
    plain = Image(image.data, "cyx", name="plain")
    with pytest.raises(ImageError, match="gives 4, while it has learned from the bands blue, green, red, nir, swir"):
        right(model, plain, truth)
    with pytest.raises(ImageError, match="Choose among those"):
        right(model, plain, truth, channels=("none",) * 5)
