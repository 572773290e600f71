"""Killed at any moment, the same command goes on: the same labels, byte by byte, and nothing else left."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

KILLED, STOPPED = -9, 130
OUTPUT = "labels.ome.zarr"
STAGES = [
    "measuring", "scoring", "exploring", "numbering", "writing", "written", "overviews", "publishing", "published",
    "tidying",
]  # fmt: skip


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def words(model: Path, *more: Any) -> list[Any]:
    return ["segment", "movie.npy", "-o", OUTPUT, "--axes", "tyx", "--model", model, "--tile", 192, "--json", *more]


@pytest.fixture(scope="module")
def movie() -> np.ndarray:
    """Two frames of bright dots, some of them large, wide enough for two shards."""
    rng = np.random.default_rng(0)
    frames = rng.normal(1000, 50, (2, 70, 1100))
    y, x = np.mgrid[:70, :1100]
    for frame in frames:
        for _ in range(150):
            middle, radius = rng.uniform((0, 0), (70, 1100)), rng.uniform(4, 8)
            frame[np.hypot(y - middle[0], x - middle[1]) < radius] += 3000
        frame[30:34, 100:1000] = 4000
    return frames.astype(np.uint16)


@pytest.fixture
def here(tmp_path, movie) -> Path:
    np.save(tmp_path / "movie.npy", movie)
    return tmp_path


@pytest.fixture(scope="module")
def whole(command, movie, bright, tmp_path_factory) -> tuple[str, dict[str, bytes]]:
    """Hash and files of a run that nothing stopped."""
    folder = tmp_path_factory.mktemp("whole")
    np.save(folder / "movie.npy", movie)
    status, out, err = command(folder, *words(bright))
    assert status == 0, err
    return json.loads(out)["labels_hash"], files(folder / OUTPUT)


def go_on(command, here, bright, whole) -> None:
    status, out, err = command(here, *words(bright))
    assert status == 0, err
    assert json.loads(out)["labels_hash"] == whole[0]
    assert files(here / OUTPUT) == whole[1]
    assert sorted(p.name for p in here.iterdir()) == [OUTPUT, "movie.npy"]


@pytest.mark.parametrize("stage", STAGES)
def test_killed_at_a_stage(stage, command, here, bright, whole):
    assert command(here, *words(bright), stage=stage)[0] == KILLED
    go_on(command, here, bright, whole)


def test_killed_again_and_again_at_any_moment(command, here, bright, whole):
    rng = random.Random(0)
    for _ in range(4):
        assert command(here, *words(bright), stage=rng.randrange(1, 150))[0] in (KILLED, 0)
    go_on(command, here, bright, whole)


def test_ctrl_c_says_how_to_go_on(command, here, bright, whole):
    status, out, err = command(here, *words(bright), stage="ctrl-c")
    assert status == STOPPED
    assert not out
    assert "Stopped" in err
    assert "same command again" in err
    go_on(command, here, bright, whole)
