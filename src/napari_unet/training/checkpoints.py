"""Safe points of a run: the two last and the best, each written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Final
from zipfile import BadZipFile, ZipFile

import torch

from ..core.errors import OutputError, TrainingDataError
from ..io.atomic import patiently, sync

__all__ = ["Checkpoints"]

State = dict[str, Any]
_BROKEN: Final = (OSError, EOFError, RuntimeError, UnpicklingError, ValueError, KeyError, BadZipFile)


class Checkpoints:
    """The safe points in a run's folder: ``last.pt``, ``previous.pt`` and ``best.pt``.

    Parameters
    ----------
    folder : Path
        Of the run; made when it is first written to.

    Attributes
    ----------
    said : str
        What the user should know of the last reading; empty if all is well.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, ""
        self.last, self.previous, self.best = (folder / f"{name}.pt" for name in ("last", "previous", "best"))

    @property
    def there(self) -> bool:
        """Whether there is a safe point, be it readable or not."""
        return self.last.exists() or self.previous.exists()

    def read(self, device: str) -> State | None:
        """Return the newest safe point that can be read, or None if the run has none.

        Parameters
        ----------
        device : str
            Where its tensors go.

        Returns
        -------
        dict or None
            As it was given to :meth:`write`.

        Raises
        ------
        TrainingDataError
            If there are safe points and none can be read.
        """
        self.said, trouble = "", ""
        for file in (self.last, self.previous):
            if not file.exists():
                continue
            try:
                state = _read(file, device)
            except _BROKEN as error:
                trouble = trouble or f"The checkpoint {file} cannot be read: {error}."
                continue
            if trouble:
                self.said = f"{trouble} Going on from the one before it, of step {state.get('step')}."
            return state
        if trouble:
            raise TrainingDataError(f"{trouble} Remove its folder to start anew.")
        return None

    def read_best(self, device: str) -> State | None:
        """Return the best state, or None where there is none that can be read; :attr:`said` says so then."""
        self.said = ""
        try:
            return _read(self.best, device)
        except _BROKEN as error:
            self.said = f"The best weights {self.best} cannot be read: {error}. The last ones become the model instead."
            return None

    def write(self, state: State) -> None:
        """Make a state the last one; the last one becomes the previous one.

        Parameters
        ----------
        state : dict
            Tensors, numbers, texts, and dicts and lists of them.

        Raises
        ------
        OutputError
            If the disk is full or cannot be written. The safe points are then as they were.
        """
        part = self._write_part(state, self.last)
        try:
            # Killed between the two, the run goes on from the previous one.
            if self.last.exists():
                patiently(os.replace, self.last, self.previous)
            patiently(os.replace, part, self.last)
            sync(self.folder)
        except OSError as error:
            raise _no_place(self.last, error) from error

    def write_best(self, state: State) -> None:
        """Make a state the best one.

        Parameters
        ----------
        state : dict
            As for :meth:`write`.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        part = self._write_part(state, self.best)
        try:
            patiently(os.replace, part, self.best)
            sync(self.folder)
        except OSError as error:
            raise _no_place(self.best, error) from error

    def _write_part(self, state: State, file: Path) -> Path:
        part = file.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as stream:
                torch.save(state, stream)
                stream.flush()
                os.fsync(stream.fileno())
        except RuntimeError as error:
            # Interrupted, torch's writer complains of its unfinished file; the interruption is what happened.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            # So it does when the disk is full.
            if isinstance(error.__context__, OSError):
                raise _no_place(file, error.__context__) from error
            raise
        except OSError as error:
            part.unlink(missing_ok=True)
            raise _no_place(file, error) from error
        return part


def _no_place(file: Path, error: OSError) -> OutputError:
    return OutputError(
        f"The checkpoint {file} cannot be written: {error}. Free space, then give the same command again: the run goes "
        "on from its last safe point."
    )


def _read(file: Path, device: str) -> State:
    # torch does not look at the checksums in the file.
    with ZipFile(file) as parts:
        if (damaged := parts.testzip()) is not None:
            raise ValueError(f"its part '{damaged}' is damaged")
    state = torch.load(file, map_location=device, weights_only=True)
    if not isinstance(state, dict):
        raise ValueError("it holds something else")
    return state
