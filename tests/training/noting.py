"""The command line, with a note of the patches that each process learns from; processes may end in the middle.

Usage: ``python noting.py NOTES KILLED AT WORDS...``: KILLED are numbers of processes, as in ``1,0``: of each start one
is killed before its step AT; ``-`` for none. What follows are the words of the command.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def noted(advance: Callable[..., None], notes: Path) -> Callable[..., None]:
    """Write down, for each step, which patch is the how manieth of it."""

    def note(run: Any, batches: Any, *more: Any) -> None:
        notes.mkdir(exist_ok=True)
        with (notes / f"{life()}-{run.ranks.rank}-{run.ranks.world}").open("a") as file:
            for batch, part in zip(batches, run.parts, strict=True):
                for number, patch in zip(range(part.start, part.stop), batch.image, strict=True):
                    told = hashlib.sha256(patch.numpy().tobytes()).hexdigest()[:16]
                    file.write(f"{run.step} {number} {told}\n")
        advance(run, batches, *more)

    return note


def life() -> int:
    """Return how often torchrun has started this again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def waits(file: Path, at: int) -> bool:
    """Say whether the other process has begun that step.

    There it waits for this one, and hears that it is gone; before, the signal by which torchrun ends it is a wish.
    """
    return file.exists() and any(line.startswith(f"{at} ") for line in file.read_text().splitlines())


def main() -> None:
    """Do what the command does."""
    from napari_unet.cli import main as command
    from napari_unet.training.state import Run

    notes, killed, at = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
    del sys.argv[1:4]
    real, lost = noted(Run.advance, notes), killed[life()] if life() < len(killed) else "-"

    def advance(run: Any, *more: Any) -> None:
        if (str(run.ranks.rank), run.step) == (lost, at):
            while not waits(notes / f"{life()}-{1 - run.ranks.rank}-2", at):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        real(run, *more)

    Run.advance = advance  # type: ignore[method-assign]
    command()


if __name__ == "__main__":
    main()
