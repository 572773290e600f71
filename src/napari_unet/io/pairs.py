"""Which annotated images belong together: a table or two folders; and how they are opened."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ..core.axes import Image
from ..core.errors import ImageError, TrainingDataError
from ..core.examples import UNKNOWN, Example
from ..core.region import Region, parse_region
from ._geo_tags import hides_labels
from ._georeferenced import has_rasterio, open_placed
from ._zarr_reader import is_zarr
from .cases import find_cases, labels_by_name
from .dataset import read_dataset
from .drawings import DRAWINGS, is_drawing
from .images import SUFFIXES, read_image
from .labels import read_labels
from .regions import SUFFIXES as AREAS
from .regions import read_region, region_from_json
from .suffixes import stem_of, suffix_of

__all__ = ["as_examples", "find_examples", "match_labels", "read_example", "read_judged"]

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
        A CSV table with the columns ``image`` and ``labels`` (relative to the table; shapes as
        :func:`~napari_unet.io.drawings.read_drawing` takes them will do) and perhaps ``weight``, ``group``,
        ``split`` (``train`` or ``validation``), ``region`` (GeoJSON, a file of areas relative to the table, or
        :func:`~napari_unet.core.region.region_text`), ``scribbles`` (``yes`` or ``no``), ``background`` (the label of
        scribbles on the background), ``tracks`` (of a movie from which motion is learned: a file as
        :func:`~napari_unet.io.tracks.read_tracks` reads it), ``before`` (of an image of two frames: labels of the
        earlier one), ``channels`` (what they are called, with ``;`` between), ``values`` (which value in the labels
        means each class, likewise), ``ignored`` (values where nobody knows what there is) and
        ``modality`` (such as ``CT``). Where each channel is a file of its own, ``image`` names them with ``;`` between.
        Or a folder that holds ``images`` and ``labels`` (or ``masks``), or ``imagesTr`` and ``labelsTr``, see
        :func:`~napari_unet.io.cases.find_cases`; areas of the same names in a folder ``regions``, if there is one.

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


def as_examples(data: Path | Sequence[Example]) -> list[Example]:
    """Return examples, found or given, of which nobody knows what there is where their labels are a raster's no data.

    Parameters
    ----------
    data : Path or sequence of Example
        See :func:`find_examples`.

    Returns
    -------
    list of Example
        Of every such raster ``UNKNOWN`` is among what is ignored: ``read_labels`` gives those pixels that label.

    Raises
    ------
    TrainingDataError
        See :func:`find_examples`.
    """
    given = find_examples(data) if isinstance(data, Path) else list(data)
    return [
        replace(one, ignored=(*one.ignored, UNKNOWN))
        if isinstance(one.labels, Path) and UNKNOWN not in one.ignored and hides_labels(one.labels)
        else one
        for one in given
    ]


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
            _region(row.get("region"), file.parent, where, row["image"]),
            _word(row.get("scribbles"), _SAID, "scribbles", where) or False,
            row.get("group") or "",
            _word(row.get("split"), _SPLITS, "split", where),
            _number(row.get("weight"), "weight", where),
            int(_number(row.get("background"), "background", where)),
            tracks=_file(row.get("tracks"), file.parent),
            before=_file(row.get("before"), file.parent),
            channels=_words(row.get("channels")),
            values=_numbers(row.get("values"), "values", where),
            ignored=_numbers(row.get("ignored"), "ignored", where),
            modality=(row.get("modality") or "").strip(),
        )


def _images(text: str, folder: Path) -> Path | tuple[Path, ...]:
    """Return the file of an image, or those of its channels."""
    files = tuple(folder / name.strip() for name in text.split(";") if name.strip())
    return folder / text if len(files) < 2 or (folder / text).exists() else files


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(";") if word.strip())


def _numbers(text: str | None, column: str, where: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in _words(text))
    except ValueError:
        raise TrainingDataError(
            f"{where}: the {column} '{text}' are no whole numbers with ';' between, such as 254;255."
        ) from None


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


def _region(text: str | None, folder: Path, where: str, image: str) -> Region | None:
    text = (text or "").strip()
    if not text:
        return None
    if region := parse_region(text):
        return region
    placed = open_placed(_images(image, folder))
    if text.startswith(("{", "[")):
        return region_from_json(text, f"{where}: the region", placed)
    return read_region(folder / text, placed)


def _from_folders(folder: Path) -> Iterator[Example]:
    areas = folder / "regions"
    regions = {stem_of(p): p for p in sorted(areas.iterdir()) if p.suffix in AREAS} if areas.is_dir() else {}
    ignored = read_dataset(folder).ignored
    for name, image, labels, channels in find_cases(folder):
        region = read_region(regions[name], open_placed(image)) if name in regions else None
        yield Example(image, labels, region, channels=channels, ignored=ignored)


def match_labels(truth: Path, predicted: Path) -> list[tuple[Path, Path]]:
    """Find which labels are to be compared.

    Parameters
    ----------
    truth, predicted : Path
        Two files, or two folders of files with equal names; the endings may differ, and what is no image is left out.
        Where labels and shapes bear one name, the labels are taken.

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


def read_judged(truth: str | Path, predicted: str | Path, axes: str | None = None) -> tuple[Image, Image]:
    """Read labels that are compared with the truth.

    Parameters
    ----------
    truth, predicted : path
        Files, or addresses. A truth of shapes is drawn on the pixels of what is compared with it.
    axes : str, optional
        Of both, where they do not say.

    Returns
    -------
    truth, predicted : Image
        Both 0 where the truth is a raster that holds no data: nobody knows what is right there.

    Raises
    ------
    ImageError
        If one cannot be read.
    """
    if is_drawing(Path(truth)):
        found = read_labels(predicted, axes)
        return read_labels(truth, like=found), found
    hidden = has_rasterio() and hides_labels(Path(truth))
    true, found = read_labels(truth, axes, unknown=UNKNOWN if hidden else 0), read_labels(predicted, axes)
    if not hidden or (true.axes, true.shape) != (found.axes, found.shape):
        return true, found
    from ._raster_arrays import Filled, Labeled  # noqa: PLC0415  # rasterio is an extra

    known = Labeled(true.data, UNKNOWN)
    filled = (Filled(each.data, known) for each in (true, found))
    loaded = isinstance(true.data, np.ndarray) and isinstance(found.data, np.ndarray)
    data = [np.asarray(each) if loaded else each for each in filled]
    return replace(true, data=data[0]), replace(found, data=data[1])


def _by_name(folder: Path) -> dict[str, Path]:
    files = (p for p in sorted(folder.iterdir()) if suffix_of(p) in (*SUFFIXES, *DRAWINGS) and p.name[0] != ".")
    found = labels_by_name(files)
    for same in found.values():
        if len(same) > 1:
            raise ImageError("'{}' and '{}' bear the same name. Keep one of them in the folder.".format(*same))
    if not found:
        raise ImageError(f"'{folder}' holds no labels. Choose a folder with files that end in {', '.join(SUFFIXES)}.")
    return {name: file for name, (file,) in found.items()}
