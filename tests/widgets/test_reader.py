"""Files open as layers that are read where one looks, with their names, sizes, colors and labels."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from npe2 import PluginManifest
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QGuiApplication

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.place import GeoReference
from napari_unet.io.images import SUFFIXES
from napari_unet.tiling.chunks import ChunkedArray, cached
from napari_unet.widgets import _reader
from napari_unet.widgets._bands import band_of
from napari_unet.widgets._classes import classes_of
from napari_unet.widgets._drawn import stored_in
from napari_unet.widgets._layers import layer_axes, layer_image, source_of
from napari_unet.widgets._reader import get_reader, read
from napari_unet.widgets.segment import SegmentWidget

PLUGIN = "napari-unet-suite"
MANIFEST = PluginManifest.from_file(Path(_reader.__file__).parents[1] / "napari.yaml")
PLACE = GeoReference((0.5, 0, 500000, 0, -0.5, 10000))
RNG = np.random.default_rng(0)


def noise(*shape: int, dtype: type = np.uint16) -> np.ndarray:
    return RNG.integers(0, 200, shape).astype(dtype)


def write_pyramid(path: Path, data: np.ndarray, axes: str, unit: str = "µm") -> list[np.ndarray]:
    levels = [data]
    for _ in range(2):
        levels.append(levels[-1][tuple(slice(None, None, 2) if a in "YX" else slice(None) for a in axes)])
    sizes = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    options = {"tile": (16, 16), "compression": "zlib", "photometric": "rgb" if "S" in axes else "minisblack"}
    with tifffile.TiffWriter(path) as file:
        file.write(data, subifds=2, metadata={"axes": axes, **sizes}, **options)
        for level in levels[1:]:
            file.write(level, subfiletype=1, metadata=None, **options)
    return levels


def write_ome_zarr(path: Path, axes: str, *levels: np.ndarray) -> None:
    root = zarr.open_group(path, mode="w")
    for number, level in enumerate(levels):
        root.create_array(str(number), data=level, chunks=(*[1] * (level.ndim - 2), 16, 16))
    datasets = [{"path": str(number)} for number in range(len(levels))]
    root.attrs["ome"] = {"multiscales": [{"axes": [*axes], "datasets": datasets}]}


@pytest.fixture(autouse=True)
def _plugin(npe2pm: Any) -> Iterator[None]:
    with npe2pm.tmp_plugin(manifest=MANIFEST):
        yield


def opened(path: Path) -> ViewerModel:
    viewer = ViewerModel()
    viewer.open(str(path), plugin=PLUGIN)
    return viewer


@pytest.mark.parametrize("lazy", [False, True])
def test_a_pyramid_is_one_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lazy: bool) -> None:
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100 if lazy else 1 << 30)
    levels = write_pyramid(tmp_path / "some.ome.tif", noise(3, 64, 96), "ZYX")
    (layer,) = opened(tmp_path / "some.ome.tif").layers
    assert (layer.name, layer.multiscale, layer.rgb) == ("some", True, False)
    assert layer.axis_labels == ("z", "y", "x")
    assert tuple(layer.scale) == (1, 0.25, 0.5)
    assert [str(unit) for unit in layer.units] == ["pixel", "micrometer", "micrometer"]
    assert all(isinstance(array, da.Array if lazy else np.ndarray) for array in layer.data)
    image = layer_image(layer, layer_axes(layer)[0])
    assert (image.axes, image.scale) == ("zyx", (1, 0.25, 0.5))
    assert image.source == str(tmp_path / "some.ome.tif")
    for found, expected in zip((image.data, *image.levels), levels, strict=True):
        np.testing.assert_array_equal(np.asarray(found), expected)


def test_colors_are_one_layer(tmp_path: Path) -> None:
    data = noise(64, 96, 3, dtype=np.uint8)
    write_pyramid(tmp_path / "stained.ome.tif", data, "YXS")
    (layer,) = opened(tmp_path / "stained.ome.tif").layers
    assert layer.rgb
    assert layer_axes(layer) == ("yxc", True)
    image = layer_image(layer, "yxc")
    assert (image.shape, len(image.levels)) == ((64, 96, 3), 2)


def test_other_channels_are_a_layer_each(tmp_path: Path) -> None:
    data = noise(4, 2, 32, 48)
    write_ome_zarr(tmp_path / "movie.ome.zarr", "tcyx", data, data[..., ::2, ::2])
    layers = opened(tmp_path / "movie.ome.zarr").layers
    assert [layer.name for layer in layers] == ["movie channel 0", "movie channel 1"]
    assert layers[0].colormap.name != layers[1].colormap.name
    for number, layer in enumerate(layers):
        assert layer_axes(layer) == ("tyx", True)
        image = layer_image(layer, "tyx")
        np.testing.assert_array_equal(np.asarray(image.data), data[:, number])
        np.testing.assert_array_equal(np.asarray(image.levels[0]), data[:, number, ::2, ::2])


@pytest.mark.filterwarnings("ignore:.*are stored as RGB:DeprecationWarning")
def test_planes_that_were_taken_for_channels_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", said.append)
    tifffile.imwrite(tmp_path / "a.tif", noise(3, 32, 48))
    assert len(opened(tmp_path / "a.tif").layers) == 3
    assert [text[:37] for text in said] == ["3 planes were taken for channels, bec"]


def test_what_lies_elsewhere_is_shown_there_and_known_by_the_layer(tmp_path: Path) -> None:
    data = np.zeros((2, 3, 64, 80), np.uint16)
    image = Image(data, "ctyx", (1, 2, 0.5, 0.5), start=(0, 0, 7, -3))
    arrays, options, _ = _reader._image_layer(image, alone=True, part=False)
    layers = ViewerModel().add_image(arrays, **options)
    assert {tuple(layer.translate) for layer in layers} == {(0, 7, -3)}
    assert layer_image(layers[0], "tyx").start == (0, 7, -3)


def test_labels_are_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, labels = noise(64, 96), (noise(64, 96) // 50).astype(np.int32)
    write_ome_zarr(tmp_path / "a.ome.zarr", "yx", data)
    for name in ("cells", "nuclei"):
        workflows.write_labels(tmp_path / f"{name}.ome.zarr", Image(labels, "yx", (0.5, 0.5)))
    (tmp_path / "a.ome.zarr" / "labels").mkdir()
    for name in ("cells", "nuclei"):
        (tmp_path / f"{name}.ome.zarr" / "labels" / name).rename(tmp_path / "a.ome.zarr" / "labels" / name)
    group = zarr.open_group(tmp_path / "a.ome.zarr" / "labels", mode="a")
    group.attrs["ome"] = {"labels": ["cells", "nuclei"]}
    layers = opened(tmp_path / "a.ome.zarr").layers
    assert [(type(layer), layer.name) for layer in layers] == [
        (ImageLayer, "a"), (Labels, "a cells"), (Labels, "a nuclei"),
    ]  # fmt: skip
    np.testing.assert_array_equal(layers[2].data, labels)
    assert not layers[2].multiscale
    assert layers[2].editable
    # An image that is damaged is not left out without a word.
    (tmp_path / "a.ome.zarr" / "0").rename(tmp_path / "a.ome.zarr" / "gone")
    with pytest.raises(ImageError, match="names '0', which is not there"):
        read(tmp_path / "a.ome.zarr")
    # A label image alone, and labels that are too large to be loaded.
    monkeypatch.setattr("napari_unet.io.labels.LAZY_BYTES", 100)
    ((data, options, kind),) = read(tmp_path / "a.ome.zarr" / "labels" / "cells")
    assert (kind, options["name"]) == ("labels", "cells")
    assert isinstance(data, da.Array)


def test_labels_of_this_program_in_a_tiff_are_labels_and_other_numbers_are_not(tmp_path: Path) -> None:
    labels = (noise(2, 64, 96) // 50).astype(np.int32)
    image = Image(labels, "tyx", (5.0, 0.5, 0.25), ("second", "micrometer", "micrometer"))
    manifest = {"labels_hash": "0", "note": 'a <"quoted"> & note'}
    workflows.write_labels(tmp_path / "found.tif", image, manifest)
    workflows.write_image(tmp_path / "confidence.tif", image, manifest)
    workflows.write_labels(tmp_path / "masks.tif", image)
    ((data, options, kind),) = read(tmp_path / "found.tif")
    assert (kind, options["name"], options["axis_labels"]) == ("labels", "found", ("t", "y", "x"))
    np.testing.assert_array_equal(data, labels)
    assert options["scale"] == (5.0, 0.5, 0.25)
    assert options["units"] == ("second", "micrometer", "micrometer")
    assert [read(tmp_path / name)[0][2] for name in ("confidence.tif", "masks.tif")] == ["image", "image"]
    (tmp_path / "damaged.tif").write_bytes((tmp_path / "found.tif").read_bytes()[:200])
    with pytest.raises(ImageError):
        read(tmp_path / "damaged.tif")


def test_results_of_this_program_open_as_labels(tmp_path: Path) -> None:
    labels = np.zeros((1100, 600), np.int32)
    labels[3:9, 4:10] = 7
    workflows.write_labels(tmp_path / "found.ome.zarr", Image(labels, "yx"))
    (layer,) = opened(tmp_path / "found.ome.zarr").layers
    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, labels)


@pytest.mark.parametrize("place", [None, PLACE], ids=["nowhere", "on a map"])
def test_labels_in_a_tiff_of_this_program_open_as_labels(tmp_path: Path, place: GeoReference | None) -> None:
    labels = np.zeros((110, 60), np.int32)
    labels[3:9, 4:10] = 2
    rows = [
        {"label": n, "name": name, "color": color}
        for n, name, color in ((1, "road", "#8d8d8d"), (2, "water", "#3e8eed"))
    ]
    workflows.write_labels(tmp_path / "found.tif", Image(labels, "yx", geo=place), {"classes": rows})
    (layer,) = opened(tmp_path / "found.tif").layers
    assert isinstance(layer, Labels)
    np.testing.assert_array_equal(layer.data, labels)
    assert [row.name for row in classes_of(layer)] == ["road", "water"]
    np.testing.assert_allclose(layer.get_color(2)[:3], np.array([0x3E, 0x8E, 0xED]) / 255, atol=1e-3)
    # What is no labels stays an image, whatever it says of itself.
    workflows.write_image(tmp_path / "scores.tif", Image(labels.astype(np.float32), "yx", geo=place), {"model": "m"})
    (layer,) = opened(tmp_path / "scores.tif").layers
    assert isinstance(layer, ImageLayer)


def test_a_raster_with_a_color_table_is_labels_but_a_micrograph_is_not(tmp_path: Path) -> None:
    data, colors = noise(20, 30, dtype=np.uint8), np.tile(np.arange(256, dtype=np.uint16) * 257, (3, 1))
    for name, tags in (("map", [(33550, "d", 3, (1.0, 1.0, 0.0), True)]), ("cells", [])):
        file = tmp_path / f"{name}.tif"
        tifffile.imwrite(file, data, photometric="palette", colormap=colors, extratags=tags, metadata=None)
        (layer,) = opened(file).layers
        assert isinstance(layer, Labels) == (name == "map")


def test_all_positions_of_a_file_are_layers_that_know_their_place(tmp_path: Path) -> None:
    data = [noise(8, 9), noise(2, 8, 9), noise(8, 7)]
    with tifffile.TiffWriter(tmp_path / "p.ome.tif", ome=True) as file:
        for each in data:
            file.write(each, photometric="minisblack", metadata={"axes": "CYX"[-each.ndim :]})
    viewer = ViewerModel()
    viewer.open(tmp_path / "p.ome.tif", plugin=PLUGIN)
    first, *bands, last = viewer.layers
    assert [layer.name for layer in viewer.layers] == ["p 1", "p 2 channel 0", "p 2 channel 1", "p 3"]
    for layer, each, number in ((first, data[0], 1), (last, data[2], 3)):
        source = source_of(viewer, layer)
        assert source == str(tmp_path / "p.ome.tif" / str(number)) == layer_image(layer, "yx").source
        np.testing.assert_array_equal(workflows.read_image(source).data, each)
    assert [source_of(viewer, layer) for layer in bands] == [None, None]
    band = band_of(bands[0])
    assert band is not None
    np.testing.assert_array_equal(workflows.read_image(band["file"]).data, data[1])


def test_corrections_of_second_labels_do_not_go_into_the_first(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("napari_unet.io.labels.LAZY_BYTES", 100)  # small ones are loaded, and stored as new files
    root = zarr.open_group(tmp_path / "a.zarr", mode="w")
    root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    for number in range(2):
        image = noise(32, 32)
        write_ome_zarr(tmp_path / "a.zarr" / str(number), "yx", image)
        group = zarr.open_group(tmp_path / "a.zarr" / str(number), mode="r+")
        inner = group.create_group("labels", attributes={"ome": {"version": "0.5", "labels": ["cells", "nuclei"]}})
        for name in ("cells", "nuclei"):
            write_ome_zarr(tmp_path / "a.zarr" / str(number) / "labels" / name, "yx", image.astype(np.uint32))
            inner[name].attrs["ome"] = inner[name].attrs["ome"] | {"image-label": {"version": "0.5"}}
    viewer = ViewerModel()
    viewer.open(tmp_path / "a.zarr", plugin=PLUGIN)
    names = ["a 0", "a 1", "a 0 cells", "a 0 nuclei", "a 1 cells", "a 1 nuclei"]
    assert [layer.name for layer in viewer.layers] == names
    assert [bool(stored_in(layer)) for layer in viewer.layers] == [False, False, True, False, False, False]


def test_units_that_nobody_knows_are_pixels(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.ome.tif", noise(64, 96), "YX", unit="reference frame")
    (layer,) = opened(tmp_path / "a.ome.tif").layers
    assert [str(unit) for unit in layer.units] == ["pixel", "pixel"]


def test_a_large_plane_without_levels_gets_some_for_display_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_unet.io._tiff.LAZY_BYTES", 100)
    monkeypatch.setattr("napari_unet.widgets._reader._WHOLE", 2000)
    data = noise(2, 64, 96)
    for compression in (None, "zlib"):
        tifffile.imwrite(
            tmp_path / "a.tif", data, metadata={"axes": "TYX"}, compression=compression, tile=(16, 16), ome=True
        )
        (layer,) = opened(tmp_path / "a.tif").layers
        assert [array.shape for array in layer.data] == [(2, 64, 96), (2, 32, 48), (2, 16, 24)]
        image = layer_image(layer, layer_axes(layer)[0])
        assert image.axes == "tyx"
        assert image.levels == ()
        np.testing.assert_array_equal(np.asarray(layer.data[2]), data[:, ::4, ::4])


def test_what_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0no")
    assert get_reader([str(tmp_path / "a.tif")] * 2) is None
    reader = get_reader(str(tmp_path / "a.tif"))
    assert reader is not None
    with pytest.raises(ImageError, match="not a readable TIFF"):
        reader(str(tmp_path / "a.tif"))
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(ImageError, match="without an image"):
        read(tmp_path / "a.zarr")


def test_the_widget_finds_what_the_command_finds(tmp_path: Path, bright: Path, disks: tuple[np.ndarray, ...]) -> None:
    wide = np.kron(disks[0], np.ones((4, 4), np.uint16))
    levels = [wide.reshape(96 * 4 // n, n, -1, n).mean((1, 3)).astype(np.uint16) for n in (1, 2, 4, 8)]
    write_ome_zarr(tmp_path / "disks.ome.zarr", "yx", *levels)
    (layer,) = opened(tmp_path / "disks.ome.zarr").layers
    shown = workflows.segment(layer_image(layer, layer_axes(layer)[0]), model=str(bright), diameter=48)
    read_again = workflows.segment(workflows.read_image(tmp_path / "disks.ome.zarr"), model=str(bright), diameter=48)
    assert shown.objects == 42
    assert shown.hash == read_again.hash
    assert shown.hash != workflows.segment(wide, model=str(bright), diameter=48).hash


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr 2", "zarr 3"])
@pytest.mark.parametrize("several", [False, True])
def test_what_other_readers_hand_over(tmp_path: Path, kind: str, several: bool) -> None:
    data = noise(3, 64, 96)
    made = []
    for number, values in enumerate([data, data[:, ::2, ::2], data[:, :7, :7]]):
        if kind == "numpy":
            made.append(values)
        elif kind == "dask":
            made.append(da.from_array(values, chunks=(1, 20, 20)))
        else:
            version = int(kind[-1])
            made.append(zarr.create_array(tmp_path / str(number), data=values, chunks=(1, 16, 16), zarr_format=version))
    viewer = ViewerModel()
    layer = viewer.add_image(made if several else made[0], axis_labels=("z", "y", "x"), multiscale=several)
    image = cached(layer_image(layer, "zyx"))
    assert len(image.levels) == several
    assert isinstance(image.data, ChunkedArray) == (kind != "numpy")
    for plane in image.planes(2):
        for level in range(1 + several):
            window = tuple(slice(1, n - 1) for n in plane.shape_of(level))
            expected = data[plane.at[0], :: 1 + level, :: 1 + level][window]
            np.testing.assert_array_equal(plane.read(window, level)[0], expected)


@pytest.mark.parametrize("own", [True, False])
def test_a_scale_that_the_file_does_not_say_is_copied_or_told(qtbot: QtBot, tmp_path: Path, own: bool) -> None:
    path, known = tmp_path / "a.ome.tif", {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, noise(64, 96), metadata={"axes": "YX", **known})
    viewer = opened(path)
    if not own:
        viewer.layers.clear()
        layer = viewer.add_image(noise(64, 96), scale=(0.5, 0.5), units=("um", "um"))
        layer._source = layer.source.model_copy(update={"path": str(path)})
    widget = SegmentWidget(viewer, "cell")
    qtbot.addWidget(widget)
    clipboard = QGuiApplication.clipboard()
    widget.copies.python.click()
    assert ".scaled(" not in clipboard.text()
    widget.copies.command.click()
    assert widget.status.text() == "Copied."
    viewer.layers[0].scale = (0.25, 0.5)
    widget.copies.python.click()
    assert f"read_image({str(path)!r}, axes='yx').scaled(y=(0.25, 'micrometer'))" in clipboard.text()
    widget.copies.command.click()
    assert (
        "takes the pixel sizes of the file, and those of the layer differ: y 0.25 micrometer." in widget.status.text()
    )


def test_on_screen(make_napari_viewer: Any, qtbot: QtBot, tmp_path: Path) -> None:
    data = np.zeros((128, 128), np.uint8)
    data[:, 64:] = 255
    write_ome_zarr(tmp_path / "half.ome.zarr", "yx", data, data[::2, ::2])
    viewer = make_napari_viewer(show=True)
    viewer.open(str(tmp_path / "half.ome.zarr"), plugin=PLUGIN)

    def drawn() -> None:
        picture = viewer.screenshot(canvas_only=True, flash=False)
        height, width = picture.shape[:2]
        row = picture[height // 2, :, 0]
        assert row[width // 2 - 40 : width // 2 - 20].max() == 0
        assert row[width // 2 + 20 : width // 2 + 40].min() == 255

    qtbot.waitUntil(drawn, timeout=10_000)


def test_the_patterns_are_those_of_what_can_be_read() -> None:
    reader = next(each for each in MANIFEST.contributions.readers if "*.tif" in each.filename_patterns)
    others = {".json", "[0-9][0-9][0-9]"}  # what is one of these is told by its first bytes
    assert {pattern.removeprefix("*") for pattern in reader.filename_patterns} <= {*SUFFIXES} | others
    assert reader.accepts_directories


def test_the_manifest_is_valid_and_opening_loads_no_torch(tmp_path: Path) -> None:
    write_ome_zarr(tmp_path / "a.ome.zarr", "cyx", noise(2, 64, 96))
    code = (
        "import json, sys\n"
        "from npe2 import PluginManager, read\n"
        "PluginManager.instance().discover()\n"
        f"layers = read([{str(tmp_path / 'a.ome.zarr')!r}], stack=False, plugin_name={PLUGIN!r})\n"
        "print(json.dumps([len(layers), sorted({'torch', 'numba', 'skimage'} & set(sys.modules))]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [1, []]
