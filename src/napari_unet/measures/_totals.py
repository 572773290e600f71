"""What lesions add up to, class by class."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from napari_unet.core.results import Table

__all__ = ["TARGETS", "sum_up"]

TARGETS: Final = 5  # lesions that the sum of RECIST 1.1 counts


def sum_up(table: Table, targets: int = TARGETS) -> Table:
    """Add up the lesions of each class and time point.

    Parameters
    ----------
    table : dict of str to ndarray
        Of :func:`~napari_unet.measures.lesions.measure`.
    targets : int
        How many of the longest diameters enter the sum; which lesions a reader would choose is not known here.

    Returns
    -------
    dict of str to ndarray
        One row for each class and time point: ``t`` and ``class`` where the table has them, ``lesions``, their number,
        ``volume`` and ``volume_ml`` or ``area``, ``diameter_sum`` of the `targets` longest, and ``largest``, the label
        of the largest lesion. Without classes there is one row, also if there is no lesion.
    """
    known: dict[str, Any] = dict(table)
    keys = [name for name in ("t", "class") if name in known]
    count = len(known["index"])
    groups = np.stack([known[name] for name in keys], axis=1) if keys else np.zeros((count, 0), np.int64)
    found, which = np.unique(groups, axis=0, return_inverse=True) if keys else (groups[:1], np.zeros(count, np.int64))
    rows = [np.flatnonzero(which.ravel() == k) for k in range(len(found) if keys else 1)]
    size = "volume" if "volume" in known else "area"
    sums: dict[str, Any] = {name: found[:, k] for k, name in enumerate(keys)}
    sums["lesions"] = np.array([len(row) for row in rows], np.int64)
    sums |= {n: np.array([known[n][row].sum() for row in rows]) for n in (size, "volume_ml") if n in known}
    longest = [np.sort(known["longest_diameter"][row])[::-1][:targets].sum() for row in rows]
    sums["diameter_sum"] = np.array(longest, np.float64)
    largest = [int(known["index"][row[known[size][row].argmax()]]) if len(row) else 0 for row in rows]
    return sums | {"largest": np.array(largest, np.int64)}
