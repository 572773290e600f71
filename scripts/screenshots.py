"""Take the pictures of the manual: a run, one of a part and of a large image, corrections by hand, and the models.

Run it as ``python scripts/screenshots.py``, under ``xvfb-run -s "-screen 0 1400x900x24"`` where there is no screen.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from qtpy.QtWidgets import QWidget
from window import TALL, capture, open_viewer, placed, prepare, settle, wait_for

from napari_unet import workflows
from napari_unet.widgets._parts import Fold
from napari_unet.widgets.models import ModelsWidget
from napari_unet.widgets.segment import SegmentWidget
from napari_unet.widgets.train import TrainWidget


def main(folder: Path, engine: Any = workflows, tile: int = 128) -> list[Path]:
    """Write the pictures of a run.

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
    prepare(folder)
    image, _truth = engine.sample("simulated-nuclei")
    viewer = open_viewer()
    layer = viewer.add_image(image.data, name="nuclei", **placed(image))
    layer.contrast_limits = tuple(float(v) for v in np.percentile(image.data, (1, 99.5)))
    widget = SegmentWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Segment cells and nuclei", area="right")
    widget.settings.fields["tiling.tile"].value = tile
    settle(1.0)
    viewer.reset_view()
    written = []

    def take(name: str) -> None:
        path = folder / f"{name}.png"
        capture(viewer, path)
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


def show_region(folder: Path) -> Path:
    """Write the picture of a run that is limited to what somebody has drawn.

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
    path = folder / "region.png"
    image, _truth = workflows.sample("simulated-nuclei")
    viewer = open_viewer()
    layer = viewer.add_image(image.data, name="nuclei", axis_labels=tuple(image.axes))
    layer.contrast_limits = tuple(float(v) for v in np.percentile(image.data, (1, 99.5)))
    box = np.array([[60, 60], [60, 300], [220, 300], [220, 60]])
    corners = np.array([[260, 120], [300, 420], [480, 440], [460, 200], [380, 260]])
    viewer.add_shapes(
        [box, corners], shape_type=["ellipse", "polygon"], name="look here", face_color="#ffffff22",
        edge_color="yellow", edge_width=2, axis_labels=tuple(image.axes),
    )  # fmt: skip
    widget = SegmentWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Segment cells and nuclei", area="right")
    widget.only.setCurrentIndex(widget.only.findText("look here"))
    settle(1.0)
    viewer.reset_view()
    widget.run()
    wait_for(lambda: widget.job is None)
    viewer.layers[-1].refresh()
    settle(1.0)
    capture(viewer, path)
    viewer.close()
    settle(0.2)
    return path


def slide(size: int = 100_000, side: int = 512) -> list[da.Array]:
    """Return a pyramid of an image that is never in memory: simulated fields, shuffled over the plane.

    Parameters
    ----------
    size : int
        Pixels along y and x.
    side : int
        Of a field.

    Returns
    -------
    list of dask arrays
        uint16, the finest first, each half as large as the one before.
    """
    bank = np.stack([workflows.sample("simulated-nuclei", seed)[0].data for seed in range(6)]).astype(np.float32)
    order = np.random.default_rng(0).integers(0, len(bank), [-(-size // side)] * 2)
    levels = []
    while size >= side // 2:
        fields = partial(_fields, bank.astype(np.uint16), order)
        cuts = tuple([side] * (size // side) + ([size % side] if size % side else []))
        levels.append(da.map_blocks(fields, chunks=(cuts, cuts), dtype=np.uint16, meta=np.empty((0, 0), np.uint16)))
        tile = bank.shape[-1]
        size, bank = size // 2, bank.reshape(len(bank), tile // 2, 2, tile // 2, 2).mean((2, 4))
    return levels


def _fields(bank: Any, order: Any, block_info: Any) -> Any:
    """Draw a block of a slide."""
    tile, (height, width) = bank.shape[-1], block_info[None]["array-location"]
    rows, columns = (np.arange(start, stop) for start, stop in (height, width))
    return bank[order[np.ix_(rows // tile, columns // tile)], rows[:, None] % tile, columns % tile]


def show_large(folder: Path, others: Path | None = None) -> Path:
    """Write the picture of a run on an image of ten gigapixels, while it goes on.

    Parameters
    ----------
    folder : Path
        Where it goes.
    others : Path, optional
        Where pictures before the run and after it was stopped go.

    Returns
    -------
    Path
        The file.
    """
    prepare(folder)
    path = folder / "large.png"
    with tempfile.TemporaryDirectory() as home:
        viewer = open_viewer()
        viewer.add_image(slide(), multiscale=True, name="slide", contrast_limits=(150, 2500), axis_labels=("y", "x"))
        widget = SegmentWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Segment cells and nuclei", area="right")
        widget.place.line.setText(str(Path(home) / "slide-cells.ome.zarr"))
        widget.diameter.setValue(24)
        settle(1.0)
        camera = getattr(viewer, "scene", viewer).camera  # which moved in napari 0.9
        camera.center, camera.zoom = (0, 52_000, 41_000), 0.13
        settle(2.0)

        if others is not None:
            capture(viewer, others / "large-before.png")
        widget.run()
        wait_for(lambda: widget.job is None or widget.bar.value() >= 8)
        settle(1.0)
        capture(viewer, path)
        widget.cancel()
        settle(2.0)
        if others is not None:
            capture(viewer, others / "large-stopped.png")
        viewer.close()
        settle(0.2)
    return path


def show_edit(folder: Path) -> Path:
    """Write the picture of a region that is corrected by hand.

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
    path = folder / "edit.png"
    image, _truth = workflows.sample("simulated-nuclei")
    with tempfile.TemporaryDirectory() as home:
        viewer = open_viewer()
        layer = viewer.add_image(image.data, name="nuclei", axis_labels=tuple(image.axes))
        layer.contrast_limits = tuple(float(v) for v in np.percentile(image.data, (1, 99.5)))
        widget = SegmentWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Segment cells and nuclei", area="right")
        widget.place.line.setText(str(Path(home) / "nuclei-cells.ome.zarr"))
        settle(1.0)
        widget.run()
        wait_for(lambda: widget.job is None)
        viewer.layers.selection.active = viewer.layers[-1]
        camera = getattr(viewer, "scene", viewer).camera
        camera.center, camera.zoom = (0, 200, 260), 5
        settle(2.0)
        widget.edits.take.click()
        wait_for(lambda: widget.job is None)
        camera.zoom = 3.2
        region = viewer.layers[-1]
        region.mode, region.brush_size = "paint", 12
        for number, (y, x) in enumerate([(30, 30), (34, 34), (38, 40)]):
            region.paint((y, x), region.selected_label, refresh=number == 2)
        settle(2.0)
        capture(viewer, path)
        viewer.close()
        settle(0.2)
    return path


def show_many(folder: Path) -> Path:
    """Write the picture of a folder of images that was segmented, and of one of them that was opened.

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
    path = folder / "many-images.png"
    with tempfile.TemporaryDirectory() as home:
        day = Path(home) / "day 1"
        day.mkdir()
        for number in range(1, 5):
            image, _truth = workflows.sample("simulated-nuclei", seed=number)
            workflows.write_image(day / f"field {number}.tif", image)
        (day / "broken.tif").write_bytes(b"this is no image")
        viewer = open_viewer(TALL)
        widget = SegmentWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Segment cells and nuclei", area="right")
        next(fold for fold in widget.findChildren(Fold) if fold.content is widget.many).title.click()
        widget.many.source.setText(str(day))
        settle(1.0)
        widget.many.run()
        wait_for(lambda: widget.job is None)
        widget.many.table.look(2)
        settle(1.0)
        viewer.reset_view()
        widget.ensureWidgetVisible(widget.many.table)
        settle(1.0)
        capture(viewer, path)
        viewer.close()
        settle(0.2)
    return path


def show_models(folder: Path) -> Path:
    """Write the picture of the dock with the models: the bundled one, and a copy as if it were the user's own.

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
    path = folder / "models.png"
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_UNET_MODELS"] = home
        shutil.copytree(workflows.locate_model("nuclei").folder, Path(home) / "my-nuclei")
        viewer = open_viewer(960)  # the whole card
        dock = viewer.window.add_dock_widget(ModelsWidget(viewer), name="Models", area="right")
        settle(1.0)
        if not dock.grab().save(str(path)):
            raise OSError(f"The picture {path} could not be written.")
        viewer.close()
        settle(0.2)
    return path


def show_train(folder: Path, minutes: float = 2.0) -> list[Path]:
    """Write the pictures of a training: two annotated fields, learned from and checked on, before, during and after.

    Parameters
    ----------
    folder : Path
        Where they go.
    minutes : float
        That are learned for.

    Returns
    -------
    list of Path
        The files.
    """
    prepare(folder)
    written = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_UNET_MODELS"] = home
        viewer = open_viewer(TALL)
        for number in (1, 2):
            image, truth = workflows.sample("simulated-nuclei", seed=number)
            place = {"axis_labels": tuple(image.axes), "translate": (0, 1.03 * image.shape[1] * (number - 1))}
            layer = viewer.add_image(image.data, name=f"field {number}", **place)
            layer.contrast_limits = tuple(float(v) for v in np.percentile(image.data, (1, 99.5)))
            viewer.add_labels(np.asarray(truth.data), name=f"field {number} drawn", **place)
        widget = TrainWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Train a model", area="right")
        widget.data.pairs.add()
        widget.begin_with.name.setText("my-nuclei")
        widget.begin_with.minutes.setValue(minutes)
        wait_for(lambda: widget.plan.plan is not None or bool(widget.plan.warnings.text()))
        settle(1.0)
        viewer.reset_view()

        def take(name: str, at: QWidget | None = None) -> None:
            if at is not None:
                widget.ensureWidgetVisible(at, 0, 0)
            settle(1.0)
            written.append(folder / f"{name}.png")
            capture(viewer, written[-1])

        take("train-before")
        for layer in viewer.layers:
            layer.visible = not layer.name.endswith("drawn")
        widget.run()
        points = widget.live.curves.points
        wait_for(lambda: widget.job is None or (len(points.get("loss", ())) > 1 and widget.preview.layer is not None))
        if widget.job is None:
            raise RuntimeError(f"The training was over before its picture could be taken: {widget.status.text()}")
        take("train", widget.live)
        wait_for(lambda: widget.job is None)
        take("train-after", widget.after)
        viewer.close()
        settle(0.2)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    pictures = {"run": main, "region": show_region, "large": show_large, "edit": show_edit, "models": show_models}
    pictures |= {"train": show_train, "many": show_many}
    parser.add_argument("--only", choices=pictures, nargs="+", default=[*pictures], help="Take these only.")
    given = parser.parse_args()
    for name in given.only:
        pictures[name](given.folder)
