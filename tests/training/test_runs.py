"""What a run is to do is written down, so that another process learns from the same."""

from __future__ import annotations

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.core.specs import TrainSpec
from napari_unet.io.pairs import as_examples, read_example
from napari_unet.training.runs import Order, read_order, write_order


def example(name="tile", axes="yx", shape=(24, 20), **more):
    values = np.random.default_rng(len(name)).integers(1, 200, shape, np.uint8)
    labels = np.zeros([n for axis, n in zip(axes, shape, strict=True) if axis != "c"], np.int32)
    image = Image(values, axes, name=name, **more)
    return Example(image, Image(labels, image.label_axes, name=f"{name} labels"))


def again(tmp_path, *examples, watched=None):
    order = Order(examples, TrainSpec(name="new"), tmp_path / "new", watched)
    return read_order(write_order(order))


def test_where_a_layer_holds_no_data_its_file_does_not_either(tmp_path):
    valid = np.ones((24, 20), bool)
    valid[:6, 3:] = False
    for axes, shape in (("yx", (24, 20)), ("cyx", (2, 24, 20)), ("yxc", (24, 20, 3)), ("xy", (20, 24))):
        given = example(axes=axes, shape=shape, valid=(valid,))
        order = again(tmp_path, given, watched=given.image)
        for found in (read_example(as_examples(order.data)[0]), order.watched):
            values, was = (
                np.moveaxis(np.asarray(image.data), [image.axes.index("y"), image.axes.index("x")], [-2, -1])
                for image in (found, given.image)
            )
            assert np.array_equal(np.isnan(values), np.broadcast_to(~valid, values.shape))
            assert np.array_equal(values[..., valid], was[..., valid])


def test_layers_of_one_file_stay_one_group(tmp_path):
    one, two = (example(name, source="/data/plate.lif") for name in ("scene 1", "scene 2"))
    twice = (one, Example(one.image, two.labels))
    assert [each.group for each in as_examples(again(tmp_path, one, two, example("alone")).data)] == [
        "/data/plate.lif", "/data/plate.lif", ""
    ]  # fmt: skip
    assert [each.group for each in as_examples(again(tmp_path, *twice).data)] == ["", ""]
