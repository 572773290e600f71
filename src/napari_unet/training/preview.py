"""Patches as a training sees them, to look at before it starts."""

from __future__ import annotations

import numpy as np

from ..core.axes import Image
from ..core.errors import TrainingDataError
from ..targets import target
from .patches import MARGIN, Sampler
from .plan import Prepared

__all__ = ["draw_patches"]


def draw_patches(prepared: Prepared, count: int) -> list[tuple[Image, Image]]:
    """Draw augmented patches and their labels.

    Parameters
    ----------
    prepared : Prepared
        Images and settings.
    count : int
        How many.

    Returns
    -------
    list of (Image, Image)
        Float32, channels first, as the network sees it (about 0 to 1), and int32 labels, -1 where nothing is known.
        The same for the same data and seed.

    Raises
    ------
    TrainingDataError
        If the settings are incomplete.
    """
    spec = prepared.plan.spec
    if spec.target is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    sampler = Sampler(prepared.pairs, spec, target(spec.target))
    patches = []
    for number in range(count):
        own = np.random.default_rng((spec.seed, count, number))
        pair, spots = sampler.pick(own)
        drawn = sampler.draw(pair, own, spots)
        inner = (slice(MARGIN, -MARGIN),) * drawn.objects.ndim
        labels = drawn.objects if drawn.known is None else np.where(drawn.known, drawn.objects, -1)
        axes, name = "zyx"[-labels.ndim :], f"{pair.name} {number + 1}"
        patches.append((
            Image(drawn.image.numpy(), f"c{axes}", name=name),
            Image(np.ascontiguousarray(labels[inner], dtype=np.int32), axes, name=f"{name} labels"),
        ))  # fmt: skip
    return patches
