"""Take the picture of nuclei that are measured with what lies around them: ``python scripts/around_picture.py``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from window import capture, look_at, open_viewer, prepare, settle, wait_for

from napari_unet import workflows
from napari_unet.widgets.measure import MeasureWidget


def show_around(folder: Path) -> Path:
    """Write the picture of nuclei that were measured with what lies around them.

    Parameters
    ----------
    folder : Path
        Where it goes.

    Returns
    -------
    Path
        The file.
    """
    prepare(folder)
    image, truth = workflows.sample("simulated-nuclei")
    viewer = open_viewer()
    place = {"scale": (0.5, 0.5), "units": ("um", "um"), "axis_labels": ("y", "x")}
    layer = viewer.add_image(image.data, name="cells", **place)
    layer.contrast_limits = tuple(float(v) for v in np.percentile(image.data, (1, 99.5)))
    viewer.add_labels(np.asarray(truth), name="nuclei", **place)
    widget = MeasureWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Measure objects", area="right")
    widget.images.setCurrentIndex(1)
    widget.around.distance.setText("4 µm")
    settle()
    widget.run()
    wait_for(lambda: widget.job is None)
    look_at(viewer, (90.0, 90.0), 2.5)
    settle(1.0)
    capture(viewer, path := folder / "around.png")
    viewer.close()
    settle(0.2)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    show_around(parser.parse_args().folder)
