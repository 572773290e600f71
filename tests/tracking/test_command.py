"""The command ``track``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from napari_unet import cli, workflows
from napari_unet.core.axes import Image


@pytest.fixture
def labels(movie, tmp_path) -> Path:
    workflows.write_labels(tmp_path / "labels.npy", Image(movie().labels.astype(np.int32), "tyx"))
    return tmp_path / "labels.npy"


def run(*words: Any) -> Result:
    return CliRunner().invoke(cli.app, ["track", *map(str, words)], prog_name="napari-unet")


def test_a_table_of_tracks(labels, movie, tmp_path):
    done = run(labels, "--output", tmp_path / "tracks.csv", "--axes", "tyx", "--json")
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert facts.pop("output") == str(tmp_path / "tracks.csv")
    expected = workflows.track(movie().labels)
    assert facts == {"labels": str(labels)} | expected.counts
    table = workflows.read_table(tmp_path / "tracks.csv")
    assert all(np.array_equal(table[key], expected.nodes[key]) for key in expected.nodes)


def test_words_and_settings(labels, tmp_path):
    done = run(labels, "-o", tmp_path / "tracks.csv", "--axes", "tyx", "--no-division", "--max-gap", 0)
    assert done.exit_code == 0, done.output
    assert dict(line.split(maxsplit=1) for line in done.stdout.splitlines())["Divisions"] == "0"
    assert run(labels, "-o", tmp_path / "tracks.csv", "--axes", "tyx").exit_code == 2
    assert run(labels, "-o", tmp_path / "tracks.csv", "--axes", "tyx", "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("options", "text"), [((), "--axes"), (("--axes", "tyx", "--max-distance", "0"), "max_distance")], ids=str
)
def test_what_cannot_be_done_is_said(labels, tmp_path, options, text):
    done = run(labels, "-o", tmp_path / "tracks.csv", *options)
    assert done.exit_code == 2
    assert text in done.stderr
    assert not (tmp_path / "tracks.csv").exists()


def test_folders_are_written_filled_and_judged(tmp_path):
    labels = np.zeros((5, 24, 40), np.int32)
    labels[[0, 1, 3, 4], 5:12, 5:12], labels[:, 5:12, 22:29] = 1, 2
    truth = labels.copy()
    truth[2, 5:12, 5:12] = 1
    for name, values in (("labels", labels), ("truth", truth)):
        workflows.write_labels(tmp_path / f"{name}.npy", Image(values, "tyx"))
    assert run(tmp_path / "labels.npy", "-o", tmp_path / "RES", "--axes", "tyx", "--fill-gaps").exit_code == 0
    assert run(tmp_path / "labels.npy", "-o", tmp_path / "RES", "--axes", "tyx").exit_code == 2
    refused = run(tmp_path / "labels.npy", "-o", tmp_path / "a.csv", "--axes", "tyx", "--fill-gaps")
    assert refused.exit_code == 2
    assert "holds none" in refused.output
    words = ["evaluate", tmp_path / "truth.npy", tmp_path / "RES", "--tracks", "--axes", "tyx", "--json"]
    done = CliRunner().invoke(cli.app, [*map(str, words), "--errors", str(tmp_path / "errors.csv")])
    assert done.exit_code == 0, done.output
    scores = json.loads(done.stdout)
    assert scores["TRA"] == scores["CHOTA"] == 1
    assert scores["BC"] is None
    assert len(workflows.read_table(tmp_path / "errors.csv")["t"]) == 0
    assert run(tmp_path / "labels.npy", "-o", tmp_path / "gaps", "--axes", "tyx").exit_code == 0
    done = CliRunner().invoke(cli.app, ["evaluate", *map(str, (tmp_path / "RES", tmp_path / "gaps")), "--tracks"])
    assert done.exit_code == 0, done.output
    assert dict(line.split(maxsplit=1) for line in done.stdout.splitlines())["Errors"] == "1"


def test_a_table_of_tracks_in_physical_units(movie, tmp_path):
    made = Image(movie().labels.astype(np.uint16), "tyx", (3.0, 0.5, 0.5), ("minute", "micrometer", "micrometer"))
    workflows.write_labels(tmp_path / "labels.ome.zarr", made)
    words = (tmp_path / "labels.ome.zarr", "-o", tmp_path / "tracks.geff", "--table")
    assert run(*words, tmp_path / "tracks.geff").exit_code == 2
    assert run(*words, tmp_path / "cells.doc").exit_code == 2
    assert not (tmp_path / "tracks.geff").exists()
    done = run(*words, tmp_path / "cells.csv")
    assert done.exit_code == 0, done.output
    assert "(in micrometer and minute)" in done.stdout
    table, expected = workflows.read_table(tmp_path / "cells.csv"), workflows.summarize_tracks(workflows.track(made))
    assert all(np.array_equal(table[key], expected[key], equal_nan=True) for key in ("lifetime", "speed", "area"))
    assert table["lifetime"].max() == 3 * made.shape[0]
    assert run(*words, tmp_path / "cells.csv", "--overwrite").exit_code == 0
