"""Where decoded chunks are held: the last used ones, up to a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Block = npt.NDArray[np.generic]
    Key = tuple[object, tuple[int, ...]]

__all__ = ["Shelf"]


class Shelf:
    """Decoded chunks of one or several arrays; threads that want the same one wait for one of them to bring it.

    Parameters
    ----------
    limit : int
        Bytes. The newest chunk is held even if it alone is larger: others may be waiting for it.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._held: OrderedDict[Key, Block] = OrderedDict()
        self._coming: dict[Key, Future[Block]] = {}
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return self._bytes

    def claim(self, keys: Iterable[Key]) -> tuple[dict[Key, Block], dict[Key, Future[Block]], list[Key]]:
        """Ask for chunks.

        Parameters
        ----------
        keys : iterable of (object, tuple of int)
            An array's own object, and the place of a chunk in it.

        Returns
        -------
        held : dict of ndarray
            Those that are here.
        coming : dict of Future
            Those that another thread is about to bring.
        owed : list of (object, tuple of int)
            Those that the caller must :meth:`bring`, or :meth:`fail`.
        """
        held: dict[Key, Block] = {}
        coming: dict[Key, Future[Block]] = {}
        owed: list[Key] = []
        with self._lock:
            for key in keys:
                if key in self._held:
                    self._held.move_to_end(key)
                    held[key] = self._held[key]
                elif key in self._coming:
                    coming[key] = self._coming[key]
                else:
                    self._coming[key] = Future()
                    owed.append(key)
        return held, coming, owed

    def bring(self, key: Key, block: Block) -> None:
        """Hand in a chunk, and let go of those that were not used for longest if there are too many."""
        with self._lock:
            self._held[key] = block
            self._bytes += block.nbytes
            while self._bytes > self.limit and len(self._held) > 1:
                self._bytes -= self._held.popitem(last=False)[1].nbytes
            future = self._coming.pop(key)
        future.set_result(block)

    def fail(self, keys: Iterable[Key], error: BaseException) -> None:
        """Tell those who wait that chunks do not come; who asks later tries again."""
        with self._lock:
            futures = [self._coming.pop(key) for key in keys if key in self._coming]
        for future in futures:
            future.set_exception(error)
