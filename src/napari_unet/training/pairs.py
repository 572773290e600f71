"""Annotated images ready for training: in memory, or left where they are stored and read window by window."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import numpy.typing as npt
import torch
from skimage.measure import label as connected
from torch.nn import functional

from ..core.class_values import number_classes
from ..core.errors import TrainingDataError
from ..core.rasterize import Polygons
from ..core.region import Polygon
from ..core.sizes import equivalent_diameter

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Pair",
    "Truth",
    "Windows",
    "make_pair",
    "name_kinds",
    "number_objects",
    "positions",
    "spread_spots",
    "whole_objects",
]

_SPOTS: Final = 10_000  # places that are remembered of an image, as in nnU-Net
_COARSEST: Final = 16  # pixels along the shortest edge of the coarsest level
_LEVELS: Final = 6
_ALIKE: Final = 0.25  # of the largest part of a number: what is larger is an object of its own

Labels = npt.NDArray[np.integer[Any]]
Mask = npt.NDArray[np.bool_]


class Windows(Protocol):
    """What is read by windows: a tensor, or something that is stored and returns tensors."""

    @property
    def shape(self) -> Sequence[int]:
        """Length of every axis."""

    def __getitem__(self, window: Any) -> torch.Tensor:
        """Read a window."""


@dataclass(frozen=True)
class Truth:
    """What the labels of an image say.

    Attributes
    ----------
    region : tuple of polygons or None
        They are true inside these only.
    background : int or None
        The label that means background where everything else without a label is unknown (scribbles); None: every
        pixel without a label is background.
    classes : int
        Labels are the numbers of so many classes, not of objects; 0: of objects.
    open : bool
        Of classes: 0 means that nobody knows, because every pixel has a class.
    values : tuple of int
        Of classes: which value means each; empty: 1, 2 and so on.
    name : str
        Of the image, for messages.
    paired : bool
        The numbers say who comes from whom in another frame, and stay as they are.
    ignored : tuple of int
        Values where nobody knows what there is.
    """

    region: tuple[Polygon, ...] | None = None
    background: int | None = None
    classes: int = 0
    open: bool = False
    values: tuple[int, ...] = ()
    name: str = ""
    paired: bool = False
    ignored: tuple[int, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether some pixels may be unknown."""
        return self.region is not None or self.background is not None or self.open or bool(self.ignored)

    def read(self, labels: Labels, window: Sequence[slice]) -> tuple[Labels, Mask | None]:
        """Part labels as they are stored into objects and what is known.

        Parameters
        ----------
        labels : ndarray of int
            Of a window.
        window : sequence of slice
            Where it is.

        Returns
        -------
        objects : ndarray of int
            0 is background, or unknown.
        known : ndarray of bool or None
            None: all of it.

        Raises
        ------
        TrainingDataError
            If a value stands for no class.
        """
        known: Mask | None = None
        if self.ignored:
            known = ~np.isin(labels, self.ignored)
            labels = np.where(known, labels, 0)
        if self.background is not None:
            stroke = labels > 0
            known = stroke if known is None else known & stroke
            labels = np.where(labels == self.background, 0, labels)
        if self.classes and self.values:
            labels = number_classes(labels, self.values, self.name)
        if self.region is not None:
            inside = np.broadcast_to(Polygons(self.region).mask(window[-2], window[-1]), labels.shape)
            known = inside if known is None else known & inside
        if self.open:
            known = (labels > 0) if known is None else known & (labels > 0)
        return labels, known

    def check(self, labels: Labels, name: str) -> None:
        """Check that labels are classes, where they are to be.

        Parameters
        ----------
        labels : ndarray of int
            Objects, from :meth:`read`.
        name : str
            For messages.

        Raises
        ------
        TrainingDataError
            If there are more of them than classes.
        """
        highest = int(labels.max(initial=0))
        if self.classes and highest > self.classes:
            raise TrainingDataError(
                f"'{name}' has labels up to {highest}, but classes are numbered up to {self.classes}. Number them from "
                "1 in the labels, say which value means which (--class-values), or name as many classes as there are."
            )


@dataclass(frozen=True)
class Pair:
    """An annotated image, normalized.

    Attributes
    ----------
    levels : tuple of Tensor or Windows
        Image ``(c, *s)`` float32, then halved again and again by averaging.
    labels : Tensor or Windows
        int32 ``(*s)``.
    sizes : ndarray of float32
        Equivalent diameter of every label, pixels; 0 for the background and for objects that are not known as a
        whole. Empty: measured in each patch, because the image is too large to be read as a whole.
    diameter : float
        Median of the known sizes: the object size of the image; 0 where there is none.
    name : str
        For messages.
    weight : float
        How often it is drawn, relative to others.
    known : Tensor, Windows or None
        uint8 ``(*s)``: 1 where the truth is known; None everywhere.
    scribbles : bool
        Objects have no known shape.
    spots : ndarray of int32, shape (n, ndim)
        Some pixels of objects whose truth is known.
    kinds : tuple of (int, int, int)
        Of classes that occur: the number, and which of `spots` are of it, from and up to; empty: of objects.
    places : ndarray of int32, shape (n, ndim), or None
        Some pixels whose truth is known; None: it is everywhere.
    before : Tensor or None
        int32 ``(*s)``: labels of the frame before, of an image of two frames. They stay in memory.
    group : str
        What is held out together.
    digest : str
        Tells one image's content from another's; empty where nobody asked.
    facts : mapping
        What the plan wants to know: shape, scale, channels, kind of number and so on.
    """

    levels: tuple[Windows, ...]
    labels: Windows
    sizes: npt.NDArray[np.float32]
    diameter: float
    name: str
    weight: float
    known: Windows | None = None
    scribbles: bool = False
    spots: npt.NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 2), np.int32))
    kinds: tuple[tuple[int, int, int], ...] = ()
    places: npt.NDArray[np.int32] | None = None
    before: torch.Tensor | None = None
    group: str = ""
    digest: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


def make_pair(
    image: npt.NDArray[np.float32], labels: Labels, name: str, weight: float = 1.0, truth: Truth | None = None
) -> Pair:
    """Prepare an annotated image that is in memory.

    Parameters
    ----------
    image : ndarray of float32
        ``(c, *s)``, normalized as at inference.
    labels : ndarray of int
        ``(*s)``.
    name : str
        For messages.
    weight : float
        How often it is drawn, relative to others.
    truth : Truth, optional
        What the labels say; by default everything.

    Returns
    -------
    Pair
        Ready for :class:`~napari_unet.training.patches.Sampler`.

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
    truth = truth or Truth()
    objects, known = truth.read(labels, tuple(slice(0, n) for n in labels.shape))
    truth.check(objects, name)
    if truth.classes:
        solid, sizes = objects.astype(np.int32), np.zeros(truth.classes + 1, np.float32)
    else:
        solid = objects.astype(np.int32) if truth.paired else number_objects(objects, truth.background is None)
        sizes = whole_objects(solid, known, ended=False)
    if truth.background is not None:
        sizes[:] = 0
    levels = [torch.from_numpy(np.ascontiguousarray(image, dtype=np.float32))]
    pool = {2: functional.avg_pool2d, 3: functional.avg_pool3d}[labels.ndim]
    while min(levels[-1].shape[1:]) >= _COARSEST and len(levels) < _LEVELS:
        levels.append(pool(levels[-1][None], 2)[0])
    measured = sizes[sizes > 0]
    spots, kinds = spread_spots(solid, known, truth.classes)
    return Pair(
        tuple(levels), torch.from_numpy(solid), sizes, float(np.median(measured)) if len(measured) else 0.0, name,
        weight, None if known is None else torch.from_numpy(known.astype(np.uint8)), truth.background is not None,
        spots, kinds, None if known is None else positions(known),
    )  # fmt: skip


def number_objects(labels: Labels, apart: bool = True) -> npt.NDArray[np.int32]:
    """Give objects numbers without gaps.

    Parameters
    ----------
    labels : ndarray of int
        Of a plane or volume.
    apart : bool
        Whether what does not hang together is several objects: all parts of a mask, which has one value, and otherwise
        parts of one number that are alike in size; crumbs stay with the largest.

    Returns
    -------
    ndarray of int32
        0 is background.
    """
    values, inverse = np.unique(labels, return_inverse=True)
    solid: npt.NDArray[np.int32] = inverse.reshape(labels.shape).astype(np.int32)
    if labels.size and values[0] > 0:
        solid += 1
    if not apart:
        return solid
    parts, number = connected(solid, connectivity=1, return_num=True)
    count = int(np.count_nonzero(values))
    if count in (1, number):
        return parts.astype(np.int32) if count == 1 else solid
    sizes, owner = np.bincount(parts.ravel()), np.zeros(number + 1, np.int32)
    owner[parts.ravel()] = solid.ravel()
    sizes[0] = 0
    order = np.lexsort((-sizes, owner))  # of each number the largest part comes first
    first = np.concatenate([[True], owner[order][1:] != owner[order][:-1]])
    largest = sizes[order][np.maximum.accumulate(np.where(first, np.arange(number + 1), 0))]
    own = order[~first & (sizes[order] >= _ALIKE * largest) & (owner[order] > 0)]
    owner[own] = count + 1 + np.arange(len(own))
    numbers: npt.NDArray[np.int32] = owner[parts]
    return numbers


def whole_objects(labels: Labels, known: Mask | None, ended: bool) -> npt.NDArray[np.float32]:
    """Measure every object that is known as a whole.

    Parameters
    ----------
    labels : ndarray of int
        Numbered from 1.
    known : ndarray of bool or None
        Where the truth is known.
    ended : bool
        Objects at the edge of the array go on beyond it.

    Returns
    -------
    ndarray of float32
        Equivalent diameter of each number, pixels; 0 for the background and what is cut by something unknown.
    """
    volume = np.bincount(labels.ravel()).astype(np.float64)
    volume[0] = 0
    if known is not None:
        volume[np.unique(labels[~known])] = 0
        for axis in range(labels.ndim):
            for one, other in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
                index = (slice(None),) * axis
                volume[np.unique(labels[(*index, one)][~known[(*index, other)]])] = 0
    if ended:
        for axis in range(labels.ndim):
            for end in (0, -1):
                volume[np.unique(labels.take(end, axis))] = 0
    return equivalent_diameter(volume, labels.ndim).astype(np.float32)


def spread_spots(
    labels: Labels, known: Mask | None, classes: int
) -> tuple[npt.NDArray[np.int32], tuple[tuple[int, int, int], ...]]:
    """Return the places of some pixels of objects, or as many of each class, and which are of one class.

    Parameters
    ----------
    labels : ndarray of int
        Objects or classes.
    known : ndarray of bool or None
        Where the truth is known.
    classes : int
        How many there are; 0: objects.

    Returns
    -------
    spots : ndarray of int32, shape (n, ndim)
        Places.
    kinds : tuple of (int, int, int)
        See :class:`Pair`.
    """
    if not classes:
        return positions(labels > 0 if known is None else (labels > 0) & known), ()
    found = [positions(labels == k if known is None else (labels == k) & known) for k in range(1, classes + 1)]
    ends = np.cumsum([0, *map(len, found)]).tolist()
    return np.concatenate(found), name_kinds(ends)


def name_kinds(ends: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """Return which places are of which class.

    Parameters
    ----------
    ends : sequence of int
        Where the places of class 1 begin and end, those of class 2 end, and so on.

    Returns
    -------
    tuple of (int, int, int)
        See :class:`Pair`.
    """
    return tuple((k, a, b) for k, (a, b) in enumerate(itertools.pairwise(ends), 1) if b > a)


def positions(mask: Mask) -> npt.NDArray[np.int32]:
    """Return the places of up to ten thousand pixels of a mask, evenly spread among them; int32 ``(n, ndim)``."""
    flat = np.flatnonzero(mask)
    flat = flat[:: max(1, -(-len(flat) // _SPOTS))]
    return np.stack(np.unravel_index(flat, mask.shape), 1).astype(np.int32)
