"""Which annotated images belong together: a table or two folders."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..core.errors import ImageError, TrainingDataError
from ._zarr_reader import is_zarr
from .images import SUFFIXES

__all__ = ["find_pairs", "match_labels"]

_LABEL_FOLDERS: Final = ("labels", "masks")


def find_pairs(data: Path) -> list[tuple[Path, Path, float]]:
    """Find images, their labels, and how often to draw each.

    Parameters
    ----------
    data : Path
        A CSV table with the columns ``image`` and ``labels`` (relative to the table) and perhaps ``weight``, or a
        folder that holds ``images`` and ``labels`` (or ``masks``) with files of equal names.

    Returns
    -------
    list of (Path, Path, float)
        Image, labels, weight.

    Raises
    ------
    TrainingDataError
        If nothing is found, a file is missing, or an image has no labels.
    """
    pairs = list(_from_table(data) if data.is_file() else _from_folders(data))
    if not pairs:
        raise TrainingDataError(f"'{data}' names no annotated image. Expected a table or images and labels in folders.")
    for image, labels, _ in pairs:
        for file in (image, labels):
            if not file.exists():
                raise TrainingDataError(f"'{file}', named by '{data}', does not exist. Correct the table or folder.")
    return pairs


def _from_table(file: Path) -> Iterator[tuple[Path, Path, float]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream)
            columns, lines = list(rows.fieldnames or ()), [(rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"'{file}' cannot be read as a CSV table: {error}.") from error
    if not {"image", "labels"} <= set(columns):
        raise TrainingDataError(f"The table '{file}' has the columns {columns}; it needs 'image' and 'labels'.")
    for number, row in lines:
        if not row["image"] or not row["labels"]:
            raise TrainingDataError(
                f"'{file}', line {number}: an image and its labels belong together; one is missing."
            )
        yield (
            file.parent / row["image"],
            file.parent / row["labels"],
            _weight(row.get("weight"), f"'{file}', line {number}"),
        )


def _weight(text: str | None, where: str) -> float:
    try:
        weight = float(text or 1)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise TrainingDataError(f"{where}: the weight '{text}' is not a number from 0 up. Leave it empty for 1.")
    return weight


def _from_folders(folder: Path) -> Iterator[tuple[Path, Path, float]]:
    images = folder / "images"
    found = [folder / name for name in _LABEL_FOLDERS if (folder / name).is_dir()]
    if not images.is_dir() or not found:
        raise TrainingDataError(
            f"'{folder}' needs two folders, 'images' and 'labels', with files of equal names; or give a CSV table."
        )
    labels = {p.stem: p for p in sorted(found[0].iterdir()) if not p.name.startswith(".")}
    for image in sorted(p for p in images.iterdir() if not p.name.startswith(".")):
        if image.stem not in labels:
            raise TrainingDataError(f"'{image}' has no labels of the same name in '{found[0]}'. Add them or remove it.")
        yield image, labels[image.stem], 1.0


def match_labels(truth: Path, predicted: Path) -> list[tuple[Path, Path]]:
    """Find which labels are to be compared.

    Parameters
    ----------
    truth, predicted : Path
        Two files, or two folders of files with equal names; the endings may differ, and what is no image is left out.

    Returns
    -------
    list of (Path, Path)
        Truth and prediction, sorted by name.

    Raises
    ------
    ImageError
        If a folder is compared with a file, holds no labels or two of one name, or a truth has no prediction.
    """
    folders = [path.is_dir() and not is_zarr(path) for path in (truth, predicted)]
    if not any(folders):
        return [(truth, predicted)]
    if not all(folders):
        raise ImageError(f"'{truth}' and '{predicted}' must be two files or two folders, not one of each.")
    expected, found = _by_name(truth), _by_name(predicted)
    if missing := sorted(expected.keys() - found.keys()):
        raise ImageError(
            f"'{predicted}' has no labels called '{missing[0]}' ({len(missing)} of {len(expected)} are missing). "
            f"Add them, or take them out of '{truth}'."
        )
    return [(expected[name], found[name]) for name in sorted(expected)]


def _by_name(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
            continue
        name = file.stem.removesuffix(".ome")
        if name in found:
            raise ImageError(f"'{found[name]}' and '{file}' bear the same name. Keep one of them in the folder.")
        found[name] = file
    if not found:
        raise ImageError(f"'{folder}' holds no labels. Choose a folder with files that end in {', '.join(SUFFIXES)}.")
    return found
