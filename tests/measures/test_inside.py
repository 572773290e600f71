"""Objects within objects: as counted pixel by pixel, whatever the windows are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet import workflows
from napari_unet.core import windows
from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError, SpecError
from napari_unet.measures._inside import column_name


def slow(own: Any, other: Any) -> tuple[dict[int, int], dict[int, int], dict[int, tuple[int, int]]]:
    """Count by hand: how many lie in each, pixels that they cover, and in which each lies, with how many pixels."""
    count = {int(k): 0 for k in np.unique(own) if k}
    covered = {k: int(((own == k) & (other > 0)).sum()) for k in count}
    for child in np.unique(other[other > 0]):
        shares = [(-int(((other == child) & (own == k)).sum()), k) for k in count]
        most = min(shares, default=(0, 0))
        if most[0]:
            count[most[1]] += 1
    places = {}
    for k in count:
        most = min([(-int(((own == k) & (other == p)).sum()), int(p)) for p in np.unique(other) if p], default=(0, 0))
        places[k] = (most[1], -most[0]) if most[0] else (0, 0)
    return count, covered, places


@pytest.mark.parametrize("axes", ["yx", "zyx", "tyx"])
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 30), st.integers(1, 9))
def test_as_counted_by_hand(axes: str, seed: int, chunk: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (3, 12, 14)[-len(axes) :]
    own, other = (rng.integers(0, 5, shape) * rng.integers(0, 2, shape) * k for k in (1, 7))
    lazy = Image(da.from_array(other, chunks=chunk), axes, name="foci.tif")
    found = workflows.measure(Image(own, axes, scale=(0.5,) * len(axes)), inside=lazy, within={"big cells": other})
    size = "volume" if "z" in axes else "area"
    for t in range(shape[0] if "t" in axes else 1):
        a, b = (own[t], other[t]) if "t" in axes else (own, other)
        rows = np.flatnonzero(found["t"] == t) if "t" in axes else np.arange(len(found["index"]))
        count, covered, places = slow(a, b)
        assert [*found["index"][rows]] == [*count]
        assert [*found["foci_count"][rows]] == [*count.values()]
        element = 0.5 ** len(axes.replace("t", ""))
        np.testing.assert_allclose(found[f"foci_{size}"][rows], np.array([*covered.values()]) * element)
        np.testing.assert_allclose(found["foci_share"][rows], [covered[k] / (a == k).sum() for k in covered])
        assert [*found["in_big_cells"][rows]] == [place for place, _ in places.values()]
        np.testing.assert_allclose(
            found["in_big_cells_share"][rows], [pixels / (a == k).sum() for k, (_, pixels) in places.items()]
        )


@pytest.mark.parametrize("axes", ["tyx", "tzyx"])
@pytest.mark.parametrize("alone", [False, True])
def test_regions_that_stay_count_for_every_time_point(axes: str, alone: bool) -> None:
    rng = np.random.default_rng(0)
    own = rng.integers(0, 5, (3, 2, 12, 14) if axes == "tzyx" else (3, 12, 14))
    place = rng.integers(0, 3, own.shape[1:])
    lazy = Image(da.from_array(place[None] if alone else place, chunks=5), axes if alone else axes[1:], name="place")
    found = workflows.measure(Image(own, axes), inside=lazy, within=lazy)
    repeated = {"place": np.stack([place] * 3)}
    again = workflows.measure(Image(own, axes), inside=repeated, within=repeated)
    assert found.keys() == again.keys()
    for name, column in found.items():
        np.testing.assert_array_equal(column, again[name], err_msg=name)
    assert found["in_place_share"].max() > 0


def test_a_file_that_names_its_axes_keeps_them(tmp_path: Path) -> None:
    own = np.ones((3, 6, 8), np.int32)
    workflows.write_labels(tmp_path / "stack.ome.tif", Image(own, "zyx"))
    workflows.write_labels(tmp_path / "stack.ome.zarr", Image(own, "zyx"))
    tifffile.imwrite(tmp_path / "plain.tif", own, photometric="minisblack")
    np.save(tmp_path / "plain.npy", own)
    movie = Image(own, "tyx", name="cells")
    for name in ("stack.ome.tif", "stack.ome.zarr"):
        with pytest.raises(AxesError, match=r"'stack' \(zyx \(3, 6, 8\)\) and 'cells' .* alike: --axes tyx on"):
            workflows.measure(movie, within=tmp_path / name)
        told = workflows.read_labels(tmp_path / name, "tyx")
        assert [*workflows.measure(movie, within={"x": told})["in_x"]] == [1, 1, 1]
    for name in ("plain.tif", "plain.npy"):
        assert [*workflows.measure(movie, within=tmp_path / name)["in_plain"]] == [1, 1, 1]


def test_windows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    own, other = (np.kron(rng.integers(0, 40, (20, 25)), np.ones((k, k), int))[:60, :75] for k in (3, 4))
    whole = workflows.measure(own, inside={"x": other}, within={"x": other})
    steps = [*workflows.measure_steps(own, inside={"x": other})]
    monkeypatch.setattr(windows, "_step", lambda shape: (7, 11))
    cut = workflows.measure(own, inside={"x": other}, within={"x": other})
    assert len([*workflows.measure_steps(own, inside={"x": other})]) > len(steps)
    for name, column in whole.items():
        np.testing.assert_allclose(cut[name], column, err_msg=name)


def test_one_bar_for_all() -> None:
    own = np.kron(np.arange(12).reshape(3, 4), np.ones((5, 5), np.int32)).astype(np.int32)
    seen = [*workflows.measure_steps(own, inside={"x": own}, within={"y": own}, around=2)]
    assert [(step.done, step.total) for step in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_names_of_columns() -> None:
    assert [column_name(name) for name in ("a/DNA foci.ome.zarr", "x.zarr/labels/p53+", "", "rot-grün.tif")] == [
        "DNA_foci", "p53", "others", "rot_grün",
    ]  # fmt: skip


def test_no_column_hides_another() -> None:
    own = np.ones((6, 8), np.int32)
    with pytest.raises(SpecError, match="'cell_area' would be of the labels 'cell' and of the rings around objects"):
        workflows.measure(own, around=2, inside={"cell": own})
    assert "cell_area" in workflows.measure(own, inside={"cell": own})
    with pytest.raises(SpecError, match="'in_x_share' would be of the labels 'x' and of the labels 'in_x'"):
        workflows.measure(own, inside={"in_x": own}, within={"x": own})
    assert {"x_count", "in_x"} <= workflows.measure(own, inside={"x": own}, within={"x": own}).keys()


def test_sizes_are_those_of_the_labels_that_are_measured() -> None:
    own = np.ones((6, 8), np.int32)
    small, large = (Image(own, "yx", scale=(size, size), units=("micrometer",) * 2) for size in (0.5, 2.0))
    assert [*workflows.measure(small, inside={"x": large})["x_area"]] == [12.0]


def test_nothing_inside_and_nobody_there() -> None:
    own = np.zeros((6, 8), np.int32)
    own[1:3, 1:4] = 3
    found = workflows.measure(own, inside={"a": own * 0}, within={"b": own * 0})
    assert (found["a_count"], found["a_area"], found["a_share"]) == ([0], [0], [0])
    assert (found["in_b"], found["in_b_share"]) == ([0], [0])
    assert len(workflows.measure(own * 0, inside={"a": own}, within={"b": own})["in_b"]) == 0


def test_what_does_not_fit_is_refused() -> None:
    own = np.ones((6, 8), np.int32)
    with pytest.raises(AxesError, match="do not cover the same pixels"):
        workflows.measure(own, inside=np.ones((6, 9), np.int32))
    movie = np.ones((3, 6, 8), np.int32)
    with pytest.raises(AxesError, match="regions without time: those count for every time point"):
        workflows.measure(Image(movie, "tyx"), inside=Image(movie[:2], "tyx"))
    with pytest.raises(AxesError, match=r"name them alike: --axes tyx .* read_labels\(\.\.\., axes='tyx'\)"):
        workflows.measure(Image(movie, "tyx"), inside=Image(movie, "zyx"))
    with pytest.raises(AxesError, match="3 channels"):
        workflows.measure(own, within=Image(np.ones((3, 6, 8), np.int32), "cyx"))
    with pytest.raises(ImageError, match="whole numbers"):
        workflows.measure(own, inside=np.full((6, 8), 0.5))
    with pytest.raises(SpecError, match="Two of the labels are called 'others'"):
        workflows.measure(own, inside=[own, own])
    for option in ("inside", "within"):
        with pytest.raises(SpecError, match="measured with 'objects'"):
            workflows.measure(own, measures=("classes",), **{option: own})
