"""A small set of annotated images that grows: two folders and a table, which is written last."""

from __future__ import annotations

import csv
import hashlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.bands import band_names, join_names
from ..core.region import Polygon, Region, parse_region, region_text
from .atomic import atomic_file, write_text
from .collected import COLUMNS, TABLE, read_rows
from .images import read_image, write_image
from .labels import write_labels

__all__ = ["Known", "grow"]

_LETTERS: Final = 40  # of an image's name in the names of files
_PLACE: Final = re.compile(r"(\w)=(\d+):(\d+)")

_Part = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Known:
    """What is known of an image, or of a part of one.

    Attributes
    ----------
    labels : Image
        Of its shape, without channels.
    region : tuple of polygons
        Where the labels are right; vertices ``(y, x)`` in pixels.
    group : str
        The image of which it is a part: what is held out together with it.
    place : str
        Which part of that: ``"t=3:4 y=0:512 x=256:768"``.
    """

    labels: Image
    region: Region
    group: str
    place: str = ""


def grow(folder: Path, image: Image, known: Known, left: Callable[[Polygon, Region], Region]) -> int:
    """Add annotated places to a set; whoever reads it sees all of it or what was there before.

    What is said newly of a place takes the place of what was said of it earlier; what lies beside it stays.

    Parameters
    ----------
    folder : Path
        Of the set; made if it is not there.
    image : Image
        Stored as TIFF, only once.
    known : Known
        What is known of it.
    left : callable
        Returns what is left of an area, given first, without others: :func:`napari_unet.training.corrections.left_of`.

    Returns
    -------
    int
        Places of which something was said anew.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    for name in ("images", "labels", "regions"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = read_rows(folder)
    word = re.sub(r"[^\w-]+", "-", image.name).strip("-")[:_LETTERS] or "image"
    digest = _digest(image)
    same = next((folder / "images").glob(f"*-{digest}.tif"), None)  # by whatever name
    stem = same.stem if same is not None else f"{word}-{digest}"
    picture = f"images/{stem}.tif"
    if same is None:
        write_image(folder / picture, image)
    numbers = [int(row["labels"].rpartition("-")[2].removesuffix(".tif")) for row in rows]
    number = max(numbers, default=0) + 1
    added = {
        "image": picture, "labels": f"labels/{stem}-{number}.tif", "region": f"regions/{stem}-{number}.txt",
        "group": known.group, "channels": join_names(band_names(image)), "place": known.place,
    }  # fmt: skip
    write_labels(folder / added["labels"], known.labels)
    write_text(folder / added["region"], region_text(known.region))
    kept, replaced = [], 0
    for i, row in enumerate(rows):
        older = parse_region((folder / row["region"]).read_text("utf-8")) or ()
        at = (0, 0) if row["image"] == picture else _shift(folder, row, image, known)
        taken = () if at is None else tuple(tuple((y + at[0], x + at[1]) for y, x in each) for each in known.region)
        parts = [left(polygon, taken) if taken else (polygon,) for polygon in older]
        changed = sum(part != (polygon,) for part, polygon in zip(parts, older, strict=True))
        replaced, made = replaced + changed, dict(row)
        if changed:  # files are new ones, never changed
            made["region"] = f"regions/{stem}-{number}-{i}.txt"
            write_text(folder / made["region"], region_text(itertools.chain(*parts)))
        kept += [made] * any(parts)
    _write_rows(folder / TABLE, [*kept, added])
    named = {Path(row[name]).name for row in [*kept, added] for name in ("labels", "region")}
    for file in [*(folder / "labels").iterdir(), *(folder / "regions").iterdir()]:
        if file.name not in named and not file.name.startswith("."):
            with suppress(OSError):  # on Windows one that somebody looks at stays until the next time
                file.unlink()
    return replaced


def _shift(folder: Path, row: Mapping[str, str], image: Image, known: Known) -> tuple[int, int] | None:
    """Return what to add to ``(y, x)`` of an image to have them in an older one of the same pixels; None: of others."""
    new, old = _parse(known.place), _parse(row.get("place") or "")
    if row["group"] != known.group or not new or new.keys() != old.keys():
        return None
    both = {axis: (max(a, old[axis][0]), min(b, old[axis][1])) for axis, (a, b) in new.items()}
    older = read_image(folder / row["image"])
    if any(a >= b for a, b in both.values()) or older.axes != image.axes:
        return None
    if not np.array_equal(_cut(image, new, both), _cut(older, old, both)):
        return None  # images may bear one name
    return new["y"][0] - old["y"][0], new["x"][0] - old["x"][0]


def _parse(place: str) -> _Part:
    return {axis: (int(start), int(stop)) for axis, start, stop in _PLACE.findall(place)}


def _cut(image: Image, of: _Part, part: _Part) -> npt.NDArray[Any]:
    """Return the pixels of a part of what an image is a part of."""
    window = (slice(*(n - of[x][0] for n in part[x])) if x in of else slice(None) for x in image.axes)
    return np.asarray(image.data)[tuple(window)]


def _digest(image: Image) -> str:
    values = np.ascontiguousarray(image.data)
    return hashlib.sha256(repr((values.shape, values.dtype.str)).encode() + values.tobytes()).hexdigest()[:8]


def _write_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with atomic_file(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
