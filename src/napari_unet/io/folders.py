"""Images in folders: which there are, what they are called, and which of them are the channels of one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import ImageError
from ._zarr_reader import is_zarr
from .choosing import UNFINISHED
from .images import SUFFIXES
from .suffixes import stem_of

__all__ = ["find_images", "match_channels", "name_apart"]


def find_images(source: Path) -> list[Path]:
    """Find images.

    Parameters
    ----------
    source : Path
        An image, or a folder of images, with its folders.

    Returns
    -------
    list of Path
        In the order of their names; an OME-Zarr is one image, and none if it holds labels only. A folder may hold none.

    Raises
    ------
    ImageError
        If there is nothing of that name.
    """
    if not source.exists():
        raise ImageError(f"'{source}' does not exist. Give an image, or a folder of images.")
    if not _is_folder(source):
        return [source]
    inside = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    return [p for p in inside if not _is_of_a_run(p, source)]


def match_channels(sources: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Find which files are the channels of one image.

    Parameters
    ----------
    sources : sequence of Path
        A file for each channel, or a folder for each. In folders files of equal names belong together; their endings
        may differ.

    Returns
    -------
    list of tuple of Path
        The files of each image, in the order of the channels. A file that only some of the folders have is in there
        with those that it lacks, so that it is not left out without a word.

    Raises
    ------
    ImageError
        If files and folders are mixed, one is given twice, there is none, or no two folders have a file in common.
    """
    if len({source.resolve() for source in sources}) < len(sources):
        raise ImageError("A channel is given twice. Give each once, in the order of the channels.")
    found = [find_images(source) for source in sources]
    folders = [_is_folder(source) for source in sources]
    if not any(folders):
        return [tuple(sources)]
    if not all(folders):
        one, other = (sources[folders.index(kind)] for kind in (True, False))
        raise ImageError(
            f"'{one}' is a folder and '{other}' is an image. Channels are a file each, or a folder each, with files of "
            "the same names."
        )
    named = [_by_name(*pair) for pair in zip(sources, found, strict=True)]
    for other, files in zip(sources[1:], named[1:], strict=True):
        if not named[0].keys() & files.keys():
            raise ImageError(
                f"'{other}' has no file of the name of one in '{sources[0]}'. The channels of an image must have the "
                "same name in their folders."
            )
    called = {name: file for files in reversed(named) for name, file in files.items()}
    return [
        tuple(source / files.get(name, called[name]) for source, files in zip(sources, named, strict=True))
        for name in sorted(called)
    ]


def name_apart(files: Sequence[Path], folder: Path | None = None) -> list[str]:
    """Return names that tell files apart.

    Parameters
    ----------
    files : sequence of Path
        Of images.
    folder : Path, optional
        In which they were found: they are called as they are seen from there, whatever else is in it some other day.

    Returns
    -------
    list of str
        Without a folder of it: without the folders that all have in common.
    """
    if folder is not None:
        return [file.relative_to(folder).as_posix() for file in files]
    if len({file.parent for file in files}) == 1:
        return [file.name for file in files]
    root = Path(os.path.commonpath([file.resolve().parent for file in files]))
    return [file.resolve().relative_to(root).as_posix() for file in files]


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not is_zarr(path)


def _is_of_a_run(path: Path, source: Path) -> bool:
    """Say whether a file in a folder of images is a part of a zarr, labels, or of a run that is not done."""
    above = [source / parent for parent in path.relative_to(source).parents if parent.name]
    if any(is_zarr(folder) or folder.name.endswith(UNFINISHED) for folder in above):
        return True
    return is_zarr(path) and {each.name for each in path.iterdir() if each.is_dir()} == {"labels"}


def _by_name(folder: Path, files: Sequence[Path]) -> dict[str, Path]:
    """Return files by their names without endings, all as seen from a folder."""
    found: dict[str, Path] = {}
    for file in files:
        inside = file.relative_to(folder)
        name = inside.with_name(stem_of(file)).as_posix()
        if name in found:
            raise ImageError(f"'{folder / found[name]}' and '{file}' bear the same name. Keep one of them.")
        found[name] = inside
    return found
