"""A journal that is written by a thread of its own, so that nobody waits for the disk."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

    import numpy.typing as npt

    from .journal import Journal

    Arrays = dict[str, npt.NDArray[Any]]
    Name = tuple[str, str]

__all__ = ["Behind"]

_WAITING: Final = 64 << 20  # bytes that may wait to be written
_ENTRIES: Final = 256


class Behind:
    """A journal's entries, written in the order in which they are handed in, a little later.

    What is on the disk is at any time what there was a moment before, and no run minds to have been stopped a moment
    before. Entries that wait can be read already. Use it as a context: it ends when everything is on the disk.

    Parameters
    ----------
    journal : Journal
        Taken; used by nobody else meanwhile.
    waiting : int
        Bytes that may wait; who hands in more waits.
    """

    def __init__(self, journal: Journal, waiting: int = _WAITING) -> None:
        self._journal, self._limit = journal, waiting
        self._queue: deque[_Change] = deque()
        self._latest: dict[Name, _Change] = {}
        self._bytes = 0
        self._state = threading.Condition()
        self._error: BaseException | None = None
        self._ending = False
        self._thread = threading.Thread(target=self._write, name="napari-unet journal")

    def __enter__(self) -> Self:
        """Start to write."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what waits; an error of the disk is raised here if nobody has seen it yet, nor another one."""
        with self._state:
            self._ending = True
            self._state.notify_all()
        self._thread.join()
        if error is None and self._error is not None:
            raise self._error

    def has(self, kind: str, key: str) -> bool:
        """Say whether an entry is there."""
        with self._state:
            latest = self._latest.get((kind, key))
        if latest is not None:
            return latest.entry is not None
        return self._journal.has(kind, key)

    def get(self, kind: str, key: str) -> Arrays:
        """Return an entry that is there; see :meth:`~napari_unet.io.journal.Journal.get`. Not to be written to."""
        with self._state:
            latest = self._latest.get((kind, key))
        if latest is not None and latest.entry is not None:
            return dict(latest.entry)
        return self._journal.get(kind, key)

    def put(self, kind: str, key: str, **arrays: npt.NDArray[Any]) -> None:
        """Keep an entry, soon.

        Parameters
        ----------
        kind, key : str
            Plain words.
        **arrays : ndarray
            Of numbers; not to be changed any more.

        Raises
        ------
        OutputError
            If this or an earlier entry could not be written, because the disk is full for example.
        """
        entry = {name: _shut(values) for name, values in arrays.items()}
        size = sum(values.nbytes for values in entry.values())
        with self._state:
            # One that is larger than what may wait is let in alone.
            self._state.wait_for(lambda: self._error or not self._queue or self._fits(size))
            self._check()
            self._bytes += size
            self._hand_in((kind, key), entry)

    def drop(self, kind: str, key: str) -> None:
        """Forget an entry, soon, if it is there."""
        with self._state:
            self._check()
            self._hand_in((kind, key), None)

    def _fits(self, size: int) -> bool:
        return self._bytes + size <= self._limit and len(self._queue) < _ENTRIES

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _hand_in(self, name: Name, entry: Arrays | None) -> None:
        change = _Change(name, entry)
        self._queue.append(change)
        self._latest[name] = change
        self._state.notify_all()

    def _write(self) -> None:
        try:
            while (change := self._next()) is not None:
                kind, key = change.name
                if change.entry is None:
                    self._journal.drop(kind, key)
                else:
                    self._journal.put(kind, key, **change.entry)
                self._note(change)
        except BaseException as error:  # noqa: BLE001  # it is raised where somebody can do something about it
            with self._state:
                self._error = error
                self._queue.clear()
                self._state.notify_all()

    def _next(self) -> _Change | None:
        with self._state:
            self._state.wait_for(lambda: self._queue or self._ending)
            return self._queue[0] if self._queue else None

    def _note(self, change: _Change) -> None:
        with self._state:
            self._queue.popleft()
            self._bytes -= change.nbytes
            if self._latest[change.name] is change:
                del self._latest[change.name]
            self._state.notify_all()


@dataclass(frozen=True, eq=False)
class _Change:
    """An entry to be put, or dropped if there is none."""

    name: Name
    entry: Arrays | None

    @property
    def nbytes(self) -> int:
        return sum(values.nbytes for values in (self.entry or {}).values())


def _shut(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array that cannot be written to, as those that come from the disk."""
    found = values.view()
    found.flags.writeable = False
    return found
