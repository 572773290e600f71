"""SEG of masks of which some frames or planes are annotated: the truth of tracks often has mere markers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.overlaps import flat_labels, runs
from napari_unet.core.results import Annotation
from napari_unet.core.steps import Progress, Steps

from ._track_matches import _size, _sum

__all__ = ["score_annotations"]


def score_annotations(labels: Image, annotations: Sequence[Annotation]) -> Steps[float]:
    """Compare masks with what is annotated of them.

    Every object of every annotated frame or plane counts once: by the intersection over union with the mask that
    covers more than half of it, by 0 if there is none (Ulman et al. 2017, Nature Methods 14:1141).

    Parameters
    ----------
    labels : Image
        With time.
    annotations : sequence of Annotation
        Of its frames.

    Returns
    -------
    float
        SEG; NaN if nothing is annotated.

    Yields
    ------
    Progress
        One for every annotation.

    Raises
    ------
    ImageError
        If an annotation lies outside the movie, or has another size.
    """
    ious = [np.zeros(0)]
    for i, one in enumerate(annotations):
        yield Progress(i, len(annotations), f"Comparing with {one.labels.name}")
        true = flat_labels(np.asarray(one.labels.read((slice(None),) * len(one.labels.axes))), one.labels.name)
        a, b, pixels = runs(true, flat_labels(_part(labels, one), labels.name))
        (names, own), others = (_sum(side, pixels) for side in (a, b))
        both = (a > 0) & (b > 0)
        whole, other, common = _size((names, own), a[both]), _size(others, b[both]), pixels[both]
        good = 2 * common > whole
        found = np.zeros(int((names > 0).sum()))
        some = (common / (whole + other - common))[good]
        found[: len(some)] = some
        ious.append(found)
    values = np.concatenate(ious)
    return float(values.mean()) if len(values) else float("nan")


def _part(labels: Image, one: Annotation) -> npt.NDArray[Any]:
    """Load what is annotated, in the order ``zyx``."""
    place: list[int | slice] = [slice(None)] * len(labels.axes)
    left, wanted = labels.axes, {"t": one.t} | ({} if one.z is None else {"z": one.z})
    for axis, index in wanted.items():
        count = labels.shape[labels.axes.index(axis)] if axis in labels.axes else 0
        if index >= count:
            raise ImageError(
                f"'{one.labels.name}' speaks of {axis} = {index}, and '{labels.name}' has {count} along {axis}. "
                "Compare masks of the same movie."
            )
        place[labels.axes.index(axis)] = index
        left = left.replace(axis, "")
    values = np.asarray(labels.read(tuple(place)))
    values = values.transpose([left.index(axis) for axis in "czyx" if axis in left]).squeeze()
    true = tuple(n for n in one.labels.shape if n > 1)
    if tuple(n for n in values.shape if n > 1) != true:
        raise ImageError(
            f"'{one.labels.name}' has the shape {one.labels.shape}, '{labels.name}' has {values.shape} there. Compare "
            "masks of the same movie."
        )
    return values
