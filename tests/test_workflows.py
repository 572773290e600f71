"""The verbs: one answer however it was computed, bad input in words, and nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import Image, as_image
from napari_unet.core.errors import (
    AxesError,
    ConflictError,
    ImageError,
    MissingExtraError,
    ModelError,
    OutputError,
    RegistryError,
    SpecError,
    TrainingDataError,
    UNetError,
)
from napari_unet.core.results import Epoch, label_hash
from napari_unet.core.specs import SegmentSpec, TilingSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.workflows import evaluate, segment, segment_steps


@pytest.fixture(scope="module")
def spec(bright):
    return SegmentSpec(model=str(bright), diameter=12.0, device="cpu")


@pytest.fixture(scope="module")
def found(disks, spec):
    return segment(disks[0], spec)


def jobs() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("napari-unet")]


# One answer


def test_objects_are_found_and_the_record_is_complete(found, disks):
    assert found.objects == 42
    assert evaluate(disks[1], found.labels)["AP50"] == 1
    assert set(np.unique(found.labels.data)) == set(range(43))
    assert found.manifest["labels_hash"] == found.hash == label_hash(found.labels.data)
    assert found.manifest["model"] == "bright"
    assert len(found.manifest["sha256"]) == 64
    assert json.loads(json.dumps(found.manifest)) == found.manifest
    # Ids are in the order of first pixels.
    assert list(dict.fromkeys(found.labels.data[found.labels.data > 0].tolist())) == list(range(1, 43))


def test_steps_with_preview_and_table_have_the_same_hash(found, disks, spec):
    shown = []
    stepped = finish(segment_steps(disks[0], spec), shown.append)
    assert stepped.hash == found.hash
    assert shown[-2].done == shown[-2].total > 0
    pieces = [progress.payload for progress in shown if progress.payload is not None]
    assert np.array_equal(pieces[-1].labels, stepped.labels.data[pieces[-1].index])
    assert stepped.table["index"].tolist() == list(range(1, 43))
    assert segment(disks[0], spec, measures=("objects",)).table.keys() == stepped.table.keys()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tile=st.integers(8, 130), batch=st.integers(1, 5), workers=st.integers(1, 4))
def test_cutting_does_not_change_the_labels(found, disks, spec, tile, batch, workers):
    tiling = TilingSpec(tile=tile, batch=batch, workers=workers)
    assert segment(disks[0], spec, tiling=tiling).hash == found.hash


@pytest.mark.parametrize("diameter", [7.3, 20.0, None])
def test_nor_where_the_image_is_resampled(disks, spec, diameter):
    hashes = {
        segment(disks[0], spec, diameter=diameter, tiling=TilingSpec(tile=tile, batch=batch, workers=workers)).hash
        for tile, batch, workers in [(512, 1, 1), (32, 1, 2), (48, 3, 2)]
    }
    assert len(hashes) == 1


def test_the_measured_size_given_by_hand_changes_nothing(disks, spec):
    first = segment(disks[0], spec, diameter=None)
    assert segment(disks[0], spec, diameter=first.diameter).hash == first.hash


def test_nor_does_where_the_pixels_lie(found, disks, spec, tmp_path):
    image = disks[0]
    np.save(tmp_path / "disks.npy", image)
    store = zarr.create_array(tmp_path / "disks.zarr", data=image, chunks=(40, 25))
    for data in (da.from_array(image, chunks=(33, 50)), store, np.asfortranarray(image), image.astype(">u2")):
        assert segment(data, spec).hash == found.hash
    for name in ("disks.npy", "disks.zarr"):
        assert segment(workflows.read_image(tmp_path / name), spec).hash == found.hash


def test_nor_whether_it_is_given_as_a_path(found, disks, spec, tmp_path):
    workflows.write_image(tmp_path / "disks.tif", as_image(disks[0]))
    for path in (tmp_path / "disks.tif", str(tmp_path / "disks.tif")):
        assert segment(path, spec).hash == found.hash
    with pytest.raises(ImageError, match=r"nowhere\.tif"):
        segment(tmp_path / "nowhere.tif", spec)


@pytest.mark.parametrize("kind", [str, Path])
def test_measures_and_tracks_take_paths_too(tmp_path, kind):
    labels = np.zeros((3, 24, 24), np.int32)
    labels[:, 4:12, 4:12], labels[:, 14:20, 14:20] = 1, 2
    scene = Image(labels, "tyx", (1.0, 0.5, 0.5), ("second", "micrometer", "micrometer"))
    workflows.write_labels(tmp_path / "labels.tif", scene)
    workflows.write_image(tmp_path / "image.tif", replace(scene, data=labels * np.float32(2)))
    one, other = kind(tmp_path / "labels.tif"), kind(tmp_path / "image.tif")
    table = workflows.measure(one, other)
    assert table["area"].tolist() == [16.0, 9.0] * 3
    assert table["intensity_mean"].tolist() == [2.0, 4.0] * 3
    tracks = workflows.track(one, image=other)
    assert tracks.counts["tracks"] == 2
    assert workflows.relabel(one, tracks).shape == labels.shape
    stack = tmp_path / "stack.tif"
    workflows.write_labels(stack, Image(labels, "zyx", (1.0,) * 3, ("millimeter",) * 3))
    found = workflows.measure_lesions(kind(stack), organ=kind(stack))
    assert found.table["volume_ml"].tolist() == [0.192, 0.108]
    workflows.report_lesions(tmp_path / "report.html", found, kind(stack))
    with pytest.raises(ImageError, match=r"is the name of a file.*read_labels"):
        as_image(one)


def test_labels_may_be_written_as_plain_arrays(tmp_path):
    labels = np.eye(8, dtype=np.int64)
    workflows.write_labels(tmp_path / "a.tif", labels)
    assert workflows.read_labels(tmp_path / "a.tif").data.tolist() == labels.tolist()


def test_a_stack_has_objects_in_depth_and_is_measured_so(disks, spec):
    image = disks[0]
    stack = Image(np.stack([0 * image, image, image, 0 * image, image]), "zyx", (2.0, 0.5, 0.5), ("micrometer",) * 3)
    found = segment(stack, spec, stack="planes", measures=("objects",))
    apart = segment(stack, spec, link_z=0, measures=("objects",))
    plane = apart.labels.data[1]
    assert (plane.max(), apart.objects, found.objects) == (42, 126, 84)
    none = np.zeros_like(plane)
    np.testing.assert_array_equal(apart.labels.data[4], plane + 84 * (plane > 0))
    np.testing.assert_array_equal(found.labels.data, [none, plane, plane, none, plane + 42 * (plane > 0)])
    areas, table = np.bincount(plane.ravel())[1:], found.table
    assert table["index"].tolist() == list(range(1, 85))
    assert table["volume_px"].tolist() == [*(2 * areas), *areas]
    np.testing.assert_allclose(table["volume"], table["volume_px"] * 0.5)
    np.testing.assert_allclose(table["centroid_z"], [3.0] * 42 + [8.0] * 42)
    assert apart.table["volume_px"].tolist() == [*areas] * 3
    # Another setting is another record.
    assert (found.manifest["settings"]["link_z"], apart.manifest["settings"]["link_z"]) == (SegmentSpec().link_z, 0)


def test_nor_does_the_order_of_axes(disks, spec):
    image = disks[0]
    movie = np.stack([image, image[::-1], np.zeros_like(image)])
    expected = segment(Image(movie, "tyx"), spec).labels
    assert expected.data.max() == 84
    turned = segment(Image(movie.transpose(1, 2, 0), "yxt"), spec).labels
    assert turned.axes == "yxt"
    np.testing.assert_array_equal(turned.data.transpose(2, 0, 1), expected.data)
    straight = segment(Image(movie.transpose(1, 0, 2), "ytx"), spec, tiling=TilingSpec(tile=32, workers=3))
    np.testing.assert_array_equal(straight.labels.data.transpose(1, 0, 2), expected.data)


def test_scale_units_and_options_reach_the_labels(disks, spec):
    image = Image(disks[0][..., None], "yxc", (0.5, 0.25, 1), ("micrometer", "micrometer", "pixel"), "cells")
    labels = segment(image, spec).labels
    assert (labels.axes, labels.scale, labels.units) == ("yx", (0.5, 0.25), ("micrometer", "micrometer"))
    assert segment(image, spec, min_size=1000).objects == 0
    assert segment(image, spec, min_size=90).objects < 42
    assert segment(image, spec, threshold=0.999).objects < 42


def test_a_closed_run_leaves_no_thread(disks, spec):
    steps = segment_steps(disks[0], spec.model_copy(update={"tiling": TilingSpec(tile=16, workers=2)}))
    while not next(steps).total:
        pass
    assert jobs()
    steps.close()
    assert not jobs()


# Bad input


@pytest.mark.parametrize("data", [np.zeros((0, 5)), np.zeros((5, 0), np.uint8), np.zeros(7), np.zeros(()), [], "cells"])
def test_no_pixels(data, spec):
    with pytest.raises(ImageError):
        segment(data, spec)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 5), (1, 300), (200, 1)])
@pytest.mark.parametrize("diameter", [12.0, None])
def test_few_pixels(shape, diameter, spec):
    labels = segment(np.arange(np.prod(shape)).reshape(shape), spec, diameter=diameter).labels
    assert labels.shape == shape


@pytest.mark.parametrize("value", [0, 7, -3.5, np.nan, np.inf, -np.inf, True])
def test_constant(value, spec):
    for diameter in (12.0, None):
        assert segment(np.full((40, 50), value), spec, diameter=diameter).objects == 0


def test_values_that_are_no_numbers_spoil_only_themselves(disks, spec):
    image = disks[0].astype(np.float32)
    image[0, :3] = np.nan, np.inf, -np.inf
    assert evaluate(disks[1], segment(image, spec).labels)["AP50"] > 0.95


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.astype(np.float64),
        lambda a: a.astype(np.float16),
        lambda a: a.astype(np.int64) - 100_000,
        lambda a: -1.0 + a / 1e6,
        lambda a: a * 1e290,
        lambda a: a * 1e-300,
        lambda a: np.where(np.arange(a.size).reshape(a.shape) == 77, 1e300, a),
        lambda a: a.astype(np.uint64) << 50,
        lambda a: np.where(a > 2000, np.float64(a), -1e6 * (np.arange(a.size).reshape(a.shape) == 5)),
    ],
    ids=["float64", "float16", "negative", "below-zero", "huge", "tiny", "one-hot-pixel", "64-bit", "one-cold-pixel"],
)
def test_any_range_of_values(change, disks, spec):
    assert evaluate(disks[1], segment(change(disks[0]), spec).labels)["AP50"] > 0.95


def test_booleans_and_labels_are_images_too(disks, spec):
    for image in (disks[1] > 0, (disks[1] > 0).astype(np.int8)):
        assert evaluate(disks[1], segment(image, spec).labels)["AP50"] > 0.95


def test_what_comes_after_the_objects_are_found_is_said(disks, spec):
    def told(**more):
        steps = [*workflows.segment_steps(disks[0], spec, **more)]
        return {step.then for step in steps if step.note.startswith("Finding objects")}

    assert told() == {"measuring"}
    assert told(measures=()) == {""}


def test_colors(disks, spec):
    gray = np.clip(disks[0] // 20, 0, 255).astype(np.uint8)
    rgb = np.stack([gray] * 3, -1)
    expected = segment(rgb, spec)
    assert expected.labels.axes == "yx"
    assert evaluate(disks[1], expected.labels)["AP50"] == 1
    noise = np.random.default_rng(0).integers(0, 255, gray.shape, np.uint8)
    assert segment(np.dstack([rgb, noise]), spec).hash == expected.hash  # transparency is no color
    assert segment(Image(np.stack([noise, gray]), "cyx"), spec, channels=(1,)).objects == 42
    with pytest.raises(ImageError, match="channels=\\(0,\\)"):
        segment(Image(np.stack([gray, gray]), "cyx"), spec)
    with pytest.raises(ImageError, match="Choose among those"):
        segment(Image(np.stack([gray, gray]), "cyx"), spec, channels=(2,))
    with pytest.raises(UNetError):
        segment(Image(np.stack([gray, gray]), "cyx"), spec, channels=())


@pytest.mark.parametrize(
    ("shape", "axes"), [((2, 3, 8, 8), None), ((1, 2, 3, 8, 8), None), ((3, 8, 8), "yx"), ((8, 8), "tzyx"),
                        ((8, 8), "qx"), ((8, 8), "yy"), ((8, 8), "ty")],
)  # fmt: skip
def test_axes_that_do_not_fit(shape, axes, spec):
    with pytest.raises(AxesError, match=r"axes"):
        napari_unet.segment(as_image(np.zeros(shape, np.uint16), axes), spec)


@pytest.mark.parametrize("data", [np.zeros((8, 8), complex), np.full((8, 8), "a"), np.zeros((8, 8), object)])
def test_no_real_numbers(data, spec):
    with pytest.raises(ImageError, match="real numbers"):
        segment(data, spec)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"diameter": 0}, "greater than 0"), ({"diameter": -3}, "greater than 0"), ({"diameter": float("nan")}, "finite"),
     ({"threshold": 1.5}, "less than 1"), ({"min_size": -1}, "0 or more"), ({"min_size": float("nan")}, "finite"),
     ({"tiling": {"tile": -1}}, "tile: .*equal to 0"), ({"tiling": {"batch": 0}}, "batch: .*equal to 1"),
     ({"size": 3}, "size: there is no such setting"), ({"channels": "a"}, "channels: .*valid tuple")],
    ids=str,
)  # fmt: skip
def test_settings_that_cannot_be_used(options, says, disks, spec):
    with pytest.raises(SpecError, match=says):
        segment(disks[0], spec, **options)


@pytest.mark.parametrize("diameter", [1e-9, 1e4, 1e9])
def test_absurd_sizes_end(diameter, disks, spec):
    assert segment(disks[0], spec, diameter=diameter).labels.shape == disks[0].shape


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cuda:x", ""])
def test_devices_that_are_not_there(device, disks, spec):
    with pytest.raises(ModelError, match="Choose one of"):
        segment(disks[0], spec, device=device)


class Trap:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def _text(folder: Path) -> Path:
    (folder / "model.txt").write_text("not a model")
    return folder / "model.txt"


def _pickle(folder: Path) -> Path:
    (folder / "model.pt").write_bytes(pickle.dumps(Trap(folder / "sprung")))
    return folder / "model.pt"


def _no_card(folder: Path) -> Path:
    (folder / "model" / "card.json").unlink()
    return folder / "model"


def _broken_card(folder: Path) -> Path:
    (folder / "model" / "card.json").write_text("{")
    return folder / "model"


def _no_weights(folder: Path) -> Path:
    (folder / "model" / "weights.safetensors").unlink()
    return folder / "model"


def _cut(folder: Path) -> Path:
    file = folder / "model" / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    return folder / "model"


def _changed(folder: Path) -> Path:
    file = folder / "model" / "weights.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    return folder / "model"


def _edit(folder: Path, **changes: Any) -> Path:
    file = folder / "model" / "card.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return folder / "model"


def _other_net(folder: Path) -> Path:
    card = json.loads((folder / "model" / "card.json").read_text())
    return _edit(folder, net=card["net"] | {"widths": [4, 16]})


def _newer_card(folder: Path) -> Path:
    return _edit(folder, invented="later")


def _unknown_target(folder: Path) -> Path:
    return _edit(folder, target={"name": "nonsense"})


def _pickled_weights(folder: Path) -> Path:
    (folder / "model" / "weights.safetensors").write_bytes(pickle.dumps(Trap(folder / "sprung")))
    return _edit(folder, sha256="")


def _cut_unsigned(folder: Path) -> Path:
    return _edit(_cut(folder).parent, sha256="")


FOREIGN = [
    _text, _pickle, _no_card, _broken_card, _no_weights, _cut, _changed, _other_net, _newer_card, _pickled_weights,
    _cut_unsigned,
]  # fmt: skip


@pytest.mark.parametrize("spoil", FOREIGN, ids=lambda f: f.__name__.strip("_"))
def test_foreign_and_damaged_models(spoil, bright, disks, tmp_path):
    shutil.copytree(bright, tmp_path / "model")
    with pytest.raises(ModelError) as caught:
        segment(disks[0], model=str(spoil(tmp_path)))
    assert str(tmp_path) in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_a_model_of_an_unknown_kind(bright, disks, tmp_path):
    shutil.copytree(bright, tmp_path / "model")
    with pytest.raises(UNetError, match="nonsense"):
        segment(disks[0], model=str(_unknown_target(tmp_path)))


def test_an_unknown_model_is_told_with_those_at_hand(disks, bright, monkeypatch):
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(bright.parent))
    assert "bright" in [card.name for card in workflows.list_models()]
    with pytest.raises(ModelError, match="bright"):
        segment(disks[0], model="nucleii")


# Output


SUFFIXES = (".ome.zarr", ".zarr", ".tif", ".ome.tif", ".npy", ".png")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_labels_come_back(suffix, found, tmp_path):
    path = tmp_path / f"cells{suffix}"
    workflows.check_place(path, found.labels)
    workflows.write_labels(path, found.labels, found.manifest)
    assert label_hash(np.asarray(workflows.read_labels(path).data)) == found.hash
    with pytest.raises(OutputError, match="exists"):
        workflows.check_place(path, found.labels)
    workflows.check_place(path, found.labels, overwrite=True)
    workflows.write_labels(path, found.labels, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def full(write: Any, after: int) -> Any:
    """Stand for a disk that is full after so many writes."""
    left = [after]

    def writing(*args: Any) -> Any:
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        return write(*args)

    return writing


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_half_written_looks_whole(suffix, before, found, tmp_path, monkeypatch):
    path = tmp_path / f"cells{suffix}"
    old = Image(np.eye(5, dtype=np.int32), "yx")
    if before:
        workflows.write_labels(path, old)
    if suffix.endswith("zarr"):
        monkeypatch.setattr(zarr.Array, "__setitem__", full(zarr.Array.__setitem__, 1))
        big = Image(np.kron(found.labels.data, np.ones((12, 12), np.int32)), "yx")
    else:
        monkeypatch.setattr(os, "fsync", full(os.fsync, 0))
        big = found.labels
    with pytest.raises(OutputError, match="No space left"):
        workflows.write_labels(path, big, overwrite=True)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ([path.name] if before else [])
    if before:
        np.testing.assert_array_equal(workflows.read_labels(path).data, old.data)


def test_places_are_checked_without_a_trace(found, tmp_path):
    image = found.labels
    (tmp_path / "file.zarr").write_text("")
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.zarr" / "thesis.txt").write_text("")
    before = sorted(p.name for p in tmp_path.iterdir())
    bad = ["a.jpg", "a", "none/a.tif", "file.zarr", "folder.tif", "other.zarr", "file.zarr/a.tif"]
    for name in bad:
        for overwrite in (False, True):
            with pytest.raises(OutputError):
                workflows.check_place(tmp_path / name, image, overwrite)
    with pytest.raises(OutputError, match="one plane"):
        workflows.check_place(tmp_path / "a.png", Image(np.zeros((2, 4, 4)), "tyx"))
    with pytest.raises(OutputError, match=r"\.csv"):
        workflows.check_place(tmp_path / "a.tif")
    workflows.check_place(tmp_path / "a.png", Image(np.zeros((1, 4, 4, 3)), "tyxc"))
    workflows.check_place(tmp_path / "a.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write")
def test_an_unwritable_folder_is_found_out(found):
    with pytest.raises(OutputError, match="cannot be written"):
        workflows.check_place("/proc/a.tif", found.labels)


def test_overlay_through_the_door(found, disks, tmp_path):
    workflows.write_overlay(tmp_path / "a.png", Image(disks[0], "yx"), found.labels)
    assert workflows.read_image(tmp_path / "a.png").axes == "yxc"


# The other verbs


def test_evaluate_pools_and_reads_files(found, disks, tmp_path):
    truth = disks[1]
    half = np.where(truth <= 21, truth, 0)
    scores = evaluate([truth, truth], [truth, half])
    assert scores["AP50"] == pytest.approx(63 / 84)
    for name, labels in {"t/a.tif": truth, "t/b.tif": truth, "p/a.npy": truth, "p/b.ome.tif": half}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        workflows.write_labels(tmp_path / name, Image(labels, "yx"))
    (tmp_path / "p" / "b.objects.csv").write_text("index\n")
    pairs = workflows.match_labels(tmp_path / "t", tmp_path / "p")
    assert [p.name for pair in pairs for p in pair] == ["a.tif", "a.npy", "b.tif", "b.ome.tif"]
    assert evaluate([a for a, _ in pairs], [str(b) for _, b in pairs]) == scores
    with pytest.raises(ImageError, match="same image"):
        evaluate(truth, half[:5])
    with pytest.raises(ImageError, match="nothing to compare"):
        evaluate([], [])
    for name, movie in {"true": [truth, half], "found": [truth, np.where(half, half + 99, 0)]}.items():
        (tmp_path / "movies").mkdir(exist_ok=True)
        np.save(tmp_path / "movies" / f"{name}.npy", np.stack(movie))
    files = tmp_path / "movies" / "true.npy", tmp_path / "movies" / "found.npy"
    assert evaluate(*files)["AP50"] < 1
    assert evaluate(*files, axes="tyx")["AP50"] == 1
    with pytest.raises(SpecError, match="On a cluster axes are those that the files name"):
        evaluate(*files, axes="tyx", client="tcp://127.0.0.1:9")
    (tmp_path / "p" / "a.tif").touch()
    with pytest.raises(ImageError, match="same name"):
        workflows.match_labels(tmp_path / "t", tmp_path / "p")
    (tmp_path / "t" / "c.tif").touch()
    (tmp_path / "t" / "d.tif").touch()
    (tmp_path / "p" / "a.tif").unlink()
    with pytest.raises(ImageError, match="2 of 4 cases: c, d"):
        workflows.match_labels(tmp_path / "t", tmp_path / "p")
    with pytest.raises(ImageError, match="two files or two folders"):
        workflows.match_labels(tmp_path / "t", tmp_path / "p" / "a.npy")
    with pytest.raises(ImageError, match="holds no labels"):
        workflows.match_labels(tmp_path, tmp_path / "t")


def test_measures(found, disks):
    table = workflows.measure(found.labels, disks[0])
    assert len(table["index"]) == 42
    assert table["intensity_mean"].min() > 2000
    with pytest.raises(RegistryError):
        workflows.measure(found.labels, measures=("nonsense",))


@pytest.mark.parametrize("order", ["yx", "xy"])
def test_labels_without_pixel_sizes_are_measured_in_those_of_their_image(found, disks, order, tmp_path):
    image = Image(disks[0], "yx", (0.5, 0.25), ("micrometer", "micrometer"))
    workflows.write_labels(tmp_path / "labels.npy", found.labels)
    bare = workflows.read_labels(tmp_path / "labels.npy")
    bare = replace(bare, data=bare.data.T if order == "xy" else bare.data, axes=order)
    table, plain = workflows.measure(bare, image), workflows.measure(bare)
    np.testing.assert_allclose(table["area"], plain["area_px"] * 0.125)
    np.testing.assert_allclose(table["centroid_y"], plain["centroid_y"] * 0.5)
    np.testing.assert_allclose(table["centroid_x"], plain["centroid_x"] * 0.25)
    own = replace(bare, scale=(2.0, 2.0), units=("micrometer",) * 2)  # what labels say of themselves counts
    np.testing.assert_allclose(workflows.measure(own, image)["area"], plain["area_px"] * 4.0)


def test_sizes_in_several_units_are_measured_in_that_of_x():
    cubes = np.zeros((4, 20, 20), int)
    cubes[1:3, 5:13, 5:13] = 1
    labels = Image(cubes, "zyx", (2000.0, 0.5, 0.5), ("nanometer", "micrometer", "micrometer"))
    same = Image(cubes, "zyx", (2.0, 0.5, 0.5), ("micrometer",) * 3)
    for measure in ("objects", "classes"):
        table, wanted = (workflows.measure(each, measures=(measure,)) for each in (labels, same))
        assert table["volume"].tolist() == [64.0]
        for name, column in wanted.items():
            np.testing.assert_allclose(table[name], column, err_msg=name)
    lesions, wanted = (workflows.measure_lesions(each) for each in (labels, same))
    assert lesions.units == wanted.units
    for name, column in wanted.table.items():
        np.testing.assert_array_almost_equal(lesions.table[name], column, err_msg=name)


def test_labels_whose_axes_were_guessed_are_told_how_to_say_them(disks):
    movie = Image(np.zeros((3, 8, 9)), "tyx")
    with pytest.raises(AxesError, match="on the command line --axes tyx"):
        workflows.measure(np.ones((3, 8, 9), int), movie)


def test_samples():
    image, truth = workflows.sample("simulated-nuclei")
    again, _ = workflows.sample("simulated-nuclei")
    assert truth is not None
    assert truth.max() > 50
    np.testing.assert_array_equal(image.data, again.data)
    stain, unknown = workflows.sample("immunohistochemistry")
    assert (stain.axes, unknown) == ("yx", None)
    assert 0 == stain.data.min() < stain.data.max()
    with pytest.raises(RegistryError, match="simulated-nuclei"):
        workflows.sample("nonsense")


def test_info():
    found = workflows.info()
    assert {"python", "device", "packages", "models", "conflict"} <= found.keys()
    assert found["packages"]["napari-unet-suite"] == napari_unet.__version__ or found["packages"]["torch"]
    assert json.dumps(found)


def test_another_plugin_in_the_same_package_is_told(monkeypatch, disks):
    from napari_unet.core import conflict

    monkeypatch.setattr(conflict, "distribution", lambda name: object())
    with pytest.raises(ConflictError, match="pip uninstall"):
        segment(disks[0])


def test_a_missing_viewer_is_told(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"napari-unet-suite\[all\]"):
        workflows.show([])


def test_the_demo_fills_a_viewer(found, disks, monkeypatch):
    import napari
    from napari.components import ViewerModel

    viewer = ViewerModel()
    monkeypatch.setattr(napari, "Viewer", lambda title: viewer)
    monkeypatch.setattr(napari, "run", lambda: None)
    color = Image(np.stack([disks[0] // 20] * 3, -1).astype(np.uint8), "yxc", name="color")
    workflows.show(
        [(Image(disks[0], "yx", name="gray"), found.labels, {"index": np.arange(1, 43)}), (color, found.labels, {})]
    )
    assert [layer._type_string for layer in viewer.layers] == ["image", "labels"] * 2
    assert viewer.layers[2].rgb
    assert viewer.layers[3].translate[-1] == viewer.layers[2].translate[-1] > disks[0].shape[1]
    assert len(viewer.layers[1].features) == 42


# Training


@pytest.fixture
def annotated(disks, tmp_path):
    for name in ("images", "labels"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for i in range(2):
        np.save(tmp_path / "data" / "images" / f"{i}.npy", disks[0][i:])
        np.save(tmp_path / "data" / "labels" / f"{i}.npy", disks[1][i:])
    return tmp_path / "data"


TINY = {"steps": 2, "batch": 1, "patch": 32, "every": 1, "threads": 1}


def test_other_settings_do_not_continue_a_run(annotated, tmp_path):
    steps = workflows.train_steps(annotated, TrainSpec(**TINY), tmp_path / "model")
    for progress in steps:
        if isinstance(progress.payload, Epoch):
            break
    steps.close()
    assert not (tmp_path / "model").exists()
    with pytest.raises(TrainingDataError, match="other settings"):
        workflows.train(annotated, TrainSpec(**TINY), tmp_path / "model", rate=0.5)
    made = workflows.train(annotated, TrainSpec(**TINY), tmp_path / "model")
    # What is there is replaced on purpose only; seen before anything is written.
    before = (made / "card.json").read_bytes()
    for verb in (workflows.train_steps, workflows.train_apart_steps):
        with pytest.raises(OutputError, match="allow it to be replaced"):
            finish(verb(annotated, TrainSpec(**TINY), tmp_path / "model"))
    assert (made / "card.json").read_bytes() == before
    assert [each.name for each in tmp_path.glob("model*")] == ["model"]
    assert workflows.train(annotated, TrainSpec(**TINY), tmp_path / "model", overwrite=True) == made
    assert segment(np.load(annotated / "images" / "0.npy"), model=str(made), diameter=20.0).labels.shape == (96, 112)


def test_a_name_that_no_model_can_have_is_found_before_the_first_step(annotated, tmp_path):
    shown = []
    with pytest.raises(UNetError, match="plain word"):
        finish(workflows.train_steps(annotated, TrainSpec(name="a/b", **TINY), tmp_path / "model"), shown.append)
    assert not any(progress.done for progress in shown)
    with pytest.raises(RegistryError):
        workflows.train(annotated, task="nonsense")
    for verb in (workflows.train_steps, workflows.train_apart_steps):
        with pytest.raises(ModelError, match="model of the program"):
            finish(verb(annotated, TrainSpec(name="nuclei", **TINY), overwrite=True))
    with pytest.raises(SpecError):
        workflows.train(annotated, steps=0)


@pytest.mark.parametrize("value", [0, 7, 1000])
@pytest.mark.parametrize("name", ["breast-ultrasound", "sarcoma-mri", "nuclei"])
def test_nothing_is_found_where_there_is_no_contrast(name, value):
    shape = (12, 40, 40) if name == "sarcoma-mri" else (40, 40)
    found = segment(np.full(shape, value, np.int16), model=name)
    assert (found.objects, found.unseen) == (0, "an image without any contrast")
    assert not np.asarray(segment(np.full(shape, value, np.int16), model=name, confidence=True).confidence.data).any()
    dark = segment(np.full(shape, np.nan), model=name)
    assert (dark.objects, dark.unseen) == (0, f"{np.prod(shape)} pixels that hold no number")
