"""Images that are unlike the others, which the user may not know of: stacks of few planes, scans in other units."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch

from ..core.axes import Image
from ..core.specs import NormalizeSpec
from .pairs import Pair

__all__ = ["VOLUME", "find_flat", "find_other_units"]

VOLUME: Final = 8  # planes from which on a stack is a volume
_APART: Final = 300.0  # Hounsfield units between what is labeled in one scan and in most
_FEW: Final = 3  # scans that must be there to say what is usual


def find_flat(images: Sequence[Image]) -> Iterator[str]:
    """Find stacks of few planes among volumes, because of which all would be learned plane by plane.

    Parameters
    ----------
    images : sequence of Image
        To learn from.

    Yields
    ------
    str
        A sentence for the user, at most one.
    """
    planes = [image.shape[image.axes.index("z")] if "z" in image.axes else 1 for image in images]
    flat = [(count, image.name) for count, image in zip(planes, images, strict=True) if count < VOLUME]
    if flat and len(flat) < len(images):
        count, name = min(flat)
        yield (
            f"'{name}' has {count} plane{'s' * (count != 1)} only, so all images are learned plane by plane. To learn "
            "volumes, take out what is none, or choose three dimensions (--dimensions 3)."
        )


def find_other_units(pairs: Sequence[Pair], rule: NormalizeSpec | None) -> Iterator[str]:
    """Find CT scans in which what is labeled has quite other values than in most: such as stored values without offset.

    Parameters
    ----------
    pairs : sequence of Pair
        As they were read, normalized.
    rule : NormalizeSpec or None
        Of CT, with a floor; others measure intensities in each image, or are told which they are.

    Yields
    ------
    str
        A sentence for the user, one a scan.
    """
    if rule is None or rule.kind != "fixed" or rule.floor is None:
        return
    found: list[tuple[str, float]] = []
    for pair in pairs:
        image = pair.levels[0]
        if isinstance(image, torch.Tensor) and len(pair.spots):
            values = image[0].numpy()[tuple(pair.spots.T)]
            found.append((pair.name, float(np.median(values)) * rule.divisor[0] + rule.offset[0]))
    if len(found) < _FEW:
        return
    usual = float(np.median([value for _, value in found]))
    for name, value in found:
        if abs(value - usual) > _APART:
            yield (
                f"What is labeled in '{name}' has values about {value:.0f}, in most images about {usual:.0f}: are they "
                "in the same units? Stored values of a CT often lack an offset of 1024."
            )
