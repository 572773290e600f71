"""Labels become lists of objects, and of who covers whom in the frame before; one frame is read at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from napari_unet.core.axes import Image, Plane
from napari_unet.core.errors import AxesError, ImageError
from napari_unet.core.motion import Motion
from napari_unet.core.steps import Progress, Steps

__all__ = ["Frame", "detect", "detect_some", "spatial_axes"]

_DENSE_ID: Final = 1 << 26  # ids below this are counted in a table, larger ones are sorted

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """The objects of one time point, ordered by label, and what they have in common with those before.

    Attributes
    ----------
    labels, areas : ndarray of int64, shape (n,)
        Ids in the image and sizes in pixels.
    positions : ndarray of float64, shape (n, d)
        Centers of mass in pixels, in the order of :func:`spatial_axes`.
    before, here, common : ndarray of int64, shape (m,)
        Rows of two objects, one of the frame before and one of this, that share `common` pixels; ordered by
        `before`, then `here`.
    looks : ndarray of float64, shape (n,)
        Logarithm (base 2) of how bright each is, compared with the median of the frame; NaN without an image.
    cut : ndarray of bool, shape (n,)
        Whether it touches the border of the picture along y or x: a part of it may lie outside.
    back : ndarray of float64, shape (n, d)
        From where it is to where its parent is foretold to have been, pixels; `common` is counted there. 0 where
        nothing is foretold.
    chances : ndarray of float64, shape (n,)
        Of having come out of a division; NaN where nobody knows.
    """

    labels: Ints
    areas: Ints
    positions: Floats
    before: Ints
    here: Ints
    common: Ints
    looks: Floats
    cut: npt.NDArray[np.bool_]
    back: Floats
    chances: Floats


def spatial_axes(labels: Image) -> str:
    """Check that labels can be followed, and return their spatial axes: ``"yx"`` or ``"zyx"``.

    Raises
    ------
    AxesError
        If there is no time axis, or more than one channel.
    """
    if "t" not in labels.axes:
        raise AxesError(
            f"'{labels.name}' has the axes '{labels.axes}' and no time: there is nothing to follow. If one of them is "
            f"time, say so, for example axes='{'t' + labels.spatial[-2:]}'; on the command line --axes."
        )
    if labels.channels > 1:
        raise AxesError(f"'{labels.name}' has {labels.channels} channels; labels have none. Choose one channel.")
    return "zyx" if "z" in labels.axes else "yx"


def detect(
    labels: Image, image: Image | None = None, motion: Motion | None = None, span: tuple[int, int] = (0, 2)
) -> Steps[list[Frame]]:
    """List the objects of every frame; two frames are in memory at once.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0 with the axes ``t``, ``y``, ``x`` and perhaps ``z``, in any order. All pixels of one
        value at one time are one object.
    image : Image, optional
        Intensities on the same grid; the mean of several channels is taken.
    motion : Motion, optional
        What a network foretells of these labels.
    span : tuple of int
        Of the whole work, in readings of the movie: what is done, and how much it is.

    Returns
    -------
    list of Frame
        One a time point; some may have no objects.

    Yields
    ------
    Progress
        One for every frame; without `span` the total counts each twice, because they are linked afterwards.

    Raises
    ------
    AxesError, ImageError
        If these are no labels with time, or the image or the motion do not fit them.
    """
    count = labels.shape[labels.axes.index("t")] if "t" in labels.axes else 0
    frames: list[Frame] = []
    found = detect_some(labels, (0, count), image, motion)
    for t in range(max(1, count)):
        yield Progress(span[0] * count + t, span[1] * count, f"Reading frame {t + 1} of {count}")
        frames.append(next(found))
    return frames


def detect_some(
    labels: Image, which: tuple[int, int], image: Image | None = None, motion: Motion | None = None
) -> Iterator[Frame]:
    """List the objects of some frames that follow each other.

    Parameters
    ----------
    labels : Image
        As for :func:`detect`.
    which : (int, int)
        The first frame, and the one after the last.
    image : Image, optional
        As for :func:`detect`.
    motion : Motion, optional
        What a network foretells of these frames.

    Yields
    ------
    Frame
        One a time point, the same whichever frames are asked for.

    Raises
    ------
    AxesError, ImageError
        As :func:`detect`.
    """
    axes, (first, stop) = spatial_axes(labels), which
    dimension = labels.axes.index("t")
    if image is not None:
        _check_fit(labels, image, axes)
    window = tuple(slice(0, n) for n in labels.along(axes)[0])
    rows: Ints = np.zeros(1, np.int64)
    for t in range(max(0, first - 1), stop):
        values = Plane(labels, axes, ((dimension, t),)).read(window)[0]
        ids, where, which_row = _find(values, labels.name)
        if t >= first:
            told = _foretold(motion, t - first, t, ids, len(axes))
            seen = None
            if image is not None and len(ids):
                seen = Plane(image, axes, ((image.axes.index("t"), t),)).read(window).mean(axis=0, dtype=np.float64)
            yield _frame(values, (ids, where, which_row), rows if t else None, told, seen)
        rows = np.zeros(values.size, np.int64)
        rows[where] = which_row + 1  # 0 stays background


def _frame(
    values: npt.NDArray[Any], found: tuple[Ints, Ints, Ints], rows: Ints | None, told: tuple[Floats, Floats], seen: Any
) -> Frame:
    """Describe the objects of a frame; `rows` are those of the frame before, pixel by pixel."""
    (ids, where, which), (back, chances) = found, told
    areas = np.bincount(which, minlength=len(ids))
    places = np.unravel_index(where, values.shape)
    sums = [np.bincount(which, weights=place, minlength=len(ids)) for place in places]
    positions = np.stack(sums, axis=1) / areas[:, None]
    common = (which[:0],) * 3
    if rows is not None:
        common = _common(*_moved(rows, which, (where, places), (back, values.shape)))
    looks = np.full(len(ids), np.nan)
    if seen is not None:
        looks = _looks(np.bincount(which, weights=seen.reshape(-1)[where], minlength=len(ids)) / areas)
    return Frame(ids, areas, positions, *common, looks, _cut(ids, values), back, chances)


def _foretold(motion: Motion | None, row: int, t: int, ids: Ints, ndim: int) -> tuple[Floats, Floats]:
    """Return what is foretold of the objects of a frame."""
    if motion is None:
        return np.zeros((len(ids), ndim)), np.full(len(ids), np.nan)
    fits = row < len(motion.labels) and np.array_equal(motion.labels[row], ids)
    if not fits or motion.back[row].shape != (len(ids), ndim):
        raise ImageError(
            f"The motion that was foretold speaks of other labels in frame {t}. Foretell it for these labels."
        )
    return motion.back[row], motion.chances[row]


def _moved(
    rows: Ints, which: Ints, pixels: tuple[Ints, tuple[Ints, ...]], by: tuple[Floats, tuple[int, ...]]
) -> tuple[Ints, Ints]:
    """Return the row of the frame before (from 1) under each pixel, and its own; objects are moved back first."""
    (where, places), (back, shape) = pixels, by
    if not back.any():
        return rows[where], which
    steps = np.rint(back).astype(np.int64)
    moved = [place + steps[which, axis] for axis, place in enumerate(places)]
    inside = np.logical_and.reduce([(at >= 0) & (at < n) for at, n in zip(moved, shape, strict=True)])
    index = tuple(at[inside] for at in moved)
    return rows[np.ravel_multi_index(index, shape)], which[inside]


def _check_fit(labels: Image, image: Image, axes: str) -> None:
    sizes = [tuple(i.shape[i.axes.index(a)] if a in i.axes else 1 for a in f"t{axes}") for i in (labels, image)]
    if sizes[0] != sizes[1]:
        raise ImageError(
            f"The image '{image.name}' has the size {sizes[1]} along t{axes}, the labels have {sizes[0]}. "
            "Choose the image that was segmented, or none."
        )


def _looks(means: Floats) -> Floats:
    """Compare brightness with that of the others, so that bleaching does not matter."""
    middle = float(np.median(means))
    return np.log2(np.maximum(means, 1e-9) / middle) if middle > 0 else np.full(len(means), np.nan)


def _cut(ids: Ints, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    rims = [values[..., 0, :], values[..., -1, :], values[..., 0], values[..., -1]]
    return np.isin(ids, np.unique(np.concatenate([rim.reshape(-1) for rim in rims])))


def _common(before: Ints, here: Ints) -> tuple[Ints, Ints, Ints]:
    """Count the pixels of every pair of rows, of which those of `before` count from 1."""
    if not len(before):
        return here, here, here
    shape = (int(before.max()) + 1, int(here.max()) + 1)
    table = sparse.coo_array((np.ones(len(here), np.int64), (before, here)), shape=shape).tocsr()[1:].tocoo()
    return table.row.astype(np.int64), table.col.astype(np.int64), table.data


def _find(values: npt.NDArray[Any], name: str) -> tuple[Ints, Ints, Ints]:
    """Return the ids, the flat index of every pixel that has one, and the row of its id."""
    kind = values.dtype.kind
    if kind not in "buif" or (kind == "f" and not (np.isfinite(values).all() and (values == np.rint(values)).all())):
        raise ImageError(
            f"'{name}' does not hold labels ({values.dtype}). Labels are whole numbers: 0 is background, each object "
            "has its own. Segment the movie first."
        )
    flat = np.ascontiguousarray(values, dtype=np.int64).reshape(-1)
    if int(flat.min()) < 0:
        raise ImageError(f"'{name}' holds negative numbers. Labels are 0 (background) or from 1 up.")
    where = np.flatnonzero(flat)
    inside = flat[where]
    if inside.size and int(inside.max()) >= _DENSE_ID:
        ids, which = np.unique(inside, return_inverse=True)
        return ids, where, which
    there = np.bincount(inside) > 0
    return np.flatnonzero(there), where, (np.cumsum(there) - 1)[inside]
