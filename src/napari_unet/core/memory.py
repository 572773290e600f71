"""How much memory is free, and what is too large for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .axes import Image

__all__ = ["free_memory", "is_large", "total_memory"]

_LABEL_BYTES: Final = 4
_SHARE: Final = 4  # labels may take a quarter of what is free
_PIXELS: Final = 2**28


def free_memory() -> int | None:
    """Return the bytes that can be allocated, or None where the system does not say."""
    return _ask("available")


def total_memory() -> int | None:
    """Return the bytes that the machine has, or None where the system does not say."""
    return _ask("total")


def _ask(entry: str) -> int | None:
    import psutil

    try:
        return int(getattr(psutil.virtual_memory(), entry))
    except (OSError, RuntimeError, ValueError):  # a container without /proc, for example
        return None


def is_large(image: Image) -> bool:
    """Say whether the labels of an image had better not be held in memory.

    Parameters
    ----------
    image : Image
        Any axes.

    Returns
    -------
    bool
        True if they have more than 2^28 pixels or would take more than a quarter of the memory that is free.
    """
    pixels, free = math.prod(image.along(image.label_axes)[0]), free_memory()
    return pixels > _PIXELS or (free is not None and _LABEL_BYTES * pixels * _SHARE > free)
