"""Whether numbers in an image can be meant as objects: what somebody should hear who gave the wrong file."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.core.axes import Image, Plane
from napari_unet.core.results import Tracks

from ._detect import spatial_axes

__all__ = ["warn_of_labels"]

_FULL: Final = 0.9  # share of a picture that is background nowhere
_SPECK: Final = 2  # pixels
_LOOKED_AT: Final = 6  # objects whose sizes change most
_JUMP: Final = 1.6  # times as large
_PIECE: Final = 0.25  # of an object; smaller ones are specks of it
_MOST: Final = 200  # objects of a frame

Ints = npt.NDArray[np.int64]


def warn_of_labels(labels: Image, tracks: Tracks) -> str:
    """Say in words that an image was taken for labels, or that different objects have one number.

    Pieces of one number are looked for only where an object is suddenly much larger, so that it takes no time.

    Parameters
    ----------
    labels : Image
        What was tracked.
    tracks : Tracks
        Of these labels.

    Returns
    -------
    str
        What to do; empty where the labels make sense.
    """
    areas = tracks.nodes["area"].astype(np.int64)
    if not len(areas):
        return ""
    if np.median(areas) <= _SPECK and areas.sum() >= _FULL * np.prod([float(n) for n in labels.shape]):
        return (
            f"'{labels.name}' looks like a picture and not like labels: nearly no pixel is 0, and most objects are "
            "specks. Segment it first, then track its labels."
        )
    return _apart(labels, tracks)


def _apart(labels: Image, tracks: Tracks) -> str:
    """Look for objects in pieces that lie farther apart than they are wide."""
    axes, dimension = spatial_axes(labels), labels.axes.index("t")
    window = tuple(slice(0, n) for n in labels.along(axes)[0])
    found: list[tuple[int, int, float]] = []
    for t in _frames(tracks):
        values = Plane(labels, axes, ((dimension, t),)).read(window)[0]
        found += [(t, label, far) for label, far in _split(values.astype(np.int64))]
    if not found:
        return ""
    t, label, far = max(found, key=lambda each: each[2])
    more = f" So are {len(found) - 1} more." if len(found) > 1 else ""
    return (
        f"In frame {t} the label {label} is in two places, {far:.0f} pixels apart, and is taken for one object.{more} "
        "If these are different objects, give each a number of its own: correct the labels, or segment again."
    )


def _frames(tracks: Tracks) -> list[int]:
    """Choose frames in which an object is much larger than before or after, or than most if it has no links."""
    time, areas = tracks.nodes["t"].astype(np.int64), tracks.nodes["area"].astype(np.float64)
    above, below = tracks.edges.T
    children, parents = (np.bincount(nodes, minlength=len(time)) for nodes in (above, below))
    single = children[above] == 1
    above, below = above[single], below[single]
    usual = np.full(len(time), np.median(areas))
    usual[above] = areas[below]
    usual[below] = np.minimum(areas[above], np.where(children[below] == 1, usual[below], np.inf))
    usual[(children == 0) & (parents == 0)] = np.median(areas)
    growth = areas / usual
    most = np.argsort(-growth, kind="stable")[:_LOOKED_AT]
    return sorted({*time[most[growth[most] >= _JUMP]].tolist()})


def _split(values: Ints) -> list[tuple[int, float]]:
    """List the objects of a frame that are in pieces, and how far these are apart, pixels."""
    ids, rows = np.unique(values, return_inverse=True)
    boxes = ndimage.find_objects(rows.reshape(values.shape))  # the first number, background or not, is row 0
    where = {int(ids[row]): box for row, box in enumerate(boxes, start=1) if box is not None and ids[row] > 0}
    if ids[0] > 0:
        where[int(ids[0])] = tuple(slice(0, n) for n in values.shape)
    counts = dict(zip(ids.tolist(), np.bincount(rows.reshape(-1)).tolist(), strict=True))
    loose = sorted(where, key=lambda i: counts[i] / np.prod([float(s.stop - s.start) for s in where[i]]))
    found = []
    for label in loose[:_MOST]:
        pieces, number = ndimage.label(values[where[label]] == label, np.ones((3,) * values.ndim))
        if number < 2:
            continue
        sizes = np.bincount(pieces.reshape(-1))[1:]
        one, two = (np.argsort(-sizes, kind="stable")[:2] + 1).tolist()
        width = 2 * (sizes[one - 1] / np.pi) ** 0.5 if values.ndim == 2 else 2 * (sizes[one - 1] * 0.24) ** (1 / 3)
        middles = ndimage.center_of_mass(pieces > 0, pieces, [one, two])
        far = float(np.linalg.norm(np.subtract(*middles)))
        if sizes[two - 1] >= _PIECE * counts[label] and far > width:
            found.append((label, far))
    return found
