"""What the data of a training look like, and what follows from it; after nnU-Net (Isensee et al. 2021)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.examples import Example
from ..core.grids import GridSpec
from ..core.lengths import millimeters
from ..core.memory import total_memory
from ..core.networks import NetSpec
from ..core.specs import TrainSpec
from .pairs import Pair
from .resolution import class_widths, coarser, zoom_for

__all__ = ["Fingerprint", "common_bands", "fingerprint"]

_FLAT: Final = 3.0  # planes that are so many times as far apart as pixels: nnU-Net's threshold of anisotropy
_ALIKE: Final = 2.0  # axes whose spacing differs by less are treated alike
_EDGE: Final = {2: 256, 3: 64}  # of a patch
_NAMED: Final = 8  # classes
_CUBE: Final = 48  # edge of a patch of a volume where no graphics card learns
_LEAST: Final = {2: 64, 3: 16}
_ROOM: Final = 4 / 3  # of a patch in a plane, times a typical image: larger images are to be seen as a whole, too
_BATCH: Final = {2: 8, 3: 2}
_HURRY: Final = 2**17  # pixels of a step on a processor where time is short: more steps teach more than larger ones
_SMALLEST: Final = 4  # of what the coarsest level sees along an axis
_SHARE: Final = 4  # a quarter of the memory for a step
_FLOATS: Final = 16  # values that are held for each feature of a level: both paths, convolutions, gradients
_FEW: Final = 20  # objects
_SPREAD: Final = 6.0


@dataclass(frozen=True)
class Fingerprint:
    """Measured on the images to learn from.

    Attributes
    ----------
    images : int
        Planes or volumes.
    objects : int
        Labeled ones that are known as a whole.
    sizes : ndarray of float
        Their diameters, pixels.
    diameter : float
        The median of the images; 0 where none is known.
    shape : tuple of float
        Median along each axis, pixels.
    ratio : float
        How many times as far apart planes are as pixels; 1 for 2D images and where nothing is known.
    channels : tuple of int
        All that occur.
    kinds : tuple of str
        Kinds of numbers, the most frequent first.
    spacing : tuple of float
        Median size of a pixel along each axis, mm; empty where not all images know it.
    classes : int
        How many classes of pixels the labels tell apart; 0: they are objects.
    bands : tuple of str
        What the channels are called, where all images say the same.
    width, widest : float
        Of the narrowest and the widest class, pixels; 0 where they are not known.
    present : tuple of int
        The classes that occur.
    """

    images: int
    objects: int
    sizes: npt.NDArray[np.float32]
    diameter: float
    shape: tuple[float, ...]
    ratio: float
    channels: tuple[int, ...]
    kinds: tuple[str, ...]
    spacing: tuple[float, ...] = ()
    classes: int = 0
    bands: tuple[str, ...] = ()
    width: float = 0.0
    widest: float = 0.0
    present: tuple[int, ...] = ()

    @property
    def flat(self) -> bool:
        """Whether planes are far apart."""
        return self.ratio > _FLAT

    def zooms(self, spec: TrainSpec) -> tuple[float, ...]:
        """Return by how much a typical image is magnified for the network along each axis."""
        if spec.grid is None or spec.grid.sized:
            return ((spec.diameter or 1.0) / self.diameter if self.diameter else 1.0,) * len(self.shape)
        found = spec.grid.factor(self.spacing, ("mm",) * len(self.spacing)) if self.spacing else None
        return found or (spec.grid.zoom,) * len(self.shape)

    def grid_for(
        self, grid: GridSpec, zoom: float | None = None, processor: bool = False, covered: bool = False
    ) -> GridSpec:
        """Choose the spacing where images are brought to one and none is given; without one, pixels are taken as such.

        The median of the images, as in nnU-Net, or coarser: see :func:`~napari_unet.training.resolution.zoom_for`.
        Where a processor learns, patches of volumes are smaller and are to cover all of one, and in planes wide
        classes come first: not single objects, of which each counts, and not what covers all, as land does.
        """
        if grid.sized or grid.spacing or grid.zoom != 1:
            return grid
        known = self.spacing if grid.kind == "spacing" else ()
        if zoom is None:
            volume = len(self.shape) == 3
            wide = processor and self.classes > 0 and not (volume or covered)
            sizes = np.array([self.widest]) if wide else self.sizes
            edge = _CUBE if processor and volume else _EDGE[len(self.shape)]
            zoom = zoom_for(self.shape, known, sizes, self.width, edge, wide or (processor and volume))
        if not known:
            return GridSpec(kind="pixels", unit=grid.unit, zoom=zoom)
        sides = [side / millimeters(grid.unit) for side in coarser(known, zoom)]
        return grid.model_copy(update={"spacing": tuple(float(f"{side:.4g}") for side in sides)})

    def seen(self, grid: GridSpec | None) -> Fingerprint:
        """Return what is the same of images that were brought to a grid: planes may then be less far apart."""
        if grid is None or len(grid.spacing) != 3:
            return self
        return replace(self, ratio=_ratio(grid.spacing))

    def diameter_for(self, spec: TrainSpec) -> float | None:
        """Choose the size of objects on the network's grid: in volumes never larger than they are, at least 8 pixels.

        Magnified three times as in a plane, a volume would have 27 times as many voxels.
        """
        sized = spec.grid is None or spec.grid.sized
        if not sized or spec.net is None or spec.diameter is None or spec.net.ndim == 2 or not self.diameter:
            return spec.diameter
        return float(round(min(spec.diameter, max(8.0, self.diameter)), 1))

    def patch_for(self, spec: TrainSpec, processor: bool = False) -> dict[str, int]:
        """Choose the edges of a patch: not much larger than a typical image, and flat where planes are far apart."""
        ndim = len(self.shape)
        seen = [n * zoom for n, zoom in zip(self.shape, self.zooms(spec), strict=True)]
        steps = 2 ** (spec.net.depth if spec.net else 4)
        if ndim == 2:
            room = _ROOM if spec.grid is not None and not spec.grid.sized else 1.0
            return {"patch": _rounded(min(_EDGE[2], room * max(seen)), steps, _LEAST[2])}
        # As many voxels as a cube has, in the shape of a cube in the world.
        edge = (_CUBE if processor else _EDGE[3]) * self.ratio ** (1 / 3)
        depth = _rounded(min(edge / self.ratio, seen[0]), _SMALLEST if self.flat else steps, _SMALLEST)
        return {"patch": _rounded(min(edge, max(seen[1:])), steps, _LEAST[3]), "depth": depth}

    def strides_for(self, net: NetSpec) -> NetSpec:
        """Return a network that looks within planes until pixels are as far apart as planes."""
        spacing, strides, kernels = [self.ratio, 1.0, 1.0], [], []
        for _ in range(net.depth):
            least = min(spacing)
            kernels.append(tuple(3 if side < _ALIKE * least else 1 for side in spacing))
            step = tuple(2 if side < _ALIKE * least else 1 for side in spacing)
            strides.append(step)
            spacing = [side * times for side, times in zip(spacing, step, strict=True)]
        kernels.append(tuple(3 if side < _ALIKE * min(spacing) else 1 for side in spacing))
        return net.model_copy(update={"strides": tuple(strides), "kernels": tuple(kernels)})

    def batch_for(self, spec: TrainSpec, hurried: bool = False) -> int:
        """Choose how many patches fit into a quarter of the machine's memory; few of a plane where time is short."""
        ndim, net = len(self.shape), spec.net
        memory = total_memory()
        pixels = math.prod((spec.depth or spec.patch,) * (ndim - 2) + (spec.patch,) * 2)
        most = min(_BATCH[ndim], max(1, _HURRY // pixels)) if hurried and ndim == 2 else _BATCH[ndim]
        if memory is None or net is None:
            return most
        floats = sum(width / 2 ** (ndim * level) for level, width in enumerate(net.widths)) * _FLOATS
        return int(min(most, max(1, memory // _SHARE // (4 * pixels * floats))))

    def counts(self, examples: Sequence[Example], held_out: Sequence[Example]) -> dict[str, Any]:
        """Return plain numbers, for a record."""
        return {
            "examples": len(examples),
            "held_out": len(held_out),
            "groups": len({example.group or example.source for example in examples}),
            "images": self.images,
            "objects": self.objects,
            "diameter": round(self.diameter, 2),
            "shape": [round(n) for n in self.shape],
            "anisotropy": round(self.ratio, 2),
            "channels": list(self.channels),
            "kinds": list(self.kinds),
        }

    def said(self) -> str:
        """Say what was found."""
        noun = "volume" if len(self.shape) == 3 else "image"
        shape = " x ".join(str(round(n)) for n in self.shape)
        size = "of unknown width"
        if len(self.sizes):
            low, high = np.percentile(self.sizes, (5, 95))
            size = f"about {self.diameter:.0f} pixels wide (most from {low:.0f} to {high:.0f})"
        images = f"{self.images} {noun}{'s' * (self.images != 1)} to learn from, typically {shape} pixels, with "
        if self.classes:
            return f"{images}{self.classes} class{'es' * (self.classes != 1)} of pixels."
        return f"{images}{self.objects or 'an unknown number of'} labeled objects, {size}."

    @staticmethod
    def _as_seen(zoom: float) -> str:
        return "Pixels are taken as they are." if zoom == 1 else f"Images are seen {zoom:g} times as large."

    def choices(self, spec: TrainSpec) -> Iterator[str]:
        """Say what was decided."""
        zoom, grid = self.zooms(spec)[-1], spec.grid
        if grid is not None and not grid.sized:
            spacing = " x ".join(f"{side:g}" for side in grid.spacing)
            yield (f"Images are brought to pixels of {spacing} {grid.unit}." if spacing else self._as_seen(zoom))
        elif self.diameter:
            change = "as they are" if abs(zoom - 1) < 0.05 else f"{zoom:.2f} times as large"
            yield f"Images are learned from {change}, so that an object is about {spec.diameter:g} pixels wide."
        else:
            yield f"Images are learned from as large as they are; objects count as {spec.diameter:g} pixels wide."
        if spec.net and spec.net.ndim == 3:
            depth = spec.depth or spec.patch
            size = f"{depth} planes of {spec.patch} x {spec.patch} pixels"
            yield f"A 3D network looks at patches of {size}, {spec.batch} a step."
            if self.flat and spec.net.strides:
                levels = sum(stride[0] == 1 for stride in spec.net.strides)
                yield (
                    f"Planes are {self.ratio:.1f} times as far apart as pixels: the first {levels} "
                    f"level{'s' * (levels != 1)} look within planes only."
                )
        else:
            yield f"A 2D network looks at patches of {spec.patch} x {spec.patch} pixels, {spec.batch} a step."
        if spec.normalize and spec.normalize.kind == "percentile":
            each = "all channels together" if spec.normalize.joint else "each channel"
            yield (
                f"Of {each}, the darkest {spec.normalize.low:g} % of an image become 0, the brightest "
                f"{100 - spec.normalize.high:.2g} % become 1."
            )
        if spec.normalize and spec.normalize.kind == "fixed":
            values = zip(spec.normalize.offset, spec.normalize.divisor, strict=True)
            each = ", ".join(f"{low:.4g} becomes 0 and {low + by:.4g} becomes 1" for low, by in values)
            yield f"Intensities mean the same in all images: {each}."
        if spec.net and self.bands:
            yield f"The model sees the bands {', '.join(self.bands)}, and finds them by their names."
        loss = {"own": "that of the target"}.get(spec.loss, spec.loss)
        target = spec.target.name if spec.target else ""
        kinds = spec.target.classes if spec.target and target == "classes" else ()
        named = f" ({', '.join(kinds[:_NAMED])}{' and others' * (len(kinds) > _NAMED)})" if kinds else ""
        yield (
            f"Learned is '{target}'{named}, the loss is {loss}; {spec.foreground:.0%} of the patches are laid on an "
            "object."
        )

    def doubts(self, spec: TrainSpec) -> Iterator[str]:
        """Say what the user should think about."""
        for number in sorted(set(range(1, self.classes + 1)) - set(self.present)):
            names = spec.target.classes if spec.target else ()
            name = names[number - 1] if number <= len(names) else str(number)
            yield (
                f"No image to learn from has a pixel of the class '{name}' ({number}): the model will never find it. "
                "Add an image that shows it, or leave the class out."
            )
        if len(self.channels) > 1 and spec.normalize and not spec.normalize.joint:
            yield (
                f"Some images have 1 channel, others {max(self.channels)}: it is shown in the place of each, as if all "
                "looked alike. Leave out images that lack channels, unless that is meant."
            )
        if spec.grid is not None and not spec.grid.sized:
            return
        if 0 < self.objects < _FEW:
            some = "is 1 object" if self.objects == 1 else f"are {self.objects} objects"
            yield f"There {some} only. Label some more; {_FEW} of different looks are a start."
        if len(self.sizes) >= _FEW:
            low, high = np.percentile(self.sizes, (5, 95))
            if high > _SPREAD * low:
                yield (
                    f"Objects differ much in size ({low:.0f} to {high:.0f} pixels). Small specks are often leftovers "
                    "of a brush: look at the smallest labels."
                )
        seen = [n * zoom for n, zoom in zip(self.shape, self.zooms(spec), strict=True)][-2:]
        if max(seen) < spec.patch / 2:
            yield (
                f"Images are small: at the size at which they are learned they have {seen[0]:.0f} x {seen[1]:.0f} "
                f"pixels, and patches of {spec.patch} show them several times over, mirrored."
            )
        if not self.diameter and (spec.grid is None or spec.grid.sized):
            yield "No object is known as a whole, so that the model will not be able to measure the width of objects."


def fingerprint(pairs: Sequence[Pair]) -> Fingerprint:
    """Measure the images to learn from.

    Parameters
    ----------
    pairs : sequence of Pair
        As they were read.

    Returns
    -------
    Fingerprint
        What decides a plan.
    """
    sizes = np.concatenate([pair.sizes[pair.sizes > 0] for pair in pairs] or [np.zeros(0, np.float32)])
    known = [pair.diameter for pair in pairs if pair.diameter > 0]
    shapes = np.array([tuple(pair.labels.shape) for pair in pairs], float)
    ratios = [_ratio(pair.facts.get("scale", ())) for pair in pairs]
    kinds = Counter(str(pair.facts.get("kind", "")) for pair in pairs)
    return Fingerprint(
        len(pairs), len(sizes), sizes, float(np.median(known)) if known else 0.0,
        tuple(np.median(shapes, axis=0).tolist()), float(np.median(ratios)),
        tuple(sorted({int(pair.facts.get("channels", 1)) for pair in pairs})), tuple(k for k, _ in kinds.most_common()),
        _spacing(pairs), max((len(pair.sizes) - 1 for pair in pairs if pair.kinds), default=0), common_bands(pairs),
        *class_widths(pairs),
        tuple(sorted({number for pair in pairs for number, *_ in pair.kinds})),
    )  # fmt: skip


def common_bands(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return what the channels are called.

    Parameters
    ----------
    pairs : sequence of Pair
        As they were read.

    Returns
    -------
    tuple of str
        Empty where some have no name, or not all images say the same.
    """
    said = {tuple(pair.facts.get("bands", ())) for pair in pairs}
    names = said.pop() if len(said) == 1 else ()
    return names if all(names) else ()


def _spacing(pairs: Sequence[Pair]) -> tuple[float, ...]:
    """Return the median spacing in mm; empty where not all images know theirs."""
    found = []
    for pair in pairs:
        scale, units = pair.facts.get("scale", ()), pair.facts.get("units", ())
        if not scale or len(scale) != len(units):
            return ()
        found.append([side * millimeters(unit) for side, unit in zip(scale, units, strict=True)])
    spacing = np.median(np.array(found), axis=0) if found else np.zeros(0)
    return () if np.isnan(spacing).any() else tuple(spacing.tolist())


def _ratio(scale: Sequence[float]) -> float:
    if len(scale) != 3 or not all(side > 0 for side in scale):
        return 1.0
    return max(1.0, scale[0] / max(scale[1:]))


def _rounded(edge: float, step: int, least: int) -> int:
    return max(least, math.ceil(edge / step) * step)
