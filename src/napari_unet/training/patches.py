"""Annotated images in memory and the random patches cut from them.

Step `n` of a run always sees the same patches, whatever happened before it: the random numbers are drawn from
(seed, step). That is what makes a resumed run equal to an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skimage.measure import label as connected
from torch.nn import functional

from ..core.errors import TrainingDataError
from ..core.sizes import encode_size, equivalent_diameter
from ..core.specs import TrainSpec
from ..targets import Target
from .augment import recolor, sampling_grid

__all__ = ["Batch", "Pair", "Sampler", "make_pair"]

MARGIN = 16  # pixels around a patch on which targets are computed too, so that cut objects keep their shape


@dataclass(frozen=True)
class Pair:
    """An annotated image, normalised.

    Attributes
    ----------
    levels : tuple of Tensor
        Image ``(c, *s)`` float32, then halved again and again by averaging.
    labels : Tensor
        int32 ``(*s)``.
    sizes : ndarray of float32
        Equivalent diameter of every label, pixels; 0 for the background.
    diameter : float
        Median of `sizes`: the object size of the image.
    name : str
        For messages.
    weight : float
        How often it is drawn, relative to others.
    """

    levels: tuple[torch.Tensor, ...]
    labels: torch.Tensor
    sizes: npt.NDArray[np.float32]
    diameter: float
    name: str
    weight: float


@dataclass(frozen=True)
class Batch:
    """Patches and their targets: ``(b, c, *s)``, ``(b, k, *s)``, and the size channel ``(b, *s)``, 0 unknown."""

    image: torch.Tensor
    target: torch.Tensor
    size: torch.Tensor


def make_pair(
    image: npt.NDArray[np.float32], labels: npt.NDArray[np.integer[Any]], name: str, weight: float = 1.0
) -> Pair:
    """Prepare an annotated image.

    Parameters
    ----------
    image : ndarray of float32
        ``(c, *s)``, normalised as at inference.
    labels : ndarray of int
        ``(*s)``.
    name : str
        For messages.
    weight : float
        How often it is drawn, relative to others.

    Returns
    -------
    Pair
        Ready for :class:`Sampler`.

    Raises
    ------
    TrainingDataError
        If the shapes differ or the labels are not whole non-negative numbers.
    """
    if image.shape[1:] != labels.shape:
        raise TrainingDataError(
            f"'{name}': the image has shape {image.shape[1:]} but its labels {labels.shape}. "
            "They must be the same; check that the files belong together."
        )
    if labels.dtype.kind not in "bui" or labels.min(initial=0) < 0:
        raise TrainingDataError(
            f"'{name}': labels must be whole numbers from 0 (background) up, not {labels.dtype}. "
            "Save the labels layer itself, not a picture of it."
        )
    solid = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    if labels.size and labels.min() > 0:
        solid += 1
    volume = np.bincount(solid.ravel()).astype(np.float64)
    volume[0] = 0
    sizes = equivalent_diameter(volume, labels.ndim).astype(np.float32)
    levels = [torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))]
    pool = {2: functional.avg_pool2d, 3: functional.avg_pool3d}[labels.ndim]
    while min(levels[-1].shape[1:]) >= 16 and len(levels) < 6:
        levels.append(pool(levels[-1][None], 2)[0])
    known = sizes[sizes > 0]
    diameter = float(np.median(known)) if len(known) else 0.0
    return Pair(tuple(levels), torch.from_numpy(solid), sizes, diameter, name, weight)


class Sampler:
    """Draws batches of augmented patches.

    Parameters
    ----------
    pairs : sequence of Pair
        Training images.
    spec : TrainSpec
        With everything filled in.
    target : Target
        The representation to learn.
    """

    def __init__(self, pairs: Sequence[Pair], spec: TrainSpec, target: Target) -> None:
        if not any(pair.diameter > 0 for pair in pairs):
            raise TrainingDataError("None of the training images has a labelled object. Draw some labels first.")
        self.pairs, self.spec, self.target = list(pairs), spec, target
        weight = np.array([pair.weight for pair in self.pairs], float)
        if not (np.isfinite(weight).all() and weight.min() >= 0 and weight.sum() > 0):
            raise TrainingDataError("The weights of the training images must be 0 or more, and not all of them 0.")
        self._chance = weight / weight.sum()
        known = [pair.diameter for pair in self.pairs if pair.diameter > 0]
        self._usual = float(np.median(known))

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """Return the patches of one step, the same for every call.

        Parameters
        ----------
        step : int
            Number of the optimiser step.
        part : slice
            Which of its patches; each is the same whatever others are asked for.

        Returns
        -------
        Batch
            Float32 tensors on the CPU.
        """
        rng = np.random.default_rng((self.spec.seed, step))
        chosen = rng.choice(len(self.pairs), self.spec.batch, p=self._chance)
        numbered = list(enumerate(chosen.tolist()))[part]
        parts = [
            self._patch(self.pairs[i], np.random.default_rng((self.spec.seed, step, number))) for number, i in numbered
        ]
        image, target, size = (torch.stack(list(part)) for part in zip(*parts, strict=True))
        return Batch(image, target, size)

    def _zoom(self, pair: Pair, rng: np.random.Generator) -> float:
        augment, canonical = self.spec.augment, self.spec.diameter
        if augment is None or canonical is None:
            raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
        wanted = canonical * 2 ** (augment.scale_jitter * rng.standard_normal())
        if rng.random() < augment.wide_fraction:
            low, high = np.log2(augment.wide_range)
            wanted = 2 ** rng.uniform(low, high)
        # A patch that is many times larger than its image would show a kaleidoscope of reflections.
        least = self.spec.patch / (2.5 * max(pair.labels.shape))
        return float(max(wanted / (pair.diameter or self._usual), least))

    def _patch(self, pair: Pair, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        zoom = self._zoom(pair, rng)
        edge = self.spec.patch + 2 * MARGIN
        shape = tuple(pair.labels.shape)
        points = sampling_grid(shape, edge, zoom, self.spec.augment, rng)
        # Pixels must not be skipped when shrinking: sample from a level that is at most twice too fine.
        level = int(np.clip(np.floor(np.log2(1 / zoom)), 0, len(pair.levels) - 1)) if zoom < 1 else 0
        image = _sample(pair.levels[level], points, "bilinear")
        labels = _sample(pair.labels[None].float(), points, "nearest")[0].numpy().astype(np.int32)
        inner = (slice(MARGIN, -MARGIN),) * labels.ndim
        objects = connected(labels, connectivity=1).astype(np.int32)
        target = torch.from_numpy(self.target.encode(objects)[(slice(None), *inner)].copy())
        size = torch.from_numpy(encode_size(pair.sizes[labels[inner]] * zoom))
        wanted = self.spec.net.inputs if self.spec.net else image.shape[0]
        image = recolor(image[(slice(None), *inner)], wanted, self.spec.augment, rng)
        return image, target, size


def _sample(image: torch.Tensor, points: torch.Tensor, mode: str) -> torch.Tensor:
    """Read ``(c, *s)`` at the points of a patch, mirrored beyond the border."""
    return functional.grid_sample(image[None], points[None], mode, "reflection", align_corners=False)[0]
