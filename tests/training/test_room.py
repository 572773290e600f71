"""Room on the disk is asked for before the first step."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import OutputError
from napari_unet.core.examples import Example
from napari_unet.core.specs import NetSpec, TrainSpec, load_task
from napari_unet.core.steps import finish
from napari_unet.io.sizes import folder_size
from napari_unet.samples.simulated import nuclei
from napari_unet.training.room import check_room, room_for
from napari_unet.training.run import fitted_net
from napari_unet.training.runs import Order, run_folder


def example(seed):
    image, labels = nuclei((64, 72), count=6, diameter=16, seed=seed)
    return Example(Image(image, "yx", name=f"cells {seed}"), Image(labels, "yx", name="labels"))


def spec(**more):
    values = {"name": "tiny", "net": NetSpec(widths=(16, 32)), "steps": 6, "batch": 1, "patch": 32, "every": 2}
    return TrainSpec(**(values | {"threads": 1, "device": "cpu"} | more))


def complete(order):
    filled = order.spec.filled(load_task("cell"))
    return filled.model_copy(update={"net": fitted_net(filled)})


@pytest.fixture
def free(monkeypatch):
    """A disk with as much room as the test says."""
    disk = SimpleNamespace(free=10**12)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: disk)
    return disk


def test_a_disk_that_is_too_small_is_found_before_anything_is_written(tmp_path, free):
    free.free = 5_000_000
    said = []
    with pytest.raises(OutputError, match=r"safe points.*Only 5 MB are free.*are missing\. Free some, or .*--folder"):
        finish(workflows.train_steps([example(0)], spec(), tmp_path / "tiny"), said.append)
    assert list(tmp_path.iterdir()) == []
    assert not any(progress.note.startswith("step") for progress in said)


def test_little_room_is_said_and_a_run_that_goes_on_needs_less(tmp_path, free):
    order = Order([example(0)], spec(), tmp_path / "tiny")
    run = run_folder(order.folder, "tiny")
    how = complete(order)
    needed = room_for(how, order, run).needed
    free.free = round(1.1 * needed)
    assert "it may become full" in check_room(how, order, run)
    free.free = 2 * needed
    assert check_room(how, order, run) == ""
    run.mkdir()
    (run / "last.pt").write_bytes(b"0" * 1_000_000)
    assert room_for(how, order, run).needed == needed - 1_000_000


def test_no_more_is_written_than_was_foretold(tmp_path):
    order = Order([example(0)], spec(every=1, net=NetSpec(widths=(32, 64))), tmp_path / "tiny")
    run = run_folder(order.folder, "tiny")
    foretold = room_for(complete(order), order, run)
    most, steps = 0, workflows.train_steps(order.data, order.spec, order.folder)
    for _ in steps:
        most = max(most, folder_size(run) if run.exists() else 0)
    weights = (order.folder / "weights.safetensors").stat().st_size
    assert most > 8 * weights
    assert most + 4 * weights + weights < foretold.needed
    assert foretold.needed < 2 * most + 8_000_000 + 8 * weights


def test_images_of_layers_count(tmp_path):
    plain = Order(tmp_path / "data", spec(), tmp_path / "tiny")
    seen = Order(plain.data, plain.spec, plain.folder, Image(np.zeros((1000, 1000), np.float32), "yx"))
    more, less = (room_for(complete(order), order, tmp_path / "x").needed for order in (seen, plain))
    assert more - less == 4_000_000
