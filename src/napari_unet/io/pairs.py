"""Which annotated images belong together: a table or two folders; and how they are opened."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from ..core.axes import Image
from ..core.errors import ImageError, TrainingDataError
from ..core.examples import Example
from ..core.region import Region, parse_region
from ._zarr_reader import is_zarr
from .cases import find_cases
from .dataset import read_dataset
from .images import SUFFIXES, read_image
from .regions import SUFFIXES as AREAS
from .regions import read_region, region_from_json
from .suffixes import stem_of, suffix_of

__all__ = ["find_examples", "find_pairs", "match_labels", "read_example"]

_SPLITS: Final[dict[str, bool | None]] = {
    "": None, "train": False, "training": False, "validation": True, "val": True, "test": True,
}  # fmt: skip
_SAID: Final[dict[str, bool | None]] = {
    "": None, "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False,
}  # fmt: skip
_TOLD: Final = 5  # missing cases that are named


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
        earlier one) and ``channels`` (what they are called, with ``;`` between). Where each channel is a file of its
        own, ``image`` names them with ``;`` between. Or a folder that holds ``images`` and ``labels`` (or ``masks``),
        or ``imagesTr`` and ``labelsTr``, see :func:`~napari_unet.io.cases.find_cases`; areas of the same names in a
        folder ``regions``, if there is one.

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
        for file in (*example.files, example.labels, example.tracks, example.before):
            if isinstance(file, Path) and not file.exists():
                raise TrainingDataError(f"'{file}', named by '{data}', does not exist. Correct the table or folder.")
    return examples


def read_example(example: Example) -> Image:
    """Open the image of an example, with the names of its channels.

    Parameters
    ----------
    example : Example
        Of any kind. Where it names channels and the image has none, but time of that length, that is what they are: in
        NIfTI a fourth dimension may be either.

    Returns
    -------
    Image
        As it is learned from.

    Raises
    ------
    ImageError
        If it cannot be read.
    TrainingDataError
        If another number of channels is named.
    """
    image = example.image if isinstance(example.image, Image) else read_image(example.image)
    if not (count := len(example.channels)):
        return image
    if "c" not in image.axes and "t" in image.axes and image.along("t")[0] == (count,):
        every = zip(image.axes, image.scale, image.units, strict=True)
        axes, scale, units = zip(*(("c", 1.0, "pixel") if one[0] == "t" else one for one in every), strict=True)
        image = replace(image, axes="".join(axes), scale=scale, units=units)
    if image.channels != count:
        raise TrainingDataError(
            f"'{example.name}' has {image.channels} channel{'s' * (image.channels != 1)}, but {count} are named: "
            f"{', '.join(example.channels)}. Correct the names (column 'channels' of a table, or dataset.json)."
        )
    return replace(image, channel_names=example.channels)


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
            _images(row["image"], file.parent),
            file.parent / row["labels"],
            _region(row.get("region"), file.parent, where),
            _word(row.get("scribbles"), _SAID, "scribbles", where) or False,
            row.get("group") or "",
            _word(row.get("split"), _SPLITS, "split", where),
            _number(row.get("weight"), "weight", where),
            int(_number(row.get("background"), "background", where)),
            tracks=_file(row.get("tracks"), file.parent),
            before=_file(row.get("before"), file.parent),
            channels=tuple(name.strip() for name in (row.get("channels") or "").split(";") if name.strip()),
        )


def _images(text: str, folder: Path) -> Path | tuple[Path, ...]:
    """Return the file of an image, or those of its channels."""
    files = tuple(folder / name.strip() for name in text.split(";") if name.strip())
    return folder / text if len(files) < 2 or (folder / text).exists() else files


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
    areas = folder / "regions"
    regions = {stem_of(p): p for p in sorted(areas.iterdir()) if p.suffix in AREAS} if areas.is_dir() else {}
    ignored = read_dataset(folder).ignored
    for name, image, labels, channels in find_cases(folder):
        region = read_region(regions[name]) if name in regions else None
        yield Example(image, labels, region, channels=channels, ignored=ignored)


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
        more = f" and {len(missing) - _TOLD} more" if len(missing) > _TOLD else ""
        raise ImageError(
            f"'{predicted}' lacks the labels of {len(missing)} of {len(expected)} cases: "
            f"{', '.join(missing[:_TOLD])}{more}. Add them, or take them out of '{truth}'."
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
