"""Tracks as a table: one row for each object and frame."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import ImageError
from napari_unet.core.graph import assemble
from napari_unet.core.results import Table, TrackFile, Tracks

from .tables import read_table, write_table

__all__ = ["read", "write"]

_NAMES: Final = {
    "track_id": "track", "trackid": "track", "tracklet_id": "track", "particle": "track",
    "frame": "t", "time": "t", "parent_track": "parent", "parent_id": "parent", "parent_track_id": "parent",
}  # fmt: skip


def write(path: Path, tracks: Tracks) -> None:
    """Write the nodes, with the rows of their parents (several with a blank between)."""
    parents = [""] * len(tracks.nodes["id"])
    for above, below in tracks.edges.tolist():
        parents[below] = f"{parents[below]} {above}".lstrip()
    write_table(path, tracks.nodes | {"from": np.array(parents, np.str_)})


def read(path: Path) -> TrackFile:
    """Read a table of this program, or of another that says track, frame and place."""
    table: Table = {}
    for name, column in read_table(path).items():
        key = name.strip().lower()
        table[_NAMES.get(key, key)] = column
    missing = [name for name in ("track", "t", "y", "x") if name not in table]
    if missing:
        raise ImageError(
            f"'{path}' is no table of tracks: it has no column {', '.join(missing)}. One row for each object and frame "
            "is expected, with the columns track, t, y, x and perhaps z, label, area and parent."
        )
    return assemble(table, path.stem, _edges(table.pop("from", None), len(table["t"])))


def _edges(column: npt.NDArray[np.generic] | None, count: int) -> npt.NDArray[np.int64] | None:
    """Read the rows of parents; None if there is no such column or it does not fit."""
    if column is None:
        return None
    pairs: list[tuple[int, int]] = []
    for row, value in enumerate(column.tolist()):
        words = str(value).split() if isinstance(value, str) else [] if np.isnan(value) else [str(int(value))]
        pairs.extend((int(float(word)), row) for word in words)
    edges = np.array(pairs, np.int64).reshape(-1, 2)
    return edges if (edges >= 0).all() and (edges < count).all() else None
