"""GEFF, the graph exchange format for tracks: a zarr folder of nodes, edges and what is known of them.

Written as version 1.1 (https://live-image-tracking-tools.github.io/geff) in zarr 3. Whole columns are kept: nothing is
lost.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr

from napari_unet.core.errors import ImageError
from napari_unet.core.graph import assemble, count_frames
from napari_unet.core.results import Table, TrackFile, Tracks

from ._track_table import UNEVEN
from .atomic import atomic_folder

__all__ = ["read", "write"]

_NO_UNIT: Final = ("", "pixel")
_VERSION: Final = "1.1.0"
_NAMES: Final = {"time": "t", "frame": "t", "seg_id": "label", "segmentation_id": "label", "track_id": "track"}


def write(path: Path, tracks: Tracks, overwrite: bool = False) -> None:
    """Write a folder.

    Parameters
    ----------
    path : Path
        Ends in ``.geff``.
    tracks : Tracks
        What to write.
    overwrite : bool
        Replace a folder that is there.
    """
    nodes = {name: column for name, column in tracks.nodes.items() if name != "id" and column.dtype.kind in "buif"}
    edges: Table = {
        name: column for name, column in (("cost", tracks.costs), ("margin", tracks.margins)) if len(column)
    }
    units = dict(zip(tracks.axes, tracks.units, strict=False))
    axes = [
        {
            "name": axis, "type": "time" if axis == "t" else "space", "unit": _own(axis), "scale": float(scale),
            "scaled_unit": _own(axis) if units.get(axis, "") in _NO_UNIT else units[axis],
            "min": float(nodes[axis].min(initial=0)), "max": float(nodes[axis].max(initial=0)),
        }
        for axis, scale in zip(tracks.axes, tracks.scale, strict=True)
    ]  # fmt: skip
    facts: Any = {
        "geff_version": _VERSION, "directed": True, "axes": axes, "node_props_metadata": _describe(nodes),
        "edge_props_metadata": _describe(edges), "track_node_props": {"tracklet": "track", "lineage": "lineage"},
        "extra": {"name": tracks.name},
    }  # fmt: skip
    with atomic_folder(path, overwrite) as folder:
        root = zarr.open_group(folder, mode="w", zarr_format=3)
        root.attrs["geff"] = facts
        _put(root, "nodes", tracks.nodes["id"], nodes)
        _put(root, "edges", tracks.edges.reshape(-1, 2), edges)


def _own(axis: str) -> str:
    """Return the unit in which places are stored; `scale` makes it that of the image."""
    return "frame" if axis == "t" else "pixel"


def _describe(columns: Table) -> dict[str, Any]:
    return {
        name: {"identifier": name, "dtype": str(column.dtype), "varlength": False} for name, column in columns.items()
    }


def _put(root: Any, kind: str, ids: npt.NDArray[Any], columns: Table) -> None:
    group = root.create_group(kind)
    group.create_array("ids", data=ids.astype(np.uint64))
    props = group.create_group("props")
    for name, column in columns.items():
        props.create_group(name).create_array("values", data=column)


def read(path: Path) -> TrackFile:
    """Read a folder, of this program or another.

    Parameters
    ----------
    path : Path
        With nodes that have a time and a place.

    Returns
    -------
    TrackFile
        Tracks and what did not fit together.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    try:
        root: Any = zarr.open_group(path, mode="r")
        facts = dict(root.attrs["geff"])
        ids, pairs = np.asarray(root["nodes/ids"][:]), np.asarray(root["edges/ids"][:]).reshape(-1, 2)
        columns = {name: _column(root[f"nodes/props/{name}"]) for name in root["nodes/props"]}
        extra = {
            name: np.asarray(root[f"edges/props/{name}/values"][:])
            for name in ("cost", "margin")
            if "edges/props" in root and name in root["edges/props"]
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ImageError(f"'{path}' is no GEFF folder that can be read: {error}. Export the tracks again.") from error
    axes = [axis for axis in facts.get("axes") or () if axis["name"] in columns]
    table: Table = {}
    for name, column in columns.items():
        key = next((_letter(axis) for axis in axes if axis["name"] == name), _NAMES.get(name.lower(), name.lower()))
        if column.ndim == 1:
            table.setdefault(key, column)
    if not {"t", "y", "x"} <= table.keys():
        raise ImageError(f"'{path}' says no time or no place of its nodes (t, y, x). Export the tracks with them.")
    if lost := _count_holes(table, ("t", "y", "x", *({"z"} & table.keys()))):
        raise ImageError(f"'{path}' says no time or no place of {lost} of its nodes. Export the tracks with them.")
    holes = [name for name in ("label", "track") if name in table and _count_holes(table, (name,))]
    table = {name: column for name, column in table.items() if name not in holes}
    table.setdefault("track", ids.astype(np.int64))
    order = np.argsort(ids)
    at = order[np.minimum(np.searchsorted(ids, pairs, sorter=order), max(len(ids) - 1, 0))] if len(ids) else pairs
    known = (ids[at] == pairs).all(axis=1) if len(ids) else np.zeros(len(pairs), np.bool_)
    problems = ["Some nodes have no label: labels are not known."] * ("label" in holes)
    problems += [f"{int((~known).sum())} edges lead to nodes that are not there: left out."] * (not known.all())
    wanted = "tzyx" if "z" in table else "tyx"
    named = {_letter(axis): axis for axis in axes}
    scale = {a: float((named.get(a) or {}).get("scale") or 1.0) for a in wanted}
    about = [named.get(a) or {} for a in wanted]
    units = [str(one.get("scaled_unit") or one.get("unit") or _own(a)) for a, one in zip(wanted, about, strict=True)]
    scale["t"] *= _count_frames(table, named.get("t") or {}, problems)
    edges = at[known].astype(np.int64)
    for name, column in extra.items():
        extra[name] = column[known]
    # Where nobody says which end is the parent, the earlier one is.
    turned = table["t"][edges[:, 0]] > table["t"][edges[:, 1]]
    edges[turned] = edges[turned, ::-1]
    apart = table["t"][edges[:, 0]] != table["t"][edges[:, 1]]
    if not apart.all():
        problems.append(f"{int((~apart).sum())} edges lie within one frame: left out.")
        edges, extra = edges[apart], {name: column[apart] for name, column in extra.items()}
    made = assemble(
        table,
        str(facts.get("extra", {}).get("name") or path.stem),
        edges,
        scale=tuple(scale.values()),
        units=tuple(units),
    )
    return TrackFile(_with_costs(made.tracks, edges, extra, table), None, (*problems, *made.problems))


def _column(group: Any) -> npt.NDArray[Any]:
    """Read what is known of all nodes; NaN where it is marked as missing."""
    values = np.asarray(group["values"][:])
    missing = np.asarray(group["missing"][:], np.bool_) if "missing" in group else np.zeros(len(values), np.bool_)
    if missing.any() and values.ndim == 1 and values.dtype.kind in "buif":
        values = np.where(missing, np.nan, values.astype(np.float64))
    return values


def _count_holes(table: Table, names: tuple[str, ...]) -> int:
    """Count the nodes of which some column holds no number."""
    columns = [table[name] for name in names if table[name].dtype.kind in "buif"]
    return int((~np.logical_and.reduce([np.isfinite(column.astype(np.float64)) for column in columns])).sum())


def _count_frames(table: Table, axis: dict[str, Any], problems: list[str]) -> float:
    """Count time in frames where it is in seconds or the like, and return how long a frame is."""
    values = table["t"].astype(np.float64)
    whole = bool((values == np.rint(values)).all())
    if (whole and (axis.get("scale") or axis.get("unit") in (None, "", "frame"))) or len(np.unique(values)) < 2:
        return 1.0
    table["t"], step, even = count_frames(values)
    if not even:
        problems.append(UNEVEN.format(step))
    return step


def _letter(axis: dict[str, Any]) -> str:
    return "t" if axis.get("type") == "time" else str(axis["name"]).lower()


def _with_costs(tracks: Tracks, edges: npt.NDArray[np.int64], extra: Table, table: Table) -> Tracks:
    """Bring what is known of edges into their new order."""
    if not extra:
        return tracks
    place = np.empty(len(table["t"]), np.int64)
    label = table.get("label", table["track"])
    place[np.lexsort((label, table["t"]))] = np.arange(len(place))
    order = np.lexsort((place[edges[:, 0]], place[edges[:, 1]]))
    nothing = np.zeros(0)
    costs, margins = (
        extra[name][order].astype(np.float64) if name in extra else nothing for name in ("cost", "margin")
    )
    return Tracks(
        tracks.nodes, tracks.edges, tracks.axes, tracks.scale, tracks.units, tracks.name, costs, margins
    )  # fmt: skip
