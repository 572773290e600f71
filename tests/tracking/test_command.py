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
