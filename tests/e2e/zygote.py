"""Not a test: a process that has loaded everything, and becomes one command for each line it reads.

A line is JSON: the words of the command, the folder to work in, where its output goes, and when it kills itself. The
answer is the command's exit status, as the system tells it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import torch

from napari_unet import cli
from napari_unet.io import _zarr, journal, label_store, runs
from napari_unet.tiling import _brick_jobs

os.fsync = lambda handle: None  # as in the tests' own process
torch.set_num_threads(1)  # a pool of threads would not outlive the fork


def dead(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGINT)


def always(*_: Any) -> bool:
    return True


def before(place: Any, name: str, count: int = 1, when: Callable[..., bool] = always, end: Any = dead) -> None:
    """End the process instead of the n-th call of a function."""
    real, left = getattr(place, name), [count]

    def call(*given: Any, **named: Any) -> Any:
        if when(*given):
            left[0] -= 1
            if left[0] == 0:
                end()
        return real(*given, **named)

    setattr(place, name, call)


def on_disk(count: int) -> None:
    """End the process at its n-th change of the file system."""
    left = [count]

    def hook(event: str, given: tuple[Any, ...]) -> None:
        if event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir") or (event == "open" and "w" in str(given[1])):
            left[0] -= 1
            if left[0] == 0:
                dead()

    sys.addaudithook(hook)


def kind(name: str) -> Callable[..., bool]:
    return lambda _, given, *__: given == name


STAGES: dict[str, Callable[[], None]] = {
    "measuring": lambda: before(journal.Journal, "begin"),
    "scoring": lambda: before(journal.Journal, "put", 4, kind("scores")),
    "exploring": lambda: before(journal.Journal, "put", 5, kind("forest")),
    "numbering": lambda: before(_brick_jobs.Stitch, "finish"),
    "writing": lambda: before(label_store.LabelStore, "write", 2),
    "written": lambda: before(journal.Journal, "put", 3, kind("written")),
    "overviews": lambda: before(_zarr, "_create_level", 1, lambda *given: given[1] == "2"),
    "publishing": lambda: before(runs, "put_in_place"),
    "published": lambda: before(runs.RunFolder, "discard"),
    "tidying": lambda: before(runs, "clear", 1, lambda folder: str(folder).endswith(".unfinished")),
    # In the main thread, where it arrives: what the run does at that moment is always the same.
    "ctrl-c": lambda: before(_brick_jobs.Stitch, "add", 6, always, interrupted),
}


def become(order: dict[str, Any]) -> None:
    """Be a command."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which is ignored where tests run in the background
    os.chdir(order["folder"])
    for number, name in ((1, "out"), (2, "err")):
        handle = os.open(order[name], os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(handle, number)
    stage = order["stage"]
    if isinstance(stage, int):
        on_disk(stage)
    elif stage:
        STAGES[stage]()
    sys.argv = ["napari-unet", *order["words"]]
    cli.main()


def warm_up() -> None:
    """Be a command once, undisturbed: what is compiled and loaded on first use is there for all that come after."""
    order = json.loads(sys.stdin.readline())
    sys.argv = ["napari-unet", *order["words"]]
    os.chdir(order["folder"])
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        cli.main()


def main() -> None:
    warm_up()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                become(json.loads(line))
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
