"""Labels on the grid of an image: copied where their voxels coincide, resampled only where that is asked for."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.anatomy import TOLERANCE, check_grid, describe_grid, same_grid
from ..core.axes import Image
from ..core.errors import ImageError
from .drawings import is_drawing

__all__ = ["regrid"]

_SLAB: Final = 1 << 22  # voxels that are looked up together


def regrid(labels: Image, like: Image, resample: bool = False) -> Image:
    """Bring labels onto the grid of an image.

    Parameters
    ----------
    labels, like : Image
        Both with a place in the patient (an anatomy); of `like` no values are read. Shapes that were drawn on `like`
        when they were read stay as they are.
    resample : bool
        Take the nearest label where voxels do not coincide. Small objects may vanish and sizes change.

    Returns
    -------
    Image
        Labels with the axes ``zyx`` (``tzyx`` for movies of labels) and the anatomy of `like`; 0 where there were none.
        What lies outside of the image is left out, and a remark says so.

    Raises
    ------
    ImageError
        If one of them has no known place, or voxels do not coincide and `resample` is not asked for.
    """
    if is_drawing(Path(labels.source)) and labels.shape == like.along(labels.axes)[0]:
        return labels  # they were drawn on it
    if labels.anatomy is None or like.anatomy is None:
        which = labels if labels.anatomy is None else like
        raise ImageError(
            f"Where '{which.name}' lies is not known, so it cannot be brought onto another grid. Use files that say "
            "it: NIfTI or DICOM."
        )
    if same_grid(labels, like):
        return _dressed(np.asarray(labels.data[...]), labels, like, ())
    if labels.spatial != "zyx" or like.spatial != "zyx":
        raise ImageError(f"'{labels.name}' and '{like.name}' must be volumes to be brought onto one grid.")
    values = np.asarray(labels.data[...]).transpose(
        [labels.axes.index(a) for a in labels.axes if a not in "zyx"] + [labels.axes.index(a) for a in "zyx"]
    )
    # From an index of the image to one of the labels.
    step = np.linalg.inv(labels.anatomy.matrix) @ like.anatomy.matrix
    whole = np.rint(step)
    corners = np.array(list(itertools.product(*((0, n - 1) for n in like.anatomy.shape))))
    off = np.abs(corners @ (step - whole)[:3, :3].T + (step - whole)[:3, 3]).max()
    # Of equal voxels: a coarser grid may meet every second center, and would lose the others.
    turned = np.abs(whole[:3, :3])
    same = off <= TOLERANCE and (turned.sum(0) == 1).all() and (turned.sum(1) == 1).all()
    if not same and not resample:
        check_grid(labels, like)
    step = whole if same else step
    found = _looked_up(values, step, like.anatomy.shape)
    lost = sorted(set(np.unique(values).tolist()) - set(np.unique(found).tolist()))
    said = [f"Labels were brought from another grid ({describe_grid(labels)}) to the nearest voxels of the image."]
    remarks = said * (not same)
    if lost:
        remarks.append(f"{len(lost)} labels have no voxel in the image any more: {', '.join(map(str, lost[:9]))}.")
    elif same and np.count_nonzero(found) < np.count_nonzero(values):
        remarks.append("A part of the labels lies outside of the image and was left out.")
    return _dressed(found, labels, like, tuple(remarks))


def _looked_up(
    values: npt.NDArray[Any], step: npt.NDArray[np.float64], shape: tuple[int, int, int]
) -> npt.NDArray[Any]:
    """Return the nearest label of every voxel of a grid, slab by slab."""
    found = np.zeros((*values.shape[:-3], *shape), values.dtype)
    limits = np.array(values.shape[-3:])
    planes = max(1, _SLAB // (shape[1] * shape[2]))
    for start in range(0, shape[0], planes):
        stop = min(start + planes, shape[0])
        index = np.stack(np.meshgrid(np.arange(start, stop), *map(np.arange, shape[1:]), indexing="ij"), -1)
        # Half-way, the lower one, whatever the direction: 1e-6 is less than any rounding of a header.
        there = np.floor(index @ step[:3, :3].T + step[:3, 3] + 0.5 - 1e-6).astype(np.int64)
        inside = ((there >= 0) & (there < limits)).all(-1)
        z, y, x = there[inside].T
        found[..., start:stop, :, :][..., inside] = values[..., z, y, x]
    return found


def _dressed(values: npt.NDArray[Any], labels: Image, like: Image, remarks: tuple[str, ...]) -> Image:
    """Give labels the place of the image, their own names, and what is to be said."""
    own, place = labels.anatomy, like.anatomy
    if own is None or place is None:
        return labels
    anatomy = replace(place.named(dict(own.names)), remarks=(*own.remarks, *remarks))
    axes = labels.axes if values.shape == labels.shape else "".join(a for a in labels.axes if a not in "zyx") + "zyx"
    scale = dict(zip("zyx", place.scale, strict=True))
    known = dict(zip(labels.axes, zip(labels.scale, labels.units, strict=True), strict=True))
    sizes = [(scale[a], "millimeter") if a in scale else known[a] for a in axes]
    return Image(
        values,
        axes,
        tuple(s for s, _ in sizes),
        tuple(u for _, u in sizes),
        labels.name,
        labels.source,
        anatomy=anatomy,
    )
