"""Take the pictures of the manual's pages on tumors and lesions: the docks in 2D and 3D, and a report.

All of them show volumes that are drawn here, and the model that finds lesions in them is made by hand.

Run it as ``python scripts/lesion_pictures.py``, under ``xvfb-run -s "-screen 0 1400x900x24"`` where there is no screen.
The report is drawn by Chromium, where it is installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from window import capture, look_at, open_viewer, placed, prepare, settle, wait_for

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, TargetSpec
from napari_unet.models.store import write_model
from napari_unet.nets import build
from napari_unet.widgets._lesion_table import LesionTable
from napari_unet.widgets._parts import Fold
from napari_unet.widgets.measure import MeasureWidget
from napari_unet.widgets.segment import SegmentWidget

TALLER = 1280  # for a dock with two tables
SCALE, UNITS = (3.0, 0.8, 0.8), ("millimeter",) * 3
SHAPE = (48, 220, 260)
GROWTH = 1.18
# Class, middle and radii along its axes, in millimeters.
LESIONS = (
    (1, (-12, 4, -48), (13, 10, 16)), (1, (16, -14, -14), (9, 13, 7)), (1, (-20, 22, 8), (8, 7, 10)),
    (2, (4, 26, -28), (8, 10, 8)), (2, (26, 2, 8), (7, 6, 9)),
)  # fmt: skip


def phantom(growth: float, seed: int = 4) -> tuple[Image, Image]:
    """Draw a body with an organ, and lesions in it.

    Parameters
    ----------
    growth : float
        Of the lesions' diameters.
    seed : int
        Of shapes and noise.

    Returns
    -------
    image, lesions : Image
        Intensities, and a map of two classes.
    """
    rng = np.random.default_rng(seed)
    places = np.stack(np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SCALE, strict=True)), indexing="ij"), -1)
    middle = np.multiply(SHAPE, SCALE) / 2
    image = np.where((((places - middle) / (90, 80, 98)) ** 2).sum(-1) < 1, 60.0, -400.0)
    organ = (((places - middle - (0, 5, -20)) / (58, 45, 60)) ** 2).sum(-1) < 1
    image[organ] = 110
    lumps = ndimage.gaussian_filter(rng.normal(0, 1, SHAPE), np.divide(6, SCALE))
    lumps *= 0.25 / lumps.std()
    classes = np.zeros(SHAPE, np.uint8)
    for kind, place, radii in LESIONS:
        turned = (places - middle - place) @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
        classes[(((turned / (growth * np.array(radii))) ** 2).sum(-1) + lumps < 1) & organ] = kind
    image = np.where(classes == 1, 60, np.where(classes == 2, 150, image))
    image = ndimage.gaussian_filter(image + rng.normal(0, 14, SHAPE), (0, 0.7, 0.7))
    place = {"axes": "zyx", "scale": SCALE, "units": UNITS}
    return Image(image.astype(np.float32), name="scan", **place), Image(classes, name="tumor", **place)


def show_lesions(folder: Path) -> list[Path]:
    """Write the pictures of the measuring dock.

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
    paths = [folder / "lesions.png", folder / "lesions-3d.png"]
    _, earlier = phantom(1.0)
    image, classes = phantom(GROWTH)
    viewer = open_viewer()
    place = placed(image)
    viewer.add_image(image.data, name="scan", contrast_limits=(-20, 220), **place)
    viewer.add_labels(earlier.data, name="tumor in March", visible=False, **place)
    viewer.add_labels(classes.data, name="tumor", **place)
    widget = MeasureWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Measure objects", area="right")
    widget.what.setCurrentText("lesions")
    widget.rows.classes.setChecked(True)
    widget.images.setCurrentIndex(1)
    widget.rows.before.choose(viewer.layers["tumor in March"])
    settle(1.0)
    viewer.reset_view()
    widget.run()
    wait_for(lambda: widget.job is None)
    viewer.layers["tumor"].visible = False
    viewer.layers["tumor lesions"].contour = 2
    table = viewer.layers["tumor lesions"].features
    largest = int(np.argmax(table["volume_ml"]))
    widget.table_of_lesions.selectRow(largest)
    look_at(viewer, [table[f"centroid_{axis}"][largest] + aside for axis, aside in (("y", 8), ("x", 26))], 1.7)
    settle(1.5)
    capture(viewer, paths[0])
    viewer.dims.ndisplay = 3
    viewer.layers["tumor lesions"].contour = 0
    scan = viewer.layers["scan"]
    scan.rendering, scan.opacity, scan.contrast_limits = "mip", 0.45, (40, 260)  # the organ as a shadow around them
    viewer.layers.selection.active = viewer.layers["tumor lesions"]
    viewer.reset_view()
    camera = getattr(viewer, "scene", viewer).camera
    camera.angles = (0, 30, 60)
    camera.zoom *= 1.7
    settle(1.5)
    capture(viewer, paths[1])
    viewer.close()
    settle(0.2)
    return paths


def by_hand(folder: Path) -> None:
    """Write a model that smooths a volume and calls lesion what is brighter than the organ around it.

    Parameters
    ----------
    folder : Path
        Of the model.
    """
    net = NetSpec(ndim=3, outputs=2, widths=(4, 8))
    network = build(net).eval()
    with torch.no_grad():
        blocks = network.down[0], network.merge[0]
        for block in blocks:
            for at, weight in ((0, 1.0), (3, 1 / 27)):
                block[at].weight[0] = 0
                block[at].weight[0, 0] = weight if at else 0
            block[0].weight[0, 0, 1, 1, 1] = 1
        network.head.weight.zero_()
        network.head.weight[0, 0], network.head.bias[0] = 60.0, -51.5
    target = TargetSpec(name="foreground", min_fraction=0.0, classes=("tumor",))
    card = ModelCard(
        name="phantom", title="Phantom", task="tumor", net=net, target=target, grid={"kind": "pixels"},
        description="Bright lesions in a drawn organ; made by hand. Not for clinical use.",
    )  # fmt: skip
    write_model(folder, card, network)


def show_dock(folder: Path) -> list[Path]:
    """Write the picture of the dock that segments tumors.

    Parameters
    ----------
    folder : Path
        Where it goes.

    Returns
    -------
    list of Path
        The file.
    """
    prepare(folder)
    path = folder / "tumors.png"
    image, classes = phantom(GROWTH)
    rng = np.random.default_rng(1)
    brighter = np.array([0.0, 190.0, 100.0])[classes.data]
    seen = image.data + ndimage.gaussian_filter(brighter, (0, 0.7, 0.7))
    seen += rng.normal(0, 4, SHAPE)
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_UNET_MODELS"] = home
        by_hand(Path(home) / "phantom")
        viewer = open_viewer(TALLER)
        place = placed(image)
        viewer.add_labels((classes.data > 0).astype(np.int32), name="drawn by hand", visible=False, **place)
        viewer.add_image(seen.astype(np.float32), name="scan", contrast_limits=(-20, 320), **place)
        widget = SegmentWidget(viewer, "tumor,organ")
        viewer.window.add_dock_widget(widget, name="Segment tumors and organs", area="right")
        settle(1.0)
        widget.models.setCurrentIndex(widget.models.findData("phantom"))
        widget.sizes.smallest.setText("0.2 ml")
        widget.run()
        wait_for(lambda: widget.job is None)
        found = viewer.layers["scan tumors"]
        found.contour = 2
        widget.truth.labels.choose(found)
        widget.truth.truth.choose(viewer.layers["drawn by hand"])
        fold = next(part for part in widget.findChildren(Fold) if part.content is widget.truth)
        fold.title.setChecked(True)
        widget.truth.compare()
        wait_for(lambda: widget.job is None)
        table = widget.findChild(LesionTable)
        largest = found.features.loc[found.features["volume_ml"].idxmax(), "index"]
        table.selectRow(next(row for row in range(table.rowCount()) if table.item(row, 0).text() == str(int(largest))))
        viewer.reset_view()
        settle(1.5)
        capture(viewer, path)
        viewer.close()
        settle(0.2)
    return [path]


def show_report(folder: Path) -> list[Path]:
    """Write the picture of a report.

    Parameters
    ----------
    folder : Path
        Where it goes.

    Returns
    -------
    list of Path
        The file; empty where there is no Chromium.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return []
    _, before = phantom(1.0)
    image, after = phantom(GROWTH)
    first = workflows.measure_lesions(before, classes=True)
    found = workflows.measure_lesions(after, image, classes=True, quantity="HU")
    path = folder / "lesion-report.png"
    with tempfile.TemporaryDirectory() as home:
        page = Path(home) / "report.html"
        workflows.report_lesions(page, found, image, growth=workflows.compare_lesions(first, found), title="Phantom")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1020,1600"]
        subprocess.run([browser, *options, f"--screenshot={path}", page.as_uri()], check=True, capture_output=True)
    return [path]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    given = parser.parse_args()
    show_lesions(given.folder)
    show_dock(given.folder)
    show_report(given.folder)
