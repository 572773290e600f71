"""A training in a process of its own: the caller stays responsive, and a crash there is none here. No torch here."""

from __future__ import annotations

import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from ..core.errors import TrainingError, UNetError
from ..core.processes import again
from ..core.steps import Progress, Steps
from ..io.atomic import clear
from ..io.journal import Journal
from .events import read_line
from .runs import Order, note_state, run_folder, write_order

__all__ = ["train_apart"]

_HEARTBEAT: Final = 0.25  # seconds; so long does a caller wait at most to be able to stop
_GRACE: Final = 0.75  # seconds that the child has to reach a safe point
_LAST_WORDS: Final = 1500  # characters
_SAID: Final = "process.txt"
_END: Final = ""
_CODES: Final = 2**31  # from there on Windows counts what ends a process, and names it in hexadecimal


def train_apart(order: Order) -> Steps[Path]:
    """Train in a child process.

    Parameters
    ----------
    order : Order
        What to do; written into the folder of the run first.

    Returns
    -------
    Path
        The model folder.

    Yields
    ------
    Progress
        What the child says, and the same again a few times a second while it is silent, so that the caller can stop.

    Raises
    ------
    TrainingError
        If the child ends without a word: with what it said last.
    UNetError
        What went wrong in the child.
    """
    yield Progress(0, 0, "Writing the annotated images")
    run = run_folder(order.folder, order.spec.name)
    with Journal(run):  # what another program trains stays as it is
        asked = write_order(order, asked=any(run.glob("*.pt")))
    how = again(["train", str(asked), "--events", "--while-parent-lives"], gives_way=True)
    with (run / _SAID).open("wb") as said:
        child = subprocess.Popen(
            **how, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, encoding="utf-8",
            errors="replace",  # of what other libraries print; what cannot be decoded must not end the listening
        )  # fmt: skip
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(child.stdout, lines), daemon=True).start()
    try:
        yield Progress(0, 0, "Starting")
        return (yield from _follow(child, lines, run))
    finally:
        _stop(child)
        if child.returncode and run.is_dir():
            note_state(run, "stopped")
        elif run.is_dir() and [file.name for file in run.iterdir()] == [_SAID]:
            clear(run)  # on Windows the child could not remove what it wrote to


def _listen(stream: IO[str] | None, lines: queue.SimpleQueue[str]) -> None:
    for line in _lines(stream):
        lines.put(line)
    lines.put(_END)


def _lines(stream: IO[str] | None) -> Iterator[str]:
    if stream is not None:
        # It is closed while it is listened to when the caller stops.
        with suppress(ValueError, OSError):
            yield from stream


def _follow(child: subprocess.Popen[str], lines: queue.SimpleQueue[str], run: Path) -> Steps[Path]:
    last = Progress(0, 0, "Starting")
    while True:
        try:
            line = lines.get(timeout=_HEARTBEAT)
        except queue.Empty:
            yield replace(last, payload=None, news="")
            continue
        if line == _END:
            child.wait()
            raise TrainingError(_obituary(child.returncode, run))
        told = read_line(line)
        if isinstance(told, Path):
            child.wait()
            return told
        if isinstance(told, UNetError):
            raise told
        if told is not None:
            last = told
            yield told


def _obituary(status: int, run: Path) -> str:
    """Say how a child ended that did not say so itself."""
    how = f"with the status {status if status < _CODES else hex(status)}"
    if status < 0:
        with suppress(ValueError):
            how = f"killed by the signal {signal.Signals(-status).name}"
            if -status == getattr(signal, "SIGKILL", 0):
                how += ", as the system does where memory runs out"
    with suppress(OSError):
        words = (run / _SAID).read_text("utf-8", "replace")[-_LAST_WORDS:].strip()
        how += f". It said last: {words}" if words else ", without a word"
    return (
        f"The process that trains ended {how}. What it learned up to its last safe point is kept: start the same "
        "training again to go on. If memory was short, choose a smaller batch or patch."
    )


def _stop(child: subprocess.Popen[str]) -> None:
    """End the child, at a safe point if it reaches one soon."""
    if child.poll() is None and child.stdin is not None:
        with suppress(OSError):
            child.stdin.write("stop\n")
            child.stdin.flush()
        end = time.monotonic() + _GRACE
        while child.poll() is None and time.monotonic() < end:
            time.sleep(0.02)
        if child.poll() is None:
            # Safe points are written whole or not at all: nothing is lost but the last steps.
            child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.close()
