"""Formats of microscopes, such as ``.czi`` and ``.nd2``, read by plugins of napari that are installed for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import dask.array as da
from npe2 import PluginManager
from npe2.io_utils import read_get_reader

from ..core.axes import Image, as_image, guess_axes, parse_axes
from ..core.errors import AxesError, ImageError, UNetError
from ..core.lengths import millimeters

__all__ = ["MICROSCOPES", "read_with_plugins"]

# How files of microscopes end: what is looked for in folders, whether a plugin is there for it or not.
MICROSCOPES: Final = (
    ".czi", ".dv", ".ics", ".ims", ".lif", ".lsm", ".mrc", ".mrxs", ".nd2", ".nrrd", ".oib", ".oif", ".rec", ".scn",
    ".sld", ".stk", ".vsi", ".zvi",
)  # fmt: skip

# napari's own reader would run a .py file; what it can read of pictures is read here.
_NOT: Final = ("napari-unet-suite", "napari")


def read_with_plugins(file: Path, axes: str | None = None) -> Image | None:
    """Read a file with the readers of other plugins, in the order in which npe2 names them.

    Parameters
    ----------
    file : Path
        The file.
    axes : str, optional
        Of the array as it is read, its channels included. Without it those that the plugin names, or a guess.

    Returns
    -------
    Image or None
        The first image layer of the first plugin that returns one, as lazy as the plugin made it. Layers of one shape
        that have no channels are the channels of one image. None if no plugin is there for such files.

    Raises
    ------
    ImageError
        If plugins are there for it, and none gives an image: the message has what each of them said.
    AxesError
        If the axes do not fit or are ambiguous.
    """
    manager = PluginManager.instance()
    if not any(manager.iter_manifests()):  # no viewer runs
        manager.discover()
    names = dict.fromkeys(reader.plugin_name for reader in manager.iter_compatible_readers([str(file)]))
    said = []
    for name in names:
        if name in _NOT:
            continue
        try:
            layers, _ = read_get_reader([str(file)], plugin_name=name, stack=False)
        except UNetError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever a plugin of others raises
            said.append(f"{name}: {type(error).__name__}: {error}")
            continue
        if images := [(layer[0], _told(layer)) for layer in layers if _is_image(layer)]:
            return _joined(
                [_image(data, told, file, axes) for data, told in images], [t.get("name") for _, t in images]
            )
        said.append(f"{name}: it gave no image")
    if not said:
        return None
    raise ImageError(
        f"'{file}' could not be read. {'; '.join(said)}. Open it in the program that wrote it, and export it."
    )


def _is_image(layer: Sequence[Any]) -> bool:
    return len(layer) > 0 and layer[0] is not None and (len(layer) < 3 or str(layer[2]).lower() == "image")


def _told(layer: Sequence[Any]) -> dict[str, Any]:
    return dict(layer[1] or {}) if len(layer) > 1 else {}


def _image(data: Any, told: dict[str, Any], file: Path, axes: str | None) -> Image:
    """Turn a layer as plugins give it into an image: scales and names of axes leave the channels out there."""
    levels = list(data) if told.get("multiscale") or isinstance(data, list | tuple) else [data]
    ndim = len(levels[0].shape)
    channel = ndim - 1 if told.get("rgb") else told.get("channel_axis")
    rest = [number for number in range(ndim) if channel is None or number != channel % ndim]
    letters = axes or _letters(levels[0], told.get("axis_labels"), rest)
    if len(letters) != ndim:
        raise AxesError(
            f"'{file.name}' has {ndim} dimensions {tuple(levels[0].shape)}, and the axes '{letters}' name "
            f"{len(letters)}. Give one letter for each, for example axes='tczyx'; on the command line --axes tczyx."
        )
    scale, units = [1.0] * ndim, ["pixel"] * ndim
    steps, names = told.get("scale"), told.get("units")
    names = [names] * len(rest) if isinstance(names, str) else names
    for given, own in zip(reversed(list(steps) if steps is not None else []), reversed(rest), strict=False):
        scale[own] = abs(float(given)) or 1.0
    for given, own in zip(reversed(list(names) if names is not None else []), reversed(rest), strict=False):
        units[own] = _unit(str(given))
    called = told.get("name")
    called = tuple(map(str, called)) if isinstance(called, list | tuple) else ()
    return as_image(
        levels[0], letters, scale=tuple(scale), units=tuple(units), name=file.stem, levels=tuple(levels[1:]),
        channel_names=called if "c" in letters else (),
    )  # fmt: skip


def _letters(data: Any, names: Sequence[str] | None, rest: list[int]) -> str:
    """Return the axes that a plugin names, or a guess; channels are the dimension that is none of `rest`."""
    ndim = len(data.shape)
    if names is not None and len(names) in (ndim, len(rest)):
        try:
            known = parse_axes(names)
        except AxesError:
            known = ""  # napari's own names (-2, -1) say nothing
        if len(known) == ndim:
            return known
        if known and "c" not in known:
            return _with_channels(known, rest, ndim)
    if len(rest) == ndim:
        return guess_axes(tuple(data.shape), data.dtype)
    return _with_channels(guess_axes(tuple(data.shape[number] for number in rest)), rest, ndim)


def _with_channels(letters: str, rest: list[int], ndim: int) -> str:
    return "".join(letters[rest.index(number)] if number in rest else "c" for number in range(ndim))


def _unit(name: str) -> str:
    length = millimeters(name)
    known = {1e-6: "nanometer", 1e-3: "micrometer", 1.0: "millimeter", 1e3: "meter"}
    return name if math.isnan(length) else known.get(length, name)


def _joined(images: list[Image], names: list[Any]) -> Image:
    """Put layers of one shape together as channels; otherwise take the first."""
    first = images[0]
    if len(images) == 1 or "c" in first.axes or any((i.shape, i.axes) != (first.shape, first.axes) for i in images):
        return first
    data = da.stack([da.asarray(image.data) for image in images])
    called = tuple(map(str, names)) if all(names) else ()
    scale, units = (1.0, *first.scale), ("pixel", *first.units)
    return Image(data, f"c{first.axes}", scale, units, first.name, channel_names=called)
