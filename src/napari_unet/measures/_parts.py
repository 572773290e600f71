"""Objects measured in parts, strips of a plane or volume, whose sums do not depend on who measures them, and when.

A part is small: numbers of the objects that it meets, and the labels along its two edges.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.bands import channel_suffixes
from napari_unet.core.errors import AxesError
from napari_unet.core.windows import Reader, strips, windows_before

from ._intensity import Intensities
from ._moments import Moments
from ._outline import Outlines
from ._runs import Numbers, find_runs
from ._source import Source, check_fit

__all__ = ["Parts", "Sums"]

Ints = npt.NDArray[np.integer[Any]]


@dataclass
class Sums:
    """What is summed up over the pixels of objects.

    Attributes
    ----------
    moments : Moments
        Of their places.
    outlines : Outlines or None
        In 2D.
    intensities : list of Intensities
        One for each channel.
    ids : ndarray of int64, shape (n,)
        The label of each object, by its number.
    """

    moments: Moments
    outlines: Outlines | None
    intensities: list[Intensities]
    ids: Ints = field(default_factory=lambda: np.zeros(0, np.int64))

    def shrunk(self) -> Sums:
        """Return the same with less to send: no room for more, of outlines only what hulls need."""
        if self.outlines is not None:
            self.outlines.shrink()
        for part in (self.moments, self.outlines, *self.intensities):
            if part is not None:
                part.trim(len(self.ids))
        self.ids = self.ids.copy()
        return self


class Parts:
    """The parts in which labels are measured; they follow from the shape alone.

    Parameters
    ----------
    labels, image : Image
        See :func:`~napari_unet.measures.objects.measure`.

    Attributes
    ----------
    times : list of int or None
        The time points; None where labels have no time.
    sums : list of Sums
        Of each time point, over the parts so far.

    Raises
    ------
    AxesError
        If `image` does not fit `labels`, or labels have more than one channel.
    """

    def __init__(self, labels: Image, image: Image | None = None) -> None:
        if labels.channels > 1:
            raise AxesError(f"'{labels.name}' has {labels.channels} channels; labels have none. Choose one channel.")
        if image is not None:
            check_fit(labels, image)
        self.times = list(range(labels.along("t")[0][0])) if "t" in labels.axes else [None]
        self._own, self._channels = Source(labels, Reader(labels.data, labels.name)), list[Source]()
        self.suffixes: tuple[str, ...] = ()
        if image is not None:
            reader, self.suffixes = Reader(image.data, image.name), channel_suffixes(image)
            self._channels = [Source(image, reader, channel) for channel in range(image.channels)]
        self.shape, self.scale = self._own.shape, self._own.scale
        self._strips = strips(self.shape)
        self.sums = [self._nothing() for _ in self.times]
        self._numbers = [Numbers() for _ in self.times]
        self._next = [0] * len(self.times)
        self._early: dict[tuple[int, int], Sums] = {}

    def __len__(self) -> int:
        """How many parts there are."""
        return len(self.times) * len(self._strips)

    def windows(self, number: int) -> int:
        """Return how many windows the parts before one have."""
        return windows_before(self._strips, number)

    def measure(self, number: int) -> Generator[None, None, Sums]:
        """Measure a part; give way after every window.

        Parameters
        ----------
        number : int
            Of the part.

        Returns
        -------
        Sums
            To be added.

        Raises
        ------
        ImageError
            If the values are not labels.
        """
        time, strip = divmod(number, len(self._strips))
        t, numbers, sums = self.times[time], Numbers(), self._nothing()
        for window in self._strips[strip]:
            values = self._own.read(t, window)
            runs = find_runs(values, numbers, self._own.name)
            count, at = len(numbers.ids), [part.start for part in window]
            sums.moments.add(runs, count, (0, *at)[-3:], values.shape[-2])
            if sums.outlines is not None:
                sums.outlines.add(runs, count, (at[0], at[1]), values.shape)
            for channel, found in zip(self._channels, sums.intensities, strict=True):
                found.add(runs, count, channel.read(t, window))
            yield
        sums.ids = numbers.ids
        return sums

    def add(self, number: int, sums: Sums) -> None:
        """Add a part to those of its time point, in whatever order they come.

        Parameters
        ----------
        number : int
            Of the part.
        sums : Sums
            As it was measured.
        """
        time, strip = divmod(number, len(self._strips))
        self._early[time, strip] = sums
        while (found := self._early.pop((time, self._next[time]), None)) is not None:
            self._next[time] += 1
            self._join(time, found)

    def _join(self, time: int, new: Sums) -> None:
        if len(self._strips) == 1:
            self.sums[time] = new
            return
        numbers, sums = self._numbers[time], self.sums[time]
        which = numbers.look_up(new.ids)
        sums.ids = numbers.ids
        count = len(sums.ids)
        sums.moments.join(new.moments, which, count)
        if sums.outlines is not None and new.outlines is not None:
            sums.outlines.join(new.outlines, which, count)
        for own, other in zip(sums.intensities, new.intensities, strict=True):
            own.join(other, which, count)

    def _nothing(self) -> Sums:
        outlines = Outlines(self.shape[0]) if len(self.shape) == 2 else None
        return Sums(Moments(), outlines, [Intensities() for _ in self._channels])
