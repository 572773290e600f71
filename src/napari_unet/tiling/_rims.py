"""What bricks tell each other: the scores along their borders, and forests as plain arrays."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..core.forest import Forest, Rim

if TYPE_CHECKING:
    import numpy.typing as npt

    from .bricks import Position

    Scores = npt.NDArray[np.uint8]

__all__ = ["borders", "pack", "pack_edges", "unpack", "unpack_edges", "widened"]

_TABLES: Final = tuple(
    field.name for field in fields(Forest) if field.name not in ("rims", "corners", "kinds", "nested")
)


def borders(scores: Scores) -> dict[Position, Scores]:
    """Copy the outermost pixels of a brick's scores, by direction: faces, edges and corners."""
    parts = {-1: slice(0, 1), 0: slice(None), 1: slice(-1, None)}
    ways = itertools.product((-1, 0, 1), repeat=scores.ndim - 1)
    return {way: scores[(slice(None), *(parts[step] for step in way))].copy() for way in ways if any(way)}


def widened(scores: Scores, rims: dict[Position, Scores]) -> Scores:
    """Put the scores just beyond a brick around its own."""
    ndim = scores.ndim - 1
    before = [int(any(way[axis] < 0 for way in rims)) for axis in range(ndim)]
    after = [int(any(way[axis] > 0 for way in rims)) for axis in range(ndim)]
    sizes = scores.shape[1:]
    out = np.empty((scores.shape[0], *(n + a + b for n, a, b in zip(sizes, before, after, strict=True))), np.uint8)
    for way, part in {(0,) * ndim: scores, **rims}.items():
        starts = [{-1: 0, 0: lead, 1: lead + n}[step] for step, lead, n in zip(way, before, sizes, strict=True)]
        place = tuple(slice(a, a + n) for a, n in zip(starts, part.shape[1:], strict=True))
        out[(slice(None), *place)] = part
    return out


def pack(forest: Forest) -> dict[str, npt.NDArray[Any]]:
    """Turn a forest into arrays."""
    found: dict[str, Any] = {name: getattr(forest, name) for name in _TABLES}
    for side, rim in forest.rims.items():
        found |= {f"rim_{side}_trees": rim.trees, f"rim_{side}_potential": rim.potential}
    if forest.kinds is not None:
        found |= {"kinds": forest.kinds, "nested": np.array(forest.nested)}
    return found | {"corners": np.array(forest.corners)}


def unpack(arrays: Mapping[str, npt.NDArray[Any]]) -> Forest:
    """Turn the arrays of :func:`pack` into the forest that they were."""
    sides = [int(name.split("_")[1]) for name in arrays if name.startswith("rim_") and name.endswith("_trees")]
    rims = {side: Rim(arrays[f"rim_{side}_trees"], arrays[f"rim_{side}_potential"]) for side in sides}
    return Forest(
        **{name: arrays[name] for name in _TABLES}, rims=rims, corners=bool(arrays["corners"]),
        kinds=arrays.get("kinds"), nested=bool(arrays.get("nested", False)),
    )  # fmt: skip


def pack_edges(edges: Mapping[Position, Scores]) -> dict[str, Scores]:
    """Name the borders of a brick, see :func:`borders`, for a journal."""
    return {f"way_{'_'.join(map(str, way))}": values for way, values in edges.items()}


def unpack_edges(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[Position, Scores]:
    """Turn the arrays of :func:`pack_edges` into the borders that they were."""
    ways = {name: tuple(map(int, name.split("_")[1:])) for name in arrays if name.startswith("way_")}
    return {way: arrays[name] for name, way in ways.items()}
