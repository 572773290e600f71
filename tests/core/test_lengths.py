"""Units of length."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.lengths import in_one_unit


@pytest.mark.parametrize(
    ("units", "scale", "found", "unit"),
    [
        (("second", "nanometer", "micrometer", "micrometer"), (5, 2000, 0.5, 0.25), (5, 2, 0.5, 0.25), "micrometer"),
        (("second", "mm", "µm", "nm"), (5, 0.002, 0.5, 0.25), (5, 2000, 500, 0.25), "nm"),
        (("second", "mm", "mm", "mm"), (5, 3, 0.5, 0.25), (5, 3, 0.5, 0.25), "mm"),
        (("second", "pixel", "mm", "mm"), (5, 1, 0.5, 0.25), (5, 1, 0.5, 0.25), "mm"),
    ],
)
def test_all_axes_are_brought_to_the_unit_of_x(units, scale, found, unit):
    image = Image(np.zeros((2, 2, 3, 4)), "tzyx", scale, units)
    same = in_one_unit(image)
    np.testing.assert_allclose(same.scale, found)
    assert same.units[-1] == unit
    assert same.units[:2] == (units[0], unit if units[1] != "pixel" else "pixel")
    turned = Image(
        np.zeros((4, 2, 3, 2)),
        "xtyz",
        (scale[3], scale[0], scale[2], scale[1]),
        (units[3], units[0], units[2], units[1]),
    )
    np.testing.assert_allclose(in_one_unit(turned).along("tzyx")[1], found)
