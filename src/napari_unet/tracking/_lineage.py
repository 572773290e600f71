"""From links to tracks and lineages."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["lineages"]

Ints = npt.NDArray[np.int64]


def lineages(parents: Ints) -> tuple[Ints, Ints, Ints]:
    """Give numbers to tracks and lineages in the order of their first nodes, from 1.

    A track is an object until it disappears or divides; both daughters start new tracks.

    Parameters
    ----------
    parents : ndarray of int64, shape (n,)
        Parent of each node, -1 for none. A parent comes before its children.

    Returns
    -------
    track, parent, lineage : ndarray of int64, shape (n,)
        Of each node: its track, the track that this one comes from (0 for none), and the family of both.
    """
    children = np.bincount(parents[parents >= 0], minlength=len(parents)).tolist()
    track, origin, lineage = [0] * len(parents), [0] * len(parents), [0] * len(parents)
    tracks = families = 0
    for node, parent in enumerate(parents.tolist()):
        if parent >= 0 and children[parent] == 1:
            track[node], origin[node] = track[parent], origin[parent]
        else:
            tracks += 1
            track[node], origin[node] = tracks, track[parent] if parent >= 0 else 0
        if parent < 0:
            families += 1
        lineage[node] = families if parent < 0 else lineage[parent]
    return np.array(track, np.int64), np.array(origin, np.int64), np.array(lineage, np.int64)
