"""Images in folders: which there are, what they are called, and which of them are the channels of one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from ..core.errors import ImageError, OutputError, UNetError
from ._dicom_headers import is_dicom
from ._zarr_reader import is_zarr
from .choosing import BATCH, UNFINISHED
from .dicom import find_series
from .images import OTHERS, SUFFIXES, holds_series
from .members import images_in, root_of
from .plugins import MICROSCOPES
from .runs import find_manifest
from .suffixes import stem_of, suffix_of

__all__ = ["check_replaced", "find_images", "folder_of", "images_of", "label_names", "match_channels", "name_apart"]

Source = str | Path
_FILES: Final = frozenset((*OTHERS, *MICROSCOPES))


def find_images(source: Path) -> list[Path]:
    """Find images.

    Parameters
    ----------
    source : Path
        An image, or a folder of images, with its folders.

    Returns
    -------
    list of Path
        In the order of their names; a file that holds several, such as positions of a stage or the fields of a plate,
        is so many (see :func:`~napari_unet.io.members.images_in`). OME-Zarr that holds labels only is none, and a
        folder may hold none. What is hidden is not looked at.

    Raises
    ------
    ImageError
        If there is nothing of that name.
    """
    if not source.exists() and not (source.name.isdecimal() and holds_series(source.parent)):
        raise ImageError(f"'{source}' does not exist. Give an image, or a folder of images.")
    if not _is_folder(source):
        return images_in(source)
    return [image for file in sorted(_walk(source)) for image in images_in(file)]


def images_of(source: Source | Sequence[Source | Sequence[Source]]) -> list[tuple[Path, ...]]:
    """Return the files of each image: one, or one for each channel.

    Parameters
    ----------
    source : path or sequence of (path or sequence of path)
        Images, or folders of them; where each channel is a file of its own, the files of an image are a sequence.

    Returns
    -------
    list of tuple of Path
        One at least.

    Raises
    ------
    ImageError
        If there is nothing of that name, or it holds no images.
    """
    found: list[tuple[Path, ...]] = []
    for each in [source] if isinstance(source, str | Path) else source:
        if isinstance(each, str | Path):
            found += [(file,) for file in find_images(Path(each))]
        else:
            found.append(tuple(map(Path, each)))
    if not found or not all(found):
        raise ImageError(f"'{source}' holds no images. Choose a folder with files that end in {', '.join(SUFFIXES)}.")
    return found


def folder_of(source: Source | Sequence[Source | Sequence[Source]], images: Sequence[tuple[Path, ...]]) -> Path | None:
    """Return the folder in which all images were found; None if they were named otherwise."""
    given = [source] if isinstance(source, str | Path) else source
    if len(given) > 1 or not isinstance(given[0], str | Path):
        return None
    return None if images == [(Path(given[0]),)] else Path(given[0])


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
        Without a folder of it: without the folders that all have in common. One of several images of a file is called
        by that, too: ``"stage.ome.tif/2"``. Of files on several drives of Windows the letter of the drive is the first
        folder: ``"D/day 1/a.tif"``.
    """
    if folder is None and len({file.parent for file in files}) == 1:
        folder = files[0].parent
    if folder is not None:
        root = root_of(folder)
        return [(file if root is folder else file.absolute()).relative_to(root).as_posix() for file in files]
    whole = [file.resolve() for file in files]
    try:
        root = Path(os.path.commonpath([file.parent for file in whole]))
    except ValueError:  # they lie on several drives
        drives = [file.parts[0].strip("\\/").replace(":", "").replace("\\", "-") for file in whole]
        return ["/".join(filter(None, (drive, *file.parts[1:]))) for drive, file in zip(drives, whole, strict=True)]
    root = root_of(root)
    return [file.relative_to(root).as_posix() for file in whole]


def label_names(names: Sequence[str]) -> list[str]:
    """Return what the labels of images are called.

    Parameters
    ----------
    names : sequence of str
        Of the images, from :func:`name_apart`.

    Returns
    -------
    list of str
        Without endings, where that tells all of them apart: ``"day 1/a"``, ``"stage-2"`` (one of several images of a
        file), ``"plate/B/3/0"`` (a field of a plate).
    """
    short = [_without_endings(name) for name in names]
    count = Counter(map(str.casefold, short))  # many disks take "A" and "a" for one name
    return [one if count[one.casefold()] == 1 else name for one, name in zip(short, names, strict=True)]


def _without_endings(name: str) -> str:
    *folders, last = name.split("/")
    if last.isdecimal() and folders and suffix_of(Path(folders[-1])) in SUFFIXES and not folders[-1].endswith(".zarr"):
        last = f"{stem_of(Path(folders.pop()))}-{last}"
    elif suffix_of(Path(last)) in {*SUFFIXES, *MICROSCOPES}:  # a folder of DICOM may be called 1.2.840
        last = stem_of(Path(last))
    return "/".join([*(stem_of(Path(f)) if f.endswith(".zarr") else f for f in folders), last])


def check_replaced(places: Sequence[Path]) -> None:
    """Refuse to replace what no run has made, such as an image, and labels that somebody has corrected.

    Parameters
    ----------
    places : sequence of Path
        Where labels are to be written.

    Raises
    ------
    OutputError
        If one of them is taken.
    """
    for place in places:
        manifest = find_manifest(place) if place.exists() else {"edited": []}
        if not manifest or manifest.get("edited"):
            what = "labels that were corrected by hand" if manifest else "something else than labels of a run"
            raise OutputError(
                f"'{place}' holds {what}. Choose another folder for the results, or allow them to be replaced: "
                "--overwrite."
            )


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not is_zarr(path)


def _walk(source: Path) -> Iterator[Path]:
    """Go through the images below a folder; not into a zarr, which may have millions of files, nor into results."""
    for place, folders, files in os.walk(source):
        folder = Path(place)
        stores = {name for name in folders if is_zarr(folder / name)}
        results = {"labels", "tables"} if BATCH in folders else set()
        others = (name for name in folders if name not in stores | results)
        folders[:] = [name for name in others if not name.startswith(".") and not name.endswith(UNFINISHED)]
        shown = [folder / name for name in files if not name.startswith(".")]
        yield from (file for file in shown if file.suffix.lower() in _FILES)
        yield from (folder / n for n in stores if not n.startswith(".") and not _holds_labels_only(folder / n))
        scans = sorted(file for file in shown if file.suffix.lower() not in _FILES and is_dicom(file))
        if scans:
            yield from _volumes(folder, scans, alone=not folders)


def _volumes(folder: Path, scans: list[Path], alone: bool) -> list[Path]:
    """Return a place for each image that is in the DICOM files of a folder: its first file, or the folder."""
    first: list[Path] = []
    left = dict.fromkeys(scans)
    try:
        while left:
            found = [series for series in find_series(next(iter(left))) if series.kind == "image"]
            first += [Path(series.files[0]) for series in found]
            for file in (next(iter(left)), *(Path(file) for series in found for file in series.files)):
                left.pop(file, None)
    except UNetError:
        return [folder]  # what is wrong is said when it is opened
    return [folder] if alone and len(first) == 1 else first


def _holds_labels_only(store: Path) -> bool:
    return {each.name for each in store.iterdir() if each.is_dir()} == {"labels"}


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
