"""Files of tracks are layers in napari, and go back into files."""

from __future__ import annotations

import numpy as np
from napari.layers import Layer
from npe2 import PluginManifest

from napari_unet.core.axes import Image
from napari_unet.widgets._track_files import get_reader, read, write_folder, write_geff
from napari_unet.workflows import read_tracks, relabel, track, write_tracks


def labels() -> np.ndarray:
    """A mother and two daughters."""
    made = np.zeros((4, 30, 60), np.uint8)
    made[:2, 10:20, 10:20], made[2:, 10:20, 8:13], made[2:, 10:20, 17:22] = 1, 2, 3
    return made


def test_a_layer_goes_out_and_comes_back(tmp_path):
    found = track(labels())
    write_tracks(tmp_path / "a.geff", found)
    write_tracks(tmp_path / "01_RES", found, relabel(labels(), found))
    for name, kinds in (("a.geff", ["tracks"]), ("01_RES", ["labels", "tracks"])):
        assert get_reader(str(tmp_path / name)) is read
        layers = read(str(tmp_path / name))
        assert [kind for _, _, kind in layers] == kinds
        assert [len(Layer.create(*layer).axis_labels) for layer in layers] == [3] * len(layers)
        data, meta, _ = layers[-1]
        assert data.shape == (6, 4)
        assert meta["graph"] == {2: [1], 3: [1]}
        assert write_geff(str(tmp_path / "b.geff"), data, meta) == [str(tmp_path / "b.geff")]
        back = read_tracks(tmp_path / "b.geff").tracks
        assert np.array_equal(back.edges, found.edges)
        assert back.counts == found.counts
    layers = [(labels(), {}, "labels"), read(str(tmp_path / "a.geff"))[0]]
    assert write_folder(str(tmp_path / "02_RES.ctc"), layers) == [str(tmp_path / "02_RES")]
    assert read_tracks(tmp_path / "02_RES").tracks.counts == found.counts


def test_lengths_stay_where_time_is_counted_in_frames(tmp_path):
    found = track(Image(labels(), "tyx", (1.0, 0.5, 0.5), ("pixel", "micrometer", "micrometer")))
    write_tracks(tmp_path / "a.geff", found)
    _, meta, _ = read(str(tmp_path / "a.geff"))[0]
    assert meta["units"] == ("pixel", "micrometer", "micrometer")
    assert meta["scale"] == (1.0, 0.5, 0.5)


def test_a_saved_layer_keeps_units_costs_and_what_became_one(tmp_path):
    pair = np.zeros((4, 30, 60), np.uint8)
    pair[:2, 10:20, 8:13], pair[:2, 10:20, 17:22], pair[2:, 10:20, 10:20] = 2, 3, 1
    found = track(Image(pair, "tyx", (5.0, 0.5, 0.25), ("minute", "micrometer", "micrometer")), merging=True)
    assert found.graph == {3: [1, 2]}
    write_tracks(tmp_path / "a.geff", found)
    data, meta, _ = Layer.create(*read(str(tmp_path / "a.geff"))[0]).as_layer_data_tuple()
    bare = meta | {"metadata": {}}
    for name, about, costs in (("b.geff", meta, found.costs), ("c.geff", bare, np.zeros(0))):
        write_geff(str(tmp_path / name), data, about)
        back = read_tracks(tmp_path / name).tracks
        assert (back.scale, back.units) == (found.scale, found.units)
        assert back.edges.tolist() == found.edges.tolist()
        assert np.array_equal(back.costs, costs)
    moved = data + np.array([0, 0, 1, 0])
    write_geff(str(tmp_path / "d.geff"), moved, meta)
    assert read_tracks(tmp_path / "d.geff").tracks.nodes["y"].min() == found.nodes["y"].min() + 1


def test_labels_with_several_resolutions_are_saved_with_their_tracks(tmp_path):
    write_tracks(tmp_path / "a.geff", track(labels()))
    small = labels()[:, ::2, ::2]
    layers = [([labels(), small], {"multiscale": True}, "labels"), read(str(tmp_path / "a.geff"))[0]]
    write_folder(str(tmp_path / "02_RES.ctc"), layers)
    assert read_tracks(tmp_path / "02_RES").labels.shape == labels().shape


def test_what_is_no_tracks_is_left_to_others(tmp_path):
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "a.tif")) is None


def test_the_manifest_names_them():
    manifest = PluginManifest.from_distribution("napari-unet-suite").contributions
    assert {writer.command for writer in manifest.writers} >= {
        "napari-unet-suite.write_geff",
        "napari-unet-suite.write_folder",
    }
    assert any("*.geff" in reader.filename_patterns for reader in manifest.readers)
