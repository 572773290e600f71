"""What is done to arrays before and after a foreign network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import ModelError
from ..core.foreign import StepSpec

__all__ = ["apply_steps", "turned"]

Floats = npt.NDArray[np.float32]


def apply_steps(values: Floats, steps: Sequence[StepSpec]) -> Floats:
    """Do one step after the other to ``(b, c, *s)``; a pixel's result depends on nothing but that pixel."""
    for step in steps:
        values = _apply(values, step)
    return values


def _apply(values: Floats, step: StepSpec) -> Floats:
    result: npt.NDArray[Any]
    if step.kind == "linear":
        # In double precision: raw intensities are large, and what is subtracted from them is too.
        result = values * _by_channel(step.gain, values.ndim) + _by_channel(step.offset, values.ndim)
    elif step.kind == "clip":
        result = values if step.least is step.most is None else np.clip(values, step.least, step.most)
    elif step.kind == "binarize":
        result = values > _by_channel(step.threshold, values.ndim)
    elif step.kind == "sigmoid":
        result = 0.5 * (1 + np.tanh(0.5 * values))  # the same, without overflow
    elif step.kind == "softmax":
        raised = np.exp(values - values.max(axis=1, keepdims=True))
        result = raised / raised.sum(axis=1, keepdims=True)
    else:
        with np.errstate(invalid="ignore", over="ignore"):
            result = values.astype(step.dtype)
    return result.astype(np.float32, copy=False)


def _by_channel(numbers: Sequence[float], ndim: int) -> npt.NDArray[np.float64]:
    return np.asarray(numbers, np.float64).reshape(1, -1, *(1,) * (ndim - 2))


def turned(array: npt.NDArray[Any], have: str, want: str) -> npt.NDArray[Any]:
    """Bring axes into another order; those that are not wanted have one element, those that are missing get one."""
    gone = tuple(i for i, axis in enumerate(have) if axis not in want)
    if array.ndim != len(have) or any(array.shape[i] != 1 for i in gone):
        raise ModelError(f"An array of the shape {array.shape} and the axes '{have}' does not fit the axes '{want}'.")
    left = "".join(axis for axis in have if axis in want)
    array = array.squeeze(gone).transpose([left.index(axis) for axis in want if axis in left])
    return array[tuple(slice(None) if axis in left else None for axis in want)]
