"""Corrections that were written down are there again, beside the labels they belong to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_unet import workflows
from napari_unet.core.errors import OutputError


def movie():
    labels = np.zeros((3, 40, 40), np.int32)
    for t in range(3):
        labels[t, 5:13, 5 + t : 13 + t] = 1
        labels[t, 25:33, 25 - t : 33 - t] = 2
    return labels


def test_corrections_outlive_the_program(tmp_path):
    tracks = workflows.track(movie())
    (tmp_path / "cells.tif").write_bytes(b"")
    place = workflows.place_corrections(tracks, tmp_path / "cells.tif")
    assert place.parent == tmp_path
    assert place.name.startswith("cells.tif.tracks-")
    edits, news = workflows.correct(tracks, place)
    assert news == ""
    edits.do("swap", (1, 1), (1, 2))
    edits.do("split", (2, 1))
    edits.undo()
    again, news = workflows.correct(workflows.track(movie()), place)
    assert news == "1 corrections of before are there again."
    assert again.undone == ["split cell 1 of frame 2"]
    assert np.array_equal(again.tracks().edges, edits.tracks().edges)
    assert not np.array_equal(again.tracks().edges, tracks.edges)
    again.redo()
    assert len(workflows.correct(tracks, place)[0].done) == 2


def test_other_tracks_have_another_file(tmp_path):
    (tmp_path / "cells.tif").write_bytes(b"")
    places = {
        workflows.place_corrections(workflows.track(labels), tmp_path / "cells.tif")
        for labels in (movie(), movie()[:2], movie())
    }
    assert len(places) == 2


def test_corrections_of_other_tracks_of_the_same_labels_are_told(tmp_path):
    (tmp_path / "cells.tif").write_bytes(b"")
    tracks, others = workflows.track(movie()), workflows.track(movie()[:2])
    place, other = (workflows.place_corrections(found, tmp_path / "cells.tif") for found in (tracks, others))
    workflows.correct(tracks, place)[0].do("split", (1, 1))
    assert str(place) in workflows.correct(others, other)[1]
    assert str(other) not in workflows.correct(tracks, place)[1]


def test_the_same_tracks_corrected_twice_at_a_time_keep_both(tmp_path):
    (tmp_path / "cells.tif").write_bytes(b"")
    tracks = workflows.track(movie())
    place = workflows.place_corrections(tracks, tmp_path / "cells.tif")
    one, other = (workflows.correct(tracks, place)[0] for _ in range(2))
    one.do("swap", (1, 1), (1, 2))
    with pytest.raises(OutputError, match="another window or layer"):
        other.do("split", (1, 1))
    one.undo()
    other.do("split", (2, 2))
    assert one.place == place
    again, news = workflows.correct(tracks, place)
    assert again.undone == ["swap cell 1 of frame 1, cell 2 of frame 1"]
    assert f"Other corrections of the same tracks, made at the same time, are kept in '{other.place}'." in news
    assert workflows.correct(tracks, other.place)[0].done == ["split cell 1 of frame 1", "split cell 2 of frame 2"]


def test_labels_without_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet.io.choosing.data_folder", lambda: tmp_path)
    tracks = workflows.track(movie())
    for source in (None, tmp_path / "gone.tif", "https://somewhere/cells.zarr"):
        assert workflows.place_corrections(tracks, source).parent == tmp_path / "corrections"
    edits, _ = workflows.correct(tracks)
    edits.do("split", (1, 1))
    assert list(tmp_path.iterdir()) == []


def test_corrections_that_do_not_fit_are_told_and_left_alone(tmp_path: Path):
    tracks = workflows.track(movie())
    place = tmp_path / "a.jsonl"
    workflows.correct(tracks, place)[0].do("split", (1, 1))
    with place.open("a") as file:
        file.write(json.dumps({"do": "split", "cells": [[1, 77]]}) + "\n")
    before = place.read_bytes()
    with pytest.raises(OutputError, match=r"1 of 2 corrections.*cell 77 of frame 1"):
        workflows.correct(tracks, place)
    assert place.read_bytes() == before
