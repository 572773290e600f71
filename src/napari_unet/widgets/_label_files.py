"""Labels layers as files of medical programs, of maps, of QuPath and ImageJ."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from napari.layers import Labels

from napari_unet import workflows
from napari_unet.core.anatomy import stand_up
from napari_unet.core.axes import Image
from napari_unet.core.lengths import millimeters

from ._layers import KEY, layer_axes, layer_image

__all__ = ["write"]

_PLACES: Final = (
    "anatomy",
    "axes",
    "before",
    "geo",
    "levels",
    "valid",
)  # of a record, what is not how labels were made
_KEPT: Final = ("scale", "translate", "units", "axis_labels", "metadata", "name", "multiscale")


def write(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a labels layer on the grid of the image that it was made of.

    Parameters
    ----------
    path : str
        Ends in ``.nii.gz`` or ``.nii`` (NIfTI), ``.dcm`` (DICOM-SEG), ``.tif`` (GeoTIFF), ``.gpkg``, ``.geojson`` or
        ``.zip`` (ROIs of ImageJ).
    data : array-like of int
        Of the layer.
    meta : dict
        Of the layer. Without a known place in the patient, its scale and place in the viewer are written.

    Returns
    -------
    list of str
        What was written.

    Raises
    ------
    UNetError
        If it cannot be written; napari shows the text.
    """
    layer = Labels(data, **{name: meta[name] for name in _KEPT if name in meta})
    record = layer.metadata.get(KEY)
    facts = {k: v for k, v in record.items() if k not in _PLACES} if isinstance(record, dict) else {}
    workflows.write_labels(path, _placed(layer_image(layer, layer_axes(layer)[0]), layer), facts)
    return [path]


def _placed(labels: Image, layer: Labels) -> Image:
    """Give labels of no known place that of their layer, where its units are lengths."""
    if labels.anatomy is not None or labels.spatial != "zyx":
        return labels
    shape, scale, units = labels.along("xyz")
    factors = [millimeters(unit) for unit in units]
    if any(map(math.isnan, factors)):
        return labels
    start = dict(zip(labels.axes, np.asarray(layer.translate)[-len(labels.axes) :], strict=True))
    affine = np.diag([*(s * f for s, f in zip(scale, factors, strict=True)), 1.0])
    affine[:3, 3] = [start[a] * f for a, f in zip("xyz", factors, strict=True)]
    return Image(labels.data, labels.axes, labels.scale, labels.units, labels.name, anatomy=stand_up(affine, shape))
