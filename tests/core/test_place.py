"""Where images lie on Earth, and when that is the same place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_unet import workflows
from napari_unet.core.anatomy import check_grid
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.place import GeoReference

HERE = GeoReference((1e-4, 0.0, 15.0, 0.0, -1e-4, 45.0), "GEOGCS[one wording]", "EPSG:4326", "degree")


def moved(column: float = 0.0, size: float = 1.0, **more: str) -> GeoReference:
    return replace(HERE, transform=(1e-4 * size, 0.0, 15.0 + 1e-4 * column, 0.0, -1e-4, 45.0), **more)


def test_what_programs_round_in_other_ways_is_the_same_grid():
    assert HERE.same_grid(moved(1e-4, 1 + 1e-9))
    assert HERE.same_grid(moved(crs="GEOGCS[another wording]"))
    assert not HERE.same_grid(moved(0.1))
    assert not HERE.same_grid(moved(0.0, 1 + 1e-4))
    assert not HERE.same_grid(moved(crs="GEOGCS[x]", title="EPSG:4258"))
    assert not HERE.same_grid(GeoReference())
    assert GeoReference().same_grid(GeoReference())


def test_maps_of_dates_may_be_rounded_in_other_ways():
    maps = [Image(np.full((4, 5), n, np.uint8), "yx", (1e-4 * n, 1e-4), geo=moved(1e-5 * n)) for n in (1, 1 + 1e-9)]
    areas, _ = workflows.change([replace(one, data=np.full((4, 5), n)) for n, one in enumerate(maps, 1)], unit="pixels")
    assert areas["pixels"].tolist() == [20, 0, 0, 20]
    with pytest.raises(ImageError, match=r"--axes tyx"):
        workflows.change([replace(maps[0], geo=HERE), replace(maps[0], geo=moved(3))])


def test_labels_of_another_place_are_refused():
    image, labels = (Image(np.ones((4, 5), np.uint8), "yx", name=name, geo=HERE) for name in ("tile", "mask"))
    check_grid(labels, image)
    check_grid(replace(labels, geo=moved(0.5)), image)  # the middle of a pixel, not its corner
    check_grid(replace(labels, geo=None), image)
    with pytest.raises(ImageError, match="'mask' lie at another place on Earth than the image 'tile'"):
        check_grid(replace(labels, geo=moved(5)), image)
