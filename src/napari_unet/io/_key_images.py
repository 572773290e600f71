"""Pictures of lesions for people to look at: the plane of the longest diameter, and a view from the front."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
from scipy.ndimage import distance_transform_edt
from skimage.measure import find_contours

from napari_unet.core.axes import Image
from napari_unet.core.lesions import Lesions

from .overlay import contrast

__all__ = ["COLORS", "as_png", "brightness", "draw_lesion", "draw_view", "inmost"]

# Okabe & Ito: told apart by nearly everybody.
COLORS: Final = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
LONG: Final = "#00E5FF"
SHORT: Final = "#FF5CF4"
_OTHER: Final = "#9E9E9E"
_EDGE: Final = 300  # pixels of the longer side of a picture
_FINE: Final = 3  # drawn so many times larger, then shrunk, so that lines are smooth
_AROUND: Final = 0.6  # of a lesion's width is shown beside it
_WINDOWS: Final = {"CT": (-160.0, 240.0)}  # HU: level 40, width 400
_SEEN: Final = (1.0, 99.8)  # percentiles
_LEAST: Final = 24  # pixels of the image that a picture shows at least

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Sheet:
    """A picture that is drawn on in pixels of the image."""

    picture: PIL.Image.Image
    origin: tuple[float, float]
    zoom: tuple[float, float]  # pixels of the picture for one of the image, along y and x

    def at(self, points: Any) -> list[tuple[float, float]]:
        """Return the places of pixels (y, x) in the picture, as (x, y)."""
        found = (np.asarray(points, np.float64) - self.origin + 0.5) * self.zoom
        return [(float(x), float(y)) for y, x in found]

    def line(self, points: Any, color: str, width: int) -> None:
        """Draw a line through pixels (y, x)."""
        PIL.ImageDraw.Draw(self.picture).line(self.at(points), fill=color, width=width * _FINE, joint="curve")

    def say(self, text: str, point: tuple[float, float], color: str) -> None:
        """Write a few words, dark around so that they can be read on everything."""
        font = PIL.ImageFont.load_default(12 * _FINE)
        PIL.ImageDraw.Draw(self.picture).text(
            point, text, fill=color, font=font, stroke_width=_FINE, stroke_fill="black"
        )

    def name(self, text: str, middle: tuple[float, float]) -> None:
        """Write a number around a place (x, y) of the picture, and not over its edge."""
        font = PIL.ImageFont.load_default(12 * _FINE)
        left, top, right, bottom = font.getbbox(text, stroke_width=_FINE)
        sides = ((middle[0], right - left, self.picture.width), (middle[1], bottom - top, self.picture.height))
        x, y = (min(max(at - size / 2, 0.0), max(whole - size, 0.0)) for at, size, whole in sides)
        self.say(text, (x - left, y - top), "white")


def brightness(lesions: Lesions, image: Image, rows: Sequence[int]) -> tuple[float, float]:
    """Return what is black and what is white in the pictures of some lesions: the same in all of them.

    Parameters
    ----------
    lesions : Lesions
        Labels and table.
    image : Image
        On their grid.
    rows : sequence of int
        Of the table.

    Returns
    -------
    tuple of float
        Percentiles of all that the pictures show; of CT what radiologists use for soft tissue, in Hounsfield units.
    """
    if (fixed := _fixed(image)) is not None:
        return fixed
    crops = [_crop(lesions, image, row)[0].astype(np.float64).ravel() for row in rows]
    known = np.concatenate([crop[np.isfinite(crop)] for crop in crops] or [np.zeros(0)])
    low, high = np.percentile(known, _SEEN) if known.size else (0.0, 0.0)
    return float(low), float(high)


def draw_lesion(lesions: Lesions, image: Image, row: int, unit: str, seen: tuple[float, float]) -> PIL.Image.Image:
    """Draw the plane of a lesion's longest diameter, with its outline and both diameters.

    Parameters
    ----------
    lesions : Lesions
        Labels and table.
    image : Image
        On their grid.
    row : int
        Of the table.
    unit : str
        Of lengths, for the bar that shows one.
    seen : tuple of float
        See :func:`brightness`.

    Returns
    -------
    PIL.Image.Image
        In color; square pixels, whatever those of the image are.
    """
    table: dict[str, Any] = dict(lesions.table)
    labels, scale, (low, high) = lesions.labels, lesions.labels.along("yx")[1], seen
    plane, window = _crop(lesions, image, row)
    shades = _shades(plane, low, high) if high > low else np.zeros(plane.shape)
    sheet = _sheet(shades, (window[0].start, window[1].start), scale)
    ids = _crop(lesions, labels, row)[0]
    own = int(table["index"][row])
    for other in np.unique(ids[ids > 0]).tolist():
        color, width = (COLORS[(own - 1) % len(COLORS)], 2) if other == own else (_OTHER, 1)
        _outline(sheet, ids == other, color, width)
    for name, color in (("longest", LONG), ("short", SHORT)):
        ends = [[table[f"{name}_{a}{end}"][row] / step for a, step in zip("yx", scale, strict=True)] for end in (0, 1)]
        sheet.line(ends, color, 2)
    _bar(sheet, scale[1], unit)
    _name_sides(sheet, image)
    return _shrunk(sheet)


def _crop(lesions: Lesions, image: Image, row: int) -> tuple[npt.NDArray[Any], tuple[slice, slice]]:
    """Return what is shown of an image, or of the labels, around a lesion, and where that is."""
    table: dict[str, Any] = dict(lesions.table)
    t, z = (int(table[name][row]) if name in table else None for name in ("t", "slice"))
    window = _window(table, row, lesions.labels.along("yx")[0])
    return _plane(image, t, z)[window], window


def _fixed(image: Image) -> tuple[float, float] | None:
    """Return what is black and white in images whose values have a meaning."""
    return None if image.anatomy is None else _WINDOWS.get(image.anatomy.modality)


def _shades(plane: npt.NDArray[Any], low: float, high: float) -> Floats:
    return np.clip((np.nan_to_num(plane.astype(np.float64), nan=low) - low) / (high - low), 0.0, 1.0)


def _name_sides(sheet: _Sheet, image: Image) -> None:
    """Say which side is the patient's right, where that is known: volumes stand so that it is on the left."""
    if image.anatomy is None or "z" not in image.axes:
        return
    middle = sheet.picture.height // 2 - 8 * _FINE
    for letter, x in (("R", 6 * _FINE), ("L", sheet.picture.width - 14 * _FINE)):
        sheet.say(letter, (x, middle), "white")


def draw_view(lesions: Lesions, image: Image) -> PIL.Image.Image:
    """Draw a view from the front: the plane through the middle of the largest lesion, with the outlines of all lesions.

    Parameters
    ----------
    lesions : Lesions
        Labels and table; of a movie the first time point.
    image : Image
        On their grid. In 2D it is shown as it is.

    Returns
    -------
    PIL.Image.Image
        In color; the last plane is on top.
    """
    labels, t = lesions.labels, 0 if "t" in lesions.labels.axes else None
    scale = labels.along("yx")[1]
    if "z" in labels.axes:
        depth, front = range(labels.along("z")[0][0]), _front(lesions)
        bright = np.stack([_plane(image, t, z)[front] for z in reversed(depth)])
        ids = np.stack([_plane(labels, t, z).max(axis=0) for z in reversed(depth)])
        scale = (labels.along("z")[1][0], scale[1])
    else:
        bright, ids = _plane(image, t, None), _plane(labels, t, None)
    fixed = _fixed(image)
    sheet = _sheet(contrast(bright) if fixed is None else _shades(bright, *fixed), (0, 0), scale)
    for own in np.unique(ids[ids > 0]).tolist():
        _outline(sheet, ids == own, COLORS[(own - 1) % len(COLORS)], 2)
        sheet.name(str(own), sheet.at([inmost(ids == own)])[0])
    _name_sides(sheet, image)
    return _shrunk(sheet)


def inmost(mask: npt.NDArray[np.bool_]) -> tuple[int, int]:
    """Return the pixel of a mask that is farthest from its edge.

    Parameters
    ----------
    mask : numpy.ndarray
        Bool, two axes, True somewhere.

    Returns
    -------
    tuple of int
        Row and column: always of the mask, which a middle or a corner of its box need not be.
    """
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), mask.shape)
    return int(row), int(column)


def _front(lesions: Lesions) -> int:
    """Return the row through the middle of the largest lesion, or of the image if there is none."""
    table: dict[str, Any] = dict(lesions.table)
    (height,), (step,), _ = lesions.labels.along("y")
    if not len(table["index"]):
        return height // 2
    return int(np.clip(round(float(table["centroid_y"][table["volume"].argmax()]) / step), 0, height - 1))


def as_png(picture: PIL.Image.Image) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    held = io.BytesIO()
    picture.save(held, format="PNG", optimize=True)
    return held.getvalue()


def _plane(image: Image, t: int | None, z: int | None) -> npt.NDArray[Any]:
    """Load one plane (y, x) of the first channel."""
    held = {"t": t or 0, "z": z or 0, "c": 0}
    block = image.read(tuple(held[a] if a in held else slice(None) for a in image.axes))
    return block if image.axes.index("y") < image.axes.index("x") else block.T


def _window(table: dict[str, Any], row: int, shape: Sequence[int]) -> tuple[slice, slice]:
    """Return what of a plane is shown around a lesion: as many pixels along both axes, where there are."""
    boxes = [(int(table[f"bbox_{a}0"][row]), int(table[f"bbox_{a}1"][row])) for a in "yx"]
    edge = max(_LEAST, *(round((1 + 2 * _AROUND) * (b - a)) for a, b in boxes))
    found = []
    for (a, b), n in zip(boxes, shape, strict=True):
        start = min(max((a + b - edge) // 2, 0), max(n - edge, 0))
        found.append(slice(start, min(start + edge, n)))
    return found[0], found[1]


def _sheet(plane: Floats, origin: tuple[float, float], scale: Sequence[float]) -> _Sheet:
    sides = [n * step for n, step in zip(plane.shape, scale, strict=True)]
    zoom = [_EDGE * _FINE * step / max(sides) for step in scale]
    size = (max(1, round(plane.shape[1] * zoom[1])), max(1, round(plane.shape[0] * zoom[0])))
    picture = PIL.Image.fromarray(np.rint(255 * plane).astype(np.uint8)).resize(size, PIL.Image.Resampling.BICUBIC)
    return _Sheet(picture.convert("RGB"), origin, (zoom[0], zoom[1]))


def _outline(sheet: _Sheet, inside: npt.NDArray[np.bool_], color: str, width: int) -> None:
    for line in find_contours(np.pad(inside, 1).astype(np.float32), 0.5):
        sheet.line(line - 1 + sheet.origin, color, width)


def _bar(sheet: _Sheet, step: float, unit: str) -> None:
    """Draw a bar of a round length, about a fifth of the width."""
    width = sheet.picture.width / sheet.zoom[1] * step
    exponent = 10.0 ** np.floor(np.log10(width / 5))
    length = float(max(k * exponent for k in (1, 2, 5) if k * exponent <= width / 5))
    right, bottom = sheet.picture.width - 8 * _FINE, sheet.picture.height - 8 * _FINE
    left = right - length / step * sheet.zoom[1]
    PIL.ImageDraw.Draw(sheet.picture).line([(left, bottom), (right, bottom)], fill="white", width=2 * _FINE)
    text = f"{length:g} {unit}"
    words = PIL.ImageDraw.Draw(sheet.picture).textlength(text, font=PIL.ImageFont.load_default(12 * _FINE))
    sheet.say(text, (right - words, bottom - 18 * _FINE), "white")


def _shrunk(sheet: _Sheet) -> PIL.Image.Image:
    size = (max(1, sheet.picture.width // _FINE), max(1, sheet.picture.height // _FINE))
    return sheet.picture.resize(size, PIL.Image.Resampling.LANCZOS)
