"""Several metrics of one pair of labels: counts, which those of other pairs are added to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from inspect import signature
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.anatomy import check_grid
from napari_unet.core.axes import Image
from napari_unet.core.errors import SpecError
from napari_unet.core.registry import load

__all__ = ["check_options", "conclude", "judge"]


def check_options(metrics: Sequence[str], options: Mapping[str, Any]) -> None:
    """Check that each option is known to a metric.

    Parameters
    ----------
    metrics : sequence of str
        Entries of ``metrics/``.
    options : mapping
        Settings of the metrics.

    Raises
    ------
    RegistryError
        If a metric is unknown.
    SpecError
        If no metric knows an option.
    """
    knows = {name for metric in metrics for name in _known(load("metrics", metric))}
    if unknown := set(options).difference(knows):
        known = ", ".join(sorted(knows)) or "none"
        raise SpecError(f"The metrics do not know {', '.join(sorted(unknown))}. Their settings: {known}.")


def judge(truth: Any, found: Any, metrics: Sequence[str], options: Mapping[str, Any], binary: bool = False) -> Any:
    """Compare two labels.

    Parameters
    ----------
    truth, found : Image or array-like of int
        Of equal shape, and on one grid where both say where they lie. Numbers may begin again at each time point, where
        one of them says that there is time: objects of different times are different ones.
    metrics : sequence of str
        Entries of ``metrics/``.
    options : mapping
        Settings; each metric gets those that its ``count`` knows.
    binary : bool
        Compare foreground with background only.

    Returns
    -------
    list
        What each metric counted.

    Raises
    ------
    ImageError
        If shapes differ.
    """
    if isinstance(truth, Image) and isinstance(found, Image):
        check_grid(found, truth)
        if sorted(truth.axes) == sorted(found.axes) and truth.axes != found.axes:
            found = _turned(found, truth.axes)
    counts = []
    for metric in (load("metrics", name) for name in metrics):
        own = {name: value for name, value in options.items() if name in _known(metric)}
        scaled = getattr(metric, "SCALED", False)
        pair = [_values(labels, binary, scaled) for labels in (truth, found)]
        pairs = [pair] if scaled else _frames(pair, (truth, found))  # those that know the size of pixels know time, too
        counts.append(reduce(add, (metric.count(*frame, **own) for frame in pairs)))
    return counts


def conclude(metrics: Sequence[str], counted: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Add up what was counted and make scores of it.

    Parameters
    ----------
    metrics : sequence of str
        Entries of ``metrics/``.
    counted : sequence of list
        One a pair, in their order; see :func:`judge`.

    Returns
    -------
    dict of float
        Scores by name.
    """
    found: dict[str, float] = {}
    for name, counts in zip(metrics, zip(*counted, strict=True), strict=True):
        found |= load("metrics", name).scores(reduce(add, counts))
    return found


def _known(metric: Any) -> list[str]:
    return list(signature(metric.count).parameters)[2:]


def _turned(labels: Image, axes: str) -> Image:
    """Return labels with their axes in another order; they are loaded."""
    data = np.asarray(labels.data).transpose([labels.axes.index(a) for a in axes])
    _, scale, units = labels.along(axes)
    return replace(labels, data=data, axes=axes, scale=scale, units=units, levels=(), valid=())


def _frames(arrays: Sequence[Any], labels: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Part arrays of labels into those of each time point, if one of the labels says which axis is time."""
    known = [each.axes for each in labels if isinstance(each, Image)]
    at = next((axes.index("t") for axes in known if "t" in axes), None)
    shapes = {tuple(each.shape) for each in arrays if hasattr(each, "shape")}
    if at is None or len(shapes) > 1 or len(next(iter(shapes))) <= 2:
        yield arrays
        return
    whole = [each if hasattr(each, "shape") and hasattr(each, "dtype") else np.asarray(each) for each in arrays]
    for t in range(whole[0].shape[at]):
        yield [_Frame(each, at, t) for each in whole]


class _Frame:
    """A time point of an array, read where it is needed."""

    def __init__(self, data: Any, at: int, t: int) -> None:
        self._data, self._at, self._t = data, at, t
        self.dtype, self.shape = data.dtype, (*data.shape[:at], *data.shape[at + 1 :])
        chunks = None if isinstance(data, np.ndarray) else getattr(data, "chunks", None)
        self.chunks = chunks and (*chunks[:at], *chunks[at + 1 :])

    def __getitem__(self, window: tuple[slice, ...]) -> npt.NDArray[Any]:
        return np.asarray(self._data[(*window[: self._at], self._t, *window[self._at :])])


def _values(found: Any, binary: bool, scaled: bool) -> Any:
    """Return the array of labels, or for metrics that know the size of pixels the image."""
    if binary:
        mask = np.asarray(found.data if isinstance(found, Image) else found) > 0
        found = replace(found, data=mask, levels=()) if isinstance(found, Image) else mask
    return found.data if isinstance(found, Image) and not scaled else found
