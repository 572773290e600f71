"""Runs that another process drives: what they are to do, how far they are, and how they are told to stop.

Each has a folder in the user's data. The process holds a lock in it as long as it lives, however it ends.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..core.errors import InUseError, OutputError
from ..core.levels import level_shapes
from ..core.results import Piece
from .atomic import clear, write_text
from .choosing import data_folder
from .journal import Journal
from .levels import Part
from .sketch import Sketch

__all__ = ["Driven", "Pieces", "find_driven", "list_driven", "new_driven"]

_ORDER: Final = "order.json"
_PROGRESS: Final = "progress.json"
_END: Final = "end.json"
_STOP: Final = "stop"
_LOG: Final = "log.txt"
_PIECES: Final = "pieces"
_MOST: Final = 20  # runs that are over and still listed
_LAST_WORDS: Final = 1500  # characters
_STARTING: Final = 60.0  # seconds that a process has to begin


@dataclass(frozen=True)
class Driven:
    """A run that another process drives, or drove.

    Attributes
    ----------
    folder : Path
        Where it is kept.
    """

    folder: Path

    @property
    def order(self) -> dict[str, Any]:
        """What it is to do; empty if that cannot be read."""
        return _read(self.folder / _ORDER)

    @property
    def progress(self) -> dict[str, Any]:
        """How far it is: ``done``, ``total``, ``note``, ``news`` (list of str), ``workers``."""
        return _read(self.folder / _PROGRESS)

    @property
    def end(self) -> dict[str, Any]:
        """How it ended: ``state`` (finished, stopped, failed), ``text``; empty while it goes on, or if killed."""
        return _read(self.folder / _END)

    @property
    def log(self) -> Path:
        """What the process has said."""
        return self.folder / _LOG

    @property
    def last_words(self) -> str:
        """The end of what the process has said."""
        try:
            return self.log.read_text("utf-8", "replace")[-_LAST_WORDS:].strip()
        except OSError:
            return ""

    @property
    def output(self) -> str:
        """Where its labels go."""
        return str(self.order.get("output", ""))

    @property
    def state(self) -> str:
        """One of: running, finished, stopped, failed."""
        if self.end:
            return str(self.end["state"])
        starting = not self.progress and time.time() - self.order.get("when", 0.0) < _STARTING
        if self.alive or (starting and not self.last_words):
            return "running"
        # It may have ended between the two looks.
        return str(self.end.get("state", "failed"))

    @property
    def alive(self) -> bool:
        """Whether its process holds the lock."""
        try:
            with Journal(self.folder / "alive"):
                return False
        except InUseError:
            return True
        except OutputError:
            return False  # what cannot be held here is held by nobody

    @property
    def words(self) -> str:
        """One line for people."""
        order, progress, state = self.order, self.progress, self.state
        name = self.output.replace("\\", "/").rstrip("/").rpartition("/")[2]
        done, total = progress.get("done", 0), progress.get("total", 0)
        running = f"{100 * done // total} %" if total else progress.get("note") or "Starting"
        far = running if state == "running" else state
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(order.get("when", 0.0)))
        return f"{name}: {far}, begun {when}"

    # What its process does.

    @contextmanager
    def living(self) -> Iterator[None]:
        """Hold the lock for as long as the context lasts."""
        for _ in range(50):  # somebody may be looking right now whether it is held
            journal = Journal(self.folder / "alive")
            try:
                journal.__enter__()
                break
            except InUseError:
                time.sleep(0.1)
        else:
            raise OutputError(f"Another process drives '{self.folder}' already. Wait until it is done.")
        try:
            yield
        finally:
            journal.close()

    def note(self, **facts: Any) -> None:
        """Say how far it is."""
        _write(self.folder / _PROGRESS, facts)

    def over(self, state: str, text: str = "", **facts: Any) -> None:
        """Say how it ended."""
        _write(self.folder / _END, {"state": state, "text": text, **facts})

    @property
    def unwanted(self) -> bool:
        """Whether it was told to stop."""
        return (self.folder / _STOP).exists()

    def stop(self) -> None:
        """Tell it to stop; what is done stays."""
        with suppress(OSError):
            (self.folder / _STOP).touch()


class Pieces:
    """Labels that a run has found so far, handed from one process to another in a file that grows.

    Parameters
    ----------
    run : Driven
        Whose.
    axes : str
        Of the labels.
    shape : tuple of int
        Of the labels.
    """

    def __init__(self, run: Driven, axes: str, shape: tuple[int, ...]) -> None:
        self._sketch = Sketch(run.folder / _PIECES, axes)
        self._shape = level_shapes(axes, shape)[0]

    def add(self, piece: Piece) -> None:
        """Hand over a piece."""
        window = tuple(
            slice(i, i + 1) if isinstance(i, int) else slice(*i.indices(n)[:2])
            for i, n in zip(piece.index, self._shape, strict=True)
        )
        labels = piece.labels.reshape([s.stop - s.start for s in window])
        self._sketch.add([Part(0, window, labels)])

    def news(self) -> Iterator[Piece]:
        """Go through what has come since it was asked last."""
        for part in self._sketch.read_on(0):
            yield Piece(part.window, part.labels)

    def forget(self) -> None:
        """Begin with nothing."""
        self._sketch.start()


def new_driven(order: Mapping[str, Any]) -> Driven:
    """Make the folder of a run.

    Parameters
    ----------
    order : mapping
        What it is to do, as JSON holds it.

    Returns
    -------
    Driven
        Not started.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    for old in [each for each in list_driven() if each.state != "running"][_MOST:]:
        clear(old.folder)
    folder = _folder() / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"'{folder}' cannot be made: {error.strerror or error}. Free space, or see why.") from error
    _write(folder / _ORDER, {**order, "when": time.time()})
    return Driven(folder)


def list_driven() -> list[Driven]:
    """List runs that other processes drive or drove, the latest first."""
    folders = sorted(_folder().glob("*/order.json"), reverse=True)
    return [Driven(file.parent) for file in folders if _read(file)]


def find_driven(output: str) -> Driven | None:
    """Return the run that is writing somewhere; None if there is none."""
    return next((each for each in list_driven() if each.output == output and each.state == "running"), None)


def _folder() -> Path:
    return data_folder() / "driven"


def _write(file: Path, facts: Mapping[str, Any]) -> None:
    write_text(file, json.dumps(facts))


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
