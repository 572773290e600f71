"""The record of a training tells one set of images from another."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.examples import Example
from napari_unet.training import record
from napari_unet.training.record import describe_data


def told(image, labels):
    return describe_data([Example(image, labels)], [])["sha256"]


@pytest.mark.parametrize("whole", [2**20, 30])
@pytest.mark.parametrize("names", [("0/c/0/0", "zarr.json"), ("0/0.0", ".zattrs"), ("slice1.dcm", "slice2.dcm")])
def test_folders_of_other_pixels_are_other_images(monkeypatch, tmp_path, whole, names):
    monkeypatch.setattr(record, "_WHOLE", whole)
    labels = tmp_path / "labels.tif"
    labels.write_bytes(b"labels")
    for folder in ("one", "two", "same"):
        for name in names:
            file = tmp_path / folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b"many bytes of " + name.encode() + b"!" * (folder == "two") * (name == names[0]))
    one, two, same = (told(tmp_path / folder, labels) for folder in ("one", "two", "same"))
    assert one == same
    assert one != two


def test_arrays_are_hashed_part_by_part(monkeypatch):
    values = np.random.default_rng(0).integers(0, 9, (7, 6, 5), np.uint8)
    image = Image(values, "zyx")
    whole = hashlib.sha256(f"zyx {values.shape}".encode() + values.tobytes()).hexdigest()
    read = []

    class Lazy:
        shape, dtype, ndim = values.shape, values.dtype, 3

        def __getitem__(self, window):
            read.append(window[0])
            return values[window]

    monkeypatch.setattr(record, "_PART", 60)
    found = describe_data([Example(Image(Lazy(), "zyx"), image)], [])["files"]["learned from"][0]
    assert found["image"] == found["labels"] == whole
    assert len(read) == 4
