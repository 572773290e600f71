"""Lesions at two times: which is which, how much each has grown, which are new and which have vanished."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from napari_unet.core.anatomy import same_grid
from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError
from napari_unet.core.results import Table
from napari_unet.core.windows import Reader, windows

from ._source import spatial
from ._totals import TARGETS

__all__ = ["compare", "sum_up_growth"]

_FORBIDDEN: Final = 1e9

Floats = npt.NDArray[np.float64]
Pairs = dict[tuple[int, int], float]


def compare(before: tuple[Image, Table], after: tuple[Image, Table]) -> Table:
    """Match the lesions of two times, and say how each has changed.

    Lesions that overlap are matched first, so that the overlap of all together is as large as possible; of what is
    left, those whose balls of equal volume would touch, so that they are as near as possible. A piece of a lesion whose
    largest part is matched is no new lesion, but ``split``; of two that have become one, none is gone, but ``merged``.

    Parameters
    ----------
    before, after : (Image, dict of ndarray)
        Labels of one time, with one number a lesion, and their table of :func:`~napari_unet.measures.lesions.measure`.
        Both images cover the same place: same axes; on one grid for overlaps, else only places are compared.

    Returns
    -------
    dict of str to ndarray
        One row a pair, then one for each lesion without a partner: ``before`` and ``after``, the labels, 0 where there
        is none; ``status``: ``matched``, ``new``, ``vanished``, ``split`` or ``merged``; ``volume_ml_before`` and
        ``_after`` (``volume_...`` where the unit is no length; 2D: ``area_...``) and ``volume_change`` in percent, the
        same of ``diameter``, and ``moved``, the distance of the centroids. NaN where there is nothing to compare.

    Raises
    ------
    AxesError
        If the axes or the units differ, or if there is more than one time point in either.
    """
    (old, old_table), (new, new_table) = before, after
    axes = spatial(old)
    if axes != spatial(new) or old.along(axes)[2] != new.along(axes)[2] or "t" in old.axes + new.axes:
        raise AxesError(
            f"The lesions of '{old.name}' ({old.axes}, {', '.join(old.units)}) and of '{new.name}' ({new.axes}, "
            f"{', '.join(new.units)}) cannot be compared: give two volumes of one time each, in the same units."
        )
    shared = _shared(old, new)
    pairs = _by_overlap(shared)
    pairs += _by_place(old_table, new_table, axes, pairs)
    rows = [(*pair, "matched") for pair in sorted(pairs)]
    taken = {a for a, _ in pairs}, {b for _, b in pairs}
    for index in old_table["index"].tolist():
        if index not in taken[0]:
            rows.append((index, 0, "merged" if any(a == index for a, _ in shared) else "vanished"))
    for index in new_table["index"].tolist():
        if index not in taken[1]:
            rows.append((0, index, "split" if any(b == index for _, b in shared) else "new"))
    return _columns(rows, old_table, new_table, axes)


def sum_up_growth(changes: Table) -> dict[str, float]:
    """Sum up what :func:`compare` has found.

    Parameters
    ----------
    changes : dict of str to ndarray
        Its table.

    Returns
    -------
    dict of str to float
        Number of lesions of each ``status``; ``volume_ml_before`` and ``_after`` (``volume_...`` where the unit is no
        length; 2D: ``area_...``) and ``volume_change`` in percent of all lesions; ``diameter_sum_before``, ``_after``
        and ``_change`` of the five lesions with the longest diameters at first, followed up (RECIST 1.1: what has
        vanished counts 0; new lesions are not in it).
    """
    known: dict[str, Any] = dict(changes)
    names = ("matched", "new", "vanished", "split", "merged")
    found = {name: float(np.count_nonzero(known["status"] == name)) for name in names}
    size = next(name for name in ("volume_ml", "volume", "area") if f"{name}_before" in known)
    found |= _totals(size, np.nansum(known[f"{size}_before"]), np.nansum(known[f"{size}_after"]))
    first = np.nan_to_num(known["diameter_before"])
    targets = np.argsort(-first, kind="stable")[:TARGETS]
    later = np.nan_to_num(known["diameter_after"])[targets]
    return found | _totals("diameter_sum", first[targets].sum(), np.where(first[targets] > 0, later, 0).sum())


def _totals(name: str, before: float, after: float) -> dict[str, float]:
    change = 100 * (after - before) / before if before else math.nan
    plain = name.removesuffix("_ml")
    return {f"{name}_before": float(before), f"{name}_after": float(after), f"{plain}_change": float(change)}


def _shared(old: Image, new: Image) -> Pairs:
    """Count the pixels that two lesions share; none if the grids differ."""
    axes = spatial(old)
    if old.along(axes)[:2] != new.along(axes)[:2] or not same_grid(old, new):
        return {}
    shared: Pairs = {}
    one, other = Reader(old.data, old.name), Reader(new.data, new.name)
    back = [new.axes.index(a) for a in old.axes]
    for window in windows(old.shape):
        there: npt.NDArray[Any] = other.read(tuple(window[old.axes.index(a)] for a in new.axes)).transpose(back)
        here: npt.NDArray[Any] = one.read(window)
        both = (here > 0) & (there > 0)
        found, counts = np.unique(np.stack([here[both], there[both]]).astype(np.int64), axis=1, return_counts=True)
        for (a, b), n in zip(found.T.tolist(), counts.tolist(), strict=True):
            shared[a, b] = shared.get((a, b), 0) + n
    return shared


def _by_overlap(shared: Pairs) -> list[tuple[int, int]]:
    olds, news = sorted({a for a, _ in shared}), sorted({b for _, b in shared})
    gain = np.zeros((len(olds), len(news)))
    for (a, b), n in shared.items():
        gain[olds.index(a), news.index(b)] = n
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(olds[r], news[c]) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if gain[r, c]]


def _by_place(
    old: dict[str, Any], new: dict[str, Any], axes: str, pairs: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    left = ~np.isin(old["index"], [a for a, _ in pairs]), ~np.isin(new["index"], [b for _, b in pairs])
    name = _middle(old, new)
    apart = np.linalg.norm(_places(old, axes, name)[left[0]][:, None] - _places(new, axes, name)[left[1]], axis=-1)
    cost = np.where(apart <= _radii(old, axes)[left[0]][:, None] + _radii(new, axes)[left[1]], apart, _FORBIDDEN)
    rows, columns = linear_sum_assignment(cost)
    ids = old["index"][left[0]].tolist(), new["index"][left[1]].tolist()
    found = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(ids[0][r], ids[1][c]) for r, c in found if cost[r, c] < _FORBIDDEN]


def _places(table: dict[str, Any], axes: str, name: str) -> Floats:
    return np.stack([table[f"{name}_{a}"] for a in axes], axis=1)


def _middle(old: Table, new: Table) -> str:
    """Say where lesions lie in both tables: in the patient, if both know it."""
    return "patient" if "patient_z" in old and "patient_z" in new else "centroid"


def _radii(table: dict[str, Any], axes: str) -> Floats:
    if len(axes) == 3:
        return np.asarray(np.cbrt(3 * table["volume"] / (4 * math.pi)))
    return np.asarray(np.sqrt(table["area"] / math.pi))


def _columns(rows: list[tuple[int, int, str]], old: Table, new: Table, axes: str) -> Table:
    found: Table = {
        "before": np.array([row[0] for row in rows], np.int64),
        "after": np.array([row[1] for row in rows], np.int64),
        "status": np.array([row[2] for row in rows], np.str_),
    }
    size = "volume" if len(axes) == 3 else "area"
    milliliters = "volume_ml" in old and "volume_ml" in new
    for name, column in ((size, "volume_ml" if milliliters else size), ("diameter", "longest_diameter")):
        first, later = (_taken(t, column, found[key]) for t, key in ((old, "before"), (new, "after")))
        shown = column if name == size else name
        found |= {f"{shown}_before": first, f"{shown}_after": later, f"{name}_change": 100 * (later - first) / first}
    name = _middle(old, new)
    steps = [_taken(new, f"{name}_{a}", found["after"]) - _taken(old, f"{name}_{a}", found["before"]) for a in axes]
    return found | {"moved": np.sqrt(np.sum(np.square(steps), axis=0))}


def _taken(table: Table, column: str, ids: npt.NDArray[Any]) -> Floats:
    """Return a column for some labels; NaN for 0."""
    known = dict(zip(table["index"].tolist(), table[column].tolist(), strict=True))
    return np.array([known.get(i, math.nan) for i in ids.tolist()], np.float64)
