"""Annotated images as they are given."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_unet.core.axes import as_image
from napari_unet.core.examples import BACKGROUND, Example
from napari_unet.core.specs import TrainSpec


def test_an_example_knows_its_name_and_where_it_is_from():
    layer = as_image(np.zeros((4, 5)), name="cells")
    drawn = Example(layer, as_image(np.zeros((4, 5), int)))
    assert (drawn.name, drawn.source, drawn.background) == ("cells", "cells", BACKGROUND)
    file = Example(Path("a/b.tif"), Path("a/c.tif"))
    assert (file.name, file.source) == ("b.tif", str(Path("a/b.tif")))
    assert (file.region, file.scribbles, file.held_out, file.weight) == (None, False, None, 1.0)


def test_what_a_run_learns_from_is_all_by_default():
    spec = TrainSpec()
    assert (spec.truth, spec.loss, spec.validation, spec.foreground, spec.depth) == ("all", "own", 0, 0.33, 0)
