"""The linear assignment problem: each parent gets at most one child and each child at most one parent."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

__all__ = ["Candidates", "assign"]

_BATCH: Final = 4000  # candidates

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Candidates = tuple[Ints, Ints, Floats]


def assign(candidates: Candidates, unlinked: float) -> tuple[Ints, Ints]:
    """Choose the links of least total cost.

    The problem is that of Jaqaman et al. 2008 (Nature Methods 5:695, Fig. 1b): every link costs what its candidate
    says, every parent without a child (a disappearance) and every child without a parent (an appearance) costs
    `unlinked`. Their square matrix has one auxiliary block for each of the three; here the cost of appearing is taken
    off the links instead, which moves all totals by the same amount and leaves a matrix of parents only, whose own
    auxiliary column means "no child".

    Parameters
    ----------
    candidates : tuple of ndarray
        Parents and children (int64) and costs (float64, not negative), shape (n,) each; no pair twice.
    unlinked : float
        Cost of appearing and of disappearing, above 0.

    Returns
    -------
    parents, children : ndarray of int64
        The links, ordered by parent.
    """
    worth = candidates[2] < 2 * unlinked
    parents, children, costs = candidates[0][worth], candidates[1][worth], candidates[2][worth]
    if not len(costs):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    above, row = np.unique(parents, return_inverse=True)
    below, column = np.unique(children, return_inverse=True)
    links = [_solve(row[part], column[part], costs[part], unlinked) for part in _batches(row, column)]
    rows, columns = (np.concatenate(side) for side in zip(*links, strict=True))
    order = np.argsort(rows)
    return above[rows[order]], below[columns[order]]


def _batches(row: Ints, column: Ints) -> list[Ints]:
    """Split candidates where no link crosses: the solver's time grows with the square of what it gets at once."""
    n, m = int(row.max()) + 1, int(column.max()) + 1
    graph = sparse.coo_array((np.ones(len(row), bool), (row, n + column)), shape=(n + m, n + m))
    group = connected_components(graph, directed=False)[1][row]
    order = np.argsort(group, kind="stable")
    # A batch ends with a group: at the first one that ends after every so many candidates.
    ends = np.flatnonzero(np.diff(group[order])) + 1
    cuts = ends[np.flatnonzero(np.diff(ends // _BATCH, prepend=0))]
    return np.split(order, cuts)


def _solve(parents: Ints, children: Ints, costs: Floats, unlinked: float) -> tuple[Ints, Ints]:
    above, row = np.unique(parents, return_inverse=True)
    below, column = np.unique(children, return_inverse=True)
    n, m = len(above), len(below)
    own = np.arange(n)
    # Entries of a sparse matrix must not be 0: one is added to each, hence once to every row.
    weights = np.concatenate([costs + 1, np.full(n, 2 * unlinked + 1)])
    places = (np.concatenate([row, own]), np.concatenate([column, m + own]))
    chosen, child = min_weight_full_bipartite_matching(sparse.coo_array((weights, places), shape=(n, m + n)).tocsr())
    made = child < m
    return above[chosen[made]], below[child[made]]
