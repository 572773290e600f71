"""The window of which pictures are taken, alike in all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import napari
from napari.settings import NapariSettings, get_settings
from qtpy.QtWidgets import QApplication

from napari_unet.core.axes import Image

SIZE = (1400, 900)
TALL = 1150  # for a dock that has much to say
PATIENCE = 600.0


def settle(seconds: float = 0.6) -> None:
    """Let everything be drawn."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def wait_for(ready: Callable[[], bool]) -> None:
    """Keep the window alive until something is true."""
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError("The run took too long for a picture.")
        settle(0.02)


@cache
def own_settings() -> NapariSettings:
    """Return settings of this run only: the user's own stay as they are."""
    return get_settings(None)


def prepare(folder: Path) -> None:
    """Make the folder, and have every window look alike."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = own_settings()
    settings.application.save_window_geometry = False
    settings.appearance.theme = "dark"


def open_viewer(height: int = SIZE[1]) -> napari.Viewer:
    """Open an empty window."""
    viewer = napari.Viewer(show=True, title="napari", show_welcome_screen=False)
    viewer.window.resize(SIZE[0], height)
    return viewer


def placed(image: Image) -> dict[str, Any]:
    """Return where an image lies, as a layer is told: scale, units and names of its axes."""
    return {"scale": image.scale, "units": image.units, "axis_labels": tuple(image.axes)}


def look_at(viewer: napari.Viewer, place: Sequence[float], zoom: float) -> None:
    """Bring the camera to a place (y, x) in the world, so many times nearer than the whole image."""
    viewer.reset_view()
    camera = getattr(viewer, "scene", viewer).camera
    camera.center, camera.zoom = (0.0, *place), camera.zoom * zoom


def capture(viewer: napari.Viewer, path: Path) -> None:
    """Take a picture of the whole window."""
    viewer.screenshot(str(path), canvas_only=False, flash=False)
