"""Tracks that were opened from a file, together with the labels that they were made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from napari.layers import Labels as LabelsLayer

from napari_unet.core.linking import LinkSpec
from napari_unet.core.results import Tracks

from ._followed import Followed, followed
from ._layers import KEY

if TYPE_CHECKING:
    from napari.layers import Layer
    from napari.viewer import Viewer

__all__ = ["adopt", "tell_missing"]

_ASKED: Final = 50  # cells of a frame that are looked for
_THERE: Final = 0.8  # of them are found: the middle of a bent cell lies outside of it
_NONE: Final = (0.0, 0.0)
_PIXELS: Final = 1 << 16  # of a frame that are looked at for cells that the tracks do not have


def adopt(viewer: Viewer, layer: Layer | None, engine: Any) -> Followed | None:
    """Return what is known of a tracks layer; tracks of a file are treated as if they had been made here.

    Parameters
    ----------
    viewer : napari.Viewer
        Where the labels are that the tracks were made of.
    layer : napari.layers.Layer or None
        The tracks.
    engine : module
        Has the verbs of :mod:`napari_unet.workflows`.

    Returns
    -------
    Followed or None
        None if they come from elsewhere, or no labels in the viewer have their cells where they are.
    """
    known, tracks = followed(layer), _tracks(layer)
    if known is not None or layer is None or tracks is None or layer not in viewer.layers:
        return known
    if not len(tracks.nodes["t"]) or not np.isfinite(tracks.nodes["area"].astype(np.float64)).all():
        return None
    there = [(_fit(y, tracks), y) for y in viewer.layers if isinstance(y, LabelsLayer)]
    fit, labels = max(there, key=lambda pair: pair[0], default=(_NONE, None))
    if labels is None or fit[0] < _THERE:
        return None
    merging = bool(len(tracks.edges)) and int(np.bincount(tracks.edges[:, 1]).max()) > 1
    return Followed(viewer, labels, (tracks.axes, LinkSpec(merging=merging)), tracks, engine, layer)


def tell_missing(layer: Layer | None) -> str:
    """Say why a layer cannot be worked with."""
    if layer is None:
        return "There are no tracks yet: track cells first."
    if _tracks(layer) is not None:
        return "Open the labels that these tracks were made of, too: their numbers are in the file of the tracks."
    return "These tracks come from elsewhere. Track their labels here to correct them."


def _tracks(layer: Layer | None) -> Tracks | None:
    record = layer.metadata.get(KEY) if layer is not None else None
    found = record.get("tracks") if isinstance(record, dict) else None
    return found if isinstance(found, Tracks) else None


def _fit(layer: LabelsLayer, tracks: Tracks) -> tuple[float, float]:
    """Say how well labels fit; two frames are looked at.

    First comes the share of the cells of tracks whose number the labels have at their place; then, as a negative
    number, the share of what is labeled and in no track: a truth has the cells that were tracked, and others.
    """
    data = layer.data[0] if layer.multiscale else layer.data
    t = tracks.nodes["t"].astype(np.int64)
    if len(data.shape) != len(tracks.axes) or int(t[-1]) >= data.shape[0]:
        return _NONE
    found = asked = strange = labeled = 0
    for frame in sorted({int(t[0]), int(t[len(t) // 2])}):
        known = np.flatnonzero(t == frame)
        rows = known[:_ASKED]
        values = np.asarray(data[frame])
        places = np.stack([np.rint(tracks.nodes[a][rows].astype(np.float64)).astype(int) for a in tracks.axes[1:]])
        inside = ((places >= 0) & (places < np.array(values.shape)[:, None])).all(axis=0)
        found += int((values[tuple(places[:, inside])] == tracks.nodes["label"][rows][inside]).sum())
        asked += len(rows)
        step = max(1, round((values.size / _PIXELS) ** (1 / values.ndim)))
        seen = values[(slice(None, None, step),) * values.ndim]
        seen = seen[seen > 0]
        labeled += len(seen)
        strange += int((~np.isin(seen, tracks.nodes["label"][known])).sum())
    return found / asked, -strange / max(1, labeled)
