"""Measurements of objects that were corrected: only those are measured again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import AXES, Image
from napari_unet.core.bands import band_names
from napari_unet.core.results import Table
from napari_unet.core.windows import Reader

from .objects import measure

__all__ = ["measure_again"]

_AT_ONCE: Final = 2**24  # pixels

Ids = npt.NDArray[np.int64]


def measure_again(
    table: Table, labels: Image, image: Image | None, ids: Sequence[int], box: Mapping[str, slice]
) -> Table:
    """Bring a table up to date after some objects were corrected.

    Parameters
    ----------
    table : dict of ndarray
        Of :func:`~napari_unet.measures.objects.measure` before; columns that it does not know become NaN for the
        objects that are measured again.
    labels : Image
        As they are now.
    image : Image, optional
        Intensities.
    ids : sequence of int
        Objects that have changed, appeared or vanished.
    box : mapping of str to slice
        Where all pixels that changed lie, for each axis of the labels. Along time it is one frame.

    Returns
    -------
    dict of ndarray
        Rows ordered by time and label. Where the table does not say how far objects reach, all are measured.
    """
    axes = [a for a in AXES if a in labels.spatial]
    if not {"index", *(f"bbox_{a}{end}" for a in axes for end in (0, 1))} <= set(table):
        return measure(labels, image)
    found = dict(table)
    for frame in range(box["t"].start, box["t"].stop) if "t" in labels.axes else (None,):
        found = _frame(found, labels, image, np.asarray(ids, np.int64), dict(box), frame)
    return found


def _frame(
    table: Table, labels: Image, image: Image | None, ids: Ids, box: dict[str, slice], frame: int | None
) -> Table:
    old = np.isin(table["index"], ids)
    if frame is not None:
        old &= table["t"] == frame
        box["t"] = slice(frame, frame + 1)
    new = [_measured(labels, image, some, part, frame) for some, part in _parts(table, labels, ids, box, old)]
    rows = {name: [column[~old], *(_column(part, name) for part in new)] for name, column in table.items()}
    merged = {name: np.concatenate(parts) for name, parts in rows.items()}
    order = np.lexsort([merged["index"], *([merged["t"]] if "t" in merged else [])])
    return {name: column[order] for name, column in merged.items()}


def _parts(
    table: Table, labels: Image, ids: Ids, box: dict[str, slice], old: npt.NDArray[np.bool_]
) -> Iterator[tuple[Ids, dict[str, slice]]]:
    """Choose windows that hold whole objects: one for all if it is small, else one for each."""
    shape = dict(zip(labels.axes, labels.shape, strict=True))

    def around(rows: npt.NDArray[np.bool_]) -> dict[str, slice]:
        part = dict(box)
        for a in (a for a in labels.spatial):
            low = min([box[a].start, *table[f"bbox_{a}0"][rows].tolist()])
            high = max([box[a].stop, *table[f"bbox_{a}1"][rows].tolist()])
            # One pixel more: an outline needs to see that the object ends.
            part[a] = slice(max(int(low) - 1, 0), min(int(high) + 1, shape[a]))
        return part

    whole = around(old)
    if math.prod(s.stop - s.start for s in whole.values()) <= _AT_ONCE:
        yield ids, whole
        return
    for one in ids:
        yield np.array([one]), around(old & (table["index"] == one))


def _measured(labels: Image, image: Image | None, ids: Ids, part: dict[str, slice], frame: int | None) -> Table:
    cut = _cut(labels, part)
    values = np.asarray(cut.data)
    cut = Image(np.where(np.isin(values, ids), values, 0), cut.axes, cut.scale, cut.units, cut.name)
    found = measure(cut, None if image is None else _cut(image, part))
    edges = np.zeros(len(found["index"]), bool)
    for a, n, size in zip(labels.axes, labels.shape, labels.scale, strict=True):
        if a == "t":
            continue
        start = part[a].start
        found[f"centroid_{a}"] = found[f"centroid_{a}"] + start * size
        found |= {f"bbox_{a}{end}": found[f"bbox_{a}{end}"] + start for end in (0, 1)}
        if n > 1 or a in "yx":
            edges |= (found[f"bbox_{a}0"] == 0) | (found[f"bbox_{a}1"] == n)
    found["touches_border"] = edges
    return found if frame is None else found | {"t": np.full(len(edges), frame, np.int64)}


def _cut(image: Image, part: Mapping[str, slice]) -> Image:
    window = tuple(part.get(a, slice(0, n)) for a, n in zip(image.axes, image.shape, strict=True))
    data = Reader(image.data, image.name).read(window)
    return Image(data, image.axes, image.scale, image.units, image.name, channel_names=band_names(image))


def _column(table: Table, name: str) -> npt.NDArray[Any]:
    return table[name] if name in table else np.full(len(table["index"]), np.nan)
