"""Classes of pixels are counted, whatever the image is stored in."""

from __future__ import annotations

import dask.array as da
import numpy as np

from napari_unet.core.axes import Image
from napari_unet.measures.classes import measure


def test_pixels_size_and_share():
    labels = np.zeros((2, 10, 10), np.int32)
    labels[0, :5], labels[1, :, :2] = 1, 4
    image = Image(labels, "tyx", (1.0, 0.5, 2.0), ("second", "m", "m"), "map")
    found = measure(image)
    assert found["index"].tolist() == [1, 4]
    assert found["pixels"].tolist() == [50, 20]
    assert found["area"].tolist() == [50.0, 20.0]
    assert found["share"].tolist() == [0.25, 0.1]
    lazy = measure(Image(da.from_array(labels, chunks=(1, 3, 4)), "tyx", image.scale, image.units, "map"))
    assert all((lazy[name] == found[name]).all() for name in found)


def test_stacks_have_volumes():
    found = measure(Image(np.ones((2, 3, 4), np.uint8), "zyx", (3.0, 0.5, 0.5), ("mm",) * 3, "organ"))
    assert found["volume"].tolist() == [18.0]
    assert "area" not in found
