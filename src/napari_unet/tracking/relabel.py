"""Labels numbered by track or by lineage: a new view of the same pixels, made frame by frame when somebody looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.errors import SpecError
from napari_unet.core.results import Tracks

from ._gaps import Fill, draw, plan

__all__ = ["relabel"]

_BY: Final = ("track", "lineage")


def relabel(labels: Image, tracks: Tracks, by: str = "track", fill_gaps: bool = False) -> Image:
    """Show every object with the number of its track or lineage.

    Parameters
    ----------
    labels : Image
        What was tracked; it is not changed.
    tracks : Tracks
        Its tracks. An object without a node gets 0.
    by : {"track", "lineage"}
        Which number.
    fill_gaps : bool
        Where a track skips frames, draw masks between the last one before and the first one after; likewise those that
        are missing around a division.

    Returns
    -------
    Image
        int32, the axes, scale and units of `labels`; a dask array of one frame a chunk.

    Raises
    ------
    SpecError
        If `by` is neither.
    AxesError
        If the labels have no time.
    """
    if by not in _BY:
        raise SpecError(f"Labels can be numbered by {' or '.join(_BY)}, not by '{by}'.")
    view = _View(labels, tracks, by, plan(tracks, by) if fill_gaps else {})
    chunks = tuple(1 if a == "t" else n for a, n in zip(labels.axes, labels.shape, strict=True))
    data = da.from_array(view, chunks=chunks, name=False, asarray=True, fancy=False)
    return replace(labels, data=data, levels=(), name=f"{labels.name} by {by}")


class _View:
    """An array that is computed from another where it is read."""

    def __init__(self, labels: Image, tracks: Tracks, by: str, fills: dict[int, list[Fill]]) -> None:
        self.labels, self.fills = labels, fills
        self.shape, self.ndim, self.dtype = labels.shape, len(labels.shape), np.dtype(np.int32)
        self._time = labels.axes.index("t")
        order = np.lexsort((tracks.nodes["label"], tracks.nodes["t"]))
        self._ids = tracks.nodes["label"][order]
        self._numbers = tracks.nodes[by][order].astype(np.int32)
        self._first = np.searchsorted(tracks.nodes["t"][order], np.arange(self.shape[self._time] + 1))

    def __getitem__(self, index: Sequence[slice]) -> npt.NDArray[np.int32]:
        """Return a part, cut by one slice for each axis."""
        frames = range(*index[self._time].indices(self.shape[self._time]))
        parts = [self._frame(t)[tuple(part for i, part in enumerate(index) if i != self._time)] for t in frames]
        return np.stack(parts, axis=self._time)

    def _source(self, t: int) -> npt.NDArray[Any]:
        place: list[Any] = [slice(None)] * self.ndim
        place[self._time] = t
        return np.asarray(self.labels.read(tuple(place)))

    def _frame(self, t: int) -> npt.NDArray[np.int32]:
        values = self._source(t)
        part = slice(self._first[t], self._first[t + 1])
        ids, numbers = self._ids[part], self._numbers[part]
        made = np.zeros(values.shape, np.int32)
        if len(ids):
            here = np.flatnonzero(values)
            flat = values.reshape(-1)[here]
            at = np.minimum(np.searchsorted(ids, flat), len(ids) - 1)
            made.reshape(-1)[here] = np.where(ids[at] == flat, numbers[at], 0)
        for fill in self.fills.get(t, ()):
            draw(made, values, fill, self._source)
        return made
