"""Where a run looks: which pixels of an image may be objects, and which turned out to hold nothing that can be seen.

Scores outside count as 0, before anything is decoded. Whether a pixel is outside follows from its place in the image
and from the image itself, so labels depend on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..core.axes import Plane
from ..core.errors import ImageError
from ..core.rasterize import Polygons
from ..core.windows import common, meet, since
from ._background import Background
from .chunks import cached
from .unreadable import lost_parts

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Image
    from ..core.specs import SegmentSpec
    from .grid import Tile
    from .stream import Plan

    Scores = npt.NDArray[np.uint8]
    Mask = npt.NDArray[np.bool_]
    Window = tuple[slice, ...]

__all__ = ["Notes", "Scored", "View", "Where", "choose_where"]


@dataclass(frozen=True)
class Notes:
    """What was seen in the pixels that a tile owns, or several.

    Attributes
    ----------
    not_a_number : int
        Pixels without a finite value in every channel, of those that are looked at and could be read.
    unreadable : frozenset of tuple of int
        Chunks that could not be read although something of them is looked at: their numbers along the image's axes.
    """

    not_a_number: int = 0
    unreadable: frozenset[tuple[int, ...]] = frozenset()

    def __add__(self, other: Notes) -> Notes:
        return Notes(self.not_a_number + other.not_a_number, self.unreadable | other.unreadable)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return arrays, for a journal."""
        return {
            "not_a_number": np.array(self.not_a_number, np.int64),
            "unreadable": np.array(sorted(self.unreadable), np.int64),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Notes:
        """Build from :meth:`arrays`' result, among other arrays."""
        return cls(int(arrays["not_a_number"]), frozenset(map(tuple, arrays["unreadable"].tolist())))


class Scored(NamedTuple):
    """The scores of a tile, as they are stored, and what was seen in its pixels."""

    scores: Scores
    notes: Notes


class Where:
    """Where a run looks.

    Parameters
    ----------
    region : Polygons, optional
        The same in all planes; everything where missing.
    background : Background, optional
        What is too dark; nothing where missing.
    flat : bool
        Whether the image has no contrast at all: what a network says of it means nothing.

    Attributes
    ----------
    notes : Notes
        Of the run so far.
    """

    def __init__(
        self, region: Polygons | None = None, background: Background | None = None, flat: bool = False
    ) -> None:
        self.region, self.background, self.flat = region, background, flat
        self.notes = Notes()

    def misses(self, window: Window) -> bool:
        """Say without reading whether nothing of a window is looked at; False where that is not obvious."""
        return self.region is not None and not self.region.meet(*window[-2:])

    def wanted(self, plane: Plane, window: Window) -> bool | Mask:
        """Tell what of a window may be objects.

        Parameters
        ----------
        plane : Plane
            With the channels that are used.
        window : tuple of slice
            Pixels of the plane.

        Returns
        -------
        bool or ndarray of bool, shape of the window
            True: everything. False: nothing.

        Raises
        ------
        ImageError
            If the image cannot be read.
        """
        if self.misses(window):
            return False
        mask = np.ones((), bool)
        if self.region is not None:
            mask = self.region.mask(*window[-2:])
        if self.background is not None and mask.any():
            mask = mask & self.background.mask(plane, window)
        if mask.all() or not mask.any():
            return bool(mask.all())
        return np.broadcast_to(mask, [s.stop - s.start for s in window])

    def view(self, plane: Plane, tile: Tile) -> View:
        """Return a plane as a tile sees it."""
        wanted = self.wanted(plane, tile.window)
        return View(plane.image, plane.axes, plane.fixed, plane.channels, tile.window, wanted, self.flat)

    def record(self, image: Image) -> dict[str, Any]:
        """Say what was seen.

        Parameters
        ----------
        image : Image
            That was looked at.

        Returns
        -------
        dict
            For a manifest: the number of pixels that hold no number, and the places that could not be read, first and
            last pixel along each axis.
        """
        data, places = cached(image).data, []
        for chunk in sorted(self.notes.unreadable):
            box = data.box(chunk)
            places.append({axis: [s.start, s.stop - 1] for axis, s in zip(image.axes, box, strict=True)})
        return {"not_a_number": self.notes.not_a_number, "unreadable": places}


@dataclass(frozen=True)
class View(Plane):
    """A plane as one tile sees it; what it reads of its own pixels is looked through for what is no number.

    Attributes
    ----------
    window : tuple of slice
        The pixels that the tile owns.
    wanted : bool or ndarray of bool
        See :meth:`Where.wanted`.
    flat : bool
        See :class:`Where`: it is read, because what holds no number is told, but nothing is found in it.
    odd : list of (tuple of slice, ndarray of bool, int)
        Parts of the window, which of their pixels hold no number, and the level that was read.
    """

    window: Window = ()
    wanted: bool | Mask = True
    flat: bool = False
    odd: list[tuple[Window, Mask, int]] = field(default_factory=list)

    def read(self, window: Window, level: int = 0) -> npt.NDArray[np.generic]:
        """Load a window; see :meth:`~napari_unet.core.axes.Plane.read`."""
        block = super().read(window, level)
        if block.dtype.kind != "f":
            return block
        # A pixel of a coarser level stands for all that it covers.
        steps = self.steps_of(level)
        own = [slice(s.start // step, -(-s.stop // step)) for s, step in zip(self.window, steps, strict=True)]
        if (both := meet(own, window)) is None:
            return block
        odd = ~np.isfinite(block[(slice(None), *since(both, window))]).all(axis=0)
        if odd.any():
            for axis, step in enumerate(steps):
                odd = odd.repeat(step, axis=axis) if step > 1 else odd
            seen = [slice(s.start * n, s.stop * n) for s, n in zip(both, steps, strict=True)]
            both = common(self.window, seen)
            self.odd.append((since(both, self.window), odd[since(both, seen)], level))
        return block

    def judge(self, scores: Scores) -> Scored:
        """Set to 0 what does not count.

        Parameters
        ----------
        scores : ndarray of uint8, shape (k, *window)
            Of what was read; changed in place.

        Returns
        -------
        Scored
            The same scores, and what was seen.
        """
        wanted, notes = self.wanted, Notes()
        if self.odd:
            odd = np.zeros(scores.shape[1:], bool)
            for place, part, _ in self.odd:
                odd[place] |= part
            odd &= wanted
            wanted = wanted & ~odd
            notes = self._explained(odd)
        if self.flat:
            scores[:] = 0
        elif wanted is not True:
            scores *= wanted
        return Scored(scores, notes)

    def _explained(self, odd: Mask) -> Notes:
        """Say of pixels without a number whether they could not be read; they are taken out of `odd`."""
        lost = (part for level in {level for _, _, level in self.odd} for part in lost_parts(self, self.window, level))
        found = [(chunk, place) for chunk, place in lost if odd[place].any()]
        for _, place in found:
            odd[place] = False
        return Notes(int(np.count_nonzero(odd)), frozenset(chunk for chunk, _ in found))


def choose_where(spec: SegmentSpec, image: Image, plan: Plan) -> Where:
    """Decide where a run looks.

    Parameters
    ----------
    spec : SegmentSpec
        Its region and background.
    image : Image
        Any axes.
    plan : Plan
        With the statistics and the factor of the run.

    Returns
    -------
    Where
        For that plan.

    Raises
    ------
    ImageError
        If the region lies beside the image.
    """
    region = Polygons(spec.region) if spec.region else None
    height, width = image.along("yx")[0]
    if region is not None and not region.meet(slice(0, height), slice(0, width)):
        raise ImageError(
            f"The region lies beside '{image.name}', which has {height} x {width} pixels (y x). Draw it on the image; "
            "numbers are pixels, y before x."
        )
    background = None if spec.background is None else Background(spec.background, plan.statistics, plan.factor)
    return Where(region, background, plan.statistics.flat)
