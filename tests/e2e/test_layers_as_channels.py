"""Two layers that are channels of one image: the same model as from the files, tried, corrected, and trained again."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet import workflows
from napari_unet.core.specs import TrainSpec
from napari_unet.core.steps import Steps
from napari_unet.io.pairs import find_examples, read_example
from napari_unet.models.cards import read_card, user_folder
from napari_unet.training.runs import Order, write_order
from napari_unet.widgets._after import try_model
from napari_unet.widgets.segment import SegmentWidget
from napari_unet.widgets.train import TrainWidget

from ..commands import good

PATIENCE = 300_000  # milliseconds, on a machine that has much else to do

SHORT = {"steps": 2, "every": 2, "batch": 1, "patch": 32, "threads": 1, "device": "cpu", "start": "", "validation": 0.0}


class Here:
    """Does what a process of its own does, from what is written for it, in this one: nothing is loaded twice."""

    def __getattr__(self, name: str) -> Any:
        return getattr(workflows, name)

    def train_apart_steps(self, data: Any, spec: TrainSpec, preview: Any = None) -> Steps[Path]:
        return workflows.train_steps(write_order(Order(data, spec, user_folder() / spec.name, preview)))


class Short(TrainWidget):
    """Trains for some steps on small patches, whatever is chosen."""

    short: dict[str, Any] = SHORT

    def spec(self) -> TrainSpec:
        return TrainSpec.of(**(super().spec().model_dump(exclude_unset=True) | {"minutes": None} | self.short))


def disks(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return two channels, of which only both together tell the objects, and labels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :64]
    truth = np.zeros(y.shape, np.uint16)
    both = rng.normal(1000, 60, (2, *y.shape))
    for number, place in enumerate(np.ndindex(4, 4)):
        disk = np.hypot(*(a - 16 * p - 8 for a, p in zip((y, x), place, strict=True))) < 5
        both[0][disk] += 3000 * (number % 3 != 0)
        both[1][disk] += 3000 * (number % 3 != 1)
        truth[disk] = number + 1 if number % 3 == 2 else 0
    return *both.astype(np.uint16), truth


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the user's models."""
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", pytest.fail)
    return tmp_path


def train(qtbot: QtBot, dock: TrainWidget) -> None:
    dock.run()
    qtbot.waitUntil(lambda: dock.job is None, timeout=PATIENCE)
    assert "Done" in dock.status.text(), dock.status.text()


def weights(name: str) -> str:
    return str(read_card(workflows.locate_model(name).folder).sha256)


@pytest.mark.slow
def test_layers_teach_what_files_teach_and_the_loop_goes_on(qtbot: QtBot, home: Path) -> None:
    viewer, lines = ViewerModel(), []
    layers: dict[str, Any] = {}
    for number in (1, 2):
        for name, values in zip(("DAPI", "GFP"), disks(number)[:2], strict=True):
            tifffile.imwrite(home / f"f{number}_{name}.tif", values)
            layers[f"f{number}_{name}"] = viewer.add_image(values, name=f"f{number}_{name}")
        tifffile.imwrite(home / f"f{number}.tif", disks(number)[2])
        lines.append({"image": f"f{number}_DAPI.tif;f{number}_GFP.tif", "labels": f"f{number}.tif"})
    with (home / "data.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, ("image", "labels"))
        table.writeheader()
        table.writerows(lines)
    dock = Short(viewer, engine=Here())
    qtbot.addWidget(dock)
    pairs = dock.data.pairs
    pairs.count.setValue(2)
    for number in (1, 2):
        row = pairs.rows[0] if number == 1 else pairs.add()
        row.image.choose(layers[f"f{number}_DAPI"])
        row.labels.choose(viewer.add_labels(disks(number)[2], name=f"f{number} drawn"))
        row.further.boxes[0].choose(layers[f"f{number}_GFP"])
    dock.short = SHORT | {"network": "light-unet"}
    dock.begin_with.choose("")
    dock.begin_with.name.setText("layers")
    train(qtbot, dock)
    options = [word for name, value in dock.short.items() if name != "start" for word in (f"--{name}", value)]
    good("train", home / "data.csv", "--name", "files", *options)
    assert weights("layers") == weights("files")
    for name in ("layers", "files"):
        card = read_card(workflows.locate_model(name).folder)
        assert (card.bands, card.channels, card.net.inputs) == (("DAPI", "GFP"), (2,), 2)
    swapped = [line | {"image": ";".join(reversed(line["image"].split(";")))} for line in lines]
    with (home / "swapped.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, ("image", "labels"))
        table.writeheader()
        table.writerows(swapped)
    good("train", home / "swapped.csv", "--name", "swapped", *options)
    assert weights("swapped") != weights("files")

    # Try it: the segmentation dock has both channels; what is corrected is kept with both.
    trying = SegmentWidget(viewer)
    qtbot.addWidget(trying)
    viewer.layers.selection.active = layers["f2_GFP"]
    try_model(viewer, "layers", trying, channels=pairs.channels)
    qtbot.waitUntil(lambda: trying.job is None, timeout=PATIENCE)
    assert "Found" in trying.status.text(), trying.status.text()
    labels = viewer.layers[-1]
    labels.brush_size = 6
    labels.selected_label = int(labels.data.max()) + 1
    labels.paint((40, 9), labels.selected_label)
    dock.grow.add.click()
    qtbot.waitUntil(lambda: dock.job is None, timeout=PATIENCE)
    (kept,) = workflows.list_collections()
    (example,) = find_examples(kept.table)
    image = read_example(example)
    np.testing.assert_array_equal(image.data, disks(2)[:2])
    assert image.channel_names == ("DAPI", "GFP")

    # Once more from what is kept; a single layer is on the screen, of which such a model sees nothing.
    assert dock.begin_with.values["start"] == "layers"
    dock.short = SHORT | {"start": "layers"}
    train(qtbot, dock)
    again = read_card(workflows.locate_model("layers-2").folder)
    assert (again.bands, again.training["start"]) == (("DAPI", "GFP"), "layers")
