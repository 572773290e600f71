"""Formats that only a plugin of others reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
from npe2 import DynamicPlugin

from napari_unet.core.errors import AxesError, ImageError
from napari_unet.io.images import read_image
from napari_unet.samples.simulated import nuclei

Layers = list[tuple[Any, ...]]
Offer = Callable[[Callable[[], Layers]], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file of a format that nobody here reads."""
    path = tmp_path / "cells.czi"
    path.write_bytes(b"ZISRAWFILE")
    return path


@pytest.fixture
def offer() -> Iterator[Offer]:
    """Return what installs a plugin whose reader returns what it is told to."""
    made: list[DynamicPlugin] = []

    def install(give: Callable[[], Layers]) -> None:
        plugin = DynamicPlugin(f"reader-{len(made)}")
        plugin.register()
        made.append(plugin)

        @plugin.contribute.reader(filename_patterns=["*.czi"])
        def get_reader(path: Any) -> Any:
            return lambda paths: give()

    yield install
    for plugin in made:
        plugin.cleanup()


def test_a_plugin_reads_what_is_unknown_here(file: Path, offer: Offer) -> None:
    """Axes, scale, units and channels are those that the plugin names; lazy arrays stay lazy."""
    pixels = da.zeros((2, 3, 40, 50), chunks=20, dtype=np.uint16)
    told = {
        "channel_axis": 0, "axis_labels": ("Z", "Y", "X"), "scale": (2, 0.5, 0.5), "units": ("µm",) * 3,
        "name": ["DAPI", "actin"],
    }  # fmt: skip
    offer(lambda: [(pixels, told, "image")])
    image = read_image(file)
    assert image.axes == "czyx"
    assert image.scale == (1, 2, 0.5, 0.5)
    assert image.units == ("pixel", "micrometer", "micrometer", "micrometer")
    assert image.channel_names == ("DAPI", "actin")
    assert image.data is pixels
    assert image.name == "cells"
    assert image.source == str(file)


def test_layers_of_one_shape_are_channels(file: Path, offer: Offer) -> None:
    """Some plugins give a layer a channel."""
    a, b = np.zeros((40, 50), np.uint8), np.ones((40, 50), np.uint8)
    offer(lambda: [(a, {"name": "DAPI"}), (b, {"name": "actin"}), (a, {}, "labels")])
    image = read_image(file)
    assert image.axes == "cyx"
    assert image.channel_names == ("DAPI", "actin")
    assert np.array_equal(np.asarray(image.data), [a, b])


@pytest.mark.parametrize(
    ("shape", "told", "axes"),
    [
        ((40, 50), {}, "yx"),
        ((40, 50, 3), {"rgb": True}, "yxc"),
        ((5, 40, 50), {}, "zyx"),
        ((5, 40, 50), {"axis_labels": ("time", "y", "x")}, "tyx"),
        ((40, 50, 2), {"channel_axis": -1}, "yxc"),
        ((2, 5, 40, 50), {"axis_labels": ("c", "t", "y", "x")}, "ctyx"),
        ((2, 40, 50), {"axis_labels": ("dim_0", "dim_1"), "channel_axis": 0}, "cyx"),
    ],
)
def test_axes(file: Path, offer: Offer, shape: tuple[int, ...], told: dict[str, Any], axes: str) -> None:
    """What a plugin does not say is guessed."""
    offer(lambda: [(np.zeros(shape, np.uint8), told, "image")])
    assert read_image(file).axes == axes


def test_axes_by_hand(file: Path, offer: Offer) -> None:
    """What cannot be guessed is asked for, and what is given counts."""
    offer(lambda: [(np.zeros((2, 5, 40, 50), np.uint8), {"scale": (9, 3, 0.5, 0.5)}, "image")])
    with pytest.raises(AxesError, match="--axes"):
        read_image(file)
    image = read_image(file, axes="tzyx")
    assert image.axes == "tzyx"
    assert image.scale == (9, 3, 0.5, 0.5)
    with pytest.raises(AxesError, match="4 dimensions"):
        read_image(file, axes="yx")


def test_pyramids(file: Path, offer: Offer) -> None:
    """Coarser versions come along."""
    levels = [np.zeros((400, 500), np.uint8), np.zeros((200, 250), np.uint8)]
    offer(lambda: [(levels, {"multiscale": True}, "image")])
    image = read_image(file)
    assert image.shape == (400, 500)
    assert [level.shape for level in image.levels] == [(200, 250)]


def test_the_next_plugin_is_asked(file: Path, offer: Offer) -> None:
    """One that fails does not stand in the way; what all said is told in the end."""

    def fail() -> Layers:
        raise RuntimeError("no such block")

    offer(fail)
    with pytest.raises(ImageError, match=r"reader-0: RuntimeError: no such block.*export it"):
        read_image(file)
    offer(lambda: [(None,)])
    with pytest.raises(ImageError, match=r"reader-1: it gave no image"):
        read_image(file)
    offer(lambda: [(np.zeros((40, 50), np.uint8),)])
    assert read_image(file).shape == (40, 50)


def test_nobody_reads_it(file: Path) -> None:
    """Then it is said what helps."""
    with pytest.raises(ImageError, match="install a plugin of napari"):
        read_image(file)


def test_no_script_is_run(tmp_path: Path) -> None:
    """The reader of napari itself runs .py files."""
    script, mark = tmp_path / "bad.py", tmp_path / "mark"
    script.write_text(f"open({str(mark)!r}, 'w')")
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(script)
    assert not mark.exists()


def test_same_labels(file: Path, offer: Offer, tmp_path: Path) -> None:
    """A file that a plugin reads gives the labels of its pixels."""
    import napari_unet

    pixels, _ = nuclei((96, 96), 8, 20.0)
    offer(lambda: [(pixels, {}, "image")])
    found = napari_unet.segment(napari_unet.read_image(file))
    assert found.objects
    assert np.array_equal(found.labels.data, napari_unet.segment(pixels).labels.data)
