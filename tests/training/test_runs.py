"""What a run is to do is written down, so that another process learns from the same."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np

from napari_unet.core.anatomy import Anatomy
from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.core.specs import TrainSpec
from napari_unet.io.images import read_image, write_image
from napari_unet.io.pairs import as_examples, read_example
from napari_unet.training import runs
from napari_unet.training.intensities import is_ct
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


def test_a_large_lazy_image_is_read_from_its_file_again(monkeypatch, tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (200, 300), np.uint8)
    write_image(tmp_path / "large.ome.zarr", Image(values, "yx", (0.5, 0.5), ("micrometer",) * 2))
    whole = read_image(tmp_path / "large.ome.zarr")
    assert not isinstance(whole.data, np.ndarray)
    given = Example(whole, Image(np.zeros((200, 300), np.int32), "yx", name="labels"))
    assert as_examples(again(tmp_path / "small", given).data)[0].image.suffix == ".tif"
    monkeypatch.setattr(runs, "_LARGE", 1000)
    order = again(tmp_path / "large", given)
    assert as_examples(order.data)[0].image == tmp_path / "large.ome.zarr"
    for other in (
        replace(whole, data=da.from_array(255 - values.astype(np.float32))),
        replace(whole, scale=(1.0, 1.0)),
    ):
        found = as_examples(again(tmp_path / "other", replace(given, image=other)).data)[0]
        assert found.image.suffix == ".tif"
        assert np.array_equal(np.asarray(read_example(found).data), np.asarray(other.data))


def test_what_an_image_was_taken_by_is_not_forgotten(tmp_path):
    ct = Anatomy(np.eye(4), (4, 24, 20), (0, 1, 2), modality="CT")
    given = example(axes="zyx", shape=(4, 24, 20), anatomy=ct)
    found, other = as_examples(again(tmp_path, given, replace(example("b"), modality="MR")).data)
    assert (found.modality, other.modality) == ("CT", "MR")
    assert is_ct(read_example(found), found.modality)
    assert not is_ct(read_example(found))
    assert not is_ct(given.image, "MR")


def test_layers_of_one_file_stay_one_group(tmp_path):
    one, two = (example(name, source="/data/plate.lif") for name in ("scene 1", "scene 2"))
    twice = (one, Example(one.image, two.labels))
    assert [each.group for each in as_examples(again(tmp_path, one, two, example("alone")).data)] == [
        "/data/plate.lif", "/data/plate.lif", ""
    ]  # fmt: skip
    assert [each.group for each in as_examples(again(tmp_path, *twice).data)] == ["", ""]
