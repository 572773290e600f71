"""What the user wishes of a running training: stop, pause, go on, finish. Asked between two steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from ..core.errors import Cancelled, OutputError, UNetError
from ..io.journal import Journal

__all__ = ["FINISH", "PAUSE", "Wishes", "taken_back"]

PAUSE: Final = "pause"  # a file of this name in the run's folder holds the training
FINISH: Final = "finish"  # one of this name has it end with what was learned so far
_LOOK: Final = 0.2  # seconds between two looks at the disk


@contextmanager
def taken_back(run: Path) -> Iterator[None]:
    """Take back the wish to finish where a run is refused or fails: it must not end a later one early.

    Parameters
    ----------
    run : Path
        Folder of the run; perhaps not there.

    Yields
    ------
    None
        While the run is prepared and done.
    """
    try:
        yield
    except Cancelled:
        raise
    except UNetError:
        if (run / FINISH).exists():
            # Where another program trains, the wish is meant for it.
            with suppress(OutputError), Journal(run):
                (run / FINISH).unlink(missing_ok=True)
        raise


class Wishes:
    """Stop, pause and finish, from whichever side they come: a signal, a line of the parent process, a file.

    Parameters
    ----------
    folder : Path, optional
        Of the run, where files ``pause`` and ``finish`` may appear and disappear.

    Attributes
    ----------
    attentive : bool
        Whether somebody looks at them now.
    failing : bool
        Whether the training ends by an error that nobody has read yet.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder: Path | None = None
        self.watch(folder)
        self.attentive = self.failing = False
        self._stop, self._held, self._finish = threading.Event(), threading.Event(), threading.Event()
        self._looked, self._there = -_LOOK, {PAUSE: False, FINISH: False}

    def watch(self, folder: Path | None) -> None:
        """Look for the files in this folder."""
        self._folder = folder

    def stop(self) -> None:
        """Wish that the training ends at a safe point."""
        self._stop.set()

    def finish(self) -> None:
        """Wish that the training ends well before its time: what was learned so far becomes the model."""
        self._finish.set()

    def hear(self, line: str) -> None:
        """Take a line of the parent process: ``stop``, ``pause``, ``go on`` or ``finish``."""
        word = line.strip()
        if word == "stop":
            self._stop.set()
        elif word == "pause":
            self._held.set()
        elif word == "go on":
            self._held.clear()
        elif word == "finish":
            self._finish.set()

    @property
    def stopped(self) -> bool:
        """Whether the training is to end."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether the training is to wait."""
        return self._held.is_set() or self._look(PAUSE)

    @property
    def finished(self) -> bool:
        """Whether the training is to end with what was learned so far."""
        return self._finish.is_set() or self._look(FINISH)

    def _look(self, name: str) -> bool:
        now = time.monotonic()
        if self._folder is not None and now - self._looked >= _LOOK:
            self._looked, self._there = now, {each: (self._folder / each).exists() for each in self._there}
        return self._there[name]
