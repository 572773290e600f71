"""How a stack is seen by a model of planes, and how far apart its planes lie."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal

from .amounts import LARGEST, count_pixels, split_amounts
from .errors import AxesError, SpecError
from .lengths import millimeters
from .specs import SegmentSpec

if TYPE_CHECKING:
    from .axes import Image
    from .model_card import ModelCard

__all__ = ["VOLUME", "Kind", "choose_stack", "names_area", "step_between"]

Kind = Literal["planes", "volume", "sides"]
VOLUME: Final = 3  # axes
_PARTED: Final = ("distance", "heat", "seams")  # kinds of object whose scores are high in the middle of an outline
_MOST: Final = 16.0  # times as far apart as pixels that planes are taken for at most, and at least
_NEAR: Final = 2.25  # likewise, up to which slices through the planes look like pictures


def choose_stack(spec: SegmentSpec, card: ModelCard, image: Image | None = None) -> Kind:
    """Say how a stack is seen.

    Parameters
    ----------
    spec : SegmentSpec
        Its `stack`; where that is left open, but how outlines are joined or which area is the smallest is not, planes
        are seen.
    card : ModelCard
        Of the model.
    image : Image, optional
        The image; without one "auto" sees planes.

    Returns
    -------
    {"planes", "volume", "sides"}
        "planes" also stands for images without depth, and models of volumes, which see what they see. Models whose
        scores part no objects that lie upon each other are left at it, too, unless something else is wished.
    """
    if spec.stack != "auto":
        return spec.stack
    joins = spec.link_z != SegmentSpec.model_fields["link_z"].default
    least = card.target.min_size if spec.min_size is None else str(spec.min_size)
    if joins or names_area(least) or image is None or "z" not in image.axes or image.along("z")[0] == (1,):
        return "planes"
    if card.net.ndim == VOLUME or card.foreign is not None or not card.grid.sized or card.target.name not in _PARTED:
        return "planes"
    _, sizes, units = image.along("zyx")
    told = set(sizes) != {1.0} or set(units) != {"pixel"}
    return "sides" if told and step_between(image) <= _NEAR else "volume"


def names_area(size: str) -> bool:
    """Say whether a smallest size is an area, with a unit, of which a volume has none."""
    try:
        for part in split_amounts(size).values() if size else ():
            if part != LARGEST:
                count_pixels(part, (1.0,) * VOLUME, ("millimeter",) * VOLUME)
    except SpecError:
        return True
    return False


def step_between(image: Image) -> float:
    """Say how far apart planes lie, in the distance of pixels along x.

    Parameters
    ----------
    image : Image
        With an axis z.

    Returns
    -------
    float
        1 where units do not compare.

    Raises
    ------
    AxesError
        If the image has no depth.
    """
    if "z" not in image.axes:
        raise AxesError(
            f"'{image.name}' has the axes {image.axes}, none of which is depth (z). Choose 'planes' for Stack (--stack "
            "planes); or, if an axis is depth, say so: --axes zyx."
        )
    _, (deep, across), (unit, other) = image.along("zx")
    worth = 1.0 if unit == other else millimeters(unit) / millimeters(other)
    step = deep * worth / across
    return min(max(step, 1 / _MOST), _MOST) if math.isfinite(step) and step > 0 else 1.0
