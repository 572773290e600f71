"""What a report of a problem needs: versions, devices and models."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from .cards import list_cards
from .model import bfloat16_is_fast, choose_device

__all__ = ["report"]

_PACKAGES: Final = ("napari-unet-suite", "napari", "numpy", "torch", "scikit-image", "dask", "zarr", "numba")


def report() -> dict[str, Any]:
    """Return versions, devices and models as plain values."""
    device = choose_device("auto")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "device": device,
        "precision": "bfloat16" if bfloat16_is_fast(device) else "float32",
        "packages": {name: _version(name) for name in _PACKAGES},
        "models": [card.name for card in list_cards()],
        "conflict": _version("napari-unet") != "not installed",
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
