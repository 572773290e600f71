"""Blocks of large arrays in memory: those that were used last."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.windows import Window, meet, since
from .levels import Labels

__all__ = ["Shelf"]

_LIMIT: Final = 192 << 20  # bytes

_Key = tuple[int, tuple[int, ...]]


class Shelf:
    """Decoded blocks of the levels of a pyramid. Any thread may use it; loading is done by whoever asks for it.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of the levels.
    block : tuple of int
        What is loaded at once.
    load : callable
        Level and window to int32 labels, or None where there is nothing but background.
    limit : int
        Bytes that are kept.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, ...]],
        block: tuple[int, ...],
        load: Callable[[int, Window], Labels | None],
        limit: int = _LIMIT,
    ) -> None:
        self.shapes, self.block, self.load, self.limit = shapes, block, load, limit
        self._blocks: OrderedDict[_Key, Labels | None] = OrderedDict()
        self._wanted: dict[_Key, None] = {}
        self._loading: dict[_Key, bool] = {}  # whether what is being loaded has changed meanwhile
        self._bytes = 0
        self._lock = threading.Lock()

    def peek(self, level: int, window: Window) -> tuple[Labels, list[Window]]:
        """Return labels as far as they are in memory; the rest is remembered for :meth:`fetch`.

        Parameters
        ----------
        level : int
            From 0, the finest.
        window : tuple of slice
            Within the level.

        Returns
        -------
        labels : ndarray of int32
            A copy, background where nothing is in memory.
        missing : list of tuple of slice
            The parts that are not in memory.
        """
        out = np.zeros([s.stop - s.start for s in window], np.int32)
        missing = []
        for key, part in self._parts(level, window):
            found = self._look(key)
            if found is None:
                missing.append(part)
                with self._lock:
                    self._wanted.pop(key, None)
                    self._wanted[key] = None
            elif found[0] is not None:
                out[since(part, window)] = found[0][since(part, self._window(key))]
        return out, missing

    def fetch(self) -> bool:
        """Load one of the blocks that were missing, that which was asked for last; say whether there was one."""
        with self._lock:
            if not self._wanted:
                return False
            key, _ = self._wanted.popitem()
        if self._look(key) is None:
            self._fetch(key)
        return True

    def paste(self, level: int, window: Window, labels: Labels) -> None:
        """Bring what is in memory up to date.

        Parameters
        ----------
        level, window : int, tuple of slice
            As for :meth:`peek`.
        labels : ndarray of int32
            What loading gives there from now on.
        """
        for key, part in self._parts(level, window):
            with self._lock:
                if key in self._loading:
                    self._loading[key] = True
                block = self._blocks.get(key)
                if block is None:
                    self._blocks.pop(key, None)
                else:
                    block[since(part, self._window(key))] = labels[since(part, window)]

    def forget(self) -> None:
        """Let go of everything: all has changed."""
        with self._lock:
            self._blocks.clear()
            self._wanted.clear()
            self._loading = dict.fromkeys(self._loading, True)
            self._bytes = 0

    def _look(self, key: _Key) -> tuple[Labels | None] | None:
        with self._lock:
            if key not in self._blocks:
                return None
            self._blocks.move_to_end(key)
            return (self._blocks[key],)

    def _fetch(self, key: _Key) -> None:
        changed = True
        while changed:
            with self._lock:
                self._loading[key] = False
            block = self.load(key[0], self._window(key))
            with self._lock:
                changed = self._loading.pop(key, False)
                if not changed:
                    self._keep(key, block)

    def _keep(self, key: _Key, block: Labels | None) -> None:
        old = self._blocks.pop(key, None)
        self._blocks[key] = block
        self._bytes += _size(block) - _size(old)
        while self._bytes > self.limit and len(self._blocks) > 1:
            _, dropped = self._blocks.popitem(last=False)
            self._bytes -= _size(dropped)

    def _window(self, key: _Key) -> Window:
        axes = zip(key[1], self.block, self.shapes[key[0]], strict=True)
        return tuple(slice(i * b, min((i + 1) * b, n)) for i, b, n in axes)

    def _parts(self, level: int, window: Window) -> Iterator[tuple[_Key, Window]]:
        """Go through the blocks that a window meets, with what they have in common."""
        if any(s.start >= s.stop for s in window):
            return
        ranges = [range(s.start // b, -(-s.stop // b)) for s, b in zip(window, self.block, strict=True)]
        for place in itertools.product(*ranges):
            key = (level, place)
            part = meet(window, self._window(key))
            if part is not None:
                yield key, part


def _size(block: npt.NDArray[Any] | None) -> int:
    return 0 if block is None else block.nbytes
