"""A part of labels that are not loaded."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._channels import repeat

if TYPE_CHECKING:
    from ._sheet import Sheet

__all__ = ["View"]

Index = tuple[int | slice, ...]


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
    def sheet(self) -> Sheet:
        """Where it belongs."""
        return self._sheet

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
