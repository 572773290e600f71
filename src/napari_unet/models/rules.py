"""How the scores of a run become labels: the model's rule, and what the settings say otherwise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.amounts import LARGEST, Smallest, countable, smallest_of
from ..core.axes import Image
from ..core.errors import SpecError
from ..core.specs import SegmentSpec, TargetSpec
from ..core.stacks import step_between
from ..targets import count_classes, target
from ._scorer import Scorer
from .stacks import Stacked

__all__ = ["decode_stored", "object_rule", "pixel_sizes", "sizes_count", "unused_settings"]


def object_rule(spec: SegmentSpec, model: Scorer, diameter: float, image: Image) -> tuple[TargetSpec, Smallest]:
    """Say how objects are decoded.

    Parameters
    ----------
    spec : SegmentSpec
        Settings.
    model : Scorer
        Which network, or several as one.
    diameter : float
        Object size, image pixels.
    image : Image
        Whose pixels are counted.

    Returns
    -------
    rule : TargetSpec
        The model's, with what the settings say otherwise.
    smallest : float or tuple of float
        The fewest pixels of an object, or of the pieces of each class where that is asked for.

    Raises
    ------
    SpecError
        If a size is not for this model, or the image does not know the size of its pixels.
    """
    rule, ndim = model.card.target, model.card.net.ndim
    given = {
        "threshold": spec.threshold, "min_score": spec.min_score,
        "min_size": None if spec.min_size is None else str(spec.min_size),
    }  # fmt: skip
    rule = rule.model_copy(update={name: value for name, value in given.items() if value is not None})
    names = [row.name for row in rule.table]
    if names and not rule.background:
        rule = rule.model_copy(update={"min_size": ""})  # nothing could take the place of what is too small
    _, scale, units = image.along("zyx"[-ndim:])
    if rule.min_size and spec.min_size is None and not countable(rule.min_size, units):
        rule = rule.model_copy(update={"min_size": ""})  # what a model says of itself holds where pixels have a size
    if rule.min_size:
        known = names or rule.classes or (model.card.name,)
        if isinstance(spec.min_size, float):
            sizes = (spec.min_size,) * len(known)
        else:
            sizes = smallest_of(rule.min_size, known, scale, units)
        rule = rule.model_copy(update={"small_fraction": 0.0})  # who names a size wants everything from there on
        if not names and math.isinf(sizes[0]):
            raise SpecError(f"'{model.card.name}' numbers objects. '{LARGEST}' is for classes: give a size.")
        return rule, sizes if names else sizes[0]
    typical = {2: math.pi / 4, 3: math.pi / 6}[ndim] * diameter**ndim
    if isinstance(model, Stacked):
        typical /= step_between(image)  # an object has fewer voxels where planes lie far apart
    return rule, 0.0 if names else rule.min_fraction * typical


def pixel_sizes(image: Image, axes: str) -> dict[str, list[Any]]:
    """Return how large the pixels of an image are.

    Parameters
    ----------
    image : Image
        Any axes.
    axes : str
        Those that are asked for.

    Returns
    -------
    dict
        ``scale`` and ``units``.
    """
    _, scale, units = image.along(axes)
    return {"scale": list(scale), "units": list(units)}


def sizes_count(spec: SegmentSpec, model: Scorer) -> bool:
    """Say whether labels depend on how large the pixels of an image are.

    Parameters
    ----------
    spec : SegmentSpec
        Settings.
    model : Scorer
        Which network, or several as one.

    Returns
    -------
    bool
        Yes where images are brought to one spacing, stacks are seen in 3D by a model of planes, or sizes are given in
        a unit of length.
    """
    card = model.card
    if isinstance(model, Stacked):
        return True
    least = card.target.min_size if spec.min_size is None else spec.min_size
    return card.grid.kind == "spacing" or (isinstance(least, str) and least != "" and not countable(least, ("pixel",)))


def unused_settings(spec: SegmentSpec, rule: TargetSpec) -> list[str]:
    """Name the settings that were given and change nothing: a pixel gets the class of the highest score, whatever.

    Parameters
    ----------
    spec : SegmentSpec
        Settings.
    rule : TargetSpec
        The rule that they came to.

    Returns
    -------
    list of str
        Names of fields.
    """
    if not count_classes(rule):
        return []
    names = (*(() if rule.nested else ("threshold",)), *(() if rule.background else ("min_size",)), "min_score")
    return [name for name in names if getattr(spec, name) is not None]


def decode_stored(rule: TargetSpec, smallest: Smallest, scores: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """Decode the channels of the target; what is stored after them is not its business.

    Parameters
    ----------
    rule : TargetSpec
        How.
    smallest : float or tuple of float
        The fewest pixels of an object, or of the pieces of each class.
    scores : ndarray of uint8, shape (k, *s)
        As they are stored.

    Returns
    -------
    ndarray of int32, shape (*s)
        Ids from 1, by first pixel.
    """
    kind = target(rule)
    return kind.decode(scores[: len(kind.CHANNELS)], rule, smallest)
