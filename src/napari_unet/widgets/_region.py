"""The row that chooses in which part of an image to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from napari.layers import Shapes

from napari_unet.core.errors import AxesError, SpecError
from napari_unet.core.region import Polygon, Region, outline

from ._chooser import LayerBox

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

    from napari_unet.core.axes import Image
    from napari_unet.core.examples import Example

__all__ = ["RegionBox", "inside", "region_of", "regions_on"]

_WHOLE: Final = "the whole image"


class RegionBox(LayerBox):
    """A list of the shapes layers, and of the whole image.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the shapes are.
    """

    def __init__(self, viewer: Viewer) -> None:
        super().__init__(viewer, Shapes, _WHOLE)
        self.setToolTip(
            "Look for objects only inside the shapes of a layer: rectangles, ellipses and polygons, the same in all "
            "planes. Add a layer with the Shapes button above the layer list, and draw."
        )

    def region(self, layer: Layer, axes: str) -> Region | None:
        """Return the chosen areas in pixels of an image layer, None for everywhere; see :func:`region_of`."""
        shapes = self.layer
        return None if shapes is None else region_of(shapes, layer, axes)


def region_of(shapes: Layer, layer: Layer, axes: str) -> Region:
    """Bring shapes to the pixels of an image.

    Parameters
    ----------
    shapes : napari.layers.Shapes
        Drawn anywhere in the viewer.
    layer : napari.layers.Image
        The image; both layers' scale, translation, rotation, shear and affine are taken into account.
    axes : str
        Of its data.

    Returns
    -------
    tuple of polygons
        Vertices ``(y, x)``; centers of pixels are whole numbers.

    Raises
    ------
    AxesError
        If the axes do not name y and x.
    SpecError
        If there are no shapes, or one has no inside.
    """
    if not len(shapes.data):
        raise SpecError(f"'{shapes.name}' holds no shapes. Draw a rectangle, an ellipse or a polygon in it.")
    if not {"y", "x"} <= set(axes):
        raise AxesError("Say first which dimensions of the image are y and x: write them into 'Axes'.")
    rows = [axes.index("y"), axes.index("x")]

    def place(vertex: npt.NDArray[np.float64]) -> tuple[float, float]:
        y, x = np.asarray(layer.world_to_data(shapes.data_to_world(vertex)))[rows]
        return float(y), float(x)

    kinds = zip(shapes.shape_type, shapes.data, strict=True)
    return tuple(outline(kind, [place(vertex) for vertex in vertices]) for kind, vertices in kinds)


def regions_on(shapes: Layer, layer: Layer, image: Image) -> dict[int | None, Region]:
    """Return the shapes that lie on an image, of a movie frame by frame; see :func:`region_of`.

    Parameters
    ----------
    shapes : napari.layers.Shapes
        Drawn anywhere in the viewer, perhaps on several images.
    layer : napari.layers.Image
        The image layer.
    image : Image
        Its data with axes.

    Returns
    -------
    dict of tuple of polygons
        Vertices ``(y, x)`` by frame; under None what counts in all frames, because the image has no time or the shapes
        none.

    Raises
    ------
    SpecError
        If there is none.
    """
    height, width = image.along("yx")[0]
    found: dict[int | None, list[Polygon]] = {}
    time = image.axes.find("t")
    timed = time >= 0 and shapes.ndim >= layer.ndim - time  # layers are aligned by their last dimensions
    for polygon, vertices in zip(region_of(shapes, layer, image.axes), shapes.data, strict=True):
        rows, columns = zip(*polygon, strict=True)
        at = round(float(layer.world_to_data(shapes.data_to_world(vertices[0]))[time])) if timed else None
        seen = at is None or 0 <= at < image.shape[time]
        if seen and min(rows) < height and max(rows) >= 0 and min(columns) < width and max(columns) >= 0:
            found.setdefault(at, []).append(polygon)
    if not found:
        raise SpecError(f"No shape of '{shapes.name}' lies on '{layer.name}'. Draw one there, or choose other shapes.")
    return {at: tuple(polygons) for at, polygons in found.items()}


def inside(example: Example, regions: Mapping[int | None, Region]) -> list[Example]:
    """Take what lies inside of shapes for all that is known of an example.

    Parameters
    ----------
    example : Example
        Of layers.
    regions : mapping of tuple of polygons
        See :func:`regions_on`.

    Returns
    -------
    list of Example
        One for each frame in which there are shapes; the frames of a movie are held out together.
    """
    if None in regions:
        return [replace(example, region=regions[None])]
    return [
        replace(
            example,
            image=_frame(example.image, at),
            labels=_frame(example.labels, at),
            region=region,
            group=example.group or example.source,
        )
        for at, region in sorted(regions.items(), key=lambda item: item[0] or 0)
        if at is not None
    ]


def _frame(movie: Any, at: int) -> Any:
    axes = movie.axes.replace("t", "")
    _, scale, units = movie.along(axes)
    data = movie.data[tuple(at if axis == "t" else slice(None) for axis in movie.axes)]
    name = f"{movie.name} t={at}"
    return replace(movie, data=data, axes=axes, scale=scale, units=units, name=name, levels=())
