"""TrackMate's XML (Tinevez et al. 2017, Methods 115:80): spots, with positions in physical units, and their edges.

A track of TrackMate is all that hangs together, a lineage here. The file is read as a stream of tags: a document type,
and with it every entity, is refused, so nothing in it can grow or reach other files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import ImageError
from napari_unet.core.graph import assemble
from napari_unet.core.results import Table, TrackFile, Tracks
from napari_unet.core.sizes import equivalent_diameter

from .atomic import atomic_file

__all__ = ["read", "write"]

_VERSION: Final = "7.11.1"  # of TrackMate, whose tags these are
_UNITS: Final = {"micrometer": "micron", "second": "sec", "minute": "min", "hour": "h"}
_BACK: Final = {
    "micron": "micrometer", "microns": "micrometer", "µm": "micrometer", "um": "micrometer", "sec": "second",
    "s": "second", "min": "minute", "h": "hour", "pixels": "pixel", "frames": "frame",
}  # fmt: skip
_FEATURES: Final = (
    ("QUALITY", "Quality", "QUALITY", "false"), ("POSITION_X", "X", "POSITION", "false"),
    ("POSITION_Y", "Y", "POSITION", "false"), ("POSITION_Z", "Z", "POSITION", "false"),
    ("POSITION_T", "T", "TIME", "false"), ("FRAME", "Frame", "NONE", "true"), ("RADIUS", "Radius", "LENGTH", "false"),
    ("VISIBILITY", "Visibility", "NONE", "true"), ("LABEL_ID", "Label", "NONE", "true"),
    ("PIXELS", "Pixels", "NONE", "true"),
)  # fmt: skip
_EDGES: Final = (
    ("SPOT_SOURCE_ID", "Source spot ID", "NONE", "true"), ("SPOT_TARGET_ID", "Target spot ID", "NONE", "true"),
    ("LINK_COST", "Link cost", "COST", "false"), ("LINK_MARGIN", "Link margin", "COST", "false"),
)  # fmt: skip
_OF_TRACKS: Final = (("TRACK_INDEX", "Track index", "NONE", "true"), ("TRACK_ID", "Track ID", "NONE", "true"))
_ROOT: Final = "TrackMate"

Ints = npt.NDArray[np.int64]


def write(path: Path, tracks: Tracks) -> None:
    """Write a file.

    Parameters
    ----------
    path : Path
        Ends in ``.xml``; replaced if it is there.
    tracks : Tracks
        What to write. Label, pixels, costs and margins are features of their own.
    """
    with atomic_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(line + "\n" for line in _lines(tracks))


def _tag(name: str, values: Mapping[str, object], closed: bool = True) -> str:
    attributes = "".join(f" {key}={quoteattr(str(value))}" for key, value in values.items())
    return f"<{name}{attributes}{' /' * closed}>"


def _lines(tracks: Tracks) -> Iterator[str]:
    units = dict(zip(tracks.axes, tracks.units, strict=False))
    space, time = units.get("x", "pixel"), units.get("t", "frame")
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield _tag(_ROOT, {"version": _VERSION}, False)
    time = "frame" if time == "pixel" else time
    about = {"spatialunits": _UNITS.get(space, space), "timeunits": _UNITS.get(time, time)}
    yield _tag("Model", about, False)
    yield "<FeatureDeclarations>"
    for kind, features in (("Spot", _FEATURES), ("Edge", _EDGES), ("Track", _OF_TRACKS)):
        yield f"<{kind}Features>"
        for feature, name, dimension, whole in features:
            told = {"feature": feature, "name": name, "shortname": name, "dimension": dimension, "isint": whole}
            yield _tag("Feature", told)
        yield f"</{kind}Features>"
    yield "</FeatureDeclarations>"
    yield from _spots(tracks)
    yield from _tracks(tracks)
    yield "</Model>"
    sides = dict(zip(tracks.axes, tracks.scale, strict=True))
    names = {"pixelwidth": "x", "pixelheight": "y", "voxeldepth": "z", "timeinterval": "t"}
    image: dict[str, object] = {"filename": tracks.name, "folder": "", "width": 0, "height": 0, "nslices": 1}
    if "z" in tracks.axes:  # more than one plane: this is no plane, wherever its cells are
        image["nslices"] = max(2, math.ceil(tracks.nodes["z"].max(initial=0)) + 1)
    image["nframes"] = int(tracks.nodes["t"].max(initial=-1)) + 1
    yield "<Settings>"
    yield _tag("ImageData", image | {key: repr(float(sides.get(axis, 1.0))) for key, axis in names.items()})
    yield "</Settings>"
    yield f"</{_ROOT}>"


def _spots(tracks: Tracks) -> Iterator[str]:
    nodes, sides = tracks.nodes, dict(zip(tracks.axes, tracks.scale, strict=True))
    ndim, count = len(tracks.axes) - 1, len(tracks.nodes["t"])
    # A slice of depth 0 is where a 2D movie lies.
    places = {a: nodes[a].astype(np.float64) * side for a, side in sides.items()}
    places.setdefault("z", np.zeros(count))
    areas = np.nan_to_num(nodes["area"].astype(np.float64))
    radius = equivalent_diameter(areas * math.prod(tracks.scale[1:]), ndim) / 2
    frames = nodes["t"].astype(np.int64)
    yield _tag("AllSpots", {"nspots": count}, False)
    for frame in np.unique(frames).tolist():
        yield _tag("SpotsInFrame", {"frame": frame}, False)
        for i in np.flatnonzero(frames == frame).tolist():
            values: dict[str, object] = {"ID": i, "name": f"ID{i}", "QUALITY": "1.0"}
            values |= {f"POSITION_{a.upper()}": repr(float(places[a][i])) for a in "xyzt"}
            values |= {"FRAME": frame, "RADIUS": repr(float(radius[i])), "VISIBILITY": 1}
            yield _tag("Spot", values | {"LABEL_ID": int(nodes["label"][i]), "PIXELS": f"{areas[i]:.0f}"})
        yield "</SpotsInFrame>"
    yield "</AllSpots>"


def _tracks(tracks: Tracks) -> Iterator[str]:
    lineage = tracks.nodes["lineage"].astype(np.int64)
    of = lineage[tracks.edges[:, 0]]
    order = np.argsort(of, kind="stable")
    names, first = np.unique(of[order], return_index=True)
    yield "<AllTracks>"
    for name, rows in zip(names.tolist(), np.split(order, first[1:]) if len(names) else [], strict=True):
        yield _tag("Track", {"name": f"Track_{name}", "TRACK_INDEX": name - 1, "TRACK_ID": name}, False)
        for i in rows.tolist():
            values: dict[str, object] = dict(
                zip(("SPOT_SOURCE_ID", "SPOT_TARGET_ID"), tracks.edges[i].tolist(), strict=True)
            )
            for key, column in (("LINK_COST", tracks.costs), ("LINK_MARGIN", tracks.margins)):
                if len(column):
                    values[key] = repr(float(column[i])).replace("nan", "NaN")
            yield _tag("Edge", values)
        yield "</Track>"
    yield "</AllTracks>"
    yield "<FilteredTracks>"
    yield from (_tag("TrackID", {"TRACK_ID": name}) for name in names.tolist())
    yield "</FilteredTracks>"


@dataclass
class _Seen:
    """What has been read so far."""

    model: dict[str, str] = field(default_factory=dict)
    image: dict[str, str] = field(default_factory=dict)
    spots: list[dict[str, str]] = field(default_factory=list)
    edges: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    root: str = ""
    frame: str = ""
    track: str = ""
    filtered: bool = False

    def start(self, name: str, values: dict[str, str]) -> None:
        """Take in a tag."""
        self.root = self.root or name
        if name == "Spot":
            self.spots.append({"FRAME": self.frame} | values)
        elif name == "Edge":
            ends = (values.get("SPOT_SOURCE_ID", ""), values.get("SPOT_TARGET_ID", ""))
            self.edges.append((self.track, *ends, values.get("LINK_COST", ""), values.get("LINK_MARGIN", "")))
        elif name == "SpotsInFrame":
            self.frame = values.get("frame", "")
        elif name == "Track":
            self.track = values.get("TRACK_ID", "")
        elif name == "FilteredTracks":
            self.filtered = True
        elif name == "TrackID":
            self.kept.add(values.get("TRACK_ID", ""))
        elif name == "Model":
            self.model = values
        elif name == "ImageData":
            self.image = values


def read(path: Path) -> TrackFile:
    """Read a file of TrackMate or of this program.

    Parameters
    ----------
    path : Path
        Spots that TrackMate hides and tracks that were filtered out are left out, and that is said.

    Returns
    -------
    TrackFile
        Tracks with positions in pixels, and what did not fit together.

    Raises
    ------
    ImageError
        If it is no such file, or cannot be read.
    """
    seen, problems = _parse(path), []
    sides = {a: _number(seen.image.get(key)) or 1.0 for a, key in
             {"x": "pixelwidth", "y": "pixelheight", "z": "voxeldepth", "t": "timeinterval"}.items()}  # fmt: skip
    if not seen.image:
        problems.append("The file does not say the size of a pixel (ImageData): positions are taken for pixels.")
    dropped = {end for name, *ends in seen.edges if seen.filtered and name not in seen.kept for end in ends[:2]}
    spots = [s for s in seen.spots if (_number(s.get("VISIBILITY")) or 0) > 0 or "VISIBILITY" not in s]
    spots = [s for s in spots if s.get("ID", "") not in dropped]
    if len(spots) < len(seen.spots):
        problems.append(
            f"{len(seen.spots) - len(spots)} spots are hidden or of tracks that were filtered out: left out."
        )
    table = _table(spots, sides, (_number(seen.image.get("nslices")) or 1) > 1, path)
    rows = {spot.get("ID", ""): i for i, spot in enumerate(spots)}
    edges, lost = [], 0
    for name, one, other, cost, margin in seen.edges:
        if seen.filtered and name not in seen.kept:
            continue
        a, b = rows.get(one), rows.get(other)
        if a is None or b is None or table["t"][a] == table["t"][b]:
            lost += 1
        else:
            # TrackMate draws edges in any direction; a parent is the earlier one.
            edges.append((*((a, b) if table["t"][a] < table["t"][b] else (b, a)), _number(cost), _number(margin)))
    if lost:
        problems.append(f"{lost} edges lead to spots that are not there, or within one frame: left out.")
    units = [
        _BACK.get(u, u) for u in (seen.model.get("timeunits") or "frame", seen.model.get("spatialunits") or "pixel")
    ]
    axes = "tzyx" if "z" in table else "tyx"
    names = (units[0],) + (units[1],) * (len(axes) - 1)
    pairs = np.array([edge[:2] for edge in edges], np.int64).reshape(-1, 2)
    name = str(seen.image.get("filename") or path.stem)
    made = assemble(table, name, pairs, scale=tuple(sides[a] for a in axes), units=names)
    return TrackFile(_with_costs(made.tracks, table, edges), None, (*problems, *made.problems))


def _parse(path: Path) -> _Seen:
    seen, parser = _Seen(), expat.ParserCreate()

    def refuse(*_: object) -> None:
        raise ImageError(f"'{path}' declares a document type, which TrackMate does not. It is not read, to be safe.")

    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler = refuse, refuse
    parser.StartElementHandler = seen.start
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except (OSError, expat.ExpatError) as error:
        raise ImageError(f"'{path}' cannot be read: {error}. Save it again in TrackMate.") from error
    if seen.root != _ROOT or not seen.model:
        raise ImageError(
            f"'{path}' is no file of TrackMate: it begins with '{seen.root}' and has no model. In TrackMate "
            "press 'Save' (not 'Export tracks to XML file', which keeps no links)."
        )
    return seen


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _table(spots: list[dict[str, str]], sides: dict[str, float], deep: bool, path: Path) -> Table:
    """Return places in pixels, one row a spot."""
    columns = {a: np.array([_number(s.get(f"POSITION_{a.upper()}")) for s in spots]) for a in "xyzt"}
    frames = np.array([_number(s.get("FRAME")) for s in spots])
    frames = np.where(np.isfinite(frames), frames, columns["t"] / sides["t"])
    if not all(np.isfinite(values).all() for values in (frames, columns["x"], columns["y"])):
        raise ImageError(f"'{path}' has spots without a frame or a place. Save it again in TrackMate.")
    table: Table = {"t": np.rint(frames).astype(np.int64)}
    table |= {a: columns[a] / sides[a] for a in "yx"}
    if deep or np.nan_to_num(columns["z"]).any():
        table["z"] = np.nan_to_num(columns["z"]) / sides["z"]
    label = np.array([_number(s.get("LABEL_ID")) for s in spots])
    ids = np.arange(1, len(spots) + 1)
    table["track"] = ids
    table["label"] = np.where(np.isfinite(label), np.nan_to_num(label), ids).astype(np.int64)
    radius = np.array([_number(s.get("RADIUS")) for s in spots])
    pixels = np.array([_number(s.get("PIXELS")) for s in spots])
    flat = "z" not in table
    size = math.pi * radius**2 if flat else math.pi * 4 / 3 * radius**3
    disk = size / math.prod(sides[a] for a in ("yx" if flat else "zyx"))
    table["area"] = np.where(np.isfinite(pixels), pixels, disk)
    return table


def _with_costs(tracks: Tracks, table: Table, edges: list[tuple[int, int, float, float]]) -> Tracks:
    """Bring costs and margins into the order of the edges."""
    values = np.array([edge[2:] for edge in edges]).reshape(-1, 2)
    place = np.empty(len(table["t"]), np.int64)
    place[np.lexsort((table["label"], table["t"]))] = np.arange(len(place))
    pairs = place[np.array([edge[:2] for edge in edges], np.int64).reshape(-1, 2)]
    order = np.lexsort((pairs[:, 0], pairs[:, 1]))
    columns = [values[order, i] if np.isfinite(values[:, i]).any() else np.zeros(0) for i in (0, 1)]
    return Tracks(tracks.nodes, tracks.edges, tracks.axes, tracks.scale, tracks.units, tracks.name, *columns)
