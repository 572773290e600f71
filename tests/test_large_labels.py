"""Labels too large to be loaded: every verb that reads them says the same as of small ones."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.linking import LinkSpec
from napari_unet.core.results import label_hash


@pytest.fixture(params=["a.ome.zarr", "a.npy"])
def stored(request, tmp_path, monkeypatch):
    """Return labels of two time points, loaded and not."""
    frame = np.kron(np.arange(12).reshape(3, 4), np.pad(np.ones((12, 9), int), 3))
    data = np.stack([frame, np.roll(frame, 2, axis=1)]).astype(np.int32)
    path = tmp_path / request.param
    workflows.write_labels(path, Image(data, "tyx", (1.0, 0.5, 0.5), ("second", "micrometer", "micrometer")))
    loaded = workflows.read_labels(path, "tyx")
    monkeypatch.setattr("napari_unet.io.labels.LAZY_BYTES", 10)
    lazy = workflows.read_labels(path, "tyx")
    assert isinstance(loaded.data, np.ndarray)
    assert isinstance(lazy.data, zarr.Array | np.memmap)
    return path, loaded, lazy


def test_tables(stored):
    _, loaded, lazy = stored
    image = Image(np.random.default_rng(0).random(loaded.shape), "tyx")
    expected, found = workflows.measure(loaded, image), workflows.measure(lazy, image)
    assert list(found) == list(expected)
    for name, column in expected.items():
        np.testing.assert_array_equal(found[name], column, err_msg=name)


def test_tracks(stored):
    _, loaded, lazy = stored
    expected, found = workflows.track(loaded, LinkSpec()), workflows.track(lazy, LinkSpec())
    assert found.counts == expected.counts
    assert found.counts["tracks"] == 11
    for name, column in expected.nodes.items():
        np.testing.assert_array_equal(found.nodes[name], column, err_msg=name)


def test_scores(stored, tmp_path):
    path, loaded, lazy = stored
    worse = loaded.data.copy()
    worse[worse == 3] = 0
    workflows.write_labels(tmp_path / "b.ome.zarr", Image(worse, "tyx"))
    expected = workflows.evaluate(loaded, worse)
    assert 0 < expected["AP50"] < 1
    assert workflows.evaluate(lazy, tmp_path / "b.ome.zarr") == expected
    if path.suffix == ".zarr":
        assert workflows.evaluate(path, tmp_path / "b.ome.zarr") == expected


def test_hashes_and_pictures(stored, tmp_path):
    _, loaded, lazy = stored
    assert label_hash(lazy.data) == label_hash(loaded.data)
    image = Image(np.random.default_rng(0).random(loaded.shape), "tyx")
    for name, labels in (("loaded", loaded), ("lazy", lazy)):
        workflows.write_overlay(tmp_path / f"{name}.png", image, labels)
    assert (tmp_path / "lazy.png").read_bytes() == (tmp_path / "loaded.png").read_bytes()


def test_thinned_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet.io.overlay._EDGE", 20)
    labels = np.kron(np.arange(12).reshape(3, 4), np.pad(np.ones((12, 9), int), 3)).astype(np.uint32)
    image = Image(np.random.default_rng(0).random(labels.shape), "yx")
    stored = zarr.array(labels, chunks=(16, 16))
    workflows.write_overlay(tmp_path / "a.png", image, Image(labels, "yx"))
    workflows.write_overlay(tmp_path / "b.png", image, Image(stored, "yx"))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
