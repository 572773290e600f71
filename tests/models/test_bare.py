"""Networks without a description: what they take is found out, whoever wrote them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import napari_unet
from napari_unet.core.axes import Image
from napari_unet.core.model_card import ModelCard
from napari_unet.core.networks import NetSpec
from napari_unet.core.specs import GridSpec, NormalizeSpec, SegmentSpec, TargetSpec
from napari_unet.models._bare import _layouts
from napari_unet.models._runners import onnx_session, run_onnx
from napari_unet.models.cards import read_card
from napari_unet.models.exchange import add_model, export_model
from napari_unet.models.foreign import open_foreign
from napari_unet.models.store import read_network, write_model
from napari_unet.nets import build


def keras_like(file, stored, channels=1, sizes=(64, 64)):
    """Write a network as Keras does, channels last: the mean of 3 x 3 pixels of 0 to 1 is an object from a third on."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["float", "most"], ["share"]),
        helper.make_node("Transpose", ["share"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "weight", "bias"], ["raw"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Sigmoid", ["raw"], ["found"]),
        helper.make_node("Transpose", ["found"], ["scores"], perm=[0, 2, 3, 1]),
    ]
    weight = np.full((1, channels, 3, 3), 12 / 9 / channels, np.float32)
    most = {"UINT8": 255, "UINT16": 65535, "FLOAT": 1}[stored]
    tensors = [numpy_helper.from_array(np.float32(most), "most"), numpy_helper.from_array(weight, "weight")]
    tensors.append(numpy_helper.from_array(np.array([-4], np.float32), "bias"))
    entry = helper.make_tensor_value_info("image", getattr(TensorProto, stored), [1, *sizes, channels])
    out = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, *sizes, 1])
    graph = helper.make_graph(nodes, "net", [entry], [out], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(file))
    return file


def squares(dtype, channels):
    plane = np.zeros((80, 90))
    plane[10:20, 10:20] = plane[40:60, 30:50] = 200
    axes = "yx" if channels == 1 else "cyx"
    return Image((plane if channels == 1 else np.stack([plane] * channels)).astype(dtype), axes)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_may_come_last_where_all_lengths_are_fixed(home, tmp_path, channels):
    card = add_model(keras_like(tmp_path / "net.onnx", "FLOAT", channels))
    assert (card.foreign.axes, card.net.inputs) == ("byxc", channels)
    assert card.foreign.sizes == ((64, 0), (64, 0))
    assert napari_unet.segment(squares(np.float32, channels), SegmentSpec(model=card.name)).objects == 2


@pytest.mark.parametrize(
    ("shape", "axes", "count"),
    [
        ([1, 3, 64, 48], "bcyx", 3), ([1, 64, 48, 3], "byxc", 3), ([1, 1, 64, 4], "bcyx", 1),
        ([1, 16, 64, 48], "bcyx", 16), (["b", "h", "w", 2], "byxc", 2), (["b", 2, "h", "w"], "bcyx", 2),
        ([1, 32, 32, 32, 1], "bzyxc", 1),
    ],
)  # fmt: skip
def test_which_axis_is_that_of_channels(tmp_path, shape, axes, count):
    assert next(_layouts(tmp_path, shape))[:2] == (axes, count)


@pytest.mark.parametrize("stored", ["UINT8", "UINT16"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_networks_of_whole_numbers_get_the_whole_range(home, tmp_path, stored, dtype):
    card = add_model(keras_like(tmp_path / "net.onnx", stored, sizes=("h", "w")))
    assert napari_unet.segment(squares(dtype, 1), SegmentSpec(model=card.name)).objects == 2


def test_what_is_beyond_a_type_of_whole_numbers_does_not_begin_again(tmp_path):
    session = onnx_session(keras_like(tmp_path / "net.onnx", "UINT8"))
    dark, bright = (run_onnx(session, np.full((1, 64, 64, 1), value, np.float32), "net")[0] for value in (-5, 1000))
    assert dark.max() < 0.1
    assert bright[0, 30, 30, 0] > 0.9


def test_a_volume_of_our_own_network_ends_at_its_border_there_too(home, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet.models.runtimes.eager.fast_precision", lambda device: torch.float32)
    torch.manual_seed(1)
    net = NetSpec(ndim=3, outputs=2, widths=(4, 4), convolutions=1)
    target = TargetSpec(name="foreground", min_fraction=0.0)
    as_it_is = NormalizeSpec(kind="none", limits=None)
    card = ModelCard(name="volume", net=net, target=target, normalize=as_it_is, grid=GridSpec(kind="pixels"))
    network = build(net).eval()
    image = np.random.default_rng(0).normal(size=(6, 11, 13)).astype(np.float32)
    with torch.no_grad():  # as many pixels on either side of the threshold
        network.head.bias -= network(
            torch.nn.functional.pad(torch.from_numpy(image)[None, None], (0, 1, 0, 1))
        ).median()
    write_model(home / "volume", card, network)
    there = add_model(export_model("volume", tmp_path / "volume.pt", "torchscript"), name="there")
    assert there.closed
    assert read_card(home / "there") == there
    labels = [
        napari_unet.segment(Image(image, "zyx"), SegmentSpec(model=name)).labels.data for name in ("volume", "there")
    ]
    assert 0.2 < (labels[0] > 0).mean() < 0.8
    np.testing.assert_array_equal(*labels)
    padded = image[None, None, :, :10, :12]
    with torch.inference_mode():
        wanted = torch.sigmoid(read_network(home / "volume", card)(torch.from_numpy(padded))).numpy()
    found = open_foreign(home / "there", there).predict(padded, ((True, True),) * 3)
    np.testing.assert_allclose(found[:, 0], wanted[:, 0], atol=1e-5)
