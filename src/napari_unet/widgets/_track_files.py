"""Files of tracks as layers, and layers as files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pint

from napari_unet import workflows
from napari_unet.core.graph import assemble
from napari_unet.core.results import Tracks

from ._layers import KEY

__all__ = ["get_reader", "points", "read", "write_folder", "write_geff"]

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Any:
    """Say who reads a place: this module, or None for somebody else.

    Parameters
    ----------
    path : str or list of str
        A GEFF folder, or a folder of the Cell Tracking Challenge.

    Returns
    -------
    callable or None
        :func:`read`.
    """
    place = Path(path if isinstance(path, str) else path[0])
    known = place.suffix.lower() == ".geff" or (place.is_dir() and workflows.has_tracks(place))
    return read if known else None


def read(path: str | list[str]) -> list[LayerData]:
    """Read tracks, and masks where there are some.

    Parameters
    ----------
    path : str or list of str
        One place.

    Returns
    -------
    list of tuple
        A tracks layer, and a labels layer that reads its frames when they are looked at.
    """
    found = workflows.read_tracks(path if isinstance(path, str) else path[0])
    tracks = found.tracks
    units = tuple("pixel" if unit == "frame" else unit for unit in tracks.units)  # frames are no unit to napari
    known = all(unit in pint.application_registry for unit in units)
    # Corrections change which numbers a folder gives.
    nodes = {name: column for name, column in tracks.nodes.items() if name != "number"}
    options = {
        "name": f"{tracks.name} tracks", "graph": tracks.graph, "scale": tracks.scale,
        "units": units if units and known else None,
        "metadata": {"problems": found.problems, KEY: {"tracks": replace(tracks, nodes=nodes)}},
        "features": {k: column for k, column in tracks.nodes.items() if k not in ("t", "z", "y", "x")},
    }  # fmt: skip
    layers: list[LayerData] = [(points(tracks), options, "tracks")]
    if found.labels is not None:
        about = {
            "name": tracks.name, "axis_labels": tuple(found.labels.axes),
            "metadata": {KEY: {"annotations": found.annotations}},
        }  # fmt: skip
        layers.insert(0, (found.labels.data, about, "labels"))
    return layers


def points(tracks: Tracks) -> npt.NDArray[np.float64]:
    """Return track, time and place of every node, as napari takes them."""
    return np.stack([tracks.nodes["track"], *(tracks.nodes[axis] for axis in tracks.axes)], axis=1).astype(np.float64)


def write_geff(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a tracks layer as GEFF.

    Parameters
    ----------
    path : str
        Ends in ``.geff``.
    data : array-like, shape (n, 4) or (n, 5)
        Track, time and place.
    meta : dict
        Of the layer.

    Returns
    -------
    list of str
        What was written.
    """
    workflows.write_tracks(path, _tracks(np.asarray(data), meta), overwrite=True)
    return [path]


def write_folder(path: str, layers: list[LayerData]) -> list[str]:
    """Write a labels and a tracks layer as a folder of the Cell Tracking Challenge.

    Parameters
    ----------
    path : str
        The folder; an ending ``.ctc`` is left out.
    layers : list of tuple
        One of each; the tracks must know the labels they were made of.

    Returns
    -------
    list of str
        What was written.
    """
    place = str(Path(path).with_suffix("")) if path.lower().endswith(".ctc") else path
    labels = next(data[0] if meta.get("multiscale") else data for data, meta, kind in layers if kind == "labels")
    tracks = next(_tracks(np.asarray(data), meta) for data, meta, kind in layers if kind == "tracks")
    workflows.write_tracks(place, tracks, workflows.relabel(labels, tracks))
    return [place]


def _tracks(data: npt.NDArray[Any], meta: dict[str, Any]) -> Tracks:
    """Make tracks of a layer, with all that is known of those that were made or opened here and are the same still."""
    record = (meta.get("metadata") or {}).get(KEY) or {}
    known = getattr(record.get("followed"), "tracks", None) or record.get("tracks")
    if isinstance(known, Tracks) and _is_same(known, data, meta.get("graph") or {}):
        return _placed(known, meta)
    axes = "tzyx" if data.shape[1] == 5 else "tyx"
    table = {"track": data[:, 0].astype(np.int64)} | {a: data[:, i + 1] for i, a in enumerate(axes)}
    features = meta.get("features")
    for name in ("label", "area"):
        if features is not None and name in features and len(features[name]) == len(data):
            table[name] = np.asarray(features[name])
    edges = _edges(table["track"], data[:, 1], meta.get("graph") or {})
    return _placed(assemble(table, str(meta.get("name", "tracks")), edges).tracks, meta)


def _is_same(tracks: Tracks, data: npt.NDArray[Any], graph: dict[Any, Any]) -> bool:
    """Say whether a layer shows these tracks; napari orders points by track and time, and may have a channel axis."""
    places = points(tracks)
    order, own = np.lexsort((places[:, 1], places[:, 0])), np.lexsort((data[:, 1], data[:, 0]))
    columns = [0, 1, *range(data.shape[1] - places.shape[1] + 2, data.shape[1])]
    if len(places) != len(data) or not np.array_equal(places[order], data[own][:, columns]):
        return False
    return {k: sorted(v) for k, v in tracks.graph.items()} == {int(k): sorted(np.ravel(v)) for k, v in graph.items()}


def _edges(track: npt.NDArray[np.int64], time: npt.NDArray[Any], graph: dict[Any, Any]) -> npt.NDArray[np.int64]:
    """Link the points of each track, and its first one with the last ones of all tracks that it comes from."""
    order = np.lexsort((time, track))
    same = track[order][1:] == track[order][:-1]
    starts, ends = order[np.append(True, ~same)[: len(order)]], order[np.append(~same, True)[: len(order)]]
    first, last = ({int(track[row]): int(row) for row in rows} for rows in (starts, ends))
    later = same & (time[order][1:] > time[order][:-1])
    pairs = [(last.get(int(above)), first.get(int(child))) for child, each in graph.items() for above in np.ravel(each)]
    known = [(a, b) for a, b in pairs if a is not None and b is not None and time[a] < time[b]]
    return np.concatenate(
        [np.stack([order[:-1][later], order[1:][later]], 1), np.array(known, np.int64).reshape(-1, 2)]
    )


def _placed(tracks: Tracks, meta: dict[str, Any]) -> Tracks:
    """Give tracks the size and unit of each axis that a layer has, where it says more than they know."""
    count = len(tracks.axes)
    sizes, units = np.ravel(meta.get("scale", ())), tuple(map(str, meta.get("units") or ()))
    if len(sizes) < count:
        return tracks
    at = [0, *range(len(sizes) - count + 1, len(sizes))]  # a channel axis stands behind time
    names = [units[i] if len(units) == len(sizes) else "pixel" for i in at]
    told = [name != "pixel" or own in ("pixel", "frame") for name, own in zip(names, tracks.units, strict=True)]
    scale = tuple(float(sizes[i]) if new else own for i, new, own in zip(at, told, tracks.scale, strict=True))
    named = tuple(own if name == "pixel" else name for name, own in zip(names, tracks.units, strict=True))
    return replace(tracks, scale=scale, units=named)
