"""Labels of other objects on the same images: what another run over them has found, or files of the same names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core.errors import ImageError
from ._zarr_reader import is_zarr
from .batches import labels_of
from .cases import labels_by_name
from .choosing import UNFINISHED
from .drawings import DRAWINGS
from .folders import label_names
from .images import SUFFIXES
from .suffixes import suffix_of

__all__ = ["labels_beside"]


def labels_beside(place: Path, names: Sequence[str]) -> list[Path | None]:
    """Find labels of images.

    Parameters
    ----------
    place : Path
        Results of a run over these images, or over others that are called like them, such as those of another channel;
        or a folder of labels or shapes with the names of the images, in folders of the same names. Of a single image
        its labels themselves will do.
    names : sequence of str
        Of the images, from :func:`~napari_unet.io.folders.name_apart`.

    Returns
    -------
    list of Path or None
        For each image; None where there are none.

    Raises
    ------
    ImageError
        If there is no such folder, or it holds two labels of one name.
    """
    if not place.exists():
        raise ImageError(f"'{place}' does not exist. Give a folder with labels of other objects on the same images.")
    if not place.is_dir() or is_zarr(place):
        if len(names) == 1:
            return [place]
        raise ImageError(
            f"'{place}' is one file, and there are {len(names)} images. Give a folder with labels of each."
        )
    short = label_names(names)
    known = labels_of(place)
    if known is None:
        known = _by_name(place)
        return [known.get(one, known.get(name)) for name, one in zip(names, short, strict=True)]
    called = dict(zip(label_names(list(known)), known.values(), strict=True))
    return [known.get(name, called.get(one)) for name, one in zip(names, short, strict=True)]


def _by_name(folder: Path) -> dict[str, Path]:
    """Return labels by their names without endings, as seen from a folder."""
    found: dict[str, Path] = {}
    for place, files in _walk(folder):
        inside = place.relative_to(folder)
        for name, same in labels_by_name(files).items():
            if len(same) > 1:
                raise ImageError("'{}' and '{}' bear the same name. Keep one of them in the folder.".format(*same))
            found[(inside / name).as_posix()] = same[0]
    return found


def _walk(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield each folder and the labels in it; not what is in a zarr."""
    for at, folders, files in os.walk(folder):
        place = Path(at)
        stores = {name for name in folders if is_zarr(place / name)}
        folders[:] = sorted(n for n in folders if n not in stores and n[0] != "." and not n.endswith(UNFINISHED))
        shown = [n for n in files if suffix_of(Path(n)) in (*SUFFIXES, *DRAWINGS)]
        yield place, [place / n for n in sorted((*shown, *stores)) if n[0] != "." and not n.endswith(UNFINISHED)]
