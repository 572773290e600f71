"""Not a test: commands in processes of their own, which are forked from one that has loaded everything.

Loading takes seconds of a processor, and most commands of tests much less. What is left to `subprocess` are the tests
of loading itself and of what Python does before it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from multiprocessing import reduction
from pathlib import Path
from typing import Any

THERE = sys.platform == "linux"  # elsewhere what is loaded does not always outlive a fork
LOADED = [
    "napari_unet.cli", "napari_unet.cli.commands", "napari_unet.workflows", "napari_unet.workflows.driving",
    "napari_unet.models.segment", "napari_unet.training.whole", "napari_unet.training.fit", "distributed",
    "napari_unet.cluster.chores", "napari_unet.cluster.orders",
]  # fmt: skip
PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL
TimeoutExpired, CompletedProcess = subprocess.TimeoutExpired, subprocess.CompletedProcess


def load() -> None:
    """Say what the process loads from which others are forked, unless it is there already."""
    if THERE:
        multiprocessing.set_forkserver_preload(LOADED)


class Popen:
    """A command of this program with the ways of `subprocess.Popen`, as far as the program and its tests use them.

    Parameters
    ----------
    args : sequence of str
        ``[sys.executable, "-m", "napari_unet", ...]``.
    stdin, stdout, stderr : file, PIPE, DEVNULL, or None
        Where its words come from and go to.
    env : mapping of str to str
        Its environment, in place of that of the tests.
    cwd : path
        Where it works.
    what : callable
        What that process does, in place of being the command.
    """

    def __init__(
        self,
        args: Any,
        *,
        stdin: Any = None,
        stdout: Any = None,
        stderr: Any = None,
        env: Mapping[str, str] | None = None,
        cwd: Any = None,
        what: Callable[[], Any] | None = None,
        encoding: str = "utf-8",
        errors: str = "strict",
        start_new_session: bool = False,
        **_: Any,
    ) -> None:
        self.args, theirs = args, []
        for name, given, fd in (("stdin", stdin, 0), ("stdout", stdout, 1), ("stderr", stderr, 2)):
            stream = None
            if given == PIPE:
                ends = os.pipe()
                ours, handle = (ends[1], ends[0]) if fd == 0 else ends
                stream = os.fdopen(ours, "w" if fd == 0 else "r", 1, encoding, errors)
            elif given == DEVNULL:
                handle = os.open(os.devnull, os.O_RDWR)
            else:
                handle = os.dup(fd if given is None else given.fileno())
            setattr(self, name, stream)
            theirs.append(handle)
        context: Any = multiprocessing.get_context("forkserver" if THERE else "spawn")
        told = (
            what or command,
            args[3:],
            dict(os.environ if env is None else env),
            str(cwd or Path.cwd()),
            start_new_session,
        )
        self._process = context.Process(target=become, args=(*told, *map(Handle, theirs)))
        self._process.start()
        for handle in theirs:
            os.close(handle)
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """What it ended with."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return what it ended with, if it has."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise TimeoutExpired(self.args, timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        if self.poll() is None:
            os.kill(self.pid or 0, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Tell it to end."""
        self.send_signal(signal.SIGTERM)


class Handle:
    """An open file that another process is to have, too."""

    def __init__(self, handle: int) -> None:
        self.handle = handle

    def __reduce__(self) -> Any:
        return _taken, (reduction.DupFd(self.handle),)


def _taken(sent: Any) -> int:
    return int(sent.detach())


def become(
    what: Callable[[], Any], words: Iterable[str], env: dict[str, str], place: str, session: bool, *handles: int
) -> None:
    """Be a command."""
    if session:
        os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(place)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)
    encoding = env.get("PYTHONIOENCODING", "utf-8").partition(":")[0]
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding, "backslashreplace", closefd=False)  # noqa: SIM115
    sys.argv = ["napari-unet", *words]
    os.fsync = lambda handle: None  # as in the tests' own process
    what()


def command() -> None:
    """Do what the words say."""
    from napari_unet import cli

    cli.main()


def run(words: Iterable[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as ``subprocess.run`` with both its outputs."""
    args = [sys.executable, "-m", "napari_unet", *words]
    if sys.platform == "win32":
        return subprocess.run(args, capture_output=True, text=True, timeout=300, check=False, **options)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        ended = Popen(args, stdin=DEVNULL, stdout=out, stderr=errors, **options).wait(300)
        for file in (out, errors):
            file.seek(0)
        return CompletedProcess(args, ended, out.read().decode(), errors.read().decode())
