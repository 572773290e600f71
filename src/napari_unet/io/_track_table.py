"""Tracks as a table: one row for each object and frame."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import ImageError
from napari_unet.core.graph import assemble, count_frames
from napari_unet.core.results import Table, TrackFile, Tracks

from ._tiff_scales import SYMBOLS
from .tables import read_table, write_table

__all__ = ["UNEVEN", "read", "write"]

_NAMES: Final = {
    "track_id": "track", "trackid": "track", "tracklet_id": "track", "particle": "track",
    "frame": "t", "time": "t", "parent_track": "parent", "parent_id": "parent", "parent_track_id": "parent",
}  # fmt: skip
_COUNTED: Final = ("frame", "pixel")
_UNITS: Final = frozenset(("frame", *SYMBOLS))
_TINY: Final = 1e-300
_NEEDED: Final = ("track", "t", "y", "x")
UNEVEN: Final = "Times are unevenly spaced: they are numbered as frames, one every {:.4g} (the median)."


def write(path: Path, tracks: Tracks) -> None:
    """Write the nodes, with the rows of their parents (several with a blank between).

    Times and places are in frames and pixels. Where more is known they are there in units, too: ``t_second``,
    ``x_micrometer``. Of an axis along which all lies at 0 these say nothing: ``z_size_micrometer`` does.
    """
    parents = [""] * len(tracks.nodes["id"])
    for above, below in tracks.edges.tolist():
        parents[below] = f"{parents[below]} {above}".lstrip()
    scaled: Table = {}
    for axis, scale, unit in zip(tracks.axes, tracks.scale, tracks.units, strict=False):
        if unit in _UNITS and (unit not in _COUNTED or scale != 1):
            places = tracks.nodes[axis].astype(np.float64)
            scaled[f"{axis}_{unit}"] = places * scale
            if not places.any():
                scaled[f"{axis}_size_{unit}"] = np.full(len(places), scale)
    write_table(path, tracks.nodes | scaled | {"from": np.array(parents, np.str_)})


def read(path: Path) -> TrackFile:
    """Read a table of this program, or of another that says track, frame and place."""
    table, problems = _named(read_table(path)), list[str]()
    missing = [name for name in _NEEDED if name not in table]
    if missing:
        raise ImageError(
            f"'{path}' is no table of tracks: it has no column {', '.join(missing)}. One row for each object and frame "
            "is expected, with the columns track, t, y, x and perhaps z, label, area and parent."
        )
    known = np.ones(len(table["t"]), np.bool_)
    for name in (*_NEEDED, *({"z", "label", "area", "parent"} & table.keys())):
        if table[name].dtype.kind not in "buif":
            raise ImageError(
                f"The column '{name}' of '{path}' holds text, such as '{table[name][0]}'. Numbers are expected below "
                "one row of names: take rows with units or other names out."
            )
        if name in (*_NEEDED, "z"):
            known &= np.isfinite(table[name].astype(np.float64))
    edges = _edges(table.pop("from", None), len(known))
    sizes = _take_sizes(table)
    if not known.all():
        problems.append(f"{int((~known).sum())} rows have no track, no time or no place: left out.")
        table, edges = {name: column[known] for name, column in table.items()}, None
    if "label" in table and not np.isfinite(table["label"].astype(np.float64)).all():
        problems.append("Some rows have no label: labels are not known.")
        del table["label"]
    _count(table, problems)
    made = assemble(table, path.stem, edges)
    return TrackFile(_sized(made.tracks, sizes), None, (*problems, *made.problems))


def _take_sizes(table: Table) -> dict[str, tuple[float, str]]:
    """Take times and places in units out of a table, and return the size of a frame or pixel, by axis."""
    found: dict[str, tuple[float, str]] = {}
    for name in [f"{axis}_{unit}" for axis in "tzyx" for unit in _UNITS if axis in table]:
        if name not in table:
            continue
        if table[name].dtype.kind not in "if":
            continue
        counted, scaled = (table[key].astype(np.float64) for key in (name[0], name))
        if name[0] == "t" and not np.array_equal(counted, np.rint(counted)):
            continue
        there = np.isfinite(counted) & np.isfinite(scaled)
        counted, scaled = counted[there], scaled[there]
        size = float(f"{float(np.dot(counted, scaled)) / max(float(np.dot(counted, counted)), _TINY):.12g}")
        if np.allclose(scaled, counted * size, rtol=1e-6, atol=1e-9 * abs(size)):
            del table[name]
            if size > 0:  # else all of it lies at 0
                found[name[0]] = (size, name[2:])
    for axis, unit in [(axis, unit) for axis in "tzyx" for unit in _UNITS if f"{axis}_size_{unit}" in table]:
        said = table[f"{axis}_size_{unit}"]
        if said.dtype.kind in "if" and len(said) and 0 < said[0] < np.inf and (said == said[0]).all():
            del table[f"{axis}_size_{unit}"]
            found.setdefault(axis, (float(said[0]), unit))
    return found


def _sized(tracks: Tracks, sizes: dict[str, tuple[float, str]]) -> Tracks:
    own = dict(zip(tracks.axes, zip(tracks.scale, tracks.units, strict=True), strict=True))
    known = [sizes.get(axis, own[axis]) for axis in tracks.axes]
    return replace(tracks, scale=tuple(size for size, _ in known), units=tuple(unit for _, unit in known))


def _named(columns: Table) -> Table:
    """Name columns as this program does; of several with one meaning the plainest counts, a frame before a time."""
    found: dict[str, tuple[int, str]] = {}
    ranks = {name: i for i, name in enumerate(_NAMES, start=1)}
    for name in columns:
        key = name.strip().lower()
        found[_NAMES.get(key, key)] = min(
            found.get(_NAMES.get(key, key), (len(ranks) + 1, "")), (ranks.get(key, 0), name)
        )
    used = {name for _, name in found.values()}
    rest = {name.strip().lower(): column for name, column in columns.items() if name not in used}
    return rest | {key: columns[name] for key, (_, name) in found.items()}


def _count(table: Table, problems: list[str]) -> None:
    """Count times in frames that cannot be frames; say so of those that hardly are."""
    times = table["t"].astype(np.float64)
    if (times != np.rint(times)).any():
        table["t"], step, even = count_frames(times)
        problems.append(f"Times are counted in frames of {step:.4g}." if even else UNEVEN.format(step))
    elif np.diff(np.unique(times)).min(initial=np.inf) not in (1, np.inf):
        problems.append("No two frames follow each other: if times are no frames, give frames in a column 'frame'.")


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
