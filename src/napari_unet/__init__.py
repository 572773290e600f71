"""U-Net segmentation whose labels do not depend on how the image was cut into tiles."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .workflows import batch, evaluate, grow, info, list_models, load_model, load_task, measure, read_image  # noqa: I001  # short
    from .workflows import read_labels, read_region, sample, segment, segment_steps, track, track_steps, train
    from .workflows import train_steps, write_labels, write_table

    __version__: str

__all__ = [
    "batch", "evaluate", "grow", "info", "list_models", "load_model", "load_task", "measure", "read_image",
    "read_labels", "read_region", "sample", "segment", "segment_steps", "track", "track_steps", "train", "train_steps",
    "write_labels", "write_table",
]  # fmt: skip
_HOME: Final = dict.fromkeys(__all__, ".workflows") | {"__version__": "._version"}


def __getattr__(name: str) -> Any:
    """Import a verb when it is first used: the import of the package itself stays cheap."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name], __name__), name)


def __dir__() -> list[str]:
    """Name the verbs before they are imported, for completion at the prompt."""
    return sorted(_HOME)
