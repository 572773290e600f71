"""Objects within objects: foci in nuclei, nuclei in cells, cells in regions of tissue."""

from __future__ import annotations

import math
import re
from collections.abc import Generator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError
from napari_unet.core.overlaps import Shared, Triples, flat_labels
from napari_unet.core.results import Table
from napari_unet.core.steps import Steps
from napari_unet.core.windows import Reader, strips, windows_before

from ._source import Source, check_fit, spatial
from .objects import counted_steps

__all__ = [
    "SharedParts", "add_inside", "add_within", "column_name", "columns_inside", "columns_within", "shared_steps",
]  # fmt: skip

_NO_LETTER: Final = re.compile(r"\W+")

Ints = npt.NDArray[np.int64]


def column_name(name: str) -> str:
    """Return the name of labels as columns of a table have it: ``"DNA foci.ome.zarr"`` is ``DNA_foci``."""
    stem = name.rpartition("/")[2].partition(".")[0]
    return _NO_LETTER.sub("_", stem).strip("_") or "others"


def columns_inside(name: str) -> tuple[str, ...]:
    """Return the columns that :func:`add_inside` may add."""
    return tuple(f"{name}_{what}" for what in ("count", "area", "volume", "share"))


def columns_within(name: str) -> tuple[str, ...]:
    """Return the columns that :func:`add_within` adds."""
    return f"in_{name}", f"in_{name}_share"


class SharedParts:
    """The parts in which pixels of two labels are counted; they follow from the shape alone.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0 with the axes ``yx`` or ``zyx``, in any order, and perhaps ``t``.
    other : Image
        Others, of the same size. Those of a single time point, or without ``t``, stay where they are while time goes
        on: they count for every time point.

    Raises
    ------
    AxesError
        If they do not cover the same pixels, or have channels.
    ImageError
        If they lie elsewhere.
    """

    def __init__(self, labels: Image, other: Image) -> None:
        for each in (labels, other):
            if each.channels > 1:
                raise AxesError(f"'{each.name}' has {each.channels} channels; labels have none. Choose one channel.")
        self._stays = _times(other) == 1
        try:
            check_fit(labels, other, "t" if self._stays else "")
        except AxesError as error:
            advice = (
                f"If their dimensions are the same, name them alike: --axes {labels.axes} on the command line, "
                f"read_labels(..., axes='{labels.axes}') in Python, axis_labels of layers"
                if labels.shape == other.shape
                else "Give labels of the same image, as large as each other; or regions without time: those count for "
                "every time point"
            )
            raise AxesError(
                f"'{other.name}' ({other.axes} {other.shape}) and '{labels.name}' ({labels.axes} {labels.shape}) do "
                f"not cover the same pixels. {advice}."
            ) from error
        self._sources = [Source(each, Reader(each.data, each.name)) for each in (labels, other)]
        self._strips = strips(self._sources[0].shape)
        self._shared = [Shared() for _ in range(_times(labels))]

    def __len__(self) -> int:
        """How many parts there are."""
        return len(self._shared) * len(self._strips)

    def windows(self, number: int) -> int:
        """Return how many windows the parts before one have."""
        return windows_before(self._strips, number)

    def measure(self, number: int) -> Generator[None, None, Triples]:
        """Count the pixels of a part; give way after every window.

        Parameters
        ----------
        number : int
            Of the part.

        Returns
        -------
        tuple of ndarray
            See :meth:`napari_unet.core.overlaps.Shared.pairs`.

        Raises
        ------
        ImageError
            If the values are not labels.
        """
        t, strip = divmod(number, len(self._strips))
        shared, both = Shared(), list(zip(self._sources, (t, 0 if self._stays else t), strict=True))
        for window in self._strips[strip]:
            shared.add(*(flat_labels(source.read(at, window), source.name) for source, at in both))
            yield
        return shared.pairs()

    def add(self, number: int, pairs: Triples) -> None:
        """Add a part to those of its time point, in whatever order they come."""
        self._shared[number // len(self._strips)].join(pairs)

    def tables(self) -> list[Table]:
        """Return what was counted.

        Returns
        -------
        list of dict of ndarray
            For each time point ``own`` and ``other``, the numbers of two objects (0: the background), and ``pixels``
            that they share; ordered by ``own``, then ``other``.
        """
        found: list[Table] = []
        for shared in self._shared:
            own, other, pixels = shared.pairs()
            found.append({"own": own.astype(np.int64), "other": other.astype(np.int64), "pixels": pixels})
        return found


def shared_steps(labels: Image, other: Image) -> Steps[list[Table]]:
    """Count the pixels that objects share with those of other labels.

    Parameters
    ----------
    labels, other : Image
        See :class:`SharedParts`.

    Returns
    -------
    list of dict of ndarray
        See :meth:`SharedParts.tables`.

    Yields
    ------
    Progress
        One for every window.

    Raises
    ------
    AxesError, ImageError
        See :class:`SharedParts`; also if the values are not labels.
    """
    parts = SharedParts(labels, other)
    yield from counted_steps(parts, f"Comparing with {other.name}")
    return parts.tables()


def add_inside(table: Table, labels: Image, name: str, shared: list[Table]) -> Table:
    """Add to a table of objects what lies inside each.

    An object lies in the one that has most of its pixels; of several that have as many, in the one with the lowest
    number.

    Parameters
    ----------
    table : dict of ndarray
        Of :func:`~napari_unet.measures.objects.measure`.
    labels : Image
        As they were given to it.
    name : str
        What lies inside, such as ``foci``.
    shared : list of dict
        Of :func:`shared_steps`.

    Returns
    -------
    dict of ndarray
        The table, and

        - ``foci_count``: how many lie in the object.
        - ``foci_area`` or ``foci_volume``: how much of it they cover, those included that lie in a neighbor and reach
          into it; in the unit of the object's own.
        - ``foci_share``: the same as a share of the object, 0 to 1.
    """
    size = "area" if len(spatial(labels)) == 2 else "volume"
    count, covered = (np.zeros(len(table["index"]), np.int64) for _ in range(2))
    for rows, pairs in _by_time(table, shared):
        ids = table["index"][rows]
        in_both = (pairs["own"] > 0) & (pairs["other"] > 0)
        at = rows[np.searchsorted(ids, pairs["own"][in_both])]
        np.add.at(covered, at, pairs["pixels"][in_both])
        whose, _, _ = _most(pairs["other"][in_both], pairs["own"][in_both], pairs["pixels"][in_both])
        np.add.at(count, rows[np.searchsorted(ids, whose)], 1)
    element = math.prod(labels.along(spatial(labels))[1])
    own: Any = table[f"{size}_px"]
    return table | {f"{name}_count": count, f"{name}_{size}": covered * element, f"{name}_share": covered / own}


def add_within(table: Table, name: str, shared: list[Table]) -> Table:
    """Add to a table of objects in which of others each lies.

    Parameters
    ----------
    table : dict of ndarray
        Of :func:`~napari_unet.measures.objects.measure`.
    name : str
        What they lie in, such as ``cells``.
    shared : list of dict
        Of :func:`shared_steps`.

    Returns
    -------
    dict of ndarray
        The table, and

        - ``in_cells``: the number of the one that has most of the object's pixels; of several that have as many, the
          lowest; 0 for none.
        - ``in_cells_share``: which share of the object lies in it, 0 to 1.
    """
    whose, share = np.zeros(len(table["index"]), np.int64), np.zeros(len(table["index"]))
    for rows, pairs in _by_time(table, shared):
        some = (pairs["own"] > 0) & (pairs["other"] > 0)
        found, own, pixels = _most(pairs["own"][some], pairs["other"][some], pairs["pixels"][some])
        at = rows[np.searchsorted(table["index"][rows], own)]
        whose[at], share[at] = found, pixels
    pixels_of: Any = table["area_px"] if "area_px" in table else table["volume_px"]
    return table | {f"in_{name}": whose, f"in_{name}_share": share / pixels_of}


def _times(labels: Image) -> int:
    return labels.along("t")[0][0] if "t" in labels.axes else 1


def _by_time(table: Table, shared: list[Table]) -> list[tuple[Ints, dict[str, Any]]]:
    """Return the rows of each time point, ordered by label, and what was counted there."""
    times = table.get("t", np.zeros(len(table["index"]), np.int64))
    return [(np.flatnonzero(times == t), pairs) for t, pairs in enumerate(shared)]


def _most(inner: Ints, outer: Ints, pixels: Ints) -> tuple[Ints, Ints, Ints]:
    """Return the outer object that has most of each inner one, the inner one, and the pixels in both."""
    order = np.lexsort((outer, -pixels, inner))
    inner, outer, pixels = inner[order], outer[order], pixels[order]
    first = np.ones(len(inner), np.bool_)
    first[1:] = inner[1:] != inner[:-1]
    return outer[first], inner[first], pixels[first]
