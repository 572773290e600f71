"""From a napari layer to an image with axes, and to the place where its labels belong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from napari_unet.core.anatomy import Anatomy
from napari_unet.core.axes import Image, as_image, guess_axes, parse_axes
from napari_unet.core.errors import AxesError
from napari_unet.core.place import GeoReference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = [
    "KEY", "SIZES", "axes_among", "axes_beside", "file_of", "file_sizes", "layer_axes", "layer_image",
    "placed", "placement", "source_of",
]  # fmt: skip

KEY: Final = "napari-unet"  # of the record in a layer's metadata
SIZES: Final = "sizes"  # in the record: what the file says of pixels


def _data(layer: Layer) -> Any:
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def layer_axes(layer: Layer) -> tuple[str, bool]:
    """Find the axes of a layer's data.

    Parameters
    ----------
    layer : napari.layers.Layer
        An image or labels layer.

    Returns
    -------
    axes : str
        One letter for each dimension of the data, channels of a color layer last; empty if it cannot be told.
    sure : bool
        True if the layer says it, False if it is a guess from the shape.
    """
    data = _data(layer)
    color = "c" if getattr(layer, "rgb", False) else ""
    record = layer.metadata.get(KEY)
    if isinstance(record, dict) and len(str(record.get("axes", ""))) == len(data.shape):
        return str(record["axes"]), True
    try:
        return parse_axes(layer.axis_labels) + color, True
    except AxesError:
        pass  # napari's own names (-2, -1) say nothing: guess
    try:
        shape = tuple(data.shape)
        return (guess_axes(shape[:-1]) + color if color else guess_axes(shape, data.dtype)), len(layer.scale) == 2
    except AxesError:
        return "", False


def axes_beside(layer: Layer, labels: Image) -> str:
    """Return the axes of a layer: those of labels of the same shape, unless the layer says its own."""
    axes, sure = layer_axes(layer)
    return labels.axes if not sure and tuple(layer.data.shape) == labels.shape else axes


def axes_among(layer: Layer, others: Iterable[Layer | None]) -> str:
    """Return the axes of a layer: its own if it says them, else those that one of others of its shape says."""
    axes, sure = layer_axes(layer)
    alike = (y for y in others if y is not None and tuple(y.data.shape) == tuple(layer.data.shape))
    told = (found for found, known in map(layer_axes, alike) if known and "c" not in found)
    return axes if sure else next(told, axes)


def layer_image(layer: Layer, axes: str) -> Image:
    """Wrap a layer's data, which stays where it is: lazy arrays stay lazy, the other levels of a pyramid come along.

    Parameters
    ----------
    layer : napari.layers.Layer
        An image or labels layer.
    axes : str
        One letter for each dimension of its data.

    Returns
    -------
    Image
        With the layer's scale, units, name and path.

    Raises
    ------
    AxesError
        If the axes are missing or do not fit.
    ImageError
        If the layer holds no pixels or no real numbers.
    """
    data = _data(layer)
    if not axes.strip():
        raise AxesError(
            f"The image has {len(data.shape)} dimensions {tuple(data.shape)}. Write into 'Axes' what they are, "
            "for example tzyx (time, depth, y, x) or tcyx (time, channels, y, x)."
        )
    color = len(data.shape) - len(layer.scale)
    scale = (*(abs(float(s)) or 1.0 for s in layer.scale), *[1.0] * color)
    units = (*map(str, layer.units), *["pixel"] * color)
    levels = tuple(layer.data)[1:] if getattr(layer, "multiscale", False) else ()
    if isinstance(record := layer.metadata.get(KEY), dict) and "levels" in record:
        levels = levels[: int(record["levels"])]  # others are made for display, and not in the file
    kept = _kept(layer)
    # What lies in a patient or on Earth says so by itself.
    start = () if kept else (*map(float, layer.translate), *[0.0] * color)
    image = as_image(
        data, axes, scale=scale, units=units, name=layer.name, source=file_of(layer), levels=levels, start=start, **kept
    )
    if not _is_repeated(data, at := image.axes.find("c")):
        return image
    # Labels that were repeated along the channels for display (see ``_canvas.py``) are the same in each.
    rest = [i for i in range(len(axes)) if i != at]
    return Image(
        data[tuple(0 if i == at else slice(None) for i in range(len(axes)))],
        image.label_axes,
        tuple(scale[i] for i in rest),
        tuple(units[i] for i in rest),
        layer.name,
        geo=image.geo,
        anatomy=image.anatomy,
        start=tuple(image.start[i] for i in rest),
    )


def file_sizes(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sizes of pixels that a layer is made with, for its record, so that a change of them is noticed."""
    pairs = zip(map(float, options["scale"]), map(str, options["units"]), strict=True)
    return {SIZES: dict(zip(options["axis_labels"], pairs, strict=True))}


def placed(image: Image) -> dict[str, Any]:
    """Return what of an image's place and holes goes into a layer's record, since layers have no other place for it."""
    places = {"geo": image.geo, "anatomy": image.anatomy}
    known = {name: place for name, place in places.items() if place is not None}
    return known | ({"valid": image.valid} if image.valid else {})


def _kept(layer: Layer) -> dict[str, Any]:
    """Return what :func:`placed` has put into a layer's record, if it still fits the layer."""
    record = layer.metadata.get(KEY)
    if isinstance(record, dict) and isinstance(record.get("anatomy"), Anatomy):
        return {"anatomy": record["anatomy"]}
    if not isinstance(record, dict) or not isinstance(record.get("geo"), GeoReference):
        return {}
    shape = tuple(_data(layer).shape)[-3 if getattr(layer, "rgb", False) else -2 :][:2]
    valid = tuple(record.get("valid", ()))
    fits = bool(valid) and tuple(valid[0].shape) == shape
    # A layer of one channel is one band of several; which of them, nobody wrote down.
    return {"geo": record["geo"], "valid": valid if fits else ()}


def _is_repeated(data: Any, at: int) -> bool:
    if hasattr(data, "repeated"):
        return bool(data.repeated)
    return [i for i, stride in enumerate(getattr(data, "strides", ())) if stride == 0 and data.shape[i] > 1] == [at]


def file_of(layer: Layer) -> str:
    """Return the file of a layer, or the place in it that opens this image alone; empty if there is none."""
    record = layer.metadata.get(KEY)
    return str((record.get("file") if isinstance(record, dict) else "") or layer.source.path or "")


def source_of(viewer: Viewer, layer: Layer | None) -> str | None:
    """Return the file that holds a layer and nothing else, if there is one."""
    path = file_of(layer) if layer is not None else ""
    # Readers that split a file into one layer a channel give all of them its path: no run saw the whole file.
    same = [y for y in viewer.layers if path and file_of(y) == path and isinstance(y, type(layer))]
    return path if len(same) == 1 else None


def placement(layer: Layer, axes: str) -> dict[str, Any]:
    """Tell where labels of a layer belong.

    Parameters
    ----------
    layer : napari.layers.Image
        The image.
    axes : str
        Axes of its data.

    Returns
    -------
    dict
        ``scale``, ``translate``, ``rotate``, ``shear``, ``affine``, ``units`` and ``axis_labels`` for a labels layer:
        the image's, without a leading channel axis.
    """
    n = len(layer.scale)
    keep = list(range(1 if axes[:1] == "c" else 0, n))
    square = np.ix_(keep, keep)
    shear = np.asarray(layer.shear)
    if shear.ndim == 1:
        full = np.eye(n)
        full[np.triu_indices(n, 1)] = shear
        shear = full
    return {
        "scale": np.asarray(layer.scale)[keep],
        "translate": np.asarray(layer.translate)[keep],
        "rotate": np.asarray(layer.rotate)[square],
        "shear": shear[square],
        "affine": np.asarray(layer.affine.affine_matrix)[np.ix_([*keep, n], [*keep, n])],
        "units": tuple(layer.units[i] for i in keep),
        "axis_labels": tuple(layer.axis_labels[i] for i in keep),
    }
