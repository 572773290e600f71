"""Loaded by workers before they start: every brick that is scored leaves a line in a file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any


def dask_setup(worker: Any) -> None:
    from napari_unet.tiling import _brick_jobs

    real = _brick_jobs.score_tiles

    def counted(tiles: Any, *more: Any) -> Any:
        with Path(os.environ["NAPARI_UNET_COUNTED"]).open("a") as log:
            for plane, tile in tiles:
                held = ".".join(str(position) for _, position in plane.fixed)
                log.write(f"{held}:{'.'.join(str(span.start) for span in tile.write)}\n")
        time.sleep(float(os.environ.get("NAPARI_UNET_SLOW", "0.02")))
        return real(tiles, *more)

    _brick_jobs.score_tiles = counted
