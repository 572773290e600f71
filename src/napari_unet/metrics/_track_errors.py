"""The list of what is wrong with tracks, with places to look at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_unet.core.results import Table, Tracks

from ._track_divisions import Divisions
from ._track_matches import Matches

__all__ = ["list_errors"]

Ints = npt.NDArray[np.int64]


def list_errors(
    sides: tuple[Tracks, Tracks], matches: Matches, links: tuple[Ints, Ints], divisions: Divisions
) -> Table:
    """List errors by time.

    Parameters
    ----------
    sides : tuple of Tracks
        Result and truth.
    matches : Matches
        Who is who.
    links : tuple of ndarray of int64, shape (n, 2)
        Links that should not be (rows of the result), and that should be (rows of the truth).
    divisions : Divisions
        Of both sides; those that are right within one frame are no errors.

    Returns
    -------
    dict of ndarray
        See :class:`~napari_unet.core.results.TrackScores`; and ``truth``: whether `label` is one of the truth.
    """
    found, true = sides
    false, missed = links
    # A link is not missed where one of its objects is: that is another error.
    there = matches.guess >= 0
    missed = missed[there[missed].all(axis=1)]
    right = list(zip(*divisions.pairs[1], strict=True)) or [(), ()]
    lists = [
        ("missed object", True, np.flatnonzero(~there)),
        ("extra object", False, np.flatnonzero(matches.true == -1)),
        ("merged objects", False, np.flatnonzero(matches.true == -2)),
        ("missed link", True, missed[:, 1]),
        ("false link", False, false[:, 1]),
        ("missed division", True, _others(len(divisions.true), right[0], [d.node for d in divisions.true])),
        ("false division", False, _others(len(divisions.found), right[1], [d.node for d in divisions.found])),
    ]
    columns = ["t", "label", *true.axes[1:]]
    kinds = np.concatenate([np.full(len(rows), kind, "<U16") for kind, _, rows in lists])
    truth = np.concatenate([np.full(len(rows), own, np.bool_) for _, own, rows in lists])
    table: Table = {"kind": kinds}
    for name in columns:
        table[name] = np.concatenate([(true if own else found).nodes[name][rows] for _, own, rows in lists])
    table["truth"] = truth
    order = np.lexsort((table["label"], table["t"]))
    return {name: column[order] for name, column in table.items()}


def _others(count: int, right: tuple[int, ...], nodes: list[int]) -> Ints:
    known = set(right)
    return np.array([nodes[i] for i in range(count) if i not in known], np.int64)
