"""The command line, with a note of the patches that each process learns from; one process may end in the middle.

Usage: ``python noting.py NOTES KILLED AT WORDS...``: process number KILLED is killed, once, before its step AT; -1 for
none. What follows are the words of the command.
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
        life = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
        notes.mkdir(exist_ok=True)
        with (notes / f"{life}-{run.ranks.rank}-{run.ranks.world}").open("a") as file:
            for batch, part in zip(batches, run.parts, strict=True):
                for number, patch in zip(range(part.start, part.stop), batch.image, strict=True):
                    told = hashlib.sha256(patch.numpy().tobytes()).hexdigest()[:16]
                    file.write(f"{run.step} {number} {told}\n")
        advance(run, batches, *more)

    return note


def _behind(notes: Path, killed: int, at: int) -> bool:
    """Say whether the other process has not yet begun that step.

    There it waits for this one, and hears that it is gone; before, the signal by which torchrun ends it is a wish to stop.
    """
    return not any(
        line.split()[0] == str(at) for file in notes.glob(f"*-{1 - killed}-2") for line in file.read_text().splitlines()
    )


def main() -> None:
    """Do what the command does."""
    from napari_unet.cli import main as command
    from napari_unet.training.state import Run

    notes, killed, at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    del sys.argv[1:4]
    real, mark = noted(Run.advance, notes), notes / "killed"

    def advance(run: Any, *more: Any) -> None:
        if (run.ranks.rank, run.step) == (killed, at) and not mark.exists():
            mark.touch()
            while _behind(notes, killed, at):
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        real(run, *more)

    Run.advance = advance  # type: ignore[method-assign]
    command()


if __name__ == "__main__":
    main()
