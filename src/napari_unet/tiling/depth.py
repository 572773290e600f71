"""Outlines of neighboring planes that are one object, found from tables: it does not matter how planes are cut.

A network for pictures outlines the objects of a stack plane by plane. Two outlines in neighboring planes may be one
object where enough of the smaller one lies within the larger (the overlap coefficient of Szymkiewicz and Simpson); they
are where, among those, each is the other's best partner, the one with the largest intersection over union. A limit for
the latter would not do: it is small where an object begins and ends, whose caps would be cut off. So an outline goes on
in at most one outline of the next plane, and chains of them are the objects.

Which outline goes on in which depends on two planes only. Objects that touch one above the other make one chain: it is
narrow where they meet. So a chain ends, and another object begins, where outlines have become clearly smaller than the
largest before, and now become larger again. An object is numbered where it begins: numbers are final as soon as all
planes before are known, however deep the stack is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ..core.errors import SpecError
from ._overlap import best_partners, count_pairs, count_pixels

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Plane

    Ints = npt.NDArray[np.int32]
    Longs = npt.NDArray[np.int64]
    Labels = npt.NDArray[np.integer[Any]]

__all__ = ["Course", "Depth", "areas", "link", "overlaps", "planes_above", "summed"]

_FALL: Final = 7  # tenths of the largest outline so far, below which a chain is narrow
_RISE: Final = 12  # tenths of the smallest outline since then, from which on it widens again


def overlaps(upper: Labels, lower: Labels) -> Longs:
    """Count the pixels that outlines of two planes have in common.

    Parameters
    ----------
    upper, lower : ndarray of int
        The same window of two planes' labels, ids from 0 (background) to 2**31 - 1.

    Returns
    -------
    ndarray of int64, shape (n, 3)
        Upper id, lower id, pixels; ordered by the ids. Of several windows, :func:`summed` makes one table.

    Raises
    ------
    SpecError
        If the windows differ in shape.
    """
    if upper.shape != lower.shape:
        raise SpecError(
            f"Windows of {upper.shape} and {lower.shape} pixels have no pixels in common. Give the same window of both "
            "planes."
        )
    if not upper.size:
        return np.zeros((0, 3), np.int64)
    codes, counts = count_pairs(np.ascontiguousarray(upper).reshape(-1), np.ascontiguousarray(lower).reshape(-1))
    order = np.argsort(codes)
    codes = codes[order]
    return np.stack([codes >> 32, codes & 0xFFFFFFFF, counts[order]], 1)


def summed(tables: Iterable[Longs]) -> Longs:
    """Add up the tables of several windows.

    Parameters
    ----------
    tables : iterable of ndarray of int64, shape (n, 3)
        Of windows that do not meet; see :func:`overlaps`.

    Returns
    -------
    ndarray of int64, shape (n, 3)
        The table of all of them.
    """
    rows = np.concatenate([np.zeros((0, 3), np.int64), *tables])
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    starts = np.flatnonzero(np.append(True, (rows[1:, :2] != rows[:-1, :2]).any(1))[: len(rows)])
    pixels = np.add.reduceat(rows[:, 2], starts) if len(rows) else rows[:, 2]
    return np.column_stack([rows[starts, :2], pixels])


def areas(labels: Labels, count: int) -> Longs:
    """Count the pixels of each outline.

    Parameters
    ----------
    labels : ndarray of int
        Of a plane or a window of it, ids from 0 to `count`.
    count : int
        The highest id of the plane.

    Returns
    -------
    ndarray of int64, shape (count + 1,)
        By id; those of several windows can be added.

    Raises
    ------
    SpecError
        If there are other ids.
    """
    found = np.zeros(count + 1, np.int64)
    if not count_pixels(np.ascontiguousarray(labels).reshape(-1), found):
        raise SpecError(f"There are ids below 0 or above {count}. Give the highest id of the plane.")
    return found


def link(shared: Longs, upper: Longs, lower: Longs, threshold: float) -> Ints:
    """Find the outline of the upper plane that each one of the lower plane continues.

    Parameters
    ----------
    shared : ndarray of int64, shape (n, 3)
        Pixels in common; see :func:`overlaps`.
    upper, lower : ndarray of int64
        Pixels of each outline; see :func:`areas`.
    threshold : float
        Smallest share of the smaller outline that lies within the larger, above 0.

    Returns
    -------
    ndarray of int32, shape of `lower`
        Upper id by lower id, 0 where an object begins. No upper id comes twice. Of equally good partners the one with
        the lower id counts.
    """
    return np.asarray(best_partners(shared, upper, lower, threshold))


def planes_above(planes: Sequence[Plane], threshold: float) -> list[int | None]:
    """Say for each plane which one lies right above it, at the same time and one step less in z.

    Parameters
    ----------
    planes : sequence of Plane
        Of one image, in order.
    threshold : float
        See :func:`link`; 0 leaves planes apart.

    Returns
    -------
    list of int or None
        Numbers in `planes`, each lower than that of the plane below; None for the first in depth, and where planes are
        not cut from a depth or left apart.
    """
    if not threshold:
        return [None] * len(planes)
    numbers = {plane.at: number for number, plane in enumerate(planes)}
    found: list[int | None] = []
    for plane in planes:
        axes = [plane.image.axes[dimension] for dimension, _ in plane.fixed]
        before = tuple(p - (a == "z") for a, p in zip(axes, plane.at, strict=True))
        found.append(numbers.get(before) if "z" in axes else None)
    return found


class Course(NamedTuple):
    """How large the outlines of objects have been up to a plane, in pixels, by the id of its outlines.

    Attributes
    ----------
    largest : ndarray of int64
        Of each object so far.
    since : ndarray of int64
        The smallest since the largest one.
    """

    largest: Longs
    since: Longs


class Depth:
    """Numbers the outlines of planes through, those of one object alike; not to be shared by threads.

    Parameters
    ----------
    above : sequence of int or None
        For each plane the one above it, which has a lower number; see :func:`planes_above`.
    classes : bool
        Labels are the numbers of classes, which are the same in all planes.

    Attributes
    ----------
    above, below : list of int or None
        For each plane the one above and the one below it.
    ids : dict of int to ndarray of int32
        Final ids of outlines, for each plane whose next one in depth is not numbered yet.
    courses : dict of int to Course
        Of the objects there.
    objects : int
        How many there are so far, which is the highest id.
    """

    def __init__(self, above: Sequence[int | None], classes: bool = False) -> None:
        self.classes = classes
        self.above: list[int | None] = [None] * len(above) if classes else list(above)
        self.below: list[int | None] = [None] * len(self.above)
        for lower, upper in enumerate(self.above):
            if upper is not None:
                self.below[upper] = lower
        self.ids: dict[int, Ints] = {}
        self.courses: dict[int, Course] = {}
        self.objects = 0

    def joins(self, plane: int) -> bool:
        """Say whether there is a plane above or below."""
        return self.above[plane] is not None or self.below[plane] is not None

    def count(self, begun: int) -> None:
        """Take in how many objects begin in a plane that is numbered already, or its highest class."""
        self.objects = max(self.objects, begun) if self.classes else self.objects + begun

    def cut(self, plane: int, links: Ints, pixels: Longs) -> Ints:
        """Let objects begin where outlines widen again, after those of all planes before are numbered.

        Parameters
        ----------
        plane : int
            Number of the plane.
        links : ndarray of int32, shape (n + 1,)
            For each of its n outlines the one of the plane above that it continues, or 0; see :func:`link`. Entry 0 is
            background.
        pixels : ndarray of int64, shape (n + 1,)
            Of each outline; see :func:`areas`.

        Returns
        -------
        ndarray of int32, shape (n + 1,)
            The same, with 0 where an object begins after all.
        """
        above = self.above[plane]
        if above is None:
            return links
        course = self.courses[above]
        narrow = 10 * course.since[links] <= _FALL * course.largest[links]
        return np.where(narrow & (10 * pixels >= _RISE * course.since[links]), 0, links).astype(np.int32)

    def number(self, plane: int, links: Ints, pixels: Longs) -> Ints:
        """Give final ids to the outlines of a plane, after those of all planes before it.

        Parameters
        ----------
        plane : int
            Number of the plane.
        links : ndarray of int32, shape (n + 1,)
            As :meth:`cut` returns them.
        pixels : ndarray of int64, shape (n + 1,)
            Of each outline.

        Returns
        -------
        ndarray of int32, shape (n + 1,)
            Final id of each outline; entry 0 is background. New objects get the next ids, in the order of their
            outlines.
        """
        if self.classes:
            self.count(len(links) - 1)
            return np.arange(len(links), dtype=np.int32)
        above, ids, largest, since = self.above[plane], np.zeros(len(links), np.int32), pixels, pixels
        new = links == 0
        new[0] = False
        if above is not None:
            ids, before = self.ids.pop(above)[links], self.courses.pop(above)
            grown = new | (pixels >= before.largest[links])
            largest = np.where(grown, pixels, before.largest[links])
            since = np.where(grown, pixels, np.minimum(pixels, before.since[links]))
        ids[new] = np.arange(self.objects + 1, self.objects + 1 + np.count_nonzero(new))
        self.objects += int(np.count_nonzero(new))
        if self.below[plane] is not None:
            self.ids[plane], self.courses[plane] = ids, Course(largest, since)
        return ids
