"""Take the pictures of the manual's page on clusters: a run on two workers, and the same found again by another window.

Run it as ``python scripts/cluster_pictures.py``, under ``xvfb-run -s "-screen 0 1400x1150x24"`` where there is no
screen.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import napari
import numpy as np
import zarr
from qtpy.QtWidgets import QScrollArea
from window import TALL, capture, open_viewer, prepare, settle, wait_for

from napari_unet import workflows
from napari_unet.widgets import _reader
from napari_unet.widgets.segment import SegmentWidget

EDGE = 4096
WORKERS = 2
LIGHT = (150, 2500)  # contrast limits


def write_slide(folder: Path) -> Path:
    """Write a slide of simulated fields."""
    bank = [workflows.sample("simulated-nuclei", seed)[0].data for seed in range(6)]
    side = bank[0].shape[0]
    order = np.random.default_rng(0).integers(0, len(bank), (EDGE // side, EDGE // side))
    pixels = np.block([[bank[number] for number in row] for row in order]).astype(np.uint16)
    zarr.create_array(folder / "slide.zarr", data=pixels, chunks=(512, 512))
    return folder / "slide.zarr"


def open_window(slide: Path | None = None) -> tuple[napari.Viewer, SegmentWidget]:
    """Open napari with the dock, the rows of the cluster unfolded, and perhaps the slide."""
    viewer = open_viewer(TALL)
    if slide is not None:
        for layer in _reader.read(str(slide)):
            viewer._add_layer_from_data(*layer)
        viewer.layers[0].contrast_limits = LIGHT
        viewer.layers[0]._source = viewer.layers[0].source.model_copy(update={"path": str(slide)})
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment cells and nuclei", area="right")
    fold = widget.cluster.parent()
    fold.title.setChecked(True)
    settle(1.0)
    for area in widget.findChildren(QScrollArea):
        area.ensureWidgetVisible(widget.cluster)
    viewer.reset_view()
    settle(0.5)
    return viewer, widget


def show_runs(folder: Path) -> list[Path]:
    """Write the pictures of a run that goes on when napari is closed: in the window that began it, and in the next.

    Parameters
    ----------
    folder : Path
        Where they go.

    Returns
    -------
    list of Path
        The files.
    """
    prepare(folder)
    paths = [folder / "cluster.png", folder / "cluster-again.png"]
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_DATA_HOME"] = str(Path(home) / "home")  # where runs are found again
        slide = write_slide(Path(home))
        viewer, widget = open_window(slide)
        widget.place.line.setText(str(Path(home) / "slide-cells.ome.zarr"))
        widget.diameter.setValue(24)
        widget.settings.fields["tiling.tile"].value = 256
        widget.cluster.local.setValue(WORKERS)
        widget.cluster.keep.setChecked(True)
        widget.run()
        wait_for(lambda: widget.job is None or (share(widget) > 0.3 and "bricks/s" in widget.cluster.seen.text()))
        take(viewer, widget, paths[0])
        viewer.close()
        settle(1.0)
        viewer, widget = open_window()
        wait_for(widget.cluster.runs.again.isEnabled)
        widget.cluster.runs.reattach()
        wait_for(lambda: len(viewer.layers) > 1)
        viewer.layers[0].contrast_limits = LIGHT
        wait_for(lambda: widget.job is None or (share(widget) > 0.5 and "bricks/s" in widget.cluster.seen.text()))
        viewer.reset_view()
        take(viewer, widget, paths[1])
        for run in workflows.list_runs():
            run.stop()
        wait_for(lambda: all(not run.alive for run in workflows.list_runs()))
        wait_for(lambda: widget.job is None)
        viewer.close()
        settle(0.2)
    return paths


def share(widget: Any) -> float:
    """Return how much of a run is done."""
    return float(widget.bar.value() / max(1, widget.bar.maximum()))


def take(viewer: napari.Viewer, widget: SegmentWidget, path: Path) -> None:
    """Write a picture of the window while the run goes on."""
    settle(1.5)
    wait_for(lambda: widget.job is None or "bricks/s" in widget.cluster.seen.text())
    if widget.job is None:
        raise RuntimeError(f"The run was over before its picture could be taken: {widget.status.text()}")
    capture(viewer, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    show_runs(parser.parse_args().folder)
