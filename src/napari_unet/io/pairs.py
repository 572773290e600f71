"""Which annotated images belong together: a table or two folders."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..core.errors import TrainingDataError

__all__ = ["find_pairs"]

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
                raise TrainingDataError(f"'{file}', named by '{data}', does not exist. Correct the table or the folder.")
    return pairs


def _from_table(file: Path) -> Iterator[tuple[Path, Path, float]]:
    with file.open(newline="", encoding="utf-8-sig") as stream:
        rows = csv.DictReader(stream)
        if not {"image", "labels"} <= set(rows.fieldnames or ()):
            raise TrainingDataError(
                f"The table '{file}' has the columns {list(rows.fieldnames or ())}; it needs 'image' and 'labels'."
            )
        for number, row in enumerate(rows, 2):
            try:
                weight = float(row.get("weight") or 1)
            except ValueError:
                raise TrainingDataError(f"'{file}', line {number}: the weight '{row['weight']}' is no number.") from None
            yield file.parent / row["image"], file.parent / row["labels"], weight


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
