"""A small set of annotated images that grows: two folders and a table, which is written last."""

from __future__ import annotations

import csv
import hashlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ..core.axes import Image
from ..core.bands import band_names, join_names
from ..core.region import Polygon, Region, parse_region, region_text
from .atomic import atomic_file
from .collected import COLUMNS, TABLE, read_rows
from .images import write_image
from .labels import write_labels

__all__ = ["grow"]

_LETTERS: Final = 40  # of an image's name in the names of files


def grow(
    folder: Path, image: Image, labels: Image, region: Region, group: str, left: Callable[[Polygon, Region], Region]
) -> int:
    """Add annotated places to a set; whoever reads it sees all of it or what was there before.

    What is said newly of a place takes the place of what was said of it earlier; what lies beside it stays.

    Parameters
    ----------
    folder : Path
        Of the set; made if it is not there.
    image, labels : Image
        Stored as TIFF, an image only once.
    region : tuple of polygons
        Where the labels are right; vertices ``(y, x)`` in pixels.
    group : str
        What is held out together with it.
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
        "group": group, "channels": join_names(band_names(image)),
    }  # fmt: skip
    write_labels(folder / added["labels"], labels)
    _write_text(folder / added["region"], region_text(region))
    kept, replaced = [], 0
    for i, row in enumerate(rows):
        older = parse_region((folder / row["region"]).read_text("utf-8")) or ()
        parts = [left(polygon, region) if row["image"] == picture else (polygon,) for polygon in older]
        changed = sum(part != (polygon,) for part, polygon in zip(parts, older, strict=True))
        replaced, made = replaced + changed, dict(row)
        if changed:  # files are new ones, never changed
            made["region"] = f"regions/{stem}-{number}-{i}.txt"
            _write_text(folder / made["region"], region_text(itertools.chain(*parts)))
        kept += [made] * any(parts)
    _write_rows(folder / TABLE, [*kept, added])
    named = {Path(row[name]).name for row in [*kept, added] for name in ("labels", "region")}
    for file in [*(folder / "labels").iterdir(), *(folder / "regions").iterdir()]:
        if file.name not in named and not file.name.startswith("."):
            file.unlink(missing_ok=True)
    return replaced


def _digest(image: Image) -> str:
    values = np.ascontiguousarray(image.data)
    return hashlib.sha256(repr((values.shape, values.dtype.str)).encode() + values.tobytes()).hexdigest()[:8]


def _write_text(path: Path, text: str) -> None:
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")


def _write_rows(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with atomic_file(path) as part, part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
