"""The random patches that are cut from annotated images.

Step `n` of a run always sees the same patches, whatever happened before it: the random numbers are drawn from
(seed, step). That is what makes a resumed run equal to an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from skimage.measure import label as connected
from torch.nn import functional

from ..core.errors import TrainingDataError
from ..core.sizes import encode_size
from ..core.specs import AugmentSpec, TrainSpec
from ..nets import multiple
from ..targets import Target, border_weights
from .augment import place_patch, recolor, sampling_grid
from .pairs import Pair, Windows, make_pair, whole_objects

__all__ = ["Batch", "Drawn", "Pair", "Sampler", "make_pair"]

MARGIN = 16  # pixels around a patch on which targets are computed too, so that cut objects keep their shape
_FINE: Final = 1.02  # pixels between the points of a patch that need no smoothing
_JITTER: Final = 0.3  # how far from the middle of a patch what it is laid on may be, in patches


@dataclass(frozen=True)
class Batch:
    """Patches and their targets.

    Attributes
    ----------
    image, target : Tensor
        Float32 ``(b, c, *s)`` and ``(b, k, *s)``.
    size : Tensor
        The size channel, float32 ``(b, *s)``; 0 unknown.
    known : Tensor or None
        Float32 ``(b, 2, *s)``, 0 or 1: whether the class of a pixel is known, and whether the shape of its object is
        too. None: all of it.
    borders : Tensor or None
        Float32 ``(b, *s)``: what pixels between objects weigh more; None where the loss does not ask for it.
    """

    image: torch.Tensor
    target: torch.Tensor
    size: torch.Tensor
    known: torch.Tensor | None = None
    borders: torch.Tensor | None = None


@dataclass(frozen=True)
class Drawn:
    """One patch: image ``(c, *s)``, and numpy arrays of what is known of it, with a margin around them.

    Attributes
    ----------
    image : Tensor
        Float32, as the network sees it, without the margin.
    objects : ndarray of int32
        0 is background, or unknown.
    sizes : ndarray of float32
        Diameter of every pixel's object, pixels of the patch; 0 unknown.
    known : ndarray of bool or None
        None: everywhere.
    before : ndarray of int32 or None
        Objects of the frame before, of an image of two frames.
    """

    image: torch.Tensor
    objects: npt.NDArray[np.int32]
    sizes: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_] | None
    before: npt.NDArray[np.int32] | None = None


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
    device : str
        Where the network is. On NVIDIA's cards images are resampled and changed there, too: not all others can.
    """

    def __init__(self, pairs: Sequence[Pair], spec: TrainSpec, target: Target, device: str = "cpu") -> None:
        if not any(len(pair.spots) for pair in pairs):
            raise TrainingDataError("None of the training images has a labeled object. Draw some labels first.")
        self.pairs, self.spec, self.target = list(pairs), spec, target
        self.device = device if device.startswith("cuda") else "cpu"
        self._classes = getattr(target, "CLASSES", 0) > 0
        weight = np.array([pair.weight for pair in self.pairs], float)
        if not (np.isfinite(weight).all() and weight.min() >= 0 and weight.sum() > 0):
            raise TrainingDataError("The weights of the training images must be 0 or more, and not all of them 0.")
        self.chances = weight / weight.sum()
        self._kinds = [*_shares(self.pairs, self.chances)]
        known = [pair.diameter for pair in self.pairs if pair.diameter > 0]
        # Scribbles tell no size: the images are then learned from as large as they are.
        self._usual = float(np.median(known)) if known else spec.diameter or 1.0
        ndim = len(self.pairs[0].labels.shape)
        self._edges = (_depth(spec),) * (ndim - 2) + (spec.patch,) * 2

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """Return the patches of one step, the same for every call.

        Parameters
        ----------
        step : int
            Number of the optimizer step.
        part : slice
            Which of its patches; each is the same whatever others are asked for.

        Returns
        -------
        Batch
            The image where it was resampled, everything else on the CPU.
        """
        parts = []
        for number in range(self.spec.batch)[part]:
            own = np.random.default_rng((self.spec.seed, step, number))
            pair, spots = self.pick(own)
            parts.append(self._encoded(self.draw(pair, own, spots), pair))
        image, target, size, known, borders = zip(*parts, strict=True)
        return Batch(torch.stack(image), torch.stack(target), torch.stack(size), _known(known), _stacked(borders))

    def pick(self, rng: np.random.Generator) -> tuple[Pair, npt.NDArray[np.int32] | None]:
        """Choose an image, and what a patch of it is to be laid on.

        Every class is chosen as often as any other, in nnU-Net (Isensee et al. 2021) of those in an image, here of
        those in all images: a defect of which there are few images would otherwise hardly be seen.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of randomness.

        Returns
        -------
        pair : Pair
            The image.
        spots : ndarray of int32, shape (n, ndim), or None
            Pixels of objects, or of one class; None: anywhere where something is known.
        """
        if rng.random() >= self.spec.foreground or not self._kinds:
            return self.pairs[int(rng.choice(len(self.pairs), p=self.chances))], None
        number, chances = self._kinds[rng.integers(len(self._kinds))]
        pair = self.pairs[int(rng.choice(len(self.pairs), p=chances))]
        low, high = next(((a, b) for k, a, b in pair.kinds if k == number), (0, len(pair.spots)))
        return pair, pair.spots[low:high]

    def draw(self, pair: Pair, rng: np.random.Generator, spots: npt.NDArray[np.int32] | None = None) -> Drawn:
        """Cut one patch.

        Parameters
        ----------
        pair : Pair
            The image.
        rng : numpy.random.Generator
            Source of randomness.
        spots : ndarray of int32, shape (n, ndim), optional
            Pixels on one of which the patch is laid.

        Returns
        -------
        Drawn
            With a margin around what is known of it.

        Raises
        ------
        TrainingDataError
            If the settings are incomplete.
        """
        augment = self.spec.augment
        zooms = self._zooms(pair, augment, rng)
        zoom = max(zooms)
        edges = tuple(edge + 2 * MARGIN for edge in self._edges)
        middle = self._middle(pair, zooms, rng, spots)
        points = sampling_grid(tuple(pair.labels.shape), edges, zooms, augment, rng, middle)
        labels, known = _truth(pair, points)
        inner = (slice(MARGIN, -MARGIN),) * labels.ndim
        # Of several levels the one that is at most twice too fine, and smoothed where it is too fine.
        level = int(np.clip(np.floor(np.log2(1 / zoom)), 0, len(pair.levels) - 1)) if zoom < 1 else 0
        image = _sample(pair.levels[level], points[inner], [0.5**level / side for side in zooms], self.device)
        wanted = self.spec.net.inputs if self.spec.net else image.shape[0]
        image = recolor(image, wanted, augment, rng)
        before = None if pair.before is None else _nearest(pair.before, points)
        named = self._classes or before is not None
        objects = labels if named else connected(labels, connectivity=1).astype(np.int32)
        return Drawn(image, objects, self._sizes(pair, labels, objects, known, zoom), known, before)

    def _zooms(self, pair: Pair, augment: AugmentSpec | None, rng: np.random.Generator) -> tuple[float, ...]:
        """Return how much a patch is magnified along each axis."""
        grid, ndim = self.spec.grid, len(pair.labels.shape)
        if grid is None or grid.sized or augment is None:
            return (self._zoom(pair, augment, rng),) * ndim
        # An image that does not know its spacing is taken as it is, as when it is segmented.
        scale, units = pair.facts.get("scale", ()), pair.facts.get("units", ())
        base = grid.factor(scale if len(scale) == ndim else (1.0,) * ndim, units) or (1.0,) * ndim
        jitter = 2 ** (augment.scale_jitter * rng.standard_normal())
        least = self.spec.patch / (2.5 * max(pair.labels.shape[-2:]))
        jitter = max(jitter, least / max(base[-2:]))
        return tuple(float(side * jitter) for side in base)

    def _zoom(self, pair: Pair, augment: AugmentSpec | None, rng: np.random.Generator) -> float:
        canonical = self.spec.diameter
        if augment is None or canonical is None:
            raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
        wanted = canonical * 2 ** (augment.scale_jitter * rng.standard_normal())
        if rng.random() < augment.wide_fraction:
            low, high = np.log2(augment.wide_range)
            wanted = 2 ** rng.uniform(low, high)
        # A patch that is many times larger than its image would show a kaleidoscope of reflections.
        least = self.spec.patch / (2.5 * max(pair.labels.shape))
        return float(max(wanted / (pair.diameter or self._usual), least))

    def _middle(
        self, pair: Pair, zooms: tuple[float, ...], rng: np.random.Generator, spots: npt.NDArray[np.int32] | None
    ) -> npt.NDArray[np.float64]:
        """Choose where a patch lies: on one of some pixels, on what is known, or anywhere."""
        chosen = pair.places if spots is None else spots
        if chosen is None or not len(chosen):
            return place_patch(tuple(pair.labels.shape), self._edges, zooms, rng)
        away = rng.uniform(-_JITTER, _JITTER, chosen.shape[1]) * np.array(self._edges) / np.array(zooms)
        wanted = chosen[rng.integers(len(chosen))] + 0.5 + away
        return place_patch(tuple(pair.labels.shape), self._edges, zooms, rng, wanted)

    def _sizes(
        self, pair: Pair, labels: npt.NDArray[np.int32], objects: npt.NDArray[np.int32], known: Any, zoom: float
    ) -> npt.NDArray[np.float32]:
        """Return the diameter of every pixel's object in the patch, where it is known."""
        if pair.scribbles:
            return np.where(labels > 0, np.float32(self._usual * zoom), np.float32(0))
        if len(pair.sizes):
            sizes: npt.NDArray[np.float32] = pair.sizes[labels] * np.float32(zoom)
            return sizes
        measured: npt.NDArray[np.float32] = whole_objects(objects, known, ended=True)[objects]
        return measured

    def _encoded(self, drawn: Drawn, pair: Pair) -> tuple[Any, ...]:
        """Return image, target, size, what is known, and the weights of borders of a patch without its margin."""
        inner = (slice(MARGIN, -MARGIN),) * drawn.objects.ndim
        frames = () if drawn.before is None else (drawn.before,)
        target = self.target.encode(drawn.objects, *frames)[(slice(None), *inner)]
        size, known = encode_size(drawn.sizes[inner]), _shapes(drawn, pair.scribbles, self._classes)
        if known is not None:
            known = known[(slice(None), *inner)]
            size *= known[0]
        borders = border_weights(drawn.objects)[inner] if self.spec.loss == "border" else None
        parts = (target, size, known, borders)
        return drawn.image, *(None if p is None else torch.from_numpy(np.ascontiguousarray(p)) for p in parts)


def _shares(pairs: Sequence[Pair], chances: npt.NDArray[np.float64]) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
    """Yield each class (0: objects), and how often each image is chosen to show it."""
    of = [{k for k, *_ in pair.kinds} or ({0} if len(pair.spots) else set()) for pair in pairs]
    for number in sorted(set().union(*of)):
        own = np.where([number in each for each in of], chances, 0.0)
        if own.sum() > 0:
            yield number, own / own.sum()


def _depth(spec: TrainSpec) -> int:
    """Return how many planes of a volume a patch has: what the network can take."""
    if not spec.depth or spec.net is None or spec.net.padding == "valid":
        return spec.patch
    steps = multiple(spec.net)
    step = steps if isinstance(steps, int) else steps[0]
    return -(-spec.depth // step) * step


def _shapes(drawn: Drawn, scribbles: bool, classes: bool = False) -> npt.NDArray[np.float32] | None:
    """Return where classes are known, and where the shapes of objects are; ``(2, *s)``."""
    if drawn.known is None:
        return None
    whole = np.zeros(drawn.known.shape, bool)
    if classes:
        whole = drawn.known
    elif not scribbles:
        # An object that goes on where nothing is known has a shape that is not known.
        counted = whole_objects(drawn.objects, drawn.known, ended=False) > 0
        counted[0] = True
        whole = drawn.known & counted[drawn.objects]
    return np.stack([drawn.known, whole]).astype(np.float32)


def _known(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    """Join what is known of the patches of a batch; of those that are known everywhere, everything."""
    some = next((part for part in parts if part is not None), None)
    return None if some is None else torch.stack([torch.ones_like(some) if p is None else p for p in parts])


def _stacked(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    kept = [part for part in parts if part is not None]
    return torch.stack(kept) if kept else None


def _inside(
    points: torch.Tensor, shape: Sequence[int], around: Sequence[int] = (1, 1, 1)
) -> tuple[list[torch.Tensor], tuple[slice, ...]]:
    """Return where points ``(*e, ndim)`` lie along each axis, in pixels, mirrored into the image, and the window.

    Pixel `i` reaches from `i` to `i + 1`. One pixel more on either side (`around`) is what interpolation looks at.
    """
    at, window = [], []
    for axis, (length, more) in enumerate(zip(shape, around, strict=False)):
        own = (points[..., -1 - axis] + 1) * (length / 2)
        low, high = _ends(own)
        if low < 0 or high > length:
            # Whole turns are slow to take away, and seldom there.
            own = own.abs() if low >= -length and high <= 2 * length else own.remainder(2.0 * length)
            own = length - (length - own).abs()
            low, high = _ends(own)
        at.append(own)
        window.append(slice(max(0, int(low) - more), min(length, int(high) + 1 + more)))
    return at, tuple(window)


def _ends(values: torch.Tensor) -> tuple[float, float]:
    low, high = values.aminmax()
    return float(low), float(high)


def _sample(level: Any, points: torch.Tensor, steps: Sequence[float], device: str) -> torch.Tensor:
    """Read ``(c, *s)`` at the points of a patch, mirrored beyond the border; no more than the patch needs is read.

    Neighboring points lie `steps` pixels apart along each axis. Where that is more than one, the image is smoothed
    before interpolation, so that a network learns from what it sees when it is used: there, images are shrunk with a
    triangle of that half-width (:func:`napari_unet.tiling.resample.sampling_taps`).
    """
    at, window = _inside(points, level.shape[1:], [1 + int(step * (step > _FINE)) for step in steps])
    block = _smoothed(level[(slice(None), *window)].to(device), steps)
    steps_of = [2 / (w.stop - w.start) for w in window]
    lines = [own * step - (w.start * step + 1) for own, w, step in zip(at, window, steps_of, strict=True)]
    local = torch.stack(lines[::-1], -1).to(device)
    return functional.grid_sample(block[None], local[None], "bilinear", "border", align_corners=False)[0]


def _smoothed(block: torch.Tensor, steps: Sequence[float]) -> torch.Tensor:
    """Smooth ``(c, *s)`` along each axis, so that interpolated it is as if by a triangle with half-widths `steps`.

    A triangle has a sixth of its squared half-width as variance, and interpolation is one of a pixel: the rest is
    smoothed with a mixture of two triangles on pixels that has just that variance.
    """
    conv = {2: functional.conv2d, 3: functional.conv3d}[len(steps)]
    for axis, step in enumerate(steps):
        if step < _FINE:
            continue
        width = int(step)
        share = (step**2 - width**2) / (2 * width + 1)
        far = torch.arange(-width, width + 1, device=block.device).abs()
        narrow, wide = (((n - far).clamp(min=0) / n**2) for n in (width, width + 1))
        kernel = torch.lerp(narrow, wide, share).reshape([-1 if i == axis else 1 for i in range(len(steps))])
        pad = [0, 0] * (len(steps) - 1 - axis) + [width, width] + [0, 0] * axis
        block = conv(functional.pad(block, pad, mode="replicate")[:, None], kernel[None, None])[:, 0]
    return block


def _truth(pair: Pair, points: torch.Tensor) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_] | None]:
    """Read labels, and what is known, at the nearest pixels."""
    return _nearest(pair.labels, points), None if pair.known is None else _nearest(pair.known, points) > 0


def _nearest(labels: Windows, points: torch.Tensor) -> npt.NDArray[np.int32]:
    at, window = _inside(points, labels.shape)
    block, flat = labels[window], torch.zeros((), dtype=torch.int32)
    for own, w, n in zip(at, window, block.shape, strict=True):
        flat = flat * n + own.to(torch.int32).sub_(w.start).clamp_(0, n - 1)
    found = block.reshape(-1).index_select(0, flat.reshape(-1)).reshape(flat.shape)
    return found.numpy().astype(np.int32, copy=False)
