"""What somebody has corrected in labels by hand, and around which places the truth is known therefore."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import approximate_polygon, find_contours

from ..core.axes import Image, Plane
from ..core.bands import MISSING, band_names
from ..core.rasterize import Polygons
from ..core.region import Polygon, Region

__all__ = ["Correction", "find_corrections", "known_region", "left_of"]

_NEAREST, _FARTHEST = 6, 40  # pixels around a correction that the user has seen too
_LARGE: Final = 2**22  # pixels of a plane that is kept whole, so that its intensities stay what they are
_CONTEXT: Final = 256  # pixels around the corrections in a larger one
_SMOOTH: Final = 1.0  # pixels that an outline may differ
_CRUMB: Final = 36  # pixels: less than that is no place to learn from

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Correction:
    """A part of an image with labels that are right inside a region.

    Attributes
    ----------
    image, labels : Image
        In memory; one plane, or some planes of a stack.
    region : tuple of polygons
        Where the labels are the truth; vertices ``(y, x)`` in pixels of `labels`.
    place : str
        Which part of the whole it is: ``"t=3:4 y=0:512 x=256:768"``.
    """

    image: Image
    labels: Image
    region: Region
    place: str


def find_corrections(
    image: Image, before: Image, after: Image, ndim: int, channels: Sequence[int] | None = None
) -> Iterator[Correction]:
    """Find what was corrected.

    Parameters
    ----------
    image : Image
        Any axes.
    before, after : Image
        Labels of the image as they were found and as they are now; its axes without channels.
    ndim : int
        Dimensions of the network that is to learn from it.
    channels : sequence of int, optional
        Those that it sees, in its order; :data:`~napari_unet.core.bands.MISSING` for one that the image lacks. By
        default all.

    Yields
    ------
    Correction
        One a plane (2D) or time point (3D) in which something was changed.
    """
    cuts = (part.planes(ndim) for part in (image, before, after))
    for shown, old, new in zip(*cuts, strict=True):
        found, known = _whole(new)[0], _whole(old)[0]
        changed = found != known
        if not changed.any():
            continue
        region, box = known_region(known, found, changed)
        size = found.shape[-2] * found.shape[-1]
        window = tuple(
            slice(0, n) if axis != "z" and size <= _LARGE else slice(max(0, s.start - more), min(n, s.stop + more))
            for axis, s, n, more in zip(
                new.axes, box, found.shape, [0] * (ndim - 2) + [_CONTEXT] * 2, strict=True
            )
        )  # fmt: skip
        y, x = (part.start for part in window[-2:])
        moved = tuple(tuple((a - y, b - x) for a, b in polygon) for polygon in region)
        _, scale, units = image.along(new.axes)
        labels = Image(found[window], new.axes, scale, units, after.name)
        seen = _picked(shown.read(window), channels)
        picture = Image(
            seen, f"c{new.axes}", (1.0, *scale), ("pixel", *units), image.name, image.source,
            channel_names=band_names(image) if channels is None else (),
        )  # fmt: skip
        held = [(new.image.axes[axis], slice(at, at + 1)) for axis, at in new.fixed]
        place = " ".join(
            f"{axis}={part.start}:{part.stop}" for axis, part in (*held, *zip(new.axes, window, strict=True))
        )
        yield Correction(_plain(picture), labels, moved, place)


def _picked(block: Values, channels: Sequence[int] | None) -> Values:
    """Return channels of a block ``(c, *s)``; one that is missing is the same everywhere, so that nothing is seen."""
    if channels is None:
        return block
    return np.stack([np.zeros_like(block[0]) if number == MISSING else block[number] for number in channels])


def _plain(image: Image) -> Image:
    """Leave out an axis of one channel."""
    if image.channels > 1:
        return image
    return replace(image, data=image.data[0], axes=image.axes[1:], scale=image.scale[1:], units=image.units[1:])


def _whole(plane: Plane) -> Values:
    return plane.read(tuple(slice(0, n) for n in plane.shape))


def known_region(before: Values, after: Values, changed: Values) -> tuple[Region, tuple[slice, ...]]:
    """Say where labels are right, once somebody has changed them: the changed objects, and what lies next to them.

    Parameters
    ----------
    before, after : ndarray of int
        Labels of a plane ``(y, x)`` or a volume ``(z, y, x)``.
    changed : ndarray of bool
        Where they differ; somewhere at least.

    Returns
    -------
    region : tuple of polygons
        Outlines of what was changed, of all the objects that lose or gain pixels, and of half an object's width around
        them; vertices ``(y, x)``, seen from above in a volume.
    box : tuple of slice
        Where all of that lies, one for each axis.
    """
    touched = np.union1d(np.unique(before[changed]), np.unique(after[changed]))
    sizes = np.bincount(after.ravel())[1:]
    width = float(np.median(sizes[sizes > 0])) ** (1 / after.ndim) if sizes.any() else 0.0
    margin = int(np.clip(width / 2, _NEAREST, _FARTHEST))
    mask = changed | np.isin(after, touched[touched > 0])
    box = ndimage.find_objects(mask.astype(np.int8))[0]
    wide = tuple(
        s if axis < after.ndim - 2 else slice(max(0, s.start - margin), min(n, s.stop + margin))
        for axis, (s, n) in enumerate(zip(box, after.shape, strict=True))
    )
    seen = mask[wide].any(axis=tuple(range(after.ndim - 2)))
    near = ndimage.binary_fill_holes(ndimage.distance_transform_edt(~seen) <= margin)
    corner = np.array([part.start for part in wide[-2:]], float) - 1
    outlines = [
        approximate_polygon(line, _SMOOTH) + corner for line in find_contours(np.pad(near, 1).astype(float), 0.5)
    ]
    return tuple(tuple((round(y, 2), round(x, 2)) for y, x in line[:-1].tolist()) for line in outlines), wide


def left_of(area: Polygon, taken: Region) -> Region:
    """Return what is left of an area where others are taken out of it, pixel by pixel.

    Parameters
    ----------
    area : polygon
        Vertices ``(y, x)`` in pixels.
    taken : tuple of polygons
        In the same pixels.

    Returns
    -------
    tuple of polygons
        The area itself if the others have no pixel of it; nothing if only crumbs are left.
    """
    low, high = np.floor(np.min(area, 0)).astype(int), np.ceil(np.max(area, 0)).astype(int) + 1
    window = tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))
    mask, gone = Polygons([area]).mask(*window), Polygons(taken).mask(*window)
    if not (mask & gone).any():
        return (area,)
    parts, count = ndimage.label(mask & ~gone)
    kept = [parts == number for number in range(1, count + 1)]
    return tuple(_outlined(part, low) for part in kept if part.sum() >= _CRUMB)


def _outlined(part: Values, corner: Values) -> Polygon:
    """Return one outline of a piece, which also goes to each of its holes, around it and back."""
    lines = [approximate_polygon(line, 0) + corner - 1 for line in find_contours(np.pad(part, 1).astype(float), 0.5)]
    outer, *holes = (line.tolist() for line in sorted(lines, key=lambda line: -float(np.ptp(line, axis=0).sum())))
    path = outer
    for hole in holes:
        path = [*path, *hole, outer[0]]
    return tuple((y, x) for y, x in (path if holes else outer[:-1]))
