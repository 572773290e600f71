"""Files as layers that are read where one looks: napari's own reader loads TIFF files whole."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pint

from napari_unet import workflows
from napari_unet.core.axes import Image
from napari_unet.core.bands import band_names
from napari_unet.core.classes import ClassRow

from ._bands import band_records
from ._layers import KEY, file_sizes, placed

__all__ = ["LayerData", "get_reader", "labels_layer", "read", "whole_layer"]

LayerData = tuple[Any, dict[str, Any], str]

_WHOLE: Final = 64 << 20  # bytes of a plane that is shown as it is
_COLORS: Final = (3, 4)
_WITH_CLASSES: Final = (".tif", ".tiff", ".zarr")
_LOOKED_AT: Final = 1 << 20  # bytes of what may be a STAC item
_DICOM: Final = (128, b"DICM")


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerData]] | None:
    """Say whether a file can be read, as napari asks.

    Parameters
    ----------
    path : str or sequence of str
        Of a file, a folder or a server. A sequence is to become one stack, which is napari's own business.

    Returns
    -------
    callable or None
        :func:`read`. None for JSON that is no STAC item, and for names that end like numbers, if it is no DICOM file.
    """
    return read if isinstance(path, str) and _is_meant(Path(path)) else None


def _is_meant(place: Path) -> bool:
    """Say whether a file with a name that others use too is one of those that are read; looks at its first bytes."""
    item = place.suffix.lower() == ".json"
    if not (item or place.name[-3:].isdigit()) or not place.is_file():
        return True
    try:
        with place.open("rb") as stream:
            start = stream.read(_LOOKED_AT if item else _DICOM[0] + len(_DICOM[1]))
    except OSError:
        return False
    return b'"assets"' in start if item else start[_DICOM[0] :] == _DICOM[1]


def read(path: str | Path) -> list[LayerData]:
    """Open a file.

    Parameters
    ----------
    path : path-like
        See :func:`napari_unet.io.contents.read_contents`.

    Returns
    -------
    list of tuple
        Layers as napari takes them: data, options, type. A color picture is one layer, other channels are a layer each.
        Large images are lazy and have several resolutions; label images are labels layers.

    Raises
    ------
    UNetError
        If the file cannot be read; napari shows the text.
    """
    images, labels = workflows.read_contents(path)
    _say([remark for each in (*images, *labels) for remark in each.said])
    own = len({image.source for image in images}) == len(images)
    found = [_image_layer(image, own, own and len(images) > 1) for image in images]
    found += [labels_layer(each, _owner(each, images)) for each in labels]
    for _, options, _ in found[len(images) + 1 :]:  # corrections go into the first labels of a store
        options["metadata"][KEY]["folder"] = ""
    return found


def _owner(labels: Image, images: list[Image]) -> str:
    """Return the name of the image that labels lie in, or else that of the first, to put before theirs."""
    around = [image for image in images if labels.source.startswith(f"{image.source}/")] or images[:1]
    return f"{around[0].name} " if around else ""


def whole_layer(image: Image) -> LayerData:
    """Return an image as one layer, channels and all.

    Parameters
    ----------
    image : Image
        Not loaded.

    Returns
    -------
    tuple
        As napari takes it.
    """
    color = image.axes.endswith("c") and image.channels in _COLORS and str(image.data.dtype) == "uint8"
    axes = image.axes.removesuffix("c") if color else image.axes
    record = {"axes": axes, "levels": len(image.levels)} | placed(image)
    return (
        _resolutions(image),
        _options(image, axes) | {"name": image.name, "rgb": color, "metadata": {KEY: record}},
        "image",
    )


def _say(remarks: list[str]) -> None:
    if not remarks:
        return
    from napari.utils.notifications import show_warning  # noqa: PLC0415  # brings compilers along, and is seldom needed

    for remark in dict.fromkeys(remarks):
        show_warning(remark)


def _image_layer(image: Image, alone: bool, part: bool) -> LayerData:
    """Return a layer, or a layer a channel; `alone` if its source opens it, `part` if a file has more."""
    color = image.axes.endswith("c") and image.channels in _COLORS and str(image.data.dtype) == "uint8"
    axes = image.axes if color else image.label_axes
    options = _options(image, axes.removesuffix("c")) | {"name": image.name, "rgb": color}
    record = {"axes": axes, "levels": len(image.levels)} | ({"file": image.source} if part else {})
    options |= {"metadata": {KEY: record | placed(image) | file_sizes(options)}} | _limits(image, color)
    if "c" in image.axes and not color:
        del options["rgb"]
        options["channel_axis"] = image.axes.index("c")
        options["metadata"] = band_records(image, options["metadata"][KEY], alone)
        bands = band_names(image) or ("",) * image.channels
        names = [name or f"channel {number}" for number, name in enumerate(bands)]
        options["name"] = [f"{image.name} {name}" for name in names]
    return _resolutions(image), options, "image"


def labels_layer(labels: Image, prefix: str = "") -> LayerData:
    """Return labels as napari takes them; `prefix` is put before their name."""
    options = _options(labels, labels.axes) | {"name": f"{prefix}{labels.name}"}
    record = {"axes": labels.axes, "levels": len(labels.levels)} | placed(labels)
    if rows := _classes(labels.source):
        from ._colors import class_colors  # noqa: PLC0415  # brings compilers along

        record["classes"] = rows
        options["colormap"] = class_colors([ClassRow(**row) for row in rows])
    options["metadata"] = {KEY: record}
    if labels.anatomy is not None and labels.anatomy.names:
        numbers, names = zip(*labels.anatomy.names, strict=True)
        options["features"] = {"index": [0, *numbers], "name": ["background", *names]}
    data = np.asarray(labels.data) if isinstance(labels.data, np.ndarray) else _resolutions(labels)
    return data, options, "labels"


def _classes(source: str) -> list[dict[str, Any]]:
    """Return the rows of the table of classes that labels are the numbers of, as the file says."""
    known = Path(source).suffix.lower() in _WITH_CLASSES
    return list(workflows.find_manifest(source).get("classes", ())) if known else []


def _limits(image: Image, color: bool) -> dict[str, Any]:
    """Say between which values an image with holes is shown: what fills its holes is no brightness."""
    if color or not image.valid or "c" in image.axes:
        return {}
    small = (image.data, *image.levels)[-1]
    if math.prod(small.shape) * np.dtype(small.dtype).itemsize > _WHOLE:
        return {}
    seen = image.planes(2)[0].read((slice(0, small.shape[0]), slice(0, small.shape[1])), len(image.levels))
    if not np.isfinite(seen).any():
        return {}
    low, high = float(np.nanmin(seen)), float(np.nanmax(seen))
    return {"contrast_limits": (low, high)} if low < high else {}


def _options(image: Image, axes: str) -> dict[str, Any]:
    """Return scale, units and names of the axes that become dimensions of a layer."""
    _, scale, units = image.along(axes)
    known = all(unit in pint.application_registry for unit in units)
    found = {"scale": scale, "units": units if known else ("pixel",) * len(units), "axis_labels": tuple(axes)}
    if any(image.start):
        found["translate"] = image.start_of(axes)
    if image.anatomy is not None and "z" in axes:
        # Images of one patient lie over each other. What is turned otherwise is shown straight: slices through a
        # turned layer are not its planes, and the exact place is kept beside the layer.
        start = dict(zip("zyx", image.anatomy.origin, strict=True))
        found["translate"] = tuple(start.get(a, 0.0) for a in axes)
    return found


def _resolutions(image: Image) -> Any:
    """Return the data of a layer: one array, or the finest to the coarsest where there is more than one."""
    arrays = [_lazy(array) for array in (image.data, *image.levels)]
    steps = tuple(slice(None, None, 2) if a in "yx" else slice(None) for a in image.axes)
    # A large plane without coarser levels would be loaded whole to be shown. Every second pixel does for that; the
    # record in the metadata says that these are no levels of the image.
    in_memory = type(image.data) is np.ndarray
    while not image.levels and not in_memory and _plane_bytes(arrays[-1], image.axes) > _WHOLE:
        arrays.append(arrays[-1][steps])
    return arrays if len(arrays) > 1 else arrays[0]


def _plane_bytes(array: Any, axes: str) -> int:
    size = np.dtype(array.dtype).itemsize
    return int(size * math.prod(n for n, a in zip(array.shape, axes, strict=True) if a in "yx"))


def _lazy(array: Any) -> Any:
    """Wrap what reads from a file, so that napari and other plugins can work with it."""
    if isinstance(array, np.ndarray):
        return array
    import dask.array as da  # noqa: PLC0415  # takes longer to load than all else here

    return array if isinstance(array, da.Array) else da.from_array(array, chunks=array.chunks, inline_array=True)
