"""Folders of annotated images: two with equal names, also as nnU-Net and the Segmentation Decathlon have them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ..core.errors import TrainingDataError
from .dataset import read_dataset
from .drawings import is_drawing
from .suffixes import stem_of, suffix_of

__all__ = ["Case", "find_cases", "labels_by_name"]

_IMAGES: Final = ("images", "imagesTr")
_LABELS: Final = ("labels", "masks", "labelsTr")
_CHANNEL: Final = re.compile(r"(.+)_(\d{4})")  # nnU-Net's names of files that are one channel of a case
_NO_IMAGES: Final = (
    ".json", ".txt", ".md", ".db", ".ini",  # notes, and what Windows leaves in folders
    ".cpg", ".dbf", ".prj", ".qix", ".qmd", ".qpj", ".sbn", ".sbx", ".shx",  # what belongs to a shapefile
    ".gpkg-shm", ".gpkg-wal",
)  # fmt: skip
_SAID: Final = 5  # cases that are named


class Case(NamedTuple):
    """An image and its labels: name, the file of the image or those of its channels, labels, names of channels."""

    name: str
    image: Path | tuple[Path, ...]
    labels: Path
    channels: tuple[str, ...] = ()


def find_cases(folder: Path) -> list[Case]:
    """Find images and labels in two folders.

    Parameters
    ----------
    folder : Path
        Holds ``images`` or ``imagesTr``, and ``labels``, ``masks`` or ``labelsTr``, with files of equal names, see
        :func:`labels_by_name`. An image
        without labels of its own name whose name ends in an underscore and four digits is one channel of a case:
        ``CASE_0000.nii.gz`` and ``CASE_0001.nii.gz`` belong to the labels ``CASE.nii.gz``. Names of channels are those
        of ``dataset.json``, see :func:`~napari_unet.io.dataset.read_dataset`. Hidden files, notes and
        the likes of ``Thumbs.db`` are left out.

    Returns
    -------
    list of Case
        Sorted by name.

    Raises
    ------
    TrainingDataError
        If a folder is missing, an image has no labels or several, or a case lacks a channel that others have.
    """
    images = next((folder / name for name in _IMAGES if (folder / name).is_dir()), None)
    drawn = next((folder / name for name in _LABELS if (folder / name).is_dir()), None)
    if not folder.exists():
        raise TrainingDataError(f"There is no '{folder}'. Give a folder with images and labels in it, or a CSV table.")
    if images is None or drawn is None:
        raise TrainingDataError(
            f"'{folder}' needs two folders, 'images' and 'labels' (or 'imagesTr' and 'labelsTr'), with files of equal "
            "names; or give a CSV table."
        )
    labels = labels_by_name(_files(drawn))
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for image in _files(images):
        name, number = _parted(stem_of(image), labels)
        if name not in labels:
            raise TrainingDataError(f"'{image}' has no labels of the same name in '{drawn}'. Add them or remove it.")
        if len(labels[name]) > 1:
            raise TrainingDataError("'{}' and '{}' bear one name. Keep one of them.".format(*labels[name]))
        if number in found[name]:
            raise TrainingDataError(f"'{found[name][number]}' and '{image}' bear one name. Keep one of them.")
        found[name][number] = image
    _check_complete(found, images)
    names = read_dataset(folder).channels
    return [_case(name, files, labels[name][0], names) for name, files in sorted(found.items())]


def labels_by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Return files of labels by their names without endings.

    Parameters
    ----------
    files : iterable of Path
        Labels and shapes.

    Returns
    -------
    dict of str to list of Path
        One of each name where all is well. Where labels and shapes bear one name, the labels: the shapes are their
        outlines, such as those that ``polygons`` has written beside them.
    """
    found: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        found[stem_of(file)].append(file)
    return {name: [file for file in same if not is_drawing(file)] or same for name, same in found.items()}


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in sorted(folder.iterdir()) if not p.name.startswith(".") and suffix_of(p) not in _NO_IMAGES)


def _parted(stem: str, labels: dict[str, list[Path]]) -> tuple[str, str]:
    """Return the case of an image and the number of its channel, which is empty where it has none."""
    parts = None if stem in labels else _CHANNEL.fullmatch(stem)
    return (parts[1], parts[2]) if parts else (stem, "")


def _check_complete(found: dict[str, dict[str, Path]], images: Path) -> None:
    """Refuse cases that lack a channel of the others."""
    numbers = sorted({number for files in found.values() for number in files})
    if all(len(files) == 1 for files in found.values()):
        return  # numbers or not
    short = {name: [n or "without a number" for n in numbers if n not in files] for name, files in found.items()}
    lacking = [f"{name} ({', '.join(missing)})" for name, missing in sorted(short.items()) if missing]
    if lacking:
        more = f" and {len(lacking) - _SAID} more" if len(lacking) > _SAID else ""
        raise TrainingDataError(
            f"{len(lacking)} of {len(found)} cases in '{images}' lack a channel that others have: "
            f"{', '.join(lacking[:_SAID])}{more}. All must have the same: add the files, or take the cases out."
        )


def _case(name: str, files: dict[str, Path], labels: Path, names: tuple[str, ...]) -> Case:
    images = tuple(file for _, file in sorted(files.items()))
    return Case(name, images if len(images) > 1 else images[0], labels, names if len(names) > 1 else ())
