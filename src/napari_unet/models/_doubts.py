"""What speaks against a model on an image, found before it runs."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.model_card import ModelCard
from ..tiling.statistics import sample_windows
from ..tiling.stream import Plan

__all__ = ["doubt_intensities"]

_WINDOWS: Final = 4
_FAR: Final = (-1.0, 2.0)  # where 0 and 1 are what the images to learn from lay between
_MOST: Final = 0.5  # of the values
_LEAST: Final = 0.002  # of them lie within the range that is not clipped; a small lesion is as much of a body


def doubt_intensities(image: Image, plan: Plan, card: ModelCard) -> str:
    """Say whether the intensities of an image can be those that a model knows, where they mean the same in all images.

    Parameters
    ----------
    image : Image
        To be segmented.
    plan : Plan
        Its intensities have been measured.
    card : ModelCard
        Of the model.

    Returns
    -------
    str
        A sentence for the user; empty where all is well or intensities are measured in each image.
    """
    if card.normalize.kind != "fixed":
        return ""
    planes = [plan.select(plane) for plane in image.planes(card.net.ndim)]
    found: list[npt.NDArray[Any]] = []
    for (plane, window), _ in zip(sample_windows(planes), range(_WINDOWS), strict=False):
        block = plane.read(window).astype(np.float64)
        found.append(block.reshape(len(block), -1))
    values = np.concatenate(found, axis=1)
    low, high = (np.array(side, np.float64)[:, None] for side in (plan.statistics.low, plan.statistics.high))
    finite = np.isfinite(values)
    floor, ceiling = card.normalize.floor, card.normalize.ceiling
    if floor is not None and ceiling is not None:  # of CT: most of a body is not like a lesion, but something is
        low, high = np.array([[floor]]), np.array([[ceiling]])
        strange = finite & ((values < low) | (values > high))
        usual = strange.sum() < (1 - _LEAST) * finite.sum()
    else:
        seen = (values - low) / np.where(high > low, high - low, 1)
        strange = finite & ((seen < _FAR[0]) | (seen > _FAR[1]))
        usual = strange.sum() <= _MOST * finite.sum()
    if not finite.any() or usual:
        return ""
    own = np.percentile(values[finite], (1, 99))
    return (
        f"'{card.name}' knows intensities from about {low.min():g} to {high.max():g}; those of '{image.name}' lie from "
        f"{own[0]:g} to {own[1]:g}. Labels will be wrong unless both are in the same units: change the image's, or "
        "train a model on images like it."
    )
