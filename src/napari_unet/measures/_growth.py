"""Lesions at two times: which is which, how much each has grown, which are new and which have vanished."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from napari_unet.core.anatomy import TOLERANCE, same_grid
from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError
from napari_unet.core.results import Table
from napari_unet.core.windows import Reader, Window, windows

from ._source import Source, spatial
from ._totals import TARGETS

__all__ = ["compare", "followed", "sum_up_classes", "sum_up_growth"]

_FORBIDDEN: Final = 1e9
_SPLIT: Final = "split"
_MERGED: Final = "merged"

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
        Both images cover the same place: same axes. On two grids lesions overlap where they do in the patient, by the
        nearest voxel; where that is not known, only places are compared.

    Returns
    -------
    dict of str to ndarray
        One row a pair, then one for each lesion without a partner: ``before`` and ``after``, the labels, 0 where there
        is none; ``status``: ``matched``, ``new``, ``vanished``, ``split`` or ``merged``; ``volume_ml_before`` and
        ``_after`` (``volume_...`` where the unit is no length; 2D: ``area_...``) and ``volume_change`` in percent, the
        same of ``diameter``, and ``moved``, the distance of the centroids. NaN where there is nothing to compare.
        ``part_of``: the lesion before that one has split off from, the lesion after that one has merged into, else 0.
        ``class``, where classes are known: lesions are matched with those of their own class only.

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
    kinds = _classes(old_table, new_table)
    shared = {pair: n for pair, n in _shared(old, new).items() if kinds[0].get(pair[0]) == kinds[1].get(pair[1])}
    pairs = _by_overlap(shared)
    pairs += _by_place(old_table, new_table, axes, pairs, kinds)
    rows = [(*pair, "matched", 0) for pair in sorted(pairs)]
    taken = {a for a, _ in pairs}, {b for _, b in pairs}
    into, of = _most(shared), _most({(b, a): n for (a, b), n in shared.items()})
    for index in old_table["index"].tolist():
        if index not in taken[0]:
            rows.append((index, 0, _MERGED if index in into else "vanished", into.get(index, 0)))
    for index in new_table["index"].tolist():
        if index not in taken[1]:
            rows.append((0, index, _SPLIT if index in of else "new", of.get(index, 0)))
    found = _columns(rows, old_table, new_table, axes)
    if kinds[0] or kinds[1]:
        found["class"] = np.array([kinds[0].get(a) or kinds[1].get(b) or 0 for a, b, *_ in rows], np.int64)
    return found


def followed(changes: Table, targets: npt.NDArray[np.intp]) -> float:
    """Sum up the diameters of what some lesions have become.

    Parameters
    ----------
    changes : dict of str to ndarray
        Of :func:`compare`.
    targets : ndarray of int
        Rows of lesions that were there at first.

    Returns
    -------
    float
        What has vanished counts 0, what several have merged into once; pieces that have split off are added.
    """
    known: dict[str, Any] = {name: column.tolist() for name, column in changes.items()}
    rows = [dict(zip(known, row, strict=True)) for row in zip(*known.values(), strict=True)]
    first = [rows[k] for k in targets.tolist() if rows[k]["before"]]
    became = {row["part_of"] if row["status"] == _MERGED else row["after"] for row in first}
    ids = {row["before"] for row in first}
    became |= {row["after"] for row in rows if row["status"] == _SPLIT and row["part_of"] in ids}
    return float(sum(row["diameter_after"] for row in rows if row["after"] and row["after"] in became))


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
        and ``_change`` of the five lesions with the longest diameters at first, of whatever classes, followed up
        (RECIST 1.1: what has vanished counts 0, pieces that have split off are added; new lesions are not in it).
    """
    known: dict[str, Any] = dict(changes)
    names = ("matched", "new", "vanished", _SPLIT, _MERGED)
    found = {name: float(np.count_nonzero(known["status"] == name)) for name in names}
    size = next(name for name in ("volume_ml", "volume", "area") if f"{name}_before" in known)
    found |= _totals(size, np.nansum(known[f"{size}_before"]), np.nansum(known[f"{size}_after"]))
    first = np.nan_to_num(known["diameter_before"])
    targets = np.argsort(-first, kind="stable")[:TARGETS]
    return found | _totals("diameter_sum", first[targets].sum(), followed(changes, targets))


def sum_up_classes(changes: Table) -> Table:
    """Sum up what :func:`compare` has found class by class.

    Parameters
    ----------
    changes : dict of str to ndarray
        Its table.

    Returns
    -------
    dict of str to ndarray
        One row for each ``class``: what :func:`sum_up_growth` says of the lesions of that class alone. Empty unless
        there are several classes.
    """
    known: dict[str, Any] = dict(changes)
    classes = np.unique(known.get("class", np.zeros(0, np.int64)))
    if len(classes) < 2:
        return {}
    rows = [
        sum_up_growth({n: column[known["class"] == one] for n, column in known.items()}) for one in classes.tolist()
    ]
    return {"class": classes, **{name: np.array([row[name] for row in rows]) for name in rows[0]}}


def _totals(name: str, before: float, after: float) -> dict[str, float]:
    change = 100 * (after - before) / before if before else math.nan
    plain = name.removesuffix("_ml")
    return {f"{name}_before": float(before), f"{name}_after": float(after), f"{plain}_change": float(change)}


def _shared(old: Image, new: Image) -> Pairs:
    """Count the pixels that two lesions share; none where grids differ and nothing says how they lie to each other."""
    one, other = Source(old, Reader(old.data, old.name)), Source(new, Reader(new.data, new.name))
    move = None
    if not _alike(old, new):
        if old.anatomy is None or new.anatomy is None or one.axes != "zyx":
            return {}
        move = np.linalg.inv(old.anatomy.matrix) @ new.anatomy.matrix
    shared: Pairs = {}
    for window in windows(other.shape):
        there = other.read(None, window)
        here = one.read(None, window) if move is None else _carried(one, there > 0, window, move)
        both = (here > 0) & (there > 0)
        found, counts = np.unique(np.stack([here[both], there[both]]).astype(np.int64), axis=1, return_counts=True)
        for (a, b), n in zip(found.T.tolist(), counts.tolist(), strict=True):
            shared[a, b] = shared.get((a, b), 0) + n
    return shared


def _alike(old: Image, new: Image) -> bool:
    """Say whether pixels of two images lie at the same places, as nearly as headers of files say it."""
    axes = spatial(old)
    (shape, scale, _), (other, sizes, _) = old.along(axes), new.along(axes)
    if shape != other or not same_grid(old, new):
        return False
    known = old.anatomy is not None and new.anatomy is not None
    return known or all(abs(a - b) * n <= TOLERANCE * a for a, b, n in zip(scale, sizes, shape, strict=True))


def _carried(labels: Source, asked: npt.NDArray[np.bool_], window: Window, move: Floats) -> npt.NDArray[np.int64]:
    """Return the nearest label of another grid for the pixels of a window that are asked for; 0 for all others."""
    found = np.zeros(asked.shape, np.int64)
    at = np.argwhere(asked)
    index = np.rint((at + [part.start for part in window]) @ move[:3, :3].T + move[:3, 3]).astype(np.int64)
    inside = ((index >= 0) & (index < labels.shape)).all(axis=1)
    if inside.any():
        at, index = at[inside], index[inside]
        low, high = index.min(axis=0), index.max(axis=0) + 1
        box = labels.read(None, tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True)))
        found[tuple(at.T)] = box[tuple((index - low).T)]
    return found


def _classes(*tables: Table) -> list[dict[int, int]]:
    """Return the class of each lesion of two tables; nothing unless both know it."""
    if not all("class" in table for table in tables):
        return [{} for _ in tables]
    return [dict(zip(table["index"].tolist(), table["class"].tolist(), strict=True)) for table in tables]


def _most(shared: Pairs) -> dict[int, int]:
    """Return for each lesion the one of the other time with which it shares most."""
    return {a: b for (a, b), _ in sorted(shared.items(), key=lambda item: item[1])}


def _by_overlap(shared: Pairs) -> list[tuple[int, int]]:
    olds, news = sorted({a for a, _ in shared}), sorted({b for _, b in shared})
    gain = np.zeros((len(olds), len(news)))
    for (a, b), n in shared.items():
        gain[olds.index(a), news.index(b)] = n
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(olds[r], news[c]) for r, c in zip(rows.tolist(), columns.tolist(), strict=True) if gain[r, c]]


def _by_place(
    old: dict[str, Any], new: dict[str, Any], axes: str, pairs: list[tuple[int, int]], kinds: list[dict[int, int]]
) -> list[tuple[int, int]]:
    left = ~np.isin(old["index"], [a for a, _ in pairs]), ~np.isin(new["index"], [b for _, b in pairs])
    name = _middle(old, new)
    apart = np.linalg.norm(_places(old, axes, name)[left[0]][:, None] - _places(new, axes, name)[left[1]], axis=-1)
    ids = old["index"][left[0]].tolist(), new["index"][left[1]].tolist()
    alike = np.equal.outer(*(np.array([kind.get(i, 0) for i in own]) for kind, own in zip(kinds, ids, strict=True)))
    near = apart <= _radii(old, axes)[left[0]][:, None] + _radii(new, axes)[left[1]]
    cost = np.where(near & alike, apart, _FORBIDDEN)
    rows, columns = linear_sum_assignment(cost)
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


def _columns(rows: list[tuple[int, int, str, int]], old: Table, new: Table, axes: str) -> Table:
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
    part_of = np.array([row[3] for row in rows], np.int64)
    return found | {"moved": np.sqrt(np.sum(np.square(steps), axis=0)), "part_of": part_of}


def _taken(table: Table, column: str, ids: npt.NDArray[Any]) -> Floats:
    """Return a column for some labels; NaN for 0."""
    known = dict(zip(table["index"].tolist(), table[column].tolist(), strict=True))
    return np.array([known.get(i, math.nan) for i in ids.tolist()], np.float64)
