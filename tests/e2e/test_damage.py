"""What a power cut or a bad disk takes away is noticed and made again; the labels stay those of an undamaged run."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import Image, as_image
from napari_unet.core.errors import OutputError
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import Progress
from napari_unet.io import atomic
from napari_unet.io.journal import Journal

OUTPUT = "labels.ome.zarr"


@pytest.fixture
def movie(disks) -> Image:
    plane = disks[0]
    return as_image(np.stack([plane, plane[::-1], plane[:, ::-1]]), "tyx", name="cells")


@pytest.fixture
def spec(bright) -> SegmentSpec:
    return SegmentSpec.of(model=str(bright), diameter=12.0, tiling={"tile": 32, "workers": 1})


@pytest.fixture
def whole(movie, spec) -> str:
    return napari_unet.segment(movie, spec).hash


def steps(movie: Image, spec: SegmentSpec, folder: Path) -> Iterator[Progress]:
    return workflows.segment_steps(movie, spec, (), preview=False, output=folder / OUTPUT)


def stop_after(movie: Image, spec: SegmentSpec, folder: Path, count: int) -> Path:
    """Take so many steps, and return the folder of the unfinished run."""
    run = steps(movie, spec, folder)
    for _ in range(count):
        next(run)
    run.close()
    return folder / f"{OUTPUT}.unfinished"


def spoil(file: Path, how: str, rng: random.Random) -> None:
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    elif how == "empty" or not content:
        file.write_bytes(b"")
    elif how == "cut":
        file.write_bytes(content[: rng.randrange(len(content))])
    else:
        place = rng.randrange(len(content))
        file.write_bytes(content[:place] + bytes([content[place] ^ 85]) + content[place + 1 :])


def go_on(movie: Image, spec: SegmentSpec, folder: Path, whole: str) -> None:
    assert napari_unet.segment(movie, spec, output=folder / OUTPUT).hash == whole
    found = workflows.read_labels(folder / OUTPUT)
    assert found.data.max() == len(np.unique(found.data)) - 1
    assert sorted(p.name for p in folder.iterdir()) == [OUTPUT]


@pytest.mark.parametrize("kind", ["scores", "trees", "forest", "written", "begun", "plane", "zarr.json", "shard"])
@pytest.mark.parametrize("how", ["gone", "empty", "cut", "flipped"])
def test_any_part_may_be_lost(kind, how, movie, spec, whole, tmp_path):
    rng = random.Random(f"{kind} {how}")
    folder = stop_after(movie, spec, tmp_path, 48)
    files = {
        "zarr.json": lambda: sorted(folder.rglob("labels/*/0/zarr.json")),
        "shard": lambda: [f for f in sorted(folder.rglob("c/*/*/*")) if f.is_file()],
    }.get(kind, lambda: sorted((folder / kind).glob("*.part")))()
    assert files
    for file in rng.sample(files, -(-len(files) // 2)):
        spoil(file, how, rng)
    go_on(movie, spec, tmp_path, whole)


@pytest.mark.parametrize("count", [8, 60])
@pytest.mark.parametrize("place", ["", "labels", "labels/labels", "labels/labels/0"])
@pytest.mark.parametrize("how", ["gone", "empty", "cut"])
def test_what_zarr_says_of_a_group_may_be_lost(how, place, count, movie, spec, whole, tmp_path):
    folder = stop_after(movie, spec, tmp_path, count)
    spoil(folder / "labels.zarr" / place / "zarr.json", how, random.Random(count))
    go_on(movie, spec, tmp_path, whole)


@pytest.mark.parametrize("seed", range(6))
def test_anything_may_be_lost_at_once(seed, movie, spec, whole, tmp_path):
    rng = random.Random(seed)
    for count in (rng.randrange(6, 70), rng.randrange(6, 70)):
        folder = stop_after(movie, spec, tmp_path, count)
        for file in sorted(folder.rglob("*")):
            if file.is_file() and file.name not in ("lock", "manifest.json") and rng.random() < 0.3:
                spoil(file, rng.choice(("gone", "empty", "cut")), rng)
    go_on(movie, spec, tmp_path, whole)


def test_a_lost_tree_costs_its_surroundings_only(movie, spec, whole, tmp_path, monkeypatch):
    run, grown = steps(movie, spec, tmp_path), 0
    while grown < 2:  # of the twelve bricks of the first plane, so that none is finished with
        grown += next(run).note.startswith("Outlining")
    run.close()
    min((tmp_path / f"{OUTPUT}.unfinished" / "forest").glob("*.part")).unlink()
    again: list[str] = []
    put = Journal.put

    def counted(self: Journal, kind: str, key: str, **arrays: Any) -> None:
        again.append(kind)
        put(self, kind, key, **arrays)

    monkeypatch.setattr(Journal, "put", counted)
    go_on(movie, spec, tmp_path, whole)
    assert again.count("scores") < 3 * 12
    assert again.count("trees") < 3 * 12


def test_a_damaged_record_is_said(movie, spec, tmp_path):
    folder = stop_after(movie, spec, tmp_path, 20)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(OutputError, match="Remove the folder"):
        napari_unet.segment(movie, spec, output=tmp_path / OUTPUT)


@pytest.mark.parametrize("stage", range(0, 140, 20))
def test_a_full_disk_loses_nothing_at_any_moment(stage, movie, spec, whole, tmp_path, monkeypatch):
    real, left = os.fsync, [stage]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left.*[Ff]ree space"):
        napari_unet.segment(movie, spec, output=tmp_path / OUTPUT)
    monkeypatch.undo()
    assert not (tmp_path / OUTPUT).exists()
    go_on(movie, spec, tmp_path, whole)


def test_an_image_that_was_changed_meanwhile_is_refused(movie, spec, tmp_path):
    folder = stop_after(movie, spec, tmp_path, 30)
    before = {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()}
    other = movie.data.copy()
    other[1, 50, 60] += 1
    with pytest.raises(OutputError, match=r"another image, or of this one before it was changed \(sample"):
        napari_unet.segment(as_image(other, "tyx", name="cells"), spec, output=tmp_path / OUTPUT)
    longer = np.concatenate([movie.data, movie.data[:1]])
    with pytest.raises(OutputError, match=r"shape: \[3, 96, 112\] then, \[4, 96, 112\] now"):
        napari_unet.segment(as_image(longer, "tyx", name="cells"), spec, output=tmp_path / OUTPUT)
    assert {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()} == before
