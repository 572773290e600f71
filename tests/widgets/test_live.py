"""What the training dock reads while a training goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from napari.components import ViewerModel

from napari_unet.core.axes import Image
from napari_unet.core.results import Epoch
from napari_unet.core.steps import Progress, finish
from napari_unet.widgets._live import watching
from napari_unet.widgets._preview import Preview


def test_a_training_that_is_over_before_its_reports_are_read_ends_well(tmp_path: Path) -> None:
    """Its folder is gone by then; what was learned is not."""
    picture, labels = tmp_path / "0.npz", tmp_path / "preview.npy"
    np.savez(picture, image=np.zeros((8, 8), np.float32), truth=np.eye(8, dtype=np.int32), labels=np.eye(8, dtype=int))
    np.save(labels, np.eye(8, dtype=np.int32))

    def training() -> Iterator[Progress]:
        yield Progress(3, 6, "training", Epoch(3, 1.0, 0.1, examples=(picture,), preview=labels))
        picture.unlink()
        yield Progress(6, 6, "training", Epoch(6, 0.5, 0.1, examples=(picture,), preview=labels))
        labels.unlink()
        yield Progress(6, 6, "training", Epoch(6, 0.5, 0.1, preview=labels))
        return "the model"

    seen = []
    assert finish(watching(training), lambda p: seen.append(p.payload) if p.payload else None) == "the model"
    assert [each.epoch.step for each in seen] == [3, 6, 6]
    assert [len(each.pictures) for each in seen] == [1, 0, 0]
    assert np.array_equal(seen[0].preview, np.eye(8))
    assert seen[2].preview is None


def test_the_preview_has_the_holes_and_the_names_of_its_image() -> None:
    viewer, valid = ViewerModel(), np.ones((700, 600), bool)
    valid[:400] = False
    whole = Image(np.zeros((2, 700, 600), np.uint8), "cyx", valid=(valid,), channel_names=("red", "nir"))
    preview = Preview(viewer, viewer.add_image(whole.data), whole)
    rows, columns = preview.window["y"], preview.window["x"]
    assert preview.image.shape == (2, 512, 512)
    assert np.array_equal(preview.image.valid[0], valid[rows, columns])
    assert preview.image.channel_names == ("red", "nir")
