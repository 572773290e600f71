"""Take the pictures of the manual: a run, one of a part and of a large image, corrections by hand, and the models.

Run it as ``python scripts/screenshots.py``, under ``xvfb-run -s "-screen 0 1400x900x24"`` where there is no screen.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import dask.array as da
import napari
import numpy as np
from napari.settings import NapariSettings, get_settings
from qtpy.QtWidgets import QApplication, QWidget

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.core.specs import TrainSpec
from napari_unet.core.steps import finish
from napari_unet.training.run import train_model
from napari_unet.widgets.models import ModelsWidget
from napari_unet.widgets.segment import SegmentWidget
from napari_unet.widgets.train import TrainWidget

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
    viewer = napari.Viewer(show=True, title="napari", show_welcome_screen=False)
    viewer.window.resize(*SIZE)
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
    viewer.screenshot(str(path), canvas_only=False, flash=False)
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
        viewer = napari.Viewer(show=True, title="napari", show_welcome_screen=False)
        viewer.window.resize(*SIZE)
        viewer.add_image(slide(), multiscale=True, name="slide", contrast_limits=(150, 2500), axis_labels=("y", "x"))
        widget = SegmentWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Segment cells and nuclei", area="right")
        widget.place.line.setText(str(Path(home) / "slide-cells.ome.zarr"))
        widget.diameter.setValue(24)
        settle(1.0)
        camera = getattr(viewer, "scene", viewer).camera  # which moved in napari 0.9
        camera.center, camera.zoom = (0, 52_000, 41_000), 0.13
        settle(2.0)

        def take(name: Path) -> None:
            viewer.screenshot(str(name), canvas_only=False, flash=False)

        if others is not None:
            take(others / "large-before.png")
        widget.run()
        wait_for(lambda: widget.job is None or widget.bar.value() >= 8)
        settle(1.0)
        take(path)
        widget.cancel()
        settle(2.0)
        if others is not None:
            take(others / "large-stopped.png")
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
        viewer = napari.Viewer(show=True, title="napari", show_welcome_screen=False)
        viewer.window.resize(*SIZE)
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
        viewer.screenshot(str(path), canvas_only=False, flash=False)
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
        viewer = napari.Viewer(show=True, title="napari", show_welcome_screen=False)
        viewer.window.resize(SIZE[0], 960)  # the whole card
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
        viewer = napari.Viewer(show=True, title="napari", show_welcome_screen=False)
        viewer.window.resize(SIZE[0], TALL)
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
            viewer.screenshot(str(written[-1]), canvas_only=False, flash=False)

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


def landscape(seed: int, size: int = 192) -> tuple[Image, Image]:
    """Simulate a field seen from above, in pixels of half a meter: grass, a road, roofs, and which is where."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    truth = np.full((size, size), 2, np.int32)
    middle = size / 2 + 20 * np.sin(x / 40 + seed)
    truth[np.abs(y - middle) < 9] = 1
    for _ in range(14):
        top, left = rng.integers(0, size - 30, 2)
        part = (slice(top, top + rng.integers(14, 30)), slice(left, left + rng.integers(14, 30)))
        if (truth[part] == 2).all():
            truth[part] = 3
    colors = np.array([[0, 0, 0], [120, 118, 125], [70, 120, 60], [170, 80, 60]], np.float32)
    seen = colors[truth] * rng.uniform(0.85, 1.15) + rng.normal(0, 14, (size, size, 3))
    place = ((0.5, 0.5), ("meter", "meter"))
    scale, units = (*place[0], 1.0), (*place[1], "pixel")
    image = Image(seen.clip(0, 255).astype(np.uint8), "yxc", scale, units, f"field {seed}")
    return image, Image(truth, "yx", *place, f"field {seed}")


def show_classes(folder: Path) -> Path:
    """Write the picture of a map of classes, by a model that learns them in seconds.

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
    path = folder / "classes.png"
    with tempfile.TemporaryDirectory() as home:
        os.environ["NAPARI_UNET_MODELS"] = home
        spec = TrainSpec.of(
            task="satellite", name="my-fields", steps=80, every=40, patch=96, batch=4, rate=5e-3, average=0.9,
            target={"name": "classes", "classes": ["road", "grass", "roof"], "background": False,
                    "colors": ["#8d8d8d", "#46a758", "#e5484d"]},
            net={"architecture": "unet", "ndim": 2, "inputs": 3, "outputs": 4, "widths": [8, 16, 24]},
        )  # fmt: skip
        finish(train_model([Example(*landscape(seed)) for seed in range(4)], spec, Path(home) / spec.name))
        viewer = napari.Viewer(show=True, title="napari", show_welcome_screen=False)
        viewer.window.resize(*SIZE)
        image, _truth = landscape(9)
        viewer.add_image(image.data, name="field", rgb=True, scale=(0.5, 0.5), units=("meter", "meter"))
        widget = SegmentWidget(viewer, "satellite")
        viewer.window.add_dock_widget(widget, name="Segment satellite and aerial images", area="right")
        widget.settings.fields["confidence"].value = True
        widget.models.setCurrentIndex(widget.models.findData(spec.name))
        settle(1.0)
        viewer.reset_view()
        widget.run()
        wait_for(lambda: widget.job is None)
        viewer.layers[1].visible = False
        viewer.layers[-1].opacity = 0.6
        settle(1.0)
        widget.ensureWidgetVisible(widget.classes)
        settle(0.5)
        viewer.screenshot(str(path), canvas_only=False, flash=False)
        viewer.close()
        settle(0.2)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    pictures = {"run": main, "region": show_region, "large": show_large, "edit": show_edit, "models": show_models}
    pictures |= {"train": show_train, "classes": show_classes}
    parser.add_argument("--only", choices=pictures, nargs="+", default=[*pictures], help="Take these only.")
    given = parser.parse_args()
    for name in given.only:
        pictures[name](given.folder)
