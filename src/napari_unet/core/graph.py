"""From links to tracks and lineages, and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .results import Table, TrackFile, Tracks

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

__all__ = ["assemble", "count_frames", "number", "relink"]

_MOST_SAID: Final = 20
_UNEVEN: Final = 0.1  # of a frame: times that are rounded


def relink(tracks: Tracks, edges: Ints, costs: Floats | None = None, margins: Floats | None = None) -> Tracks:
    """Give tracks other edges, and number tracks and lineages anew.

    Parameters
    ----------
    tracks : Tracks
        Its nodes are kept as they are, but for the columns ``id``, ``track``, ``parent`` and ``lineage``.
    edges : ndarray of int64, shape (n, 2)
        Rows of parent and child in any order.
    costs, margins : ndarray of float64, shape (n,), optional
        Of each edge.

    Returns
    -------
    Tracks
        With its edges ordered by child, then parent.
    """
    import numpy as np

    edges = np.asarray(edges, np.int64).reshape(-1, 2)
    order = np.lexsort((edges[:, 0], edges[:, 1]))
    edges = edges[order]
    count = len(tracks.nodes["t"])
    track, parent, lineage = number(edges, count)
    numbered = {"id": np.arange(count), "track": track, "parent": parent, "lineage": lineage}
    more = [np.zeros(0) if column is None else column[order] for column in (costs, margins)]
    return replace(tracks, nodes=tracks.nodes | numbered, edges=edges, costs=more[0], margins=more[1])


def number(edges: Ints, count: int) -> tuple[Ints, Ints, Ints]:
    """Give numbers to tracks and lineages in the order of their first nodes, from 1.

    A track is an object until it disappears, divides or merges with another; what comes of it starts a new track.

    Parameters
    ----------
    edges : ndarray of int64, shape (n, 2)
        Rows of parent and child. Nodes are ordered by time.
    count : int
        Number of nodes.

    Returns
    -------
    track, parent, lineage : ndarray of int64, shape (count,)
        Of each node: its track, the track that this one comes from (0 for none, the first of two that merged), and the
        family of both.
    """
    import numpy as np

    above, below = edges[:, 0], edges[:, 1]
    alone = (np.bincount(above, minlength=count)[above] == 1) & (np.bincount(below, minlength=count)[below] == 1)
    track, lineage = _groups(edges[alone], count), _groups(edges, count)
    origin = np.full(count + 1, count + 1, np.int64)
    np.minimum.at(origin, track[below[~alone]], track[above[~alone]])
    origin[origin > count] = 0
    return track, origin[track], lineage


def _groups(edges: Ints, count: int) -> Ints:
    """Give numbers to what hangs together in the order of first nodes, from 1."""
    import numpy as np
    from scipy import sparse
    from scipy.sparse.csgraph import connected_components

    if not count:
        return np.zeros(0, np.int64)
    links = sparse.coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape=(count, count))
    group = connected_components(links, directed=False)[1]
    _, first, which = np.unique(group, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(1, len(first) + 1)
    return np.asarray(rank[which])


def assemble(
    table: Table, name: str, edges: Ints | None = None, **more: tuple[float, ...] | tuple[str, ...]
) -> TrackFile:
    """Make tracks from what other programs write: which track an object belongs to, and which track that comes from.

    Parameters
    ----------
    table : dict of ndarray
        One row for each object and frame: ``track``, ``t``, ``y``, ``x`` and perhaps ``z``, ``label``, ``area`` and
        ``parent`` (a track; 0 or less for none); other columns are kept.
    name : str
        Of the tracks.
    edges : ndarray of int64, shape (n, 2), optional
        Rows of parent and child, where they are known; otherwise they follow from ``track`` and ``parent``.
    **more : tuple
        ``scale`` and ``units``, along the axes.

    Returns
    -------
    TrackFile
        Tracks, numbered anew, and what did not fit together. Rows are ordered by time, then label.
    """
    import numpy as np

    count = len(table["t"])
    problems: list[str] = []
    columns: Table = dict(table)
    columns["t"] = np.asarray(table["t"]).astype(np.int64)
    columns.setdefault("label", np.asarray(table["track"]))
    columns["label"] = columns["label"].astype(np.int64)
    columns.setdefault("area", np.full(count, np.nan))
    order = np.lexsort((columns["label"], columns["t"]))
    columns = {key: column[order] for key, column in columns.items()}
    if edges is None:
        edges = _links(columns, problems)
    else:
        place = np.empty(count, np.int64)
        place[order] = np.arange(count)
        edges = place[edges]
    axes = "tzyx" if "z" in columns else "tyx"
    first = ["id", "label", "t", *axes[1:], "area", "track", "parent", "lineage"]
    columns = {key: columns.get(key, np.zeros(count, np.int64)) for key in [*first, *(set(columns) - set(first))]}
    scale = more.get("scale") or (1.0,) * len(axes)
    units = more.get("units") or ("frame",) + ("pixel",) * (len(axes) - 1)
    empty = Tracks(columns, edges, axes, tuple(map(float, scale)), tuple(map(str, units)), name)
    return TrackFile(relink(empty, edges), None, tuple(problems))


def count_frames(times: Floats) -> tuple[Ints, float, bool]:
    """Count times in seconds or the like in frames.

    Parameters
    ----------
    times : ndarray of float64, shape (n,)
        Of objects.

    Returns
    -------
    frames : ndarray of int64, shape (n,)
        Where steps are even, time by step; else the times are numbered from 0.
    step : float
        How long a frame is; the median where steps are uneven.
    even : bool
        Whether all times are whole steps apart.
    """
    import numpy as np

    there, rank = np.unique(times, return_inverse=True)
    if len(there) < 2:
        return np.zeros(len(times), np.int64), 1.0, True
    step = float(np.diff(there).min())
    counted = (there - there[0]) / step
    if np.abs(counted - np.rint(counted)).max() > _UNEVEN:
        return rank.astype(np.int64), float(np.median(np.diff(there))), False
    return (np.rint(counted) + np.rint(there[0] / step)).astype(np.int64)[rank], step, True


def _links(columns: Table, problems: list[str]) -> Ints:
    """Link the rows of each track in time, and tracks to the last row of their parents."""
    import numpy as np

    t, track = columns["t"].astype(np.int64), columns["track"].astype(np.int64)
    order = np.lexsort((t, track))
    same = (track[order][1:] == track[order][:-1]) & (track[order] > 0)[1:]
    twice = np.flatnonzero(same & (t[order][1:] == t[order][:-1]))
    problems += [f"Track {track[order[i]]} is at two places in frame {t[order[i]]}." for i in twice[:_MOST_SAID]]
    same[twice] = False
    edges = [np.stack([order[:-1][same], order[1:][same]], axis=1)]
    if "parent" in columns:
        starts = order[np.concatenate([[True], track[order][1:] != track[order][:-1]])] if len(order) else order
        ends = order[np.concatenate([track[order][1:] != track[order][:-1], [True]])] if len(order) else order
        last = dict(zip(track[ends].tolist(), ends.tolist(), strict=True))
        for row in starts.tolist():
            parent = columns["parent"][row]
            if not parent > 0 or parent == track[row]:
                continue
            above = last.get(int(parent))
            if above is None or t[above] >= t[row]:
                why = "is not there" if above is None else "ends later"
                problems.append(f"Track {track[row]} comes from track {int(parent)}, which {why}: taken as new.")
                continue
            edges.append(np.array([[above, row]]))
    return np.concatenate(edges)
