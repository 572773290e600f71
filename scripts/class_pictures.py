"""Take the picture of a map of classes: ``python scripts/class_pictures.py``, under ``scripts/on_screen.sh``."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
from window import capture, open_viewer, prepare, settle, wait_for

from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.core.specs import TrainSpec
from napari_unet.core.steps import finish
from napari_unet.training.run import train_model
from napari_unet.widgets.segment import SegmentWidget


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
        viewer = open_viewer()
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
        capture(viewer, path)
        viewer.close()
        settle(0.2)
    return path


if __name__ == "__main__":
    show_classes(Path(__file__).resolve().parent.parent / "docs" / "images")
