"""Where networks run: the devices that are there, how exactly each computes, and one thread for each graphics card."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, TypeVar

import torch

from ..core.errors import MemoryShortError, ModelError

__all__ = [
    "bfloat16_is_fast",
    "choose_device",
    "count_cards",
    "count_devices",
    "device_memory",
    "fast_precision",
    "on_device",
    "one_thread",
]

R = TypeVar("R")
# Torch asks Linux for every large array anew. In pages of 2 MB instead of 4 kB that takes a sixth of the time of a
# network less. Torch looks at this when it makes its first array; a choice of the user's stays.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
_SHORT: Final = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED", "bad_alloc")
_TENSOR_CORES: Final = (7, 0)  # compute capability from which on half precision is the fast one


def choose_device(wanted: str = "auto") -> str:
    """Return the device to use.

    Parameters
    ----------
    wanted : str
        ``"auto"`` takes a graphics card if there is one; else ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.

    Returns
    -------
    str
        A device of torch.

    Raises
    ------
    ModelError
        If the wanted device is not there.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    there = count_devices()
    kind, colon, number = wanted.partition(":")
    if not (number.isdecimal() if colon else not number) or int(number or 0) >= there.get(kind, 0):
        ready = ", ".join(k for k, count in there.items() if count)
        raise ModelError(f"The device '{wanted}' is not available here. Choose one of: auto, {ready}.")
    return wanted if kind == "cuda" else kind


def bfloat16_is_fast(device: str) -> bool:
    """Say whether `device` multiplies bfloat16 faster than float32."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device == "cpu" and any(bool(getattr(torch.cpu, check, bool)()) for check in checks)


def fast_precision(device: str) -> torch.dtype:
    """Return the fastest type that is exact enough: bfloat16, float16 on cards without it, else float32."""
    if bfloat16_is_fast(device):
        return torch.bfloat16
    halves = device.startswith("cuda") and torch.cuda.get_device_capability(device) >= _TENSOR_CORES
    return torch.float16 if halves else torch.float32


def device_memory(device: str) -> tuple[int, int] | None:
    """Return the most bytes that were taken on a graphics card so far, and those that others have left.

    Parameters
    ----------
    device : str
        A device of torch.

    Returns
    -------
    tuple of int or None
        None for a processor, and where the system does not say.
    """
    if not device.startswith("cuda"):
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return torch.cuda.max_memory_reserved(device), free + torch.cuda.memory_reserved(device)


@contextmanager
def one_thread(device: str) -> Iterator[None]:
    """Keep torch to one thread of a processor, so that it adds in one order; workers share the cores among them."""
    threads = torch.get_num_threads()
    change = device == "cpu" and threads != 1
    if change:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if change:
            torch.set_num_threads(threads)


@lru_cache
def _thread(device: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix=f"{device} of napari-unet")


def on_device(device: str, work: Callable[..., R], *arguments: Any) -> R:
    """Call `work` where all work of a device is done: here for a processor, for a graphics card in a thread of its own.

    What a library keeps for each thread (streams, workspaces, captured graphs) is then kept once, and while the card
    computes, the caller's other threads read and write.

    Parameters
    ----------
    device : str
        A device of torch.
    work : callable
        What to do.
    *arguments : Any
        For `work`.

    Returns
    -------
    Any
        What `work` returned.

    Raises
    ------
    MemoryShortError
        If the device has too little memory.
    """
    try:
        if device == "cpu":
            return work(*arguments)
        return _thread(device if ":" in device else f"{device}:0").submit(work, *arguments).result()
    except (RuntimeError, MemoryError) as error:
        if not _is_short(error):
            raise
        short = error
    # The frames of an error hold what was computed so far: they are let go of before anything is tried again.
    short.__traceback__ = None
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
    name = "The computer" if device == "cpu" else f"The graphics card '{device}'"
    raise MemoryShortError(
        f"{name} has too little memory for tiles of this size. Choose a smaller tile (half as wide takes a quarter) or "
        f"batch 1{'' if device == 'cpu' else ', or the device cpu'}."
    ) from short


def _is_short(error: Exception) -> bool:
    """Say whether an error means that there is not enough memory; libraries say so in words only."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error)
    return any(word in text for word in _SHORT)


def count_devices() -> dict[str, int]:
    """Return how many devices of each kind this process can use: ``cpu``, ``cuda``, ``mps``."""
    return {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}


def count_cards() -> int:
    """Return the number of NVIDIA cards."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0
