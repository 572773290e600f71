"""ROIs that somebody has drawn in ImageJ or Fiji: areas of planes, from one file or a set of the ROI Manager."""

from __future__ import annotations

import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi

from ..core.errors import ImageError
from ..core.region import Polygon, joined
from .suffixes import suffix_of
from .zips import ENCRYPTED, directory_size, leads_out

__all__ = ["SUFFIXES", "Roi", "read_rois"]

SUFFIXES: Final = (".zip", ".roi")
_LARGEST: Final = 2**28  # bytes, unpacked
_DIRECTORY: Final = 2**25  # bytes that a table of contents may take
_MOST_CORNERS: Final = 2**23  # of all ROIs
_FAR: Final = 2.0**24  # pixels: beyond, a 32-bit number tells no pixel from the next
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_OUTLINES: Final = (ROI_TYPE.POLYGON, ROI_TYPE.FREEHAND, ROI_TYPE.TRACED)
_NO_AREAS: Final = (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.IMAGE, ROI_SUBTYPE.ARROW)
# Points of the commands of a path (java.awt.geom.PathIterator): move, line, two curves, close.
_POINTS: Final[dict[float, int]] = {0: 1, 1: 1, 2: 2, 3: 3, 4: 0}
_NUMBERED: Final = re.compile(r"(\d{1,10})(_t\d+)?(_z\d+)?(_\d+)?")  # as this program names ROIs
_ELLIPSE: Final = 72  # corners, as in ImageJ
_STEPS: Final = 16  # corners for a stretch of a curve
_BULGE: Final = 1e-3  # pixels that an oval may lie outside of the polygon that stands for it
_ROUNDEST: Final = 1000  # corners
_FEWEST_SMOOTH, _MOST_SMOOTH = 100, 2**16  # corners of a spline
_LEAST_STEP, _BEYOND = 1e-3, 7
# ImageJ leaves out a pixel whose center lies on the left or lower side of an outline, and takes the others
# (ij.process.PolygonFiller): as if the outline lay a little to the right, and far less than that higher.
_ASIDE: Final = np.array([1e-6, -1e-9])
_DAMAGED: Final = (
    ValueError, TypeError, IndexError, OverflowError, AssertionError, struct.error, OSError, EOFError, zlib.error,
    NotImplementedError, zipfile.BadZipFile,
)  # fmt: skip

Floats = npt.NDArray[np.float64]


class Roi(NamedTuple):
    """An area: its outline, where it is, and what is said of it.

    The outline has its corners ``(y, x)``, counted from the corner of the first pixel, with all parts and holes in one.
    `position`, `t` and `z` are counted from 1 and 0 where they are not said; `position` is that in a stack. `number` is
    the label that its properties or its name tell, else None; `kind` the class, else the group, else empty.
    """

    outline: Polygon
    position: int
    t: int
    z: int
    number: int | None
    kind: str


def read_rois(path: Path) -> tuple[list[Roi], int]:
    """Read the ROIs of a file.

    Parameters
    ----------
    path : Path
        ``.roi``, or ``.zip``: a set of the ROI Manager. Rectangles, also rounded and rotated ones, ovals and ellipses,
        polygons, also with a spline through their corners, freehand and traced outlines, and what is composed of them.
        In whole pixels or parts of them.

    Returns
    -------
    rois : list of Roi
        In the order of the file.
    others : int
        How many points, lines and texts were left out.

    Raises
    ------
    ImageError
        If it cannot be read, holds something else, or nothing that has an inside.
    """
    if not path.is_file():
        raise ImageError(f"There is no file '{path}'. Check the name.")
    found, others, corners = list[Roi](), 0, 0
    try:
        for name, content in _contents(path):
            roi = ImagejRoi.frombytes(content)
            rings = _rings(roi)
            corners += sum(map(len, rings))
            if corners > _MOST_CORNERS:
                raise ImageError(f"'{path}' has more than {_MOST_CORNERS} corners. Draw coarser, or in several files.")
            if not rings:
                others += 1
                continue
            found.append(_described(roi, rings, name))
    except _DAMAGED as error:
        raise ImageError(f"'{path}' could not be read as ROIs of ImageJ: {error}. Save them again.") from error
    if others and not found:
        raise ImageError(f"'{path}' holds points, lines or text only, which have no inside. Draw areas.")
    return found, others


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Go through the names and bytes of ROIs; nothing is unpacked that would be too large."""
    if path.stat().st_size > _LARGEST:
        raise ImageError(f"'{path}' is too large for ROIs ({path.stat().st_size} bytes). Save fewer of them in a file.")
    if suffix_of(path) == ".roi":
        yield path.stem, path.read_bytes()
        return
    size = directory_size(path)
    if size is None:
        raise ImageError(f"'{path}' is no set of ROIs of ImageJ, which is a zip archive. Save it again.")
    if size > _DIRECTORY:
        raise ImageError(f"'{path}' has too large a table of contents for ROIs. Save fewer of them in a file.")
    with zipfile.ZipFile(path) as archive:
        files = [member for member in archive.infolist() if not member.is_dir()]
        rois = [member for member in files if suffix_of(Path(member.filename)) == ".roi"]
        _check(path, files, rois)
        for member in rois:
            # What macOS leaves in archives has the names of files, too.
            if not member.filename.startswith("__MACOSX/"):
                yield Path(member.filename).stem, archive.read(member)


def _check(path: Path, files: list[zipfile.ZipInfo], rois: list[zipfile.ZipInfo]) -> None:
    if files and not rois:
        raise ImageError(f"'{path}' holds no ROIs of ImageJ (.roi) but '{files[0].filename}'. Choose another file.")
    for member in files:
        if leads_out(member.orig_filename):
            raise ImageError(
                f"'{path}' holds '{member.orig_filename[:80]}', a name that leads out of it. Save it again."
            )
        if member.flag_bits & ENCRYPTED or member.compress_type not in _METHODS:
            raise ImageError(f"'{member.filename}' in '{path}' is encrypted or packed in a way that is not read here.")
    if sum(member.file_size for member in rois) > _LARGEST:
        raise ImageError(f"'{path}' would unpack to more than {_LARGEST >> 20} MB. Save fewer ROIs in a file.")


def _described(roi: ImagejRoi, rings: list[Floats], name: str) -> Roi:
    every = np.concatenate(rings)
    if not (np.isfinite(every).all() and np.abs(every).max() <= _FAR):
        raise ImageError(f"The ROI '{name}' has corners that are no numbers, or no places in an image. Draw it again.")
    outline = joined([(ring + _ASIDE).tolist() for ring in rings])
    said = roi.properties
    kind = str(said.get("class", "")) or (str(roi.group) if roi.group > 0 else "")
    position, t, z = (max(place, 0) for place in (roi.position, roi.t_position, roi.z_position))
    return Roi(outline, position, t, z, _number(said.get("label"), roi.name or name), kind)


def _number(label: object, name: str) -> int | None:
    if isinstance(label, int) and not isinstance(label, bool) and label > 0:
        return label
    match = _NUMBERED.fullmatch(name)
    return int(match[1]) or None if match else None


def _rings(roi: ImagejRoi) -> list[Floats]:
    """Return the outlines of a ROI, x before y from the corner of the first pixel; none if it has no inside."""
    if roi.subtype in _NO_AREAS or roi.roitype not in (ROI_TYPE.RECT, ROI_TYPE.OVAL, *_OUTLINES):
        return []
    if roi.roitype == ROI_TYPE.RECT:
        return _flattened(roi.multi_coordinates) if roi.multi_coordinates is not None else [_rectangle(roi)]
    if roi.roitype == ROI_TYPE.OVAL:
        return [_oval(*_box(roi))]
    if roi.subtype in (ROI_SUBTYPE.ELLIPSE, ROI_SUBTYPE.ROTATED_RECT):
        return [_turned(roi)]
    corners = np.asarray(roi.coordinates(), np.float64)
    if roi.options & ROI_OPTIONS.SPLINE_FIT and len(corners) > 2:
        return [_smooth(corners)]
    return [corners] if len(corners) > 2 else []


def _box(roi: ImagejRoi) -> tuple[Floats, Floats]:
    """Return the upper left corner and the size of the box around a rectangle or oval."""
    if roi.subpixelrect:
        return np.array([roi.xd, roi.yd]), np.array([roi.widthd, roi.heightd])
    return np.array([roi.left, roi.top], float), np.array([roi.right - roi.left, roi.bottom - roi.top], float)


def _rectangle(roi: ImagejRoi) -> Floats:
    start, size = _box(roi)
    round_off = np.minimum(max(roi.rounded_rect_arc_size, 0), np.abs(size)) / 2
    if not round_off.all():
        return np.asarray(start + size * np.array([(0, 0), (1, 0), (1, 1), (0, 1)]))
    quarter = _STEPS * 4
    circle = _oval(start, 2 * round_off, 4 * quarter)
    far = (size - 2 * round_off) * np.array([(1, 1), (0, 1), (0, 0), (1, 0)])
    return np.concatenate([circle[i * quarter : (i + 1) * quarter + 1] + far[i] for i in range(4)])


def _oval(start: Floats, size: Floats, count: int = 0) -> Floats:
    radius = min(max(float(np.abs(size).max()) / 2, 1.0), _FAR)
    count = count or min(max(_ELLIPSE, math.ceil(math.pi * math.sqrt(radius / (2 * _BULGE)))), _ROUNDEST)
    turns = np.arange(count + 1) * (2 * math.pi / count)
    return np.asarray(start + size / 2 * (1 + np.stack([np.cos(turns), np.sin(turns)], axis=1)))


def _turned(roi: ImagejRoi) -> Floats:
    """Return an ellipse or a rotated rectangle of which only the ends of its axis are stored, and its width."""
    ends = np.array([(roi.x1, roi.y1), (roi.x2, roi.y2)], float)
    stored = struct.pack(
        f"{roi.byteorder}BBh", roi.arrow_style_or_aspect_ratio, roi.arrow_head_size, roi.rounded_rect_arc_size
    )
    (width,) = struct.unpack(f"{roi.byteorder}f", stored)
    along = (ends[1] - ends[0]) / 2
    across = np.array([-along[1], along[0]])
    if roi.subtype == ROI_SUBTYPE.ELLIPSE:
        turns = np.arange(_ELLIPSE)[:, None] * (2 * math.pi / _ELLIPSE)
        return np.asarray(ends.mean(0) + np.cos(turns) * along + np.sin(turns) * across * width)
    across *= width / 2 / max(math.hypot(*across), 1e-9)
    return np.array([ends[0] + across, ends[1] + across, ends[1] - across, ends[0] - across])


def _smooth(corners: Floats) -> Floats:
    """Return points on the closed spline through corners that ImageJ lays: its parameter is the root of the way."""
    if len(corners) > _MOST_SMOOTH:
        raise ValueError(f"a spline has {len(corners)} corners")
    closed = np.concatenate([corners, corners[:1]])
    ways = np.hypot(*np.diff(closed, axis=0).T)
    at = np.concatenate([[0.0], np.cumsum(np.maximum(np.sqrt(ways), _LEAST_STEP))])
    count = min(max(_FEWEST_SMOOTH, int(ways.sum() / 2)), _MOST_SMOOTH)
    # It goes on beyond both ends for some corners, instead of being periodic.
    more = min(_BEYOND, len(corners))
    longer = np.concatenate([at[-more - 1 : -1] - at[-1], at, at[1 : more + 1] + at[-1]])
    points = np.concatenate([closed[-more - 1 : -1], closed, closed[1 : more + 1]])
    # Only where it is asked for: scipy.interpolate takes long to load, and few files have splines.
    return np.asarray(scipy.interpolate.CubicSpline(longer, points, bc_type="natural")(np.linspace(0, at[-1], count)))


def _flattened(path: npt.NDArray[np.float32]) -> list[Floats]:
    """Return the outlines of a path: straight lines as they are, of curves some points."""
    if len(path) > 3 * _MOST_CORNERS:
        raise ValueError(f"a path has {len(path)} numbers")
    values, at = path.tolist(), 0
    rings: list[list[tuple[float, float]]] = []
    while at < len(values):
        command = values[at]
        count = _POINTS.get(command)
        if count is None or at + 2 * count >= len(values) or (command and not rings):
            raise ValueError(f"a path has the command {command} at {at}")
        points = list(zip(values[at + 1 : at + 2 * count : 2], values[at + 2 : at + 1 + 2 * count : 2], strict=True))
        if command == 0:
            rings.append([])
        if count:
            rings[-1] += points if count == 1 else _curve([rings[-1][-1], *points])
        at += 1 + 2 * count
    return [np.array(ring) for ring in rings if len(ring) > 2]


def _curve(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return points on a Bézier curve without its first one."""
    share, degree = np.arange(1, _STEPS + 1)[:, None] / _STEPS, len(points) - 1
    terms = [
        math.comb(degree, i) * share**i * (1 - share) ** (degree - i) * np.array(at) for i, at in enumerate(points)
    ]
    return [(x, y) for x, y in np.sum(terms, axis=0).tolist()]
