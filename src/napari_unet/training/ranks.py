"""The processes that share a training: on the devices of one machine, or of several.

torch's own `distributed` package, with `torchrun` or without: it comes with torch and takes no time to import, where
lightning-fabric (2.6) takes about as long as torch itself and brings four packages, and what it would do here is one
average of gradients, below.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from ..core.errors import SpecError, TrainingError
from ..core.processes import again
from ..core.specs import TrainSpec

__all__ = ["Ranks", "is_first", "joined"]

_WAIT: Final = timedelta(hours=3)  # for the first process, which looks at the held-out images meanwhile
_LOOK: Final = 0.1  # seconds between looks at who has come
_GONE: Final = ("connection", "closed", "reset", "timeout", "timed out", "gloo", "nccl")
_GRACE: Final = 5.0  # seconds that processes have to end by themselves
_LAST_WORDS: Final = 2000  # characters
_PORT: Final = "29500"  # torchrun's


@dataclass(frozen=True)
class Ranks:
    """One process among those that share a training.

    Attributes
    ----------
    rank, world : int
        Its number, from 0, and how many there are.
    local : int
        Its number on this machine: which device it takes.
    """

    rank: int = 0
    world: int = 1
    local: int = 0

    def device(self, wanted: str) -> str:
        """Return the device of this process where all together were to use `wanted`."""
        return f"cuda:{self.local}" if wanted == "cuda" and self.world > 1 else wanted

    def parts(self, spec: TrainSpec) -> list[slice]:
        """Return which patches of a step this process computes, in the parts in which it does.

        Parameters
        ----------
        spec : TrainSpec
            Gives the patches of a step and `accumulate`.

        Returns
        -------
        list of slice
            Of equal lengths, so that the mean over all parts of all processes is that over all patches.

        Raises
        ------
        SpecError
            If the patches cannot be shared evenly.
        """
        parts = self.world * spec.accumulate
        if spec.batch % parts:
            more = -(-spec.batch // parts) * parts
            raise SpecError(
                f"The {spec.batch} patches of a step cannot be shared evenly by {self.world} processes in "
                f"{spec.accumulate} parts each. Choose a batch of {more}, or other numbers of devices and parts."
            )
        size = spec.batch // parts
        first = self.rank * spec.accumulate
        return [slice(size * part, size * (part + 1)) for part in range(first, first + spec.accumulate)]

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors of one type by their means over all processes, in place."""
        if self.world == 1 or not tensors:
            return
        # As one message: with the small networks of this program waiting is what takes time, not sending.
        flat = torch.cat([each.reshape(-1) for each in tensors])
        distributed.all_reduce(flat)
        flat /= self.world
        for each, mean in zip(tensors, torch.split(flat, [each.numel() for each in tensors]), strict=True):
            each.copy_(mean.view_as(each))

    def follow(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace tensors by those of the first process, in place."""
        for each in tensors if self.world > 1 else ():
            whole = each.contiguous()
            distributed.broadcast(whole, 0)
            each.copy_(whole)

    def agree(self, values: Sequence[float], device: str) -> list[float]:
        """Return the numbers of the first process."""
        if self.world == 1:
            return list(values)
        told = torch.tensor(values, dtype=torch.float64, device=device)
        distributed.broadcast(told, 0)
        return [float(value) for value in told.tolist()]


def is_first() -> bool:
    """Say whether this process is the one that writes and speaks; known before any other is met."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def joined(spec: TrainSpec, device: str, run: Path) -> Iterator[Ranks]:
    """Meet the other processes of a training; start those of this machine unless torchrun has done so.

    Parameters
    ----------
    spec : TrainSpec
        Gives `devices` and `nodes`.
    device : str
        What all use: a graphics card each, or the processor.
    run : Path
        Folder of the run; processes that are started here are given it.

    Yields
    ------
    Ranks
        Which of them this is.

    Raises
    ------
    SpecError
        If there are fewer devices, or several machines and no word of how to find the first one.
    TrainingError
        If another process ends before its time.
    """
    launched = "RANK" in os.environ and "WORLD_SIZE" in os.environ
    if not launched and spec.devices * spec.nodes == 1:
        yield Ranks()
        return
    _check_devices(spec, device)
    others = [] if launched else _start_others(spec, run)
    ranks = Ranks(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    try:
        if device == "cuda":
            torch.cuda.set_device(ranks.local)
        _meet("nccl" if device == "cuda" else "gloo", others)
        yield ranks
    except RuntimeError as error:
        # Libraries of communication say in words only that the other side is gone.
        if not any(word in str(error).lower() for word in _GONE):
            raise
        raise TrainingError(
            f"Another process of this training is gone: {_last_words(run, others) or error}. "
            "What was done up to the last safe point is kept: give the same command again to go on."
        ) from error
    finally:
        if distributed.is_initialized():
            with suppress(RuntimeError):
                distributed.destroy_process_group()
        _end(others)
        if others:
            for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
                del os.environ[name]


def _meet(backend: str, others: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until all processes are there, which read images of their own before, and connect to them."""
    if others:  # torch's own way would wait for those that have ended
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        open_store: Any = distributed.TCPStore  # type: ignore[attr-defined]
        store = open_store(*place, world, not rank, _WAIT, wait_for_workers=False, multi_tenant=True)
    else:
        store, rank, world = next(rendezvous("env://", timeout=_WAIT))
    own = PrefixStore(_name_meeting(store, rank, world, others), store)
    distributed.init_process_group(backend, store=own, rank=rank, world_size=world, timeout=_WAIT)


def _name_meeting(store: Any, rank: int, world: int, others: Sequence[subprocess.Popen[bytes]] = ()) -> str:
    """Agree on a name that no meeting had before.

    When torchrun starts processes again they are given the store of those before, with the addresses of the dead in it:
    all would wait for them. So each brings a word of its own, and a name is good when all who are in it have seen it.
    """
    own, words = uuid.uuid4().hex, [f"word-{other}" for other in range(world)]
    store.set(words[rank], own)
    _await(store, words, others)
    end = time.monotonic() + _WAIT.total_seconds()
    while time.monotonic() < end:
        if not rank:
            store.set("words", " ".join(store.get(word).decode() for word in words))
        _await(store, ["words"], others)
        told = store.get("words").decode().split()
        if len(told) == world and told[rank] == own:
            name = hashlib.sha256(" ".join(told).encode()).hexdigest()[:16]
            store.set(f"{name}-{rank}", "")
            if store.check([f"{name}-{other}" for other in range(world)]):
                return name
        _check_alive(others)
        time.sleep(_LOOK)
    raise TrainingError(f"Not all of the {world} processes of this training have come. Start them all again.")


def _await(store: Any, keys: list[str], others: Sequence[subprocess.Popen[bytes]]) -> None:
    end = time.monotonic() + _WAIT.total_seconds()
    while not store.check(keys):
        _check_alive(others)
        if time.monotonic() > end:
            raise RuntimeError("timed out: not all have come")
        time.sleep(_LOOK)


def _check_alive(others: Sequence[subprocess.Popen[bytes]]) -> None:
    if any(other.poll() is not None for other in others):
        raise RuntimeError("connection lost before the first step")


def _check_devices(spec: TrainSpec, device: str) -> None:
    if device == "mps":
        raise SpecError("Apple's graphics cannot share a training. Choose devices 1, or the device cpu.")
    there = torch.cuda.device_count()
    if device == "cuda" and spec.devices > there:
        raise SpecError(f"There are {there} graphics cards here, not {spec.devices}. Choose devices {there}.")


def _start_others(spec: TrainSpec, run: Path) -> list[subprocess.Popen[bytes]]:
    """Start the processes of this machine but the first, with what torchrun would have told each."""
    node = os.environ.get("NODE_RANK", "0")
    if spec.nodes > 1 and "MASTER_ADDR" not in os.environ:
        raise SpecError(
            "Several machines must know of the first one. Start the same command on each with torchrun, or set "
            "MASTER_ADDR (the first machine) and NODE_RANK (0, 1, ... for each machine)."
        )
    os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
    port = os.environ.get("MASTER_PORT") or (_PORT if spec.nodes > 1 else _free_port())
    world = {"MASTER_PORT": port, "WORLD_SIZE": str(spec.devices * spec.nodes)}
    first = int(node) * spec.devices
    others = []
    for local in range(1, spec.devices):
        mine = world | {"RANK": str(first + local), "LOCAL_RANK": str(local)}
        with (run / f"process-{local}.txt").open("wb") as said:
            others.append(
                subprocess.Popen(
                    **again(["train", str(run)], env=mine),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                )
            )
    os.environ.update(world | {"RANK": str(first), "LOCAL_RANK": "0"})
    return others


def _free_port() -> str:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return str(door.getsockname()[1])


def _last_words(run: Path, others: Sequence[subprocess.Popen[bytes]]) -> str:
    for local, other in enumerate(others, 1):
        with suppress(subprocess.TimeoutExpired):
            other.wait(_GRACE)
        if other.poll():
            said = (run / f"process-{local}.txt").read_text("utf-8", "replace")[-_LAST_WORDS:].strip()
            return said.splitlines()[-1] if said else f"process {local} ended with the status {other.returncode}"
    return ""


def _end(others: Sequence[subprocess.Popen[bytes]]) -> None:
    for other in others:
        try:
            other.wait(_GRACE)
        except subprocess.TimeoutExpired:
            other.kill()
            other.wait()
