"""The part of a labels layer that is corrected by hand: what is seen, as a layer of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import ImageError

from ._channels import repeat
from ._drawn import stored_in
from ._layers import KEY, layer_axes
from ._looking import seen

if TYPE_CHECKING:
    from napari.layers import Labels
    from napari.viewer import Viewer

    from ._sheet import Sheet

__all__ = ["Crop", "add_crop", "read_crop", "visible_crop"]

_MOST: Final = 2**24  # pixels that napari can edit without waiting


@dataclass(frozen=True)
class Crop:
    """A part of some labels.

    Attributes
    ----------
    view : dict of str to slice
        Pixels of the finest level, for each axis but the channels.
    values, before : ndarray of int32
        As it is to be shown, and as it was taken.
    kept : bool
        Whether it was corrected another time and not put back.
    """

    view: dict[str, slice]
    values: npt.NDArray[np.int32]
    before: npt.NDArray[np.int32]
    kept: bool = False


def visible_crop(viewer: Viewer, layer: Labels, axes: str) -> dict[str, slice]:
    """Tell what is to be corrected: what is seen, and all planes of a stack if they are not too many.

    Parameters
    ----------
    viewer : napari.Viewer
        Shows the layer.
    layer : napari.layers.Labels
        Of any size.
    axes : str
        Letters of its dimensions.

    Returns
    -------
    dict of str to slice
        Pixels of the finest level, for each axis but the channels.

    Raises
    ------
    ImageError
        If nothing of the layer is seen, or too much.
    """
    view = seen(viewer, layer, axes)
    if any(part.stop <= part.start for part in view.values()):
        raise ImageError(f"Nothing of '{layer.name}' is on the screen. Move to where you want to correct labels.")
    shape = dict(zip(axes, layer.data.shape, strict=True))
    if "z" in view and _pixels(whole := view | {"z": slice(0, shape["z"])}) <= _MOST:
        view = whole
    if _pixels(view) > _MOST:
        raise ImageError(
            f"You see {_pixels(view) / 1e6:.0f} million pixels. Zoom in until they are {_MOST / 1e6:.0f} million or "
            "fewer: a region of that size can be corrected at once."
        )
    return view


def _pixels(view: dict[str, slice]) -> int:
    return math.prod(part.stop - part.start for part in view.values())


def read_crop(sheet: Sheet, view: dict[str, slice], kept: Any) -> Crop:
    """Read a region.

    Parameters
    ----------
    sheet : Sheet
        The labels.
    view : dict of str to slice
        Of :func:`visible_crop`.
    kept : Change or None
        A region that was taken before and not put back, in place of what is seen.

    Returns
    -------
    Crop
        What :func:`add_crop` shows.

    Raises
    ------
    ImageError
        If what was kept lies outside of the labels.
    """
    if kept is None:
        values = sheet.read(0, tuple(view[a] for a in sheet.axes))
        return Crop(view, values, values.copy())
    view, order = dict(kept.window), [kept.before.axes.index(a) for a in sheet.axes]
    if any(view[a].stop > n for a, n in zip(sheet.axes, sheet.shape, strict=True)):
        raise ImageError(
            "Corrections are kept that were made in larger labels. Remove the folder that ends in '.region' beside "
            "these labels to correct others."
        )
    return Crop(view, kept.after.data.transpose(order), kept.before.data.transpose(order), kept=True)


def add_crop(viewer: Viewer, layer: Labels, crop: Crop) -> Labels:
    """Add a layer that can be painted in, where it was taken from.

    Parameters
    ----------
    viewer : napari.Viewer
        Gets the layer.
    layer : napari.layers.Labels
        Where the labels come from.
    crop : Crop
        What is shown.

    Returns
    -------
    napari.layers.Labels
        The new layer, which is active now.
    """
    axes, view = layer_axes(layer)[0], crop.view
    at = axes.find("c")
    channels = None if at < 0 else (at, int(layer.data.shape[at]))
    start = [view[a].start if a in view else 0 for a in axes]
    place = {name: getattr(layer, name) for name in ("scale", "rotate", "shear", "affine", "units", "axis_labels")}
    added: Labels = viewer.add_labels(
        repeat(crop.values, channels),
        name=f"{layer.name} region",
        # Where the first pixel lies before the affine, as for every layer.
        translate=layer.affine.inverse(layer.data_to_world(start)),
        metadata={KEY: {"axes": axes, "region": stored_in(layer), "view": view, "before": crop.before}},
        colormap=layer.colormap,
        **place,
    )
    added.opacity, added.contour = layer.opacity, layer.contour
    box = added.bounding_box  # how far it goes
    box.visible, box.points, box.line_thickness = True, False, 2
    # What is painted next is a new object; its number is given when it is put back.
    added.selected_label = max(int(crop.values.max(initial=0)), int(crop.before.max(initial=0))) + 1
    return added
