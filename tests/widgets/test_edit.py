"""Labels that are not loaded are corrected by hand: taken, painted in, put back, and undone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_unet import workflows
from napari_unet.core.axes import Image, as_image
from napari_unet.core.hashes import label_hash
from napari_unet.core.results import Segmentation
from napari_unet.core.specs import SegmentSpec
from napari_unet.core.steps import Progress, Steps
from napari_unet.widgets import _crop
from napari_unet.widgets._reader import read
from napari_unet.widgets.segment import SegmentWidget

from .conftest import FakeEngine, jobs

CASES = {
    "2D": (
        "yx",
        (700, 600),
        {"scale": (0.5, 0.25), "translate": (3, 4), "rotate": 30, "affine": [[2, 0, 1], [0, 1, 5], [0, 0, 1]]},
    ),
    "movie": ("tyx", (3, 600, 90), {"axis_labels": ("t", "y", "x")}),
    "stack": ("zyx", (5, 600, 90), {}),
    "channels": ("tcyx", (2, 3, 600, 90), {"axis_labels": ("t", "c", "y", "x")}),
}  # fmt: skip


class Engine(FakeEngine):
    """Writes squares at once; everything else is the real thing."""

    def __init__(self) -> None:
        super().__init__()
        for name in (
            "choose_place", "open_pyramid", "is_unfinished", "edit_labels_steps", "undo_edit", "forget_edits",
            "has_draft", "keep_draft", "find_draft", "drop_draft",
        ):  # fmt: skip
            setattr(self, name, getattr(workflows, name))

    def segment_steps(self, image: Image, spec: SegmentSpec | None = None, **given: Any) -> Steps[Segmentation]:
        yield Progress(0, 0, "Loading the model")
        shape, scale, units = image.along(image.label_axes)
        labels = squares(shape)
        manifest = {"model": "m", "objects": int(labels.max()), "labels_hash": hash_of(labels, image.label_axes)}
        workflows.write_labels(given["output"], Image(labels, image.label_axes, scale, units), manifest)
        found = workflows.read_labels(given["output"])
        return Segmentation(found, int(labels.max()), 9.0, 0.1, manifest, workflows.measure(found, image))


def squares(shape: tuple[int, ...]) -> np.ndarray:
    y, x = (np.arange(n) for n in shape[-2:])
    plane = (y[:, None] // 10) * (shape[-1] // 10 + 1) + x // 10 + 1
    plane = np.where((y[:, None] % 10 < 9) & (x % 10 < 9), plane, 0)
    planes = np.arange(np.prod(shape[:-2], dtype=int)).reshape((*shape[:-2], 1, 1)) * (plane.max() + 1)
    return np.where(plane > 0, plane + planes, 0).astype(np.int32)


def hash_of(labels: np.ndarray, axes: str) -> str:
    order = sorted(range(len(axes)), key=lambda i: "tzyx".index(axes[i]))
    return label_hash(labels.transpose(order))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def segmented(qtbot: QtBot, viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that segments an image into a file and returns the dock and the layer."""
    monkeypatch.setattr("napari_unet.widgets._panel.show_error", lambda text: None)

    def run(case: str = "2D") -> tuple[SegmentWidget, Any]:
        _axes, shape, options = CASES[case]
        data = np.random.default_rng(0).integers(0, 999, shape).astype(np.uint16)
        viewer.add_image(data, name="image", contrast_limits=(0, 1000), **options)
        widget = SegmentWidget(viewer, engine=Engine())
        qtbot.addWidget(widget)
        assert widget.edits.isHidden()
        widget.place.line.setText(str(tmp_path / "labels.ome.zarr"))
        widget.run()
        qtbot.waitUntil(lambda: widget.job is None, timeout=30_000)
        layer = viewer.layers["image cells"]
        viewer.layers.selection.active = layer
        return widget, layer

    return run


def look_at(viewer: ViewerModel, layer: Any, y: slice, x: slice) -> None:
    """Show a part, as the canvas would."""
    layer._data_level = 0
    corners = np.zeros((2, layer.ndim), int)
    corners[:, -2:] = [[y.start, x.start], [y.stop - 1, x.stop - 1]]
    layer.corner_pixels = corners
    layer.refresh()


def done(qtbot: QtBot, widget: SegmentWidget, click: Any) -> str:
    assert click.isEnabled()
    click.click()
    assert widget.job is not None, widget.status.text()
    assert not click.isEnabled()
    qtbot.waitUntil(lambda: widget.job is None, timeout=30_000)
    return widget.status.text()


@pytest.mark.parametrize("case", CASES)
def test_taken_painted_put_back_and_undone(
    segmented: Callable[..., Any], qtbot: QtBot, viewer: ViewerModel, tmp_path: Path, case: str
) -> None:
    widget, layer = segmented(case)
    axes, shape, _ = CASES[case]
    plain = axes.replace("c", "")
    labels = squares(tuple(n for n, a in zip(shape, axes, strict=True) if a != "c"))
    assert not widget.edits.isHidden()
    look_at(viewer, layer, slice(15, 60), slice(22, 80))
    if len(shape) > 2:
        viewer.dims.set_point(0, 1)
    assert "napari's tools" in done(qtbot, widget, widget.edits.take)
    region = viewer.layers[-1]
    assert viewer.layers.selection.active is region
    assert region.editable
    where = {"t": slice(1, 2), "z": slice(0, 5), "y": slice(15, 60), "x": slice(22, 80)}
    part = tuple(where[a] for a in plain)
    got = np.asarray(region.data)
    np.testing.assert_array_equal(got[:, 0] if case == "channels" else got, labels[part])
    start = [where[a].start if a in where else 0 for a in axes]
    np.testing.assert_allclose(region.data_to_world([0] * region.ndim), layer.data_to_world(start))
    np.testing.assert_allclose(region.data_to_world([1] * region.ndim), layer.data_to_world([s + 1 for s in start]))
    assert region.units == layer.units
    assert not widget.edits.take.isEnabled()
    # What is in the region is drawn by the region alone.
    look_at(viewer, layer, slice(0, 100), slice(0, 90))
    seen = layer._slice.image.raw
    assert not seen[15:60, 22:80].any()
    assert seen[:15].any()
    np.testing.assert_array_equal(np.asarray(layer.data[0])[..., 15:60, 22:80].max(), labels[..., 15:60, 22:80].max())

    number = region.selected_label
    index = (0, 0) if case == "channels" else (0,) * (len(plain) - 2)
    region.data[(*index, slice(0, 4), slice(0, 4))] = number  # a new object
    region.data[(*index, slice(10, 20), slice(None))] = 0
    highest = int(labels.max())
    before = labels.copy()
    corner = tuple(where[a].start for a in plain if a not in "yx")
    labels[(*corner, slice(15, 19), slice(22, 26))] = highest + 1
    labels[(*corner, slice(25, 35), slice(22, 80))] = 0
    text = done(qtbot, widget, widget.edits.put)
    assert "1 of them new" in text
    assert region not in viewer.layers
    assert viewer.layers.selection.active is layer
    finest = np.asarray(layer.data[0])
    np.testing.assert_array_equal(finest[:, 0] if case == "channels" else finest, labels)
    for level, steps in zip(layer.data, layer.downsample_factors.round().astype(int), strict=True):
        np.testing.assert_array_equal(np.asarray(level), finest[tuple(slice(None, None, s) for s in steps)])
    record = layer.metadata["napari-unet"]
    assert record["labels_hash"] == hash_of(labels, plain)
    assert record["folder"] == str(tmp_path / "labels.ome.zarr")
    expected = workflows.measure(as_image(labels, plain, scale=[layer.scale[axes.index(a)] for a in plain]))
    assert list(layer.features["index"]) == list(expected["index"])
    size = "volume_px" if "z" in axes else "area_px"
    assert list(layer.features[size]) == list(expected[size])
    assert not layer.features["intensity_mean" if case != "channels" else "intensity_mean_c2"].isna().any()

    assert "taken back" in done(qtbot, widget, widget.edits.undo)
    finest = np.asarray(layer.data[0])
    np.testing.assert_array_equal(finest[:, 0] if case == "channels" else finest, before)
    assert layer.metadata["napari-unet"]["labels_hash"] == hash_of(before, plain)
    assert list(layer.features["index"]) == list(np.unique(before)[1:])
    assert not widget.edits.undo.isEnabled()


def test_too_much_or_nothing_is_seen(
    segmented: Callable[..., Any], viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget, layer = segmented()
    monkeypatch.setattr(_crop, "_MOST", 1000)
    widget.edits.take.click()
    assert "Zoom in" in widget.status.text()
    assert widget.job is None
    layer.corner_pixels = np.array([[5, 5], [2, 2]])
    widget.edits.take.click()
    assert "on the screen" in widget.status.text()


def test_only_one_plane_of_a_thick_stack(
    segmented: Callable[..., Any], qtbot: QtBot, viewer: ViewerModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget, _layer = segmented("stack")
    monkeypatch.setattr(_crop, "_MOST", 4 * 600 * 90)
    viewer.dims.set_point(0, 3)
    done(qtbot, widget, widget.edits.take)
    region = viewer.layers[-1]
    assert region.data.shape == (1, 600, 90)
    np.testing.assert_array_equal(region.data[0], squares((5, 600, 90))[3])


def test_a_region_that_is_removed_changes_nothing(
    segmented: Callable[..., Any], qtbot: QtBot, viewer: ViewerModel
) -> None:
    widget, layer = segmented()
    look_at(viewer, layer, slice(0, 100), slice(0, 100))
    done(qtbot, widget, widget.edits.take)
    viewer.layers.remove(viewer.layers[-1])
    assert not layer.data[0].sheet.holes
    np.testing.assert_array_equal(np.asarray(layer.data[0]), squares((700, 600)))
    assert not widget.edits.put.isEnabled()


def painted(region: Any, value: int = 0) -> None:
    """Paint as napari's brush does."""
    index = np.nonzero(np.ones((5, 6), bool))
    region.data_setitem(tuple(axis + 2 for axis in index), value)
    region.events.paint(value=[])


def kept_in(place: Path) -> np.ndarray | None:
    found = workflows.find_draft(place)
    return None if found is None else np.asarray(found.after.data)


def test_what_is_painted_is_kept_until_it_is_put_back(
    segmented: Callable[..., Any], qtbot: QtBot, viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.widgets._keeping._PAUSE", 20)
    place = tmp_path / "labels.ome.zarr"
    widget, layer = segmented()
    look_at(viewer, layer, slice(15, 60), slice(22, 80))
    done(qtbot, widget, widget.edits.take)
    region = viewer.layers[-1]
    viewer.layers.selection.active = layer
    assert not widget.edits.take.isEnabled()  # one region at a time
    assert widget.edits.put.isEnabled()
    qtbot.wait(100)
    assert not workflows.has_draft(place)
    painted(region)
    qtbot.waitUntil(lambda: kept_in(place) is not None)
    painted(region, 3)
    expected = squares((700, 600))[15:60, 22:80]
    expected[2:7, 2:8] = 3
    qtbot.waitUntil(lambda: np.array_equal(kept_in(place), expected))

    # Its layer is removed; the labels offer it again.
    region.data[0, 0] = 5  # by a script, of which napari tells nothing
    expected[0, 0] = 5
    viewer.layers.remove(region)
    assert "kept" in widget.status.text()
    np.testing.assert_array_equal(kept_in(place), expected)
    viewer.layers.selection.active = layer
    assert not widget.edits.hint.isHidden()
    look_at(viewer, layer, slice(300, 400), slice(300, 400))
    assert "made before" in done(qtbot, widget, widget.edits.take)
    region = viewer.layers[-1]
    np.testing.assert_array_equal(region.data, expected)
    assert region.metadata["napari-unet"]["view"] == {"y": slice(15, 60), "x": slice(22, 80)}
    done(qtbot, widget, widget.edits.put)
    labels = squares((700, 600))
    labels[15:60, 22:80] = expected
    labels[15, 22] = labels[17:22, 24:30] = 0
    found = np.array(workflows.read_labels(place).data)
    assert found[15, 22] > squares((700, 600)).max()  # 3 and 5 are elsewhere: these became new objects
    found[15, 22] = found[17:22, 24:30] = 0
    np.testing.assert_array_equal(found, labels)
    assert not workflows.has_draft(place)


def test_discard_asks_where_something_would_be_lost(
    segmented: Callable[..., Any], qtbot: QtBot, viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "labels.ome.zarr"
    answers = [False, True]
    monkeypatch.setattr("napari_unet.widgets._edit.sure", lambda *_: answers.pop(0))
    widget, layer = segmented()
    look_at(viewer, layer, slice(15, 60), slice(22, 80))
    done(qtbot, widget, widget.edits.take)
    widget.edits.drop.click()  # nothing was corrected
    assert len(viewer.layers) == 2
    viewer.layers.selection.active = layer
    done(qtbot, widget, widget.edits.take)
    region = viewer.layers[-1]
    painted(region)
    widget.edits.drop.click()
    assert region in viewer.layers
    widget.edits.drop.click()
    assert region not in viewer.layers
    assert answers == []
    assert not workflows.has_draft(place)
    np.testing.assert_array_equal(np.asarray(workflows.read_labels(place).data), squares((700, 600)))


def test_two_docks_may_share_a_region(
    segmented: Callable[..., Any], qtbot: QtBot, viewer: ViewerModel, tmp_path: Path
) -> None:
    place = tmp_path / "labels.ome.zarr"
    widget, layer = segmented()
    other = SegmentWidget(viewer, engine=Engine())
    qtbot.addWidget(other)
    look_at(viewer, layer, slice(15, 60), slice(22, 80))
    done(qtbot, widget, widget.edits.take)
    region = viewer.layers[-1]
    painted(region)
    qtbot.waitUntil(lambda: workflows.has_draft(place))
    done(qtbot, other, other.edits.put)
    assert region not in viewer.layers
    assert not workflows.has_draft(place)
    assert not widget.edits.put.isEnabled()


@pytest.mark.parametrize("moment", range(4))
def test_cancel_leaves_all_as_it_was_or_comes_too_late(
    segmented: Callable[..., Any], qtbot: QtBot, viewer: ViewerModel, tmp_path: Path, moment: int
) -> None:
    widget, layer = segmented()
    look_at(viewer, layer, slice(15, 60), slice(22, 80))
    done(qtbot, widget, widget.edits.take)
    region = viewer.layers[-1]
    painted(region)
    reports: list[Any] = []
    real = widget.engine.edit_labels_steps

    def watched(*given: Any) -> Steps[Any]:
        steps = real(*given)
        try:
            while True:
                try:
                    progress = next(steps)
                except StopIteration as end:
                    return end.value
                reports.append(progress)
                if len(reports) == moment + 1:
                    widget.job._stop.set()  # as the button does
                yield progress
        finally:
            steps.close()

    widget.engine.edit_labels_steps = watched
    widget.edits.put.click()
    qtbot.waitUntil(lambda: len(reports) > moment and not jobs())
    widget.cancel()
    assert widget.job is None
    assert region in viewer.layers
    np.testing.assert_array_equal(
        np.asarray(workflows.read_labels(tmp_path / "labels.ome.zarr").data), squares((700, 600))
    )
    widget.engine.edit_labels_steps = real
    done(qtbot, widget, widget.edits.put)
    assert region not in viewer.layers


def test_errors_leave_the_region_where_it_is(segmented: Callable[..., Any], qtbot: QtBot, viewer: ViewerModel) -> None:
    widget, layer = segmented()
    look_at(viewer, layer, slice(0, 100), slice(0, 100))
    done(qtbot, widget, widget.edits.take)
    region = viewer.layers[-1]
    assert "Nothing has changed" in done(qtbot, widget, widget.edits.put)
    assert region in viewer.layers
    assert widget.edits.put.isEnabled()


def test_what_can_be_undone_goes_with_the_layer(
    segmented: Callable[..., Any], qtbot: QtBot, viewer: ViewerModel, tmp_path: Path
) -> None:
    widget, layer = segmented()
    look_at(viewer, layer, slice(0, 100), slice(0, 100))
    done(qtbot, widget, widget.edits.take)
    viewer.layers[-1].data[:20] = 0
    done(qtbot, widget, widget.edits.put)
    kept = tmp_path / "labels.ome.zarr.edits"
    assert kept.is_dir()
    viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: not kept.exists())
    labels = squares((700, 600))
    labels[:20, :100] = 0
    np.testing.assert_array_equal(np.asarray(workflows.read_labels(tmp_path / "labels.ome.zarr").data), labels)
    assert widget.edits.isHidden()


def test_labels_that_were_opened_from_a_file(
    segmented: Callable[..., Any], qtbot: QtBot, viewer: ViewerModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget, first = segmented()
    viewer.layers.remove(first)
    qtbot.wait(150)
    monkeypatch.setattr("napari_unet.io.labels.LAZY_BYTES", 1000)
    place = str(tmp_path / "labels.ome.zarr")
    ((data, options, kind),) = read(place)
    assert kind == "labels"
    layer = viewer.add_labels(data, **options)
    layer._source = layer.source.model_copy(update={"path": place})
    assert layer.multiscale
    viewer.layers.selection.active = None
    viewer.layers.selection.active = layer
    look_at(viewer, layer, slice(0, 100), slice(0, 100))
    done(qtbot, widget, widget.edits.take)
    region = viewer.layers[-1]
    region.data[:20] = 0
    done(qtbot, widget, widget.edits.put)
    labels = squares((700, 600))
    labels[:20, :100] = 0
    np.testing.assert_array_equal(np.asarray(layer.data[0]), labels)
    assert not layer.editable
    about = json.loads((tmp_path / "labels.ome.zarr/labels/labels/zarr.json").read_text())
    assert about["attributes"]["napari-unet"]["edited"][0]["pixels"] == int((squares((700, 600))[:20, :100] > 0).sum())


def test_closing_the_window_loses_no_correction(
    make_napari_viewer: Any, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.widgets._keeping._PAUSE", 10**6)
    place = tmp_path / "labels.ome.zarr"
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.zeros((700, 600), np.uint8), name="image")
    widget = SegmentWidget(viewer, engine=Engine())
    viewer.window.add_dock_widget(widget, name="Cells")
    widget.place.line.setText(str(place))
    widget.run()
    qtbot.waitUntil(lambda: widget.job is None, timeout=30_000)
    layer = viewer.layers["image cells"]
    viewer.layers.selection.active = layer
    look_at(viewer, layer, slice(15, 60), slice(22, 80))
    done(qtbot, widget, widget.edits.take)
    painted(viewer.layers[-1], 1)
    viewer.close()
    found = kept_in(place)
    assert found is not None
    assert (found == 1).sum() >= 30
