"""Where networks run: the devices that are there, how exactly each computes, and one thread for each graphics card."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import Any, Final, TypeVar

import torch
from torch.nn import functional

from ..core.errors import MemoryShortError, ModelError

__all__ = [
    "bfloat16_is_fast",
    "choose_device",
    "count_cards",
    "count_devices",
    "device_memory",
    "fast_precision",
    "mixed",
    "on_device",
    "one_thread",
]

R = TypeVar("R")
# Torch asks Linux for every large array anew. In pages of 2 MB instead of 4 kB that takes a sixth of the time of a
# network less. Torch looks at this when it makes its first array; a choice of the user's stays.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
_SHORT: Final = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED", "bad_alloc")
_VOLUME: Final = 3  # axes
_PLANES: Final[tuple[Any, Any, Any, str]] = (
    functional.conv2d,
    functional.conv_transpose2d,
    functional.max_pool2d,
    "bilinear",
)
_VOLUMES: Final[tuple[Any, Any, Any, str]] = (
    functional.conv3d,
    functional.conv_transpose3d,
    functional.max_pool3d,
    "trilinear",
)
_TENSOR_CORES: Final = (7, 0)  # compute capability from which on half precision is the fast one


def choose_device(wanted: str = "auto", ndim: int = 2) -> str:
    """Return the device to use.

    Parameters
    ----------
    wanted : str
        ``"auto"`` takes a graphics card if there is one; else ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``.
    ndim : int
        Spatial dimensions of the network.

    Returns
    -------
    str
        A device of torch.

    Raises
    ------
    ModelError
        If the wanted device is not there, or cannot compute such a network.
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() and not _apple_lacks(ndim) else "cpu"
    there = count_devices()
    kind, colon, number = wanted.partition(":")
    if not (number.isdecimal() if colon else not number) or int(number or 0) >= there.get(kind, 0):
        ready = ", ".join(k for k, count in there.items() if count)
        raise ModelError(f"The device '{wanted}' is not available here. Choose one of: auto, {ready}.")
    if kind == "mps" and (lacks := _apple_lacks(ndim)):
        what = "volumes" if ndim == _VOLUME else "planes"
        raise ModelError(
            f"Apple's graphics cannot compute networks of {what} with the torch and the macOS that are here ({lacks}). "
            "Choose the device cpu, or update both."
        )
    return wanted if kind == "cuda" else kind


@lru_cache
def _apple_lacks(ndim: int) -> str:
    """Say what Apple's graphics cannot do of a network; empty if it can. Tried: it depends on torch and on macOS."""
    try:
        there, here = (_try_network(ndim, device) for device in ("mps", "cpu"))
    except (RuntimeError, TypeError, ValueError) as error:
        return str(error).strip().partition("\n")[0][:200] or type(error).__name__
    alike = all(torch.allclose(one.cpu(), other, 0.01, 0.01) for one, other in zip(there, here, strict=True))
    return "" if alike else "they compute something else than the processor"


def _try_network(ndim: int, device: str) -> list[torch.Tensor]:
    """Compute what every U-Net is made of, there and back; return the values and their slopes."""
    conv, up, pool, enlarge = _PLANES if ndim < _VOLUME else _VOLUMES
    shapes = ((2, 2, *[4] * ndim), (2, 2, *[3] * ndim), (2, 2, *[2] * ndim))
    x, kernel, back = [torch.linspace(-1, 1, math.prod(s)).reshape(s).to(device).requires_grad_() for s in shapes]
    found = up(pool(functional.batch_norm(conv(x, kernel, padding=1), None, None, training=True), 2), back, stride=2)
    found = functional.interpolate(found, scale_factor=2, mode=enlarge)
    return [found.detach(), *torch.autograd.grad(found.square().sum(), (x, kernel, back))]


def mixed(device: str) -> AbstractContextManager[Any]:
    """Return the context in which a network learns: with numbers of 16 bits where they are fast."""
    if not bfloat16_is_fast(device):
        return nullcontext()  # not all devices know the other context, even turned off
    return torch.autocast(torch.device(device).type, torch.bfloat16)


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
    elif device == "mps":
        torch.mps.empty_cache()
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
