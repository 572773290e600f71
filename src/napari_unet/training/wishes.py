"""What the user wishes of a running training: stop, pause, go on. Asked between two steps."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

__all__ = ["PAUSE", "Wishes"]

PAUSE: Final = "pause"  # a file of this name in the run's folder holds the training
_LOOK: Final = 0.2  # seconds between two looks at the disk


class Wishes:
    """Stop and pause, from whichever side they come: a signal, a line of the parent process, a file.

    Parameters
    ----------
    folder : Path, optional
        Of the run, where a file ``pause`` may appear and disappear.

    Attributes
    ----------
    attentive : bool
        Whether somebody looks at them now.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._file: Path | None = None
        self.watch(folder)
        self.attentive = False
        self._stop, self._held = threading.Event(), threading.Event()
        self._looked, self._there = -_LOOK, False

    def watch(self, folder: Path | None) -> None:
        """Look for the file in this folder."""
        self._file = folder / PAUSE if folder else None

    def stop(self) -> None:
        """Wish that the training ends at a safe point."""
        self._stop.set()

    def hear(self, line: str) -> None:
        """Take a line of the parent process: ``stop``, ``pause`` or ``go on``."""
        word = line.strip()
        if word == "stop":
            self._stop.set()
        elif word == "pause":
            self._held.set()
        elif word == "go on":
            self._held.clear()

    @property
    def stopped(self) -> bool:
        """Whether the training is to end."""
        return self._stop.is_set()

    @property
    def paused(self) -> bool:
        """Whether the training is to wait."""
        now = time.monotonic()
        if self._file is not None and now - self._looked >= _LOOK:
            self._looked, self._there = now, self._file.exists()
        return self._held.is_set() or self._there
