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
    labels = next(data for data, _, kind in layers if kind == "labels")
    tracks = next(_tracks(np.asarray(data), meta) for data, meta, kind in layers if kind == "tracks")
    workflows.write_tracks(place, tracks, workflows.relabel(labels, tracks))
    return [place]


def _tracks(data: npt.NDArray[Any], meta: dict[str, Any]) -> Tracks:
    """Make tracks of a layer; features that have a row a point are kept."""
    axes = "tzyx" if data.shape[1] == 5 else "tyx"
    table = {"track": data[:, 0].astype(np.int64)} | {a: data[:, i + 1] for i, a in enumerate(axes)}
    known = meta.get("features")
    for name in ("label", "area"):
        if known is not None and name in known and len(known[name]) == len(data):
            table[name] = np.asarray(known[name])
    parents = {int(child): int(np.ravel(above)[0]) for child, above in (meta.get("graph") or {}).items()}
    table["parent"] = np.array([parents.get(name, 0) for name in table["track"].tolist()], np.int64)
    scale = tuple(float(s) for s in np.ravel(meta.get("scale", ())))[-len(axes) :]
    more: dict[str, Any] = {"scale": scale} if len(scale) == len(axes) else {}
    return assemble(table, str(meta.get("name", "tracks")), **more).tracks
