"""Networks of other programs, made by hand, and a folder for the user's models."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

KERNEL = np.full((3, 3), 1 / 9, np.float32)
GAINS = (6.0, -3.0)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of the user's models, empty."""
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def offline(monkeypatch):
    """Fail whatever reaches for the network."""

    def refuse(*args, **more):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The bioimage.io library, with its cache in a temporary folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import bioimageio.core  # noqa: F401  # tests use it later, when its warnings would be errors
        from bioimageio.spec._internal._settings import settings

    from napari_unet.models.bioimage_writer import library

    settings.cache_path = tmp_path_factory.mktemp("cache")
    return library("bioimageio.spec")


def blurred(image, gains=GAINS, bias=0.0):
    """What the networks below compute: the mean of 3 x 3 pixels of the first channel, times a gain for each output."""
    mean = ndimage.correlate(image.astype(np.float64), KERNEL.astype(np.float64), mode="constant")
    return np.stack([gain * mean + bias for gain in gains])


class Blur(nn.Module):
    """In torch; `axes` is the order of what it takes and gives."""

    def __init__(self, inputs: int = 1, gains: tuple[float, ...] = GAINS, axes: str = "bcyx", padding: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, len(gains), 3, padding=padding, bias=False)
        self.last = axes == "byxc"
        with torch.no_grad():
            self.conv.weight.zero_()
            for i, gain in enumerate(gains):
                self.conv.weight[i, 0] = gain * torch.from_numpy(KERNEL)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Blur."""
        if self.last:
            return self.conv(image.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.conv(image)


@pytest.fixture
def blur_script():
    """Return a function that writes the network as TorchScript."""
    from napari_unet.models._torchscript import write_script

    def write(file: Path, *, inputs: int = 1, **more) -> Path:
        axes = more.get("axes", "bcyx")
        shape = {"b": 1, "c": inputs, "y": 16, "x": 12}
        write_script(file, Blur(inputs, **more).eval(), torch.zeros([shape[a] for a in axes]))
        return file

    return write


@pytest.fixture
def blur_onnx():
    """Return a function that writes the network as ONNX, node by node."""
    import onnx

    def write(
        file: Path, *, inputs: int = 1, gains=GAINS, sizes=("h", "w"), sigmoid: bool = False, step: int = 1
    ) -> Path:
        from onnx import TensorProto, helper, numpy_helper

        weight = np.zeros((len(gains), inputs, 3, 3), np.float32)
        for i, gain in enumerate(gains):
            weight[i, 0] = gain * KERNEL
        nodes = [helper.make_node("Conv", ["image", "weight"], ["blurred"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])]
        tensors = [numpy_helper.from_array(weight, "weight")]
        if step > 1:
            # Adds nothing, but fails where a length is no multiple of the step.
            nodes += [
                helper.make_node("Slice", ["blurred", "starts", "ends", "axes", "steps"], ["coarse"]),
                helper.make_node("Mul", ["coarse", "zero"], ["nothing"]),
                helper.make_node("Resize", ["nothing", "", "scales"], ["added"], mode="nearest"),
                helper.make_node("Add", ["blurred", "added"], ["summed"]),
            ]
            numbers = {"starts": [0, 0], "ends": [2**31, 2**31], "axes": [2, 3], "steps": [step, step]}
            tensors += [numpy_helper.from_array(np.array(v, np.int64), k) for k, v in numbers.items()]
            tensors += [numpy_helper.from_array(np.zeros(1, np.float32), "zero")]
            tensors += [numpy_helper.from_array(np.array([1, 1, step, step], np.float32), "scales")]
        last = nodes[-1].output[0]
        nodes.append(helper.make_node("Sigmoid" if sigmoid else "Identity", [last], ["scores"]))
        entry = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", inputs, *sizes])
        out = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", len(gains), None, None])
        graph = helper.make_graph(nodes, "blur", [entry], [out], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 8
        onnx.save(model, str(file))
        return file

    return write
