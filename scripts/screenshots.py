"""Take the pictures of the widget for the README: before, during and after a run.

Run it as ``python scripts/screenshots.py``, under ``xvfb-run -s "-screen 0 1400x900x24"`` where there is no screen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.settings import get_settings
from qtpy.QtWidgets import QApplication

from napari_unet import workflows
from napari_unet.widgets.segment import SegmentWidget

SIZE = (1400, 900)
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


def main(folder: Path, engine: Any = workflows, tile: int = 128) -> list[Path]:
    """Write the three pictures.

    Parameters
    ----------
    folder : Path
        Where they go.
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.
    tile : int
        Small, so that the picture during the run shows the labels filling up; it does not change the labels.

    Returns
    -------
    list of Path
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = get_settings(None)  # of this run only: the user's own stay as they are
    settings.application.save_window_geometry = False
    settings.appearance.theme = "dark"
    image, _truth = engine.sample("simulated-nuclei")
    viewer = napari.Viewer(show=True, title="napari", show_welcome_screen=False)
    viewer.window.resize(*SIZE)
    layer = viewer.add_image(
        image.data, name="nuclei", scale=image.scale, units=image.units, axis_labels=tuple(image.axes)
    )
    layer.contrast_limits = tuple(float(v) for v in np.percentile(image.data, (1, 99.5)))
    widget = SegmentWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Segment cells and nuclei", area="right")
    widget.settings.fields["tiling.tile"].value = tile
    settle(1.0)
    viewer.reset_view()
    written = []

    def take(name: str) -> None:
        path = folder / f"{name}.png"
        viewer.screenshot(str(path), canvas_only=False, flash=False)
        written.append(path)

    settle()
    take("before")
    widget.run()
    wait_for(lambda: widget.job is None or 2 * widget.bar.value() > widget.bar.maximum() > 0)
    if widget.job is None:
        raise RuntimeError(f"The run was over before its picture could be taken: {widget.status.text()}")
    take("during")
    wait_for(lambda: widget.job is None)
    viewer.layers[-1].refresh()
    settle(1.0)
    take("after")
    viewer.close()
    settle(0.2)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    main(parser.parse_args().folder)
