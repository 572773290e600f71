"""Averages through the verbs: movies, stacks, tables and records."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.specs import SegmentSpec, TilingSpec
from napari_unet.core.steps import finish
from napari_unet.workflows import segment, segment_steps


@pytest.fixture(scope="module")
def spec(bright):
    return SegmentSpec(model=str(bright), diameter=12.0, device="cpu", average="flips", uncertainty=True)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("tyx", (3, 48, 64)), ("zyx", (3, 48, 64)), ("yxt", (48, 64, 3)), ("tczyx", (1, 1, 3, 48, 64))],
)
def test_movies_and_stacks_are_uncertain_plane_by_plane(axes, shape, disks, spec):
    plane = disks[0][:48, :64]
    planes = np.stack([plane, plane[::-1], plane[:, ::-1]])
    data = (np.moveaxis(planes, 0, -1) if axes == "yxt" else planes).reshape(shape)
    image = Image(data, axes, tuple(range(2, 2 + len(axes))), ("micrometer",) * len(axes), name="cells")
    spec = spec.model_copy(update={"stack": "planes"})
    found = finish(segment_steps(image, spec, ("objects",), preview=False))
    doubt = found.uncertainty
    assert (doubt.axes, doubt.shape, doubt.scale) == (found.labels.axes, found.labels.shape, found.labels.scale)
    assert (doubt.data.dtype, doubt.name) == (np.float32, "cells uncertainty")
    ids = found.table["index"]
    assert ids.tolist() == list(range(1, found.objects + 1))
    assert found.objects > (10 if "z" in axes else 20)  # the planes of a stack are joined
    expected = [doubt.data[found.labels.data == i].mean(dtype=float) for i in ids]
    np.testing.assert_allclose(found.table["uncertainty"], expected)
    by_plane = np.moveaxis(doubt.data, -1, 0) if axes == "yxt" else doubt.data.reshape(planes.shape)
    # Averaged over all mirrored views, a mirrored plane is the mirrored answer, but for rounding.
    np.testing.assert_allclose(by_plane[1, ::-1], by_plane[0], atol=0.01)
    assert by_plane[0].max() > 0.02


def test_uncertainty_is_the_same_at_any_magnification_and_cutting(disks, spec):
    found = [
        segment(disks[0], spec, diameter=18.3, tiling=TilingSpec(tile=tile, workers=2)).uncertainty.data
        for tile in (0, 24)
    ]
    assert found[0].tobytes() == found[1].tobytes()
    assert found[0].shape == disks[0].shape
    # Whole steps of what was stored in 8 bits.
    steps = found[0] * 510
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)


def test_preview_and_steps_change_nothing(disks, spec):
    shown = []
    stepped = finish(segment_steps(disks[0], spec), shown.append)
    straight = segment(disks[0], spec)
    assert stepped.hash == straight.hash
    assert any(step.payload is not None for step in shown)
    assert stepped.table["uncertainty"].size == stepped.objects > 10
    assert not straight.table


def test_no_measures_no_column_and_no_objects_no_rows(disks, spec):
    empty = segment(np.zeros((20, 30)), spec, measures=("objects",))
    assert empty.table["uncertainty"].shape == (0,)
    assert empty.uncertainty.shape == (20, 30)
