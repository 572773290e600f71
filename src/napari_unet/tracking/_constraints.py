"""What a person decided: links that must be, and links that must not."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import SpecError
from napari_unet.core.linking import Link, LinkSpec

__all__ = ["Constraints", "constrain"]

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Constraints:
    """Decided links, as rows of nodes.

    Attributes
    ----------
    fixed, forbidden : ndarray of int64, shape (n, 2)
        Parent and child.
    count : int
        Number of nodes.
    absent : ndarray of int64, shape (n,)
        Nodes that are no objects.
    """

    fixed: Ints
    forbidden: Ints
    count: int
    absent: Ints

    def __len__(self) -> int:
        """Count what is decided."""
        return len(self.fixed) + len(self.forbidden) + len(self.absent)

    def also(self, links: Ints) -> Constraints:
        """Return these and some links more, taken for decided."""
        return replace(self, fixed=np.concatenate([self.fixed, links]))

    def allow(self, parents: Ints, children: Ints) -> npt.NDArray[np.bool_]:
        """Say which candidates are left to decide: neither forbidden nor about what is decided or absent.

        Parameters
        ----------
        parents, children : ndarray of int64, shape (n,)
            Nodes.

        Returns
        -------
        ndarray of bool, shape (n,)
            True for those that may be chosen.
        """
        free = np.ones(len(parents), np.bool_)
        if len(self.fixed):
            free &= ~np.isin(parents, self.fixed[:, 0]) & ~np.isin(children, self.fixed[:, 1])
        if len(self.absent):
            free &= ~np.isin(parents, self.absent) & ~np.isin(children, self.absent)
        if len(self.forbidden):
            bad = self.forbidden[:, 0] * self.count + self.forbidden[:, 1]
            free &= ~np.isin(parents * self.count + children, bad)
        return free


def constrain(spec: LinkSpec, time: Ints, labels: Ints) -> Constraints:
    """Find the nodes that decided links speak of.

    Parameters
    ----------
    spec : LinkSpec
        Holds the links.
    time, labels : ndarray of int64, shape (n,)
        Frame and label of each node, ordered by frame, then label.

    Returns
    -------
    Constraints
        Fixed links must all exist; forbidden ones of objects that are not there are left out.

    Raises
    ------
    SpecError
        If a fixed link speaks of an object that is not there.
    """
    wanted = {one for link in spec.fixed + spec.forbidden for one in link} | set(spec.absent)
    if not wanted:
        return Constraints(np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64), len(time), np.zeros(0, np.int64))
    rows: dict[tuple[int, int], int] = {}
    for frame, label in wanted:
        first, last = np.searchsorted(time, [frame, frame + 1])
        at = first + int(np.searchsorted(labels[first:last], label))
        if at < last and labels[at] == label:
            rows[frame, label] = int(at)
    lost = sorted({one for link in spec.fixed for one in link} - rows.keys())
    if lost:
        raise SpecError(
            f"A fixed link speaks of label {lost[0][1]} in frame {lost[0][0]}, but there is no such object. "
            "Remove the link, or choose the labels that it was made for."
        )
    absent = np.array(sorted(rows[one] for one in set(spec.absent) & rows.keys()), np.int64)
    return Constraints(_rows(spec.fixed, rows), _rows(spec.forbidden, rows), len(time), absent)


def _rows(links: tuple[Link, ...], rows: dict[tuple[int, int], int]) -> Ints:
    pairs = sorted({(rows[a], rows[b]) for a, b in links if a in rows and b in rows})
    return np.array(pairs, np.int64).reshape(-1, 2)
