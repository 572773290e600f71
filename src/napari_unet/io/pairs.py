"""Which annotated images belong together: a table or two folders."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..core.errors import ImageError, TrainingDataError
from ..core.examples import Example
from ..core.region import Region, parse_region
from ._zarr_reader import is_zarr
from .images import SUFFIXES
from .regions import SUFFIXES as AREAS
from .regions import read_region, region_from_json
from .suffixes import stem_of, suffix_of

__all__ = ["find_examples", "find_pairs", "match_labels"]

_LABEL_FOLDERS: Final = ("labels", "masks")
_SPLITS: Final[dict[str, bool | None]] = {
    "": None, "train": False, "training": False, "validation": True, "val": True, "test": True,
}  # fmt: skip
_SAID: Final[dict[str, bool | None]] = {
    "": None, "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False,
}  # fmt: skip


def find_examples(data: Path) -> list[Example]:
    """Find images, their labels, and what is said of each.

    Parameters
    ----------
    data : Path
        A CSV table with the columns ``image`` and ``labels`` (relative to the table) and perhaps ``weight``, ``group``,
        ``split`` (``train`` or ``validation``), ``region`` (GeoJSON, a file of areas relative to the table, or
        :func:`~napari_unet.core.region.region_text`), ``scribbles`` (``yes`` or ``no``), ``background`` (the label of
        scribbles on the background), ``tracks`` (of a movie from which motion is learned: a file as
        :func:`~napari_unet.io.tracks.read_tracks` reads it) and ``before`` (of an image of two frames: labels of the
        earlier one). Or a folder that holds ``images`` and ``labels`` (or ``masks``) with files of equal names; areas
        of the same names in a folder ``regions``, if there is one.

    Returns
    -------
    list of Example
        With paths.

    Raises
    ------
    TrainingDataError
        If nothing is found, a file is missing, or an image has no labels.
    """
    examples = list(_from_table(data) if data.is_file() else _from_folders(data))
    if not examples:
        raise TrainingDataError(f"'{data}' names no annotated image. Expected a table or images and labels in folders.")
    for example in examples:
        for file in (example.image, example.labels, example.tracks, example.before):
            if isinstance(file, Path) and not file.exists():
                raise TrainingDataError(f"'{file}', named by '{data}', does not exist. Correct the table or folder.")
    return examples


def find_pairs(data: Path) -> list[tuple[Path, Path, float]]:
    """Find images, their labels, and how often to draw each.

    Parameters
    ----------
    data : Path
        See :func:`find_examples`.

    Returns
    -------
    list of (Path, Path, float)
        Image, labels, weight.

    Raises
    ------
    TrainingDataError
        If nothing is found, a file is missing, or an image has no labels.
    """
    found = find_examples(data)
    return [
        (example.image, example.labels, example.weight)
        for example in found
        if isinstance(example.image, Path) and isinstance(example.labels, Path)
    ]


def _from_table(file: Path) -> Iterator[Example]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream)
            columns, lines = list(rows.fieldnames or ()), [(rows.line_num, row) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"'{file}' cannot be read as a CSV table: {error}.") from error
    if not {"image", "labels"} <= set(columns):
        raise TrainingDataError(f"The table '{file}' has the columns {columns}; it needs 'image' and 'labels'.")
    for number, row in lines:
        where = f"'{file}', line {number}"
        if not row["image"] or not row["labels"]:
            raise TrainingDataError(f"{where}: an image and its labels belong together; one is missing.")
        yield Example(
            file.parent / row["image"],
            file.parent / row["labels"],
            _region(row.get("region"), file.parent, where),
            _word(row.get("scribbles"), _SAID, "scribbles", where) or False,
            row.get("group") or "",
            _word(row.get("split"), _SPLITS, "split", where),
            _number(row.get("weight"), "weight", where),
            int(_number(row.get("background"), "background", where)),
            tracks=_file(row.get("tracks"), file.parent),
            before=_file(row.get("before"), file.parent),
        )


def _file(text: str | None, folder: Path) -> Path | None:
    return folder / text if text else None


def _number(text: str | None, column: str, where: str) -> float:
    try:
        number = float(text or 1)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise TrainingDataError(f"{where}: the {column} '{text}' is not a number from 0 up. Leave it empty for 1.")
    return number


def _word(text: str | None, words: dict[str, bool | None], column: str, where: str) -> bool | None:
    word = (text or "").strip().lower()
    if word not in words:
        known = ", ".join(f"'{known}'" for known in words if known)
        raise TrainingDataError(f"{where}: '{text}' is none of the words for {column}: {known}, or nothing.")
    return words[word]


def _region(text: str | None, folder: Path, where: str) -> Region | None:
    text = (text or "").strip()
    if not text:
        return None
    if text.startswith(("{", "[")):
        return region_from_json(text, f"{where}: the region")
    return parse_region(text) or read_region(folder / text)


def _from_folders(folder: Path) -> Iterator[Example]:
    images, areas = folder / "images", folder / "regions"
    found = [folder / name for name in _LABEL_FOLDERS if (folder / name).is_dir()]
    if not images.is_dir() or not found:
        raise TrainingDataError(
            f"'{folder}' needs two folders, 'images' and 'labels', with files of equal names; or give a CSV table."
        )
    labels = {stem_of(p): p for p in sorted(found[0].iterdir()) if not p.name.startswith(".")}
    regions = {stem_of(p): p for p in sorted(areas.iterdir()) if p.suffix in AREAS} if areas.is_dir() else {}
    for image in sorted(p for p in images.iterdir() if not p.name.startswith(".")):
        if stem_of(image) not in labels:
            raise TrainingDataError(f"'{image}' has no labels of the same name in '{found[0]}'. Add them or remove it.")
        region = read_region(regions[stem_of(image)]) if stem_of(image) in regions else None
        yield Example(image, labels[stem_of(image)], region)


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
        if suffix_of(file) not in SUFFIXES or file.name.startswith("."):
            continue
        name = stem_of(file)
        if name in found:
            raise ImageError(f"'{found[name]}' and '{file}' bear the same name. Keep one of them in the folder.")
        found[name] = file
    if not found:
        raise ImageError(f"'{folder}' holds no labels. Choose a folder with files that end in {', '.join(SUFFIXES)}.")
    return found
