"""Pictures of our own to try a network on: simulated, always the same, and in the way that a model sees images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from ...core.axes import Image
from ...core.model_card import ModelCard
from ...nets import multiple
from ...samples.simulated import nuclei
from ...tiling.grid import per_axis
from ...tiling.statistics import measure_statistics, normalize

__all__ = ["pictures"]

_INSIDE: Final = {2: 224, 3: 32}  # pixels along an edge, besides the margin
_SIZES: Final = (1.0, 0.5, 1.6, 1.0, 0.7, 2.5)  # of objects, in those that the model knows best
_CROWDED: Final = (0.15, 0.35, 0.03, 0.5)  # share of the picture that objects cover
_SEED: Final = 1000


def pictures(card: ModelCard, margin: tuple[int, ...], count: int, first: int = 0) -> Iterator[npt.NDArray[np.float32]]:
    """Make pictures of nuclei, bright on dark and dark on bright, sparse and crowded, clear and noisy.

    Parameters
    ----------
    card : ModelCard
        How many channels, how large objects are, how images are normalized.
    margin : tuple of int
        Pixels along every axis that a score needs around it.
    count : int
        How many.
    first : int
        Number of the first; each number is another picture.

    Yields
    ------
    ndarray of float32
        ``(1, c, *s)``, as :meth:`Engine.scores` takes it.
    """
    ndim, inputs = card.net.ndim, card.net.inputs
    steps = per_axis(multiple(card.net), ndim)
    shape = [-(-(_INSIDE[ndim] + 2 * rim) // step) * step for rim, step in zip(margin, steps, strict=True)]
    for number in range(first, first + count):
        diameter = max(4.0, card.diameter * _SIZES[number % len(_SIZES)])
        objects = round(_CROWDED[number % len(_CROWDED)] * float(np.prod([n / diameter for n in shape])) / 0.7)
        picture, _ = nuclei(shape, objects, diameter, seed=_SEED + number, noise=1.0 + number % 3)
        rng = np.random.default_rng(_SEED + number)
        # Stains color each channel in its own strength; without them a color image is gray.
        strengths = rng.uniform(0.3, 1.0, inputs) if number % 2 else np.ones(inputs)
        light = np.stack([picture * strength for strength in strengths])
        light = light.max() - light if number % 3 == 2 else light
        image = Image(light.astype(np.float32), "c" + "zyx"[-ndim:])
        yield normalize(image.data, measure_statistics(image.planes(ndim), card.normalize))[None]
