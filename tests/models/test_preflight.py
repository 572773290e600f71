"""What a run will take: near to what it takes, and refused where there is clearly no room."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import Image, as_image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.core.preflight import Room, foretell, size_words, time_words
from napari_unet.core.specs import SegmentSpec
from napari_unet.io.sizes import folder_size, free_space, labels_size
from napari_unet.models import _foretold, preflight
from napari_unet.tiling.care import Care

from ..commands import run


@pytest.fixture
def field(disks) -> Image:
    """Many disks, 960 x 1120 pixels."""
    return as_image(np.tile(disks[0], (10, 10)), "yx", name="cells")


@pytest.fixture
def spec(bright) -> SegmentSpec:
    return SegmentSpec.of(model=str(bright), diameter=12.0, tiling={"tile": 128, "workers": 2})


def slow(monkeypatch: pytest.MonkeyPatch, speed: float = 0.001) -> None:
    """Let every run look like a long one, or a quick one, however busy the machine is."""
    monkeypatch.setattr(Care, "speed", property(lambda self: speed if self.pixels else 0.0))
    monkeypatch.setattr(Care, "seconds", property(lambda self: 60.0))


def test_words():
    assert [size_words(n) for n in (7, 2_000, 3_456_789, 1e9, 2.5e13)] == [
        "7 bytes",
        "2 kB",
        "3.46 MB",
        "1 GB",
        "25 TB",
    ]
    times = {5: "5 s", 90: "2 min", 3600: "1 h", 5400: "1 h 30 min", 3 * 86400: "3 days", 90 * 3600: "3 days 18 h"}
    assert {n: time_words(n) for n in times} == times
    assert foretell(120, 2.5, None) == "All of it takes about 2 min (2.5 Mpx/s)."
    assert foretell(120, 2.5, Room(2000, 10**6)).endswith(", and about 2 kB (1 MB free) of the disk.")
    assert (Room(100, 60).short, Room(100, 80).short, Room(100, 80).tight, Room(100, 200).tight) == (1, 0, 1, 0)
    assert not Room(100).short | Room(100).tight


def test_a_file_that_is_gone_meanwhile_has_no_size(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_bytes(b"12345")
    (tmp_path / "in" / "b").symlink_to(tmp_path / "gone")  # listed, and not there
    assert folder_size(tmp_path) == 5
    assert folder_size(tmp_path / "nowhere") == 0


def test_it_is_near_to_what_the_run_takes(field, spec, tmp_path):
    output = tmp_path / "a.ome.zarr"
    found = workflows.preflight(field, spec, output)
    assert list(tmp_path.iterdir()) == []
    assert (found.pixels, found.tiles, found.left, found.diameter) == (960 * 1120, 72, 1.0, 12.0)
    assert found.seconds > 0
    assert found.speed == pytest.approx(found.pixels / 1e6 / found.seconds, rel=0.2)
    largest = 0
    for _ in workflows.segment_steps(field, spec, (), preview=False, output=output):
        largest = max(largest, folder_size(tmp_path))
    assert 0.5 < found.disk.needed / largest < 4  # what is there at once depends on who is faster
    assert 0.5 < found.labels / folder_size(output) < 2
    assert found.disk.free == pytest.approx(free_space(tmp_path), rel=0.1)
    assert found.memory.needed < 2**30
    assert found.device_memory is None


def test_an_unfinished_run_has_less_left(field, spec, tmp_path):
    output = tmp_path / "a.ome.zarr"
    steps = workflows.segment_steps(field, spec, (), preview=False, output=output)
    for _ in range(60):
        next(steps)
    steps.close()
    before = {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")}
    found = workflows.preflight(field, spec, output)
    assert 0.2 < found.left < 0.95
    assert "Done already" in found.rows
    assert {f: f.stat().st_mtime_ns for f in tmp_path.rglob("*")} == before
    assert workflows.preflight(field, spec.model_copy(update={"min_size": 3.0}), output).left == 1.0


def test_a_disk_that_is_clearly_too_small_is_refused(field, spec, tmp_path, monkeypatch):
    for module in (_foretold, preflight):
        monkeypatch.setattr(module, "free_space", lambda place: 10_000)
    for name in ("a.zarr", "a.tif"):
        with pytest.raises(OutputError, match=r"too small: about .* are needed, and 10 kB are free"):
            workflows.preflight(field, spec, tmp_path / name)
    slow(monkeypatch)
    with pytest.raises(OutputError, match=r"10 kB are free.*What is done already stays"):
        napari_unet.segment(field, spec, output=tmp_path / "a.zarr")
    assert workflows.is_unfinished(tmp_path / "a.zarr")
    monkeypatch.undo()
    assert napari_unet.segment(field, spec, output=tmp_path / "a.zarr").objects > 0


def test_a_disk_that_is_tight_is_warned_of(field, spec, tmp_path, monkeypatch):
    needed = workflows.preflight(field, spec, tmp_path / "a.zarr").disk.needed
    monkeypatch.setattr(_foretold, "free_space", lambda place: needed)
    assert "disk may become full" in " ".join(workflows.preflight(field, spec, tmp_path / "a.zarr").warnings)


def test_labels_that_memory_cannot_hold_are_refused(field, spec, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "free_memory", lambda: 1_000_000)
    with pytest.raises(ImageError, match=r"Write the labels as \.ome\.zarr"):
        workflows.preflight(field, spec, tmp_path / "a.tif")
    assert "Memory may be short" in workflows.preflight(field, spec, tmp_path / "a.zarr").warnings[0]


def test_several_planes_and_a_region(disks, bright, tmp_path):
    movie = as_image(np.stack([disks[0]] * 3), "tyx", name="cells")
    spec = SegmentSpec.of(model=str(bright), diameter=12.0, tiling={"tile": 32})
    assert workflows.preflight(movie, spec).tiles == 36
    part = SegmentSpec.of(model=str(bright), diameter=12.0, tiling={"tile": 32}, region=[[[0, 0], [20, 0], [20, 20]]])
    assert workflows.preflight(movie, part).tiles == 3


def test_labels_are_packed_as_in_a_file(tmp_path):
    labels = np.kron(np.arange(1, 257).reshape(16, 16), np.ones((64, 64), int)).astype(np.int32)
    for suffix in (".zarr", ".tif", ".npy"):
        file = tmp_path / f"a{suffix}"
        workflows.write_labels(file, as_image(labels, "yx"))
        size = folder_size(file) if file.is_dir() else file.stat().st_size
        assert 0.5 < labels_size(labels, suffix) / size < 1.5


# What is said when a run begins, and the command


@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
def test_a_long_run_is_announced_once(name, field, spec, tmp_path, monkeypatch):
    said: list[str] = []
    slow(monkeypatch, 1000.0)
    napari_unet.segment(field, spec, output=tmp_path / name, show=lambda step: said.append(step.news))
    assert set(said) == {""}
    slow(monkeypatch)
    napari_unet.segment(field, spec, output=tmp_path / f"b{name}", show=lambda step: said.append(step.news))
    lines = [line for line in said if line]
    assert len(lines) == 1
    assert lines[0].startswith("All of it takes about 1")
    assert ("of the disk" in lines[0]) == (name == "a.zarr")


@pytest.fixture
def file(field, tmp_path) -> Path:
    tifffile.imwrite(tmp_path / "cells.tif", field.data)
    return tmp_path / "cells.tif"


def test_the_command_only_says_what_it_would_take(file, bright, tmp_path):
    words = ("segment", file, "-o", tmp_path / "a.ome.zarr", "--model", bright, "--tile", 128, "--dry-run")
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "Pixels", "Object", "Device", "Time", "Memory", "Disk", "Labels",
    ]  # fmt: skip
    found = json.loads(run(*words, "--json").stdout)
    assert found["pixels"] == 960 * 1120
    assert found["disk"]["needed"] > 0
    assert [p.name for p in tmp_path.iterdir()] == ["cells.tif"]


def test_the_command_announces_a_long_run(file, bright, tmp_path, monkeypatch):
    slow(monkeypatch)
    done = run(
        "segment", file, "-o", tmp_path / "a.ome.zarr", "--model", bright, "--tile", 128, "--diameter", 12, "--json"
    )
    assert done.exit_code == 0
    assert json.loads(done.stdout)["objects"] > 0
    assert "All of it takes about" in done.stderr
