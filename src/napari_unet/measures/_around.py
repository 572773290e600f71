"""What lies around objects: the ring of each, such as the cytoplasm around a nucleus, and the cell that both are."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import AXES, Image
from napari_unet.core.errors import AxesError, ImageError
from napari_unet.core.results import Table
from napari_unet.core.steps import Steps
from napari_unet.core.windows import Reader

from ._parts import Parts
from ._source import spatial
from .objects import counted_steps

__all__ = ["SIZES", "add_rings", "grow", "measure_steps"]

SIZES: Final = ("ring_area", "ring_volume", "cell_area", "cell_volume")  # columns that labels might ask for, too
_SLACK: Final = 1e-9  # a distance of 5 pixels of 0.325 µm is 1.625 µm, whatever the last digit says
_MOST: Final = 1 << 12  # pixels that a ring may be wide

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]


def grow(labels: Image, distance: float, ring: bool = False) -> Image:
    """Let every object grow, where nobody else is nearer.

    A pixel of the background goes to the object whose nearest pixel is nearest to it (between centers of pixels), if
    that is not farther away than `distance`; of several that are as near, to the one with the lowest label. It is what
    ``skimage.segmentation.expand_labels`` does, but for these, window by window.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0 with the axes ``yx`` or ``zyx``, in any order, and perhaps ``t``.
    distance : float
        In the unit of the axes, which is one (:func:`~napari_unet.core.lengths.in_one_unit`).
    ring : bool
        Leave out the objects themselves.

    Returns
    -------
    Image
        Of the same size, axes and type (whole numbers: of 64 bits). It is computed where it is read, and does not
        depend on the windows that are read.

    Raises
    ------
    AxesError
        If labels have more than one channel.
    ImageError
        If the distance is more than 4096 pixels.
    """
    if labels.channels > 1:
        raise AxesError(f"'{labels.name}' has {labels.channels} channels; labels have none. Choose one channel.")
    name = f"{labels.name} {'ring' if ring else 'grown'}"
    return replace(labels, data=_Grown(labels, distance, ring), levels=(), name=name, source="", files=())


def measure_steps(table: Table, labels: Image, image: Image | None, distance: float) -> Steps[Table]:
    """Measure what lies around objects that are measured.

    Parameters
    ----------
    table : dict of ndarray
        Of :func:`~napari_unet.measures.objects.measure`.
    labels, image : Image
        As they were given to it.
    distance : float
        See :func:`grow`.

    Returns
    -------
    dict of ndarray
        The table with more columns; see :func:`add_rings`.

    Yields
    ------
    Progress
        One for every window.

    Raises
    ------
    ImageError, AxesError
        As :func:`~napari_unet.measures.objects.measure` and :func:`grow`.
    """
    parts = Parts(grow(labels, distance, ring=True), image)
    yield from counted_steps(parts, "Measuring around the objects")
    return add_rings(table, labels, parts)


def add_rings(table: Table, labels: Image, parts: Parts) -> Table:
    """Add what was measured around objects to their table.

    Parameters
    ----------
    table : dict of ndarray
        Of :func:`~napari_unet.measures.objects.measure`.
    labels : Image
        As they were given to it.
    parts : Parts
        Of their rings (:func:`grow`), all of them measured.

    Returns
    -------
    dict of ndarray
        The table, and

        - ``ring_area`` or ``ring_volume``: how large the ring is; 0 where neighbors leave no room.
        - ``cell_area`` or ``cell_volume``: of object and ring together.
        - ``ring_intensity_mean`` and so on, ``cell_intensity_mean`` and so on, as the table names those of the
          object. Of a ring without pixels they are NaN, and its cell is the object.
        - ``intensity_ratio``: the mean in the object divided by that in its ring.
    """
    size = "area" if len(spatial(labels)) == 2 else "volume"
    rows = _rows(table, parts)
    pixels = _taken([sums.moments.pixels[: len(sums.ids)] for sums in parts.sums], rows, 0)
    inside = table[f"{size}_px"]
    element = math.prod(parts.scale)
    found = {f"ring_{size}": pixels * element, f"cell_{size}": (inside + pixels) * element}
    for number, suffix in enumerate(parts.suffixes):
        own = {name: table[f"intensity_{name}{suffix}"] for name in ("mean", "std", "min", "max", "sum")}
        each = [sums.intensities[number].columns(np.arange(len(sums.ids))) for sums in parts.sums]
        ring = {name: _taken([columns[name] for columns in each], rows, math.nan) for name in own}
        cell = _together((inside, own), (pixels, ring))
        found |= {f"ring_intensity_{name}{suffix}": column for name, column in ring.items()}
        found |= {f"cell_intensity_{name}{suffix}": column for name, column in cell.items()}
        with np.errstate(divide="ignore", invalid="ignore"):
            found[f"intensity_ratio{suffix}"] = own["mean"] / ring["mean"]
    return table | found


def _rows(table: Table, parts: Parts) -> Ints:
    """Return where each object stands among the rings of all time points; -1 where it has none."""
    times = table.get("t", np.zeros(len(table["index"]), np.int64))
    found, first = np.full(len(times), -1, np.int64), 0
    for t, sums in zip(parts.times, parts.sums, strict=True):
        own = np.flatnonzero(times == (t or 0))
        order = np.argsort(sums.ids)
        at = np.searchsorted(sums.ids, table["index"][own], sorter=order)
        near = order[np.minimum(at, len(order) - 1)] if len(order) else np.zeros(0, np.int64)
        if len(order):
            there = sums.ids[near] == table["index"][own]
            found[own[there]] = first + near[there]
        first += len(sums.ids)
    return found


def _taken(each: list[npt.NDArray[Any]], rows: Ints, missing: float) -> npt.NDArray[Any]:
    """Return the values of the rings in the order of the objects."""
    values = np.concatenate(each) if each else np.zeros(0)
    found = np.full(len(rows), missing, values.dtype)
    found[rows >= 0] = values[rows[rows >= 0]]
    return found


def _together(one: tuple[Any, dict[str, Any]], other: tuple[Any, dict[str, Any]]) -> Table:
    """Put intensities of objects and of their rings together; Chan, Golub and LeVeque 1983, eq. 1.5b."""
    (n, own), (m, ring) = one, other
    some = m > 0
    ring = {name: np.where(some, column, own[name]) for name, column in ring.items()}
    total = n + m
    squares = n * own["std"] ** 2 + m * ring["std"] ** 2 + (ring["mean"] - own["mean"]) ** 2 * (n * m / total)
    sums = own["sum"] + np.where(some, ring["sum"], 0.0)
    return {
        "mean": sums / total, "std": np.sqrt(squares / total), "min": np.minimum(own["min"], ring["min"]),
        "max": np.maximum(own["max"], ring["max"]), "sum": sums,
    }  # fmt: skip


class _Grown:
    """Labels that grow where they are read."""

    def __init__(self, labels: Image, distance: float, ring: bool) -> None:
        self.shape, self.ndim = labels.shape, len(labels.shape)
        self.dtype = np.dtype(labels.data.dtype) if labels.data.dtype.kind in "ui" else np.dtype(np.int64)
        self._axes, self._ring, self._most = labels.axes, ring, (distance * (1 + _SLACK)) ** 2
        self._reader = Reader(labels.data, labels.name)
        scale = dict(zip(labels.axes, labels.scale, strict=True))
        # In this order, however they are stored, so that the last digit is the same.
        self._steps = {a: scale[a] for a in AXES if a in labels.spatial}
        self._reach = {a: int(distance * (1 + _SLACK) / step) for a, step in self._steps.items()}
        if max(self._reach.values()) > _MOST:
            raise ImageError(
                f"Around the objects of '{labels.name}' {max(self._reach.values())} pixels are asked for; at most "
                f"{_MOST} can be. Give a smaller distance, or look at the pixel size of the image."
            )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return all of it."""
        return self[(slice(None),) * self.ndim].astype(dtype or self.dtype, copy=False)

    def __getitem__(self, window: Any) -> npt.NDArray[Any]:
        """Return a window: slices without steps, and numbers."""
        asked = window if isinstance(window, tuple) else (window,)
        if Ellipsis in asked:
            at = asked.index(Ellipsis)
            asked = (*asked[:at], *(slice(None),) * (self.ndim - len(asked) + 1), *asked[at + 1 :])
        asked = (*asked, *(slice(None),) * (self.ndim - len(asked)))
        held = [range(n)[k] if not isinstance(k, slice) else None for k, n in zip(asked, self.shape, strict=True)]
        parts = [
            slice(k.indices(n)[0], max(k.indices(n)[:2])) if isinstance(k, slice) else slice(h, (h or 0) + 1)
            for k, n, h in zip(asked, self.shape, held, strict=True)
        ]
        if any(isinstance(k, slice) and k.step not in (None, 1) for k in asked):
            raise IndexError("Labels that grow are read without steps.")
        found = self._grown(parts)
        return found[tuple(slice(None) if h is None else 0 for h in held)]

    def _grown(self, parts: list[slice]) -> npt.NDArray[Any]:
        """Return a window with all axes."""
        if any(part.start >= part.stop for part in parts):
            return np.zeros([max(0, part.stop - part.start) for part in parts], self.dtype)
        reach = [self._reach.get(a, 0) for a in self._axes]
        wide = [
            slice(max(0, part.start - r), min(n, part.stop + r))
            for part, r, n in zip(parts, reach, self.shape, strict=True)
        ]
        block = _whole(self._reader.read(tuple(wide)), self._reader.name)
        ids, near = block.copy(), np.where(block > 0, 0.0, np.inf)
        for axis, step in self._steps.items():
            at = self._axes.index(axis)
            lines = [np.moveaxis(values, at, -1) for values in (near, ids)]
            found = _spread(
                np.ascontiguousarray(lines[0]).reshape(-1, lines[0].shape[-1]),
                np.ascontiguousarray(lines[1]).reshape(-1, lines[1].shape[-1]),
                step, self._reach[axis], self._most,
            )  # fmt: skip
            near = np.moveaxis(found[0].reshape(lines[0].shape), -1, at)
            ids = np.moveaxis(found[1].reshape(lines[0].shape), -1, at)
        if self._ring:
            ids = np.where(block > 0, 0, ids)
        inner = tuple(slice(part.start - w.start, part.stop - w.start) for part, w in zip(parts, wide, strict=True))
        return np.ascontiguousarray(ids[inner]).astype(self.dtype, copy=False)


def _whole(values: npt.NDArray[Any], name: str) -> Ints:
    """Return labels as whole numbers."""
    kind = values.dtype.kind
    good = kind in "bui" or (kind == "f" and bool((np.isfinite(values) & (values == np.rint(values))).all()))
    if not good or (kind in "if" and bool((values < 0).any())):
        raise ImageError(
            f"'{name}' does not hold labels ({values.dtype}). Labels are whole numbers: 0 is background, each object "
            "has its own, from 1 up."
        )
    return values.astype(np.int64)


@numba.njit(cache=True, nogil=True)
def _spread(
    near: Floats, ids: Ints, step: float, reach: int, most: float
) -> tuple[Floats, Ints]:  # pragma: no cover - compiled
    """Let squared distances, and whose they are, spread along rows; one pass of a separable distance transform."""
    found, whose = np.full(near.shape, np.inf), np.zeros(ids.shape, np.int64)
    rows, length = near.shape
    for y in range(rows):
        for x in range(length):
            best, own = near[y, x], ids[y, x]
            for k in range(1, reach + 1):
                far = (k * step) ** 2
                if far > best or far > most:
                    break
                for at in (x - k, x + k):
                    if 0 <= at < length and near[y, at] < np.inf:
                        total = near[y, at] + far
                        if total < best or (total == best and ids[y, at] < own):
                            best, own = total, ids[y, at]
            if best <= most:
                found[y, x], whose[y, x] = best, own
    return found, whose
