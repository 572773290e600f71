"""Labels of any size as arrays that napari can show: nothing is read before it is needed."""

from __future__ import annotations

import operator
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.levels import fitting_levels, level_shapes

from ._layers import repeat

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.core.axes import Image

__all__ = ["Sheet", "View", "draw_quickly"]

_IN_MEMORY: Final = 2**24  # pixels of the coarse levels

Window = tuple[slice, ...]
Index = tuple[int | slice, ...]
Values = npt.NDArray[np.int32]


class Sheet:
    """The levels of some labels, while they are found and when they are written.

    Parameters
    ----------
    image : Image
        Whose labels they are.
    channels : tuple of (int, int) or None
        Where an axis of channels is to be put in, and how many; see :func:`~._layers.channel_axis`.

    Attributes
    ----------
    arrays : list of View or ndarray
        The levels, the finest first; the coarse ones are in memory.
    coarse : dict of int to ndarray
        Those in memory, without channels.
    levels : Pyramid or None
        The engine's side; None until a job has opened it.
    idle : Event
        Set while nobody loads what drawing does not find in memory. Else drawing waits for no disk; whoever asks
        without drawing always gets what is really there.
    """

    def __init__(self, image: Image, channels: tuple[int, int] | None) -> None:
        shapes = level_shapes(image.label_axes, image.along(image.label_axes)[0])
        kept = fitting_levels(shapes, _IN_MEMORY)
        self.coarse = {level: np.zeros(shapes[level], np.int32) for level in kept}
        self.levels: Any = None
        self.idle = threading.Event()
        self.idle.set()
        self._drawing = threading.local()
        fine = [View(self, level, shape, channels) for level, shape in enumerate(shapes) if level not in kept]
        self.arrays: list[Any] = [*fine, *(repeat(values, channels) for values in self.coarse.values())]

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Prefer a fast answer to a sharp one, in this thread."""
        self._drawing.now = True
        try:
            yield
        finally:
            self._drawing.now = False

    def read(self, level: int, window: Window) -> Values:
        """Return a part of a level.

        Parameters
        ----------
        level : int
            From 0, the finest.
        window : tuple of slice
            Without channels.

        Returns
        -------
        ndarray of int32
            Nothing but background until the engine has opened the labels.
        """
        if self.levels is None:
            return np.zeros([s.stop - s.start for s in window], np.int32)
        quick = not self.idle.is_set() and getattr(self._drawing, "now", False)
        found: Values = self.levels.look(level, window) if quick else self.levels.read(level, window)
        return found


class View:
    """A part of a level: indexing reads nothing, ``numpy.asarray`` does.

    Parameters
    ----------
    sheet : Sheet
        Reads.
    level : int
        Of the sheet.
    shape : tuple of int
        Of the level, without channels.
    channels : tuple of (int, int) or None
        As for :class:`Sheet`.
    """

    dtype = np.dtype(np.int32)

    def __init__(self, sheet: Sheet, level: int, shape: tuple[int, ...], channels: tuple[int, int] | None) -> None:
        self._sheet, self._level, self._channels = sheet, level, channels
        whole = [slice(0, n, 1) for n in shape]
        if channels is not None:
            whole.insert(channels[0], slice(0, channels[1], 1))
        self._index: Index = tuple(whole)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every axis."""
        return tuple(len(range(i.start, i.stop, i.step)) for i in self._index if isinstance(i, slice))

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod([float(n) for n in self.shape]))

    @property
    def repeated(self) -> bool:
        """Whether there is an axis of channels, which are all alike."""
        return self._channels is not None

    def _with(self, index: Index, channels: tuple[int, int] | None) -> View:
        made = object.__new__(View)
        made._sheet, made._level, made._channels, made._index = self._sheet, self._level, channels, index
        return made

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """Return a part by numbers and slices; an IndexError says what else there would have to be read first."""
        keys = list(key) if isinstance(key, tuple) else [key]
        if any(k is Ellipsis for k in keys):
            at = next(i for i, k in enumerate(keys) if k is Ellipsis)
            keys[at : at + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        if len(keys) > self.ndim:
            raise IndexError(f"{len(keys)} indices were given for {self.ndim} axes.")
        left = iter([*keys, *[slice(None)] * (self.ndim - len(keys))])
        index = tuple(_cut(i, next(left)) if isinstance(i, slice) else i for i in self._index)
        part = self._with(index, self._channels)
        return part if part.ndim else np.asarray(part)[()]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read it."""
        index = self._index if self._channels is None else _without(self._index, self._channels[0])
        spans = [i if isinstance(i, slice) else slice(i, i + 1, 1) for i in index]
        if 0 in self.shape:
            return np.zeros(self.shape, dtype or self.dtype)
        values = self._sheet.read(self._level, tuple(slice(s.start, max(s.stop, s.start)) for s in spans))
        found = np.asarray(values[tuple(slice(None, None, i.step) if isinstance(i, slice) else 0 for i in index)])
        channel = None if self._channels is None else self._index[self._channels[0]]
        if self._channels is not None and isinstance(channel, slice):
            at = sum(isinstance(i, slice) for i in self._index[: self._channels[0]])
            found = repeat(found, (at, len(range(channel.start, channel.stop, channel.step))))
        return found if dtype is None else found.astype(dtype)


def _without(index: Index, at: int) -> Index:
    return (*index[:at], *index[at + 1 :])


def _cut(whole: slice, key: Any) -> int | slice:
    """Return a part of a part of an axis."""
    places = range(whole.start, whole.stop, whole.step)
    if isinstance(key, slice):
        if (key.step or 1) < 1:
            raise IndexError(
                "Labels that are not loaded cannot be turned around. Take a part with numpy.asarray first."
            )
        found = places[key]
        return slice(found.start, max(found.start, found.stop), found.step)
    try:
        return places[operator.index(key)]
    except TypeError as error:
        raise IndexError(
            "Labels that are not loaded can be cut with numbers and slices only. Take a part with numpy.asarray first."
        ) from error


def draw_quickly(layer: Labels, sheet: Sheet) -> None:
    """Have a layer drawn from what is in memory.

    Parameters
    ----------
    layer : napari.layers.Labels
        Shows the arrays of `sheet`.
    sheet : Sheet
        Is told when it is being drawn.
    """
    # napari offers no place for this. Where a version has none of these, drawing waits for the disk, and is right too.
    owner = getattr(layer, "_slicing_state", layer)
    draw = owner.set_view_slice

    def quick() -> None:
        with sheet.drawing():
            draw()

    owner.set_view_slice = quick
