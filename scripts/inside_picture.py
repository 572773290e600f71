"""Take the picture of foci that are counted in nuclei: ``python scripts/inside_picture.py``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from window import capture, look_at, open_viewer, prepare, settle, wait_for

from napari_unet import workflows
from napari_unet.widgets.measure import MeasureWidget


def foci_in(nuclei: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
    """Draw small disks, most of them in nuclei."""
    rng = np.random.default_rng(0)
    centers = rng.permutation(np.argwhere(ndimage.binary_erosion(nuclei > 0, iterations=3)))[:260]
    spots = np.zeros(nuclei.shape, np.bool_)
    spots[tuple(centers.T)] = spots[tuple(rng.integers(0, min(nuclei.shape), (2, 20)))] = True
    labels: npt.NDArray[np.int32] = ndimage.label(ndimage.binary_dilation(spots, iterations=2))[0]
    return labels


def show_inside(folder: Path) -> Path:
    """Write the picture of nuclei in which foci were counted.

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
    foci = foci_in(np.asarray(truth))
    viewer = open_viewer()
    place = {"scale": (0.5, 0.5), "units": ("um", "um"), "axis_labels": ("y", "x")}
    layer = viewer.add_image(image.data, name="image", **place)
    layer.contrast_limits = tuple(float(v) for v in np.percentile(image.data, (1, 99.5)))
    viewer.add_labels(foci, name="foci", **place)
    nuclei = viewer.add_labels(np.asarray(truth), name="nuclei", **place)
    nuclei.contour = 2
    widget = MeasureWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Measure objects", area="right")
    widget.related.title.setChecked(True)
    widget.inside.counted.setCurrentText("foci")
    settle()
    widget.run()
    wait_for(lambda: widget.job is None)
    look_at(viewer, (90.0, 90.0), 3.0)
    settle(1.0)
    capture(viewer, path := folder / "inside.png")
    viewer.close()
    settle(0.2)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    show_inside(parser.parse_args().folder)
