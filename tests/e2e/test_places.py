"""Where a result goes: on a disk that is full or read-only, in the image, or where another program writes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import napari_unet
from napari_unet import workflows
from napari_unet.core.errors import OutputError
from napari_unet.core.specs import SegmentSpec
from napari_unet.io.journal import Journal

OUTPUT = "labels.ome.zarr"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kB; a test that asks for it is skipped where none can be made."""
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None or not _mount("-t", "tmpfs", "-o", "size=200k", "tmpfs", str(place)):
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def _mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def noise(tmp_path) -> Path:
    """An image of many small dots: labels of it are hard to pack."""
    rng = np.random.default_rng(0)
    values = rng.normal(1000, 50, (130, 1100))
    values[2::9, 2::9] += 9000
    np.save(tmp_path / "cells.npy", np.stack([values, values[::-1]]).astype(np.uint16))
    return tmp_path / "cells.npy"


def words(image: Path, output: Path, model: Path) -> list[str]:
    return ["segment", str(image), "-o", str(output), "--axes", "tyx", "--model", str(model), "--tile", "192",
            "--diameter", "6", "--min-size", "1", "--json"]  # fmt: skip


def test_a_disk_that_fills_up(command, small_disk, noise, bright, tmp_path):
    status, out, err = command(tmp_path, *words(noise, small_disk / OUTPUT, bright))
    assert (status, out) == (2, "")
    assert "No space left" in err
    assert "free space" in err.replace("\n", " ")
    assert not (small_disk / OUTPUT).exists()
    assert workflows.is_unfinished(small_disk / OUTPUT)
    assert _mount("-o", "remount,size=20m", str(small_disk))
    status, out, err = command(tmp_path, *words(noise, small_disk / OUTPUT, bright))
    assert status == 0, err
    assert "unfinished run" in err
    assert [p.name for p in small_disk.iterdir()] == [OUTPUT]
    status, expected, err = command(tmp_path, *words(noise, tmp_path / OUTPUT, bright))
    assert json.loads(out)["labels_hash"] == json.loads(expected)["labels_hash"]


def test_a_read_only_disk(command, small_disk, noise, bright, tmp_path):
    assert _mount("-o", "remount,ro", str(small_disk))
    status, out, err = command(tmp_path, *words(noise, small_disk / OUTPUT, bright))
    assert (status, out) == (2, "")
    assert "Read-only" in err
    with pytest.raises(OutputError, match="Read-only"):
        napari_unet.segment(workflows.read_image(noise), model=str(bright), output=small_disk / OUTPUT)


def test_two_programs_and_one_result(command, noise, bright, tmp_path):
    with Journal(tmp_path / f"{OUTPUT}.unfinished") as other:
        status, out, err = command(tmp_path, *words(noise, tmp_path / OUTPUT, bright))
        assert (status, out) == (2, "")
        assert "Another program is writing" in err.replace("\n", " ")
        other.put("scores", "0", a=np.ones(3))
    assert command(tmp_path, *words(noise, tmp_path / OUTPUT, bright))[0] == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.npy", OUTPUT]


@pytest.mark.parametrize(
    "place", ["image.zarr/labels.zarr", "image.zarr/labels/mine.zarr", "image.zarr/more/cells.tif"]
)
def test_a_result_inside_of_the_image(place, noise, bright, tmp_path):
    workflows.write_image(tmp_path / "image.zarr", workflows.read_image(noise, "tyx"))
    (tmp_path / place).parent.mkdir(exist_ok=True, parents=True)
    image = workflows.read_image(tmp_path / "image.zarr")
    before = sorted(tmp_path.rglob("*"))
    for check in (workflows.check_place, lambda p, i: napari_unet.segment(i, model=str(bright), output=p)):
        with pytest.raises(OutputError, match="inside of the image"):
            check(tmp_path / place, image)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_image_inside_of_the_result(noise, bright, tmp_path):
    (tmp_path / "old.zarr").mkdir()
    workflows.write_image(tmp_path / "old.zarr" / "image.zarr", workflows.read_image(noise, "tyx"))
    image = workflows.read_image(tmp_path / "old.zarr" / "image.zarr")
    with pytest.raises(OutputError, match="lies inside of"):
        napari_unet.segment(image, model=str(bright), output=tmp_path / "old.zarr", overwrite=True)
    image = workflows.read_image(tmp_path / "old.zarr" / "image.zarr")
    with pytest.raises(OutputError, match="image itself"):
        workflows.check_place(tmp_path / "old.zarr" / "image.zarr", image, overwrite=True)
    assert image.data.shape == (2, 130, 1100)


def test_an_unfinished_run_is_announced(noise, bright, tmp_path):
    image = workflows.read_image(noise, "tyx")
    assert workflows.check_place(tmp_path / OUTPUT, image) == ""
    steps = workflows.segment_steps(
        image, SegmentSpec.of(model=str(bright), diameter=6.0), (), output=tmp_path / OUTPUT
    )
    for _ in range(8):
        next(steps)
    steps.close()
    note = workflows.check_place(tmp_path / OUTPUT, image)
    assert "unfinished run" in note
    assert "2 x 130 x 1100 pixels" in note
