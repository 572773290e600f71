"""Tracks go out and come back, and what is wrong with foreign ones is listed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.core.graph import assemble
from napari_unet.core.results import Tracks
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import Movie, simulate
from napari_unet.workflows import read_table, read_tracks, relabel, track, write_tracks


@pytest.fixture(scope="module")
def movie() -> Movie:
    return simulate(MovieSpec(shape=(64, 72), frames=6, count=8, diameter=13.0, cycle=5.0, seed=2))


def links(tracks: Tracks) -> set:
    nodes = tracks.nodes
    names = list(zip(*(nodes[key].round(6).tolist() for key in ("t", "y", "x")), strict=True))
    return {(names[a], names[b]) for a, b in tracks.edges.tolist()}


@pytest.mark.parametrize("name", ["tracks.csv", "tracks.geff", "tracks.xml", "folder"])
def test_nothing_is_lost(movie, tmp_path, name):
    truth = movie.tracks()
    write_tracks(tmp_path / name, truth, relabel(movie.labels, truth))
    back = read_tracks(tmp_path / name)
    assert back.problems == ()
    assert links(back.tracks) == links(truth)
    assert back.tracks.counts == truth.counts
    for key in ("t", "y", "x", "area"):
        assert np.allclose(np.sort(back.tracks.nodes[key]), np.sort(truth.nodes[key]))
    if name == "folder":
        assert np.array_equal(np.asarray(back.labels.data) > 0, np.asarray(movie.labels.data) > 0)


def test_a_table_keeps_sizes_and_units(movie, tmp_path):
    found = replace(movie.tracks(), scale=(2.5, 0.325, 0.1), units=("minute", "micrometer", "micrometer"))
    write_tracks(tmp_path / "a.csv", found)
    table = read_table(tmp_path / "a.csv")
    assert np.array_equal(table["x_micrometer"], found.nodes["x"] * 0.1)
    assert np.array_equal(table["t_minute"], found.nodes["t"] * 2.5)
    back = read_tracks(tmp_path / "a.csv").tracks
    assert (back.scale, back.units) == (found.scale, found.units)
    assert back.nodes.keys() == found.nodes.keys()
    assert all(np.array_equal(back.nodes[key], found.nodes[key]) for key in found.nodes)
    write_tracks(tmp_path / "b.csv", movie.tracks())
    assert read_table(tmp_path / "b.csv").keys() == {*found.nodes, "from"}, "as before where nothing is known"


def test_other_columns_are_no_sizes(tmp_path):
    text = "track,t,y,x,x_error,z_index,y_micrometer\n1,0,5,5,0,0,1\n1,1,5,6,0,0,7\n"
    (tmp_path / "a.csv").write_text(text)
    found = read_tracks(tmp_path / "a.csv").tracks
    assert (found.scale, found.units) == ((1, 1, 1), ("frame", "pixel", "pixel"))
    assert found.nodes["y_micrometer"].tolist() == [1, 7], "what is not in proportion is left alone"


def test_a_table_keeps_the_scale_of_an_axis_along_which_all_lies_at_0(tmp_path):
    nodes = {"track": np.array([1, 1]), "t": np.array([0, 1]), "z": np.zeros(2), "y": np.zeros(2), "x": np.arange(2.0)}
    found = assemble(nodes, "a", None).tracks
    made = replace(found, scale=(1, 2.5, 0.5, 0.5), units=("frame", *["micrometer"] * 3))
    write_tracks(tmp_path / "a.csv", made)
    assert read_table(tmp_path / "a.csv")["z_size_micrometer"].tolist() == [2.5, 2.5]
    back = read_tracks(tmp_path / "a.csv").tracks
    assert (back.axes, back.scale, back.units) == (made.axes, made.scale, made.units)
    assert not [name for name in back.nodes if "micrometer" in name]


def test_geff_keeps_costs_scale_and_units_and_is_geff(movie, tmp_path):
    found = track(np.asarray(movie.given.data))
    write_tracks(tmp_path / "a.geff", found)
    back = read_tracks(tmp_path / "a.geff").tracks
    assert all(np.array_equal(back.nodes[key], found.nodes[key]) for key in found.nodes)
    assert np.array_equal(back.edges, found.edges)
    assert np.array_equal(back.costs, found.costs)
    assert np.array_equal(back.margins, found.margins)
    assert back.scale == found.scale
    assert back.units == ("frame", "pixel", "pixel")
    facts = json.loads((tmp_path / "a.geff" / "zarr.json").read_text())["attributes"]["geff"]
    assert [axis["name"] for axis in facts["axes"]] == ["t", "y", "x"]
    assert facts["directed"] is True
    assert facts["track_node_props"] == {"tracklet": "track", "lineage": "lineage"}
    assert [(axis["unit"], axis["scaled_unit"]) for axis in facts["axes"]] == [("frame",) * 2, *[("pixel",) * 2] * 2]
    for name, facts_of in facts["node_props_metadata"].items():
        inside = json.loads((tmp_path / "a.geff" / "nodes" / "props" / name / "values" / "zarr.json").read_text())
        assert inside["data_type"] == facts_of["dtype"]


def test_geff_says_that_places_are_in_pixels_and_what_a_pixel_is(movie, tmp_path):
    labels = Image(np.asarray(movie.given.data), "tyx", (3.0, 0.5, 0.5), ("minute", "micrometer", "micrometer"))
    found = track(labels)
    write_tracks(tmp_path / "a.geff", found)
    axes = json.loads((tmp_path / "a.geff" / "zarr.json").read_text())["attributes"]["geff"]["axes"]
    said = [[axis[key] for key in ("name", "unit", "scale", "scaled_unit")] for axis in axes]
    assert said == [["t", "frame", 3, "minute"], *[[a, "pixel", 0.5, "micrometer"] for a in "yx"]]
    assert axes[2]["max"] == found.nodes["x"].max()
    back = read_tracks(tmp_path / "a.geff").tracks
    assert (back.scale, back.units) == (found.scale, found.units)
    assert np.array_equal(back.nodes["x"], found.nodes["x"])


def test_geff_of_others_with_times_in_seconds_and_edges_in_any_direction(tmp_path):
    root = zarr.open_group(tmp_path / "a.geff", mode="w", zarr_format=3)
    axes = [{"name": "time", "type": "time", "unit": "second"}, {"name": "y", "type": "space"}]
    axes.append({"name": "x", "type": "space", "unit": "pixel", "scale": 0.5, "scaled_unit": "micrometer"})
    root.attrs["geff"] = {"geff_version": "1.1.0", "directed": False, "axes": axes}
    root.create_array("nodes/ids", data=np.array([7, 8, 9, 10], np.uint64))
    for name, values in (("time", [30.0, 60.0, 120.0, 120.0]), ("y", [1.0, 2, 3, 4]), ("x", [5.0, 6, 7, 8])):
        root.create_array(f"nodes/props/{name}/values", data=np.array(values))
    root.create_array("edges/ids", data=np.array([[8, 7], [9, 8], [9, 10]], np.uint64))
    read = read_tracks(tmp_path / "a.geff")
    assert read.tracks.nodes["t"].tolist() == [1, 2, 4, 4]
    assert read.tracks.edges.tolist() == [[0, 1], [1, 2]]
    assert read.tracks.scale == (30, 1, 0.5)
    assert read.tracks.units == ("second", "pixel", "micrometer")
    assert read.problems == ("1 edges lie within one frame: left out.",)


def test_nodes_of_which_something_is_missing(tmp_path):
    root = zarr.open_group(tmp_path / "a.geff", mode="w", zarr_format=3)
    root.attrs["geff"] = {"geff_version": "1.1.0", "directed": True, "axes": [{"name": a} for a in "tyx"]}
    root.create_array("nodes/ids", data=np.array([3, 4, 5], np.uint64))
    for name in ("t", "y", "x", "seg_id"):
        root.create_array(f"nodes/props/{name}/values", data=np.array([0, 1, 2]))
    root.create_array("nodes/props/seg_id/missing", data=np.array([False, True, False]))
    root.create_array("edges/ids", data=np.array([[3, 4], [4, 5]], np.uint64))
    read = read_tracks(tmp_path / "a.geff")
    assert read.tracks.nodes["label"].tolist() == [3, 4, 5]
    assert read.tracks.edges.tolist() == [[0, 1], [1, 2]]
    assert read.problems == ("Some nodes have no label: labels are not known.",)
    root["nodes/props/t"].create_array("missing", data=np.array([False, False, True]))
    with pytest.raises(ImageError, match="no place of 1 of its nodes"):
        read_tracks(tmp_path / "a.geff")


def test_times_at_uneven_steps_are_numbered(tmp_path):
    root = zarr.open_group(tmp_path / "a.geff", mode="w", zarr_format=3)
    axes = [{"name": "t", "type": "time", "unit": "second"}, {"name": "y"}, {"name": "x"}]
    root.attrs["geff"] = {"geff_version": "1.1.0", "directed": True, "axes": axes}
    root.create_array("nodes/ids", data=np.arange(4, dtype=np.uint64))
    for name, values in (("t", [0.0, 0.2, 0.5, 0.9]), ("y", [1.0, 2, 3, 4]), ("x", [5.0, 6, 7, 8])):
        root.create_array(f"nodes/props/{name}/values", data=np.array(values))
    root.create_array("edges/ids", data=np.array([[0, 1], [1, 2], [2, 3]], np.uint64))
    (tmp_path / "b.csv").write_text("track,time,y,x\n1,0.0,1,5\n1,0.2,2,6\n1,0.5,3,7\n1,0.9,4,8\n")
    for name, step in (("a.geff", 0.3), ("b.csv", 1)):
        read = read_tracks(tmp_path / name)
        assert read.tracks.nodes["t"].tolist() == [0, 1, 2, 3]
        assert len(read.tracks.edges) == 3
        assert read.tracks.scale[0] == pytest.approx(step)
        assert "unevenly" in read.problems[0]


def test_a_gap_keeps_its_track_in_a_folder_that_the_challenge_takes(tmp_path):
    from ctc_metrics.scripts.validate import validate_sequence

    labels = np.zeros((6, 30, 70), np.uint8)
    labels[[0, 1, 3], 5:15, 10:50] = 1
    labels[4:, 5:15, 10:29], labels[4:, 5:15, 31:50], labels[:, 20:27, 58:65] = 2, 3, 4
    found = track(labels)
    assert found.counts == {"objects": 13, "tracks": 4, "lineages": 2, "divisions": 1}
    write_tracks(tmp_path / "one", found, relabel(labels, found))
    assert (tmp_path / "one" / "res_track.txt").read_text() == "1 0 1 0\n2 0 5 0\n3 4 5 5\n4 4 5 5\n5 3 3 1\n"
    assert validate_sequence(str(tmp_path / "one"), threads=1) == {"Valid": 1}
    back = read_tracks(tmp_path / "one")
    assert back.problems == ()
    assert links(back.tracks) == links(found)
    assert back.tracks.counts == found.counts
    write_tracks(tmp_path / "filled", found, relabel(labels, found, fill_gaps=True))
    assert (tmp_path / "filled" / "res_track.txt").read_text() == "1 0 3 0\n2 0 5 0\n3 4 5 1\n4 4 5 1\n"


def test_masks_that_are_not_numbered_by_track_are_refused(tmp_path):
    labels = np.zeros((2, 20, 20), np.uint8)
    labels[:, 5:11, 5:11] = 7
    with pytest.raises(OutputError, match="numbered by track"):
        write_tracks(tmp_path / "one", track(labels), labels)
    found = track(labels)
    with pytest.raises(OutputError, match="only 0 have a mask"):
        write_tracks(tmp_path / "one", found, relabel(np.where(labels > 0, 8, 0), found))
    assert list(tmp_path.iterdir()) == []


def test_the_text_of_a_folder_speaks_of_the_masks_that_were_filled_in(tmp_path):
    labels = np.zeros((5, 30, 70), np.uint8)
    labels[:2, 10:20, 10:50] = 1
    labels[2:, 10:20, 10:29], labels[3:, 10:20, 31:50] = 2, 3  # the second daughter is missing in frame 2
    found = track(labels)
    write_tracks(tmp_path / "one", found, relabel(labels, found, fill_gaps=True))
    assert (tmp_path / "one" / "res_track.txt").read_text() == "1 0 1 0\n2 2 4 1\n3 2 4 1\n"
    assert read_tracks(tmp_path / "one").problems == ()


def test_what_is_wrong_with_a_folder_is_listed(movie, tmp_path):
    truth = movie.tracks()
    place = tmp_path / "bad"
    write_tracks(place, truth, relabel(movie.labels, truth))
    text = (place / "res_track.txt").read_text().splitlines()
    name, first, last, parent = text[0].split()
    text[0] = f"{name} {first} {int(last) + 40} {parent}"
    (place / "res_track.txt").write_text("\n".join([*text, "not a line", text[1], "99 0 3 0", "98 1 x 0"]))
    (place / "mask004.tif").unlink()
    tifffile.imwrite(place / "notes.tif", np.zeros((4, 4), np.uint8))
    read = read_tracks(place)
    said = "\n".join(read.problems)
    for words in (
        "no mask of frame 4",
        "notes.tif",
        "not four whole numbers",
        "second time",
        "Track 99",
        "as the text",
    ):
        assert words in said
    assert read.labels.shape == movie.labels.shape
    assert not np.asarray(read.labels.data[4]).any()


def test_what_cannot_be_read_or_written(movie, tmp_path):
    truth = movie.tracks()
    with pytest.raises(OutputError, match=r"\.csv, \.geff"):
        write_tracks(tmp_path / "a.doc", truth)
    with pytest.raises(OutputError, match="masks"):
        write_tracks(tmp_path / "folder", truth)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no masks"):
        read_tracks(tmp_path / "empty")
    with pytest.raises(OutputError, match="exists"):
        write_tracks(tmp_path / "empty", truth, movie.labels)
    with pytest.raises(ImageError, match="GEFF"):
        read_tracks(tmp_path / "none.geff")
    for t, shape in enumerate([(8, 8), (8, 9)]):
        tifffile.imwrite(tmp_path / "empty" / f"mask00{t}.tif", np.ones(shape, np.uint16))
    with pytest.raises(ImageError, match="one size"):
        read_tracks(tmp_path / "empty")


def test_tables_of_other_programs(tmp_path):
    (tmp_path / "a.csv").write_text(
        "TRACK_ID,FRAME,Y,X,parent\n1,0,5,5,0\n1,1,5,6,0\n2,2,4,6,1\n3,2,6,6,1\n4,2,1,1,9\n"
    )
    read = read_tracks(tmp_path / "a.csv")
    assert read.tracks.counts == {"objects": 5, "tracks": 4, "lineages": 2, "divisions": 1}
    assert "not there" in read.problems[0]
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ImageError, match="no column track"):
        read_tracks(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("text", "times", "said"),
    [
        ("track,frame,time,y,x\n1,0,0.0,5,5\n1,1,2.5,5,6\n1,2,5.0,5,7\n", [0, 1, 2], ""),
        ("track,time,frame,y,x\n1,0,0,5,5\n1,300,1,5,6\n1,600,2,5,7\n", [0, 1, 2], ""),
        ("track,t,y,x\n1,5.0,5,5\n1,7.5,5,6\n1,10.0,5,7\n", [2, 3, 4], "Times are counted in frames of 2.5."),
        ("track,t,y,x\n1,0,5,5\n1,300,5,6\n1,600,5,7\n", [0, 300, 600], "No two frames follow each other"),
        ("track,t,y,x\n1,0,5,5\n1,,5,6\n1,1,5,7\n,2,5,7\n1,2,,5\n1,2,5,8\n", [0, 1, 2], "3 rows have no track"),
        ("track,t,y,x,label\n1,0,5,5,1\n1,1,5,5,\n", [0, 1], "labels are not known"),
    ],
)
def test_times_and_holes_in_tables(tmp_path, text, times, said):
    (tmp_path / "a.csv").write_text(text)
    read = read_tracks(tmp_path / "a.csv")
    assert read.tracks.nodes["t"].tolist() == times
    assert len(read.tracks.edges) == len(times) - 1
    assert said in "".join(read.problems)
    assert bool(read.problems) == bool(said)


def test_text_where_numbers_belong_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("track,t,y,x\ncell 1,0,5,5\n")
    with pytest.raises(ImageError, match=r"'track' .* holds text, such as 'cell 1'"):
        read_tracks(tmp_path / "a.csv")
