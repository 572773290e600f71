"""From a network to one that multiplies whole numbers of 8 bits.

Weights are divided into 255 even steps for each output channel, and what enters a convolution into 256 for the whole
tensor, between the least and the largest value seen on sample pictures (Jacob et al. 2018, "Quantization and Training
of Neural Networks for Efficient Integer-Arithmetic-Only Inference", section 3). Nothing is trained again. The first
convolutions stay as they are, because faint images live on few of 256 steps, and so do the last, which say the scores.

The steps are said in OpenVINO's own words (``FakeQuantize``); its compiler makes whole numbers of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["quantize"]

# Kinds of convolution, with the axes of their weights that are output channels.
_CONVOLUTIONS: Final = {"Convolution": (0,), "GroupConvolution": (0, 1), "ConvolutionBackpropData": (1,)}
_MOVING: Final = ("MaxPool", "Concat", "Slice", "StridedSlice")  # they move values and make no others
_ADDING: Final = ("Add", "Slice", "StridedSlice", "Concat")  # what may stand between the last convolution and the end
_STEPS: Final = 256
_DIGITS: Final = 2**8


def quantize(openvino: Any, model: Any, pictures: Iterable[npt.NDArray[np.float32]]) -> Any:
    """Quantize a network.

    Parameters
    ----------
    openvino : module
        The package.
    model : openvino.Model
        In float32, with weights that are constants; changed in place.
    pictures : iterable of ndarray of float32, shape (b, c, *s)
        What the network may see.

    Returns
    -------
    openvino.Model
        The same.
    """
    convolutions = [node for node in model.get_ordered_ops() if _is_quantized(node)]
    sources = {_name(source): source for node in convolutions for source in _sources(node.input_value(0))}
    ranges = _ranges(openvino, model, list(sources), pictures)
    words = openvino.opset13
    for name, source in sources.items():
        readers = [
            reader
            for reader in source.get_target_inputs()
            if _kind(reader.get_node()) in _MOVING + tuple(_CONVOLUTIONS)
        ]
        stepped = _stepped(words, source, *_grid(*ranges[name]), _STEPS)
        for reader in readers:
            reader.replace_source_output(stepped)
    for node in convolutions:
        weights = node.input_value(1).get_node().get_data()
        others = tuple(axis for axis in range(weights.ndim) if axis not in _CONVOLUTIONS[_kind(node)])
        largest = np.maximum(np.abs(weights).max(axis=others, keepdims=True), np.float32(1e-12))
        # One step fewer, so that 0 is one of them.
        node.input(1).replace_source_output(_stepped(words, node.input_value(1), -largest, largest, _STEPS - 1))
    model.validate_nodes_and_infer_types()
    return model


def _kind(node: Any) -> str:
    return str(node.get_type_name())


def _name(source: Any) -> tuple[str, int]:
    return source.get_node().get_friendly_name(), source.get_index()


def _is_quantized(node: Any) -> bool:
    if _kind(node) not in _CONVOLUTIONS or _kind(node.input_value(1).get_node()) != "Constant":
        return False
    return not _is_last(node) and all(_kind(s.get_node()) != "Parameter" for s in _sources(node.input_value(0)))


def _is_last(node: Any) -> bool:
    """Say whether nothing but sums and crops comes after a convolution."""
    after = [reader.get_node() for reader in node.output(0).get_target_inputs()]
    return all(_kind(n) == "Result" or (_kind(n) in _ADDING and _is_last(n)) for n in after)


def _sources(value: Any) -> list[Any]:
    """Return where values were made that enter a convolution, before they were moved."""
    node = value.get_node()
    if _kind(node) not in _MOVING:
        return [value]
    parts = range(node.get_input_size()) if _kind(node) == "Concat" else range(1)
    return [source for part in parts for source in _sources(node.input_value(part))]


def _ranges(
    openvino: Any, model: Any, names: list[tuple[str, int]], pictures: Iterable[npt.NDArray[np.float32]]
) -> dict[tuple[str, int], tuple[float, float]]:
    """Return the least and the largest value of each tensor on all pictures, 0 included."""
    watched = model.clone()
    nodes = {node.get_friendly_name(): node for node in watched.get_ops()}
    watched.add_outputs([nodes[name].output(index) for name, index in names])
    exact = openvino.compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = dict.fromkeys(names, (0.0, 0.0))
    for picture in pictures:
        values = exact([picture])
        for place, name in enumerate(names, start=len(model.outputs)):
            low, high = found[name]
            found[name] = min(low, float(values[place].min())), max(high, float(values[place].max()))
    return found


def _grid(low: float, high: float) -> tuple[np.float32, np.float32]:
    """Choose even steps that 0 is one of, in round numbers: the last bits of a range differ between processors."""
    # Both sides are rounded up to whole steps, which takes one more where there are two.
    step = _rounded((high - low) / (_STEPS - 1 - (low < 0 < high))) or 1.0
    below = min(_STEPS - 1, math.ceil(-low / step))
    return np.float32(-below * step), np.float32((_STEPS - 1 - below) * step)


def _rounded(value: float) -> float:
    """Round up to 8 binary digits."""
    digits, power = math.frexp(value)
    return math.ldexp(math.ceil(digits * _DIGITS) / _DIGITS, power)


def _stepped(words: Any, source: Any, low: Any, high: Any, steps: int) -> Any:
    return words.fake_quantize(source, low, high, low, high, steps).output(0)
