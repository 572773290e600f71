"""What a report of a problem needs: versions, devices, runtimes and models."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from ..core.runtimes import RUNTIMES
from .cards import list_cards
from .devices import choose_device, fast_precision

__all__ = ["report"]

_PACKAGES: Final = ("napari-unet-suite", "napari", "numpy", "torch", "scikit-image", "dask", "zarr", "numba")
_ABSENT: Final = "not installed"


def report() -> dict[str, Any]:
    """Return versions, devices, runtimes and models as plain values."""
    device = choose_device("auto")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "device": device,
        "precision": str(fast_precision(device)).removeprefix("torch."),
        "runtimes": [name for name in RUNTIMES if not name.startswith("openvino") or _version("openvino") != _ABSENT],
        "packages": {name: _version(name) for name in (*_PACKAGES, "openvino", "onnxruntime")},
        "models": [card.name for card in list_cards()],
        "conflict": _version("napari-unet") != _ABSENT,
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return _ABSENT
