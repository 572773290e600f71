"""Images, labels and tables: read, written, or drawn from nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..core.axes import Image, as_image
from ..core.region import Region, parse_region
from ..core.results import Table, Tracks
from ..core.series import Series

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Labels = npt.NDArray[np.int32]

__all__ = [
    "SAMPLES", "check_place", "choose_series", "is_unfinished", "list_series", "match_labels", "open_image",
    "open_labels", "read_contents", "read_image", "read_labels", "read_region", "read_table", "regrid", "sample",
    "sample_movie", "write_image", "write_labels", "write_overlay", "write_table",
]  # fmt: skip

SAMPLES: Final = ("simulated-nuclei", "immunohistochemistry")


def read_image(path: str | Path | Sequence[str | Path], axes: str | None = None, series: int | None = None) -> Image:
    """Read an image file, OME-Zarr, DICOM series, or one file for each channel.

    See :func:`napari_unet.io.images.read_image`.
    """
    from ..io.images import read_image as read

    return read(path, axes, series)


def open_image(image: Any, axes: str | None = None) -> Image:
    """Return an image as it was given: as such, as an array, or by what :func:`read_image` opens."""
    places = image if isinstance(image, list | tuple) else (image,)
    named = bool(places) and all(isinstance(place, str | os.PathLike) for place in places)
    return read_image(image, axes) if named else as_image(image)


def open_labels(labels: Any, like: Image | None = None, resample: bool = False) -> Image:
    """Return labels as they were given: as such, as an array, or by what :func:`read_labels` opens."""
    if isinstance(labels, str | os.PathLike):
        return read_labels(os.fspath(labels), None, like, resample=resample)
    return as_image(labels)


def read_contents(path: str | Path) -> tuple[list[Image], list[Image]]:
    """Open the image and the labels of a file; see :func:`napari_unet.io.contents.read_contents`."""
    from ..io.contents import read_contents as read

    return read(path)


def read_labels(
    path: str | Path, axes: str | None = None, like: Image | None = None, only: str = "", *, resample: bool = False
) -> Image:
    """Read labels; see :func:`napari_unet.io.labels.read_labels`."""
    from ..io.labels import read_labels as read

    return read(path, axes, like, only, resample=resample)


def find_manifest(path: str | Path) -> dict[str, Any]:
    """Return how labels were made; see :func:`napari_unet.io.runs.find_manifest`."""
    from ..io.runs import find_manifest as find

    return find(Path(path))


def list_series(place: str | Path) -> list[Series]:
    """List the images of a TIFF file or a DICOM folder; see :func:`napari_unet.io.members.list_series`."""
    from ..io.members import list_series as find

    return find(Path(place))


def choose_series(place: str | Path, number: int) -> Path:
    """Return where one of several images is; see :func:`napari_unet.io.members.choose_series`."""
    from ..io.members import choose_series as choose

    return choose(Path(place), number)


def regrid(labels: Any, like: Any, resample: bool = False) -> Image:
    """Bring labels onto the grid of an image, both Images or files; see :func:`napari_unet.io.regrid.regrid`."""
    from ..io.regrid import regrid as bring

    image = open_image(like)
    return bring(open_labels(labels, image, resample), image, resample)


def read_region(source: str | Path, image: Image | None = None) -> Region:
    """Read areas of an image from a file, or from text such as ``"0,0 0,99 49,99"``.

    Parameters
    ----------
    source : str or Path
        See :func:`napari_unet.io.regions.read_region` and :func:`napari_unet.core.region.parse_region`.
    image : Image, optional
        In which to look: areas on a map, such as GeoJSON and GeoPackage hold, are brought to its pixels.

    Returns
    -------
    tuple of polygons
        For :class:`~napari_unet.core.specs.SegmentSpec`.

    Raises
    ------
    ImageError, SpecError
        If there are none.
    """
    from ..io.regions import read_region as read

    return parse_region(str(source)) or read(Path(source), image)


def match_labels(truth: str | Path, predicted: str | Path) -> list[tuple[Path, Path]]:
    """Find which label files are to be compared; see :func:`napari_unet.io.pairs.match_labels`."""
    from ..io.pairs import match_labels as match

    return match(Path(truth), Path(predicted))


def check_place(path: str | Path, image: Image | None = None, overwrite: bool = False, noun: str = "labels") -> str:
    """Check that labels, a table or a report can be written; see :func:`napari_unet.io.places.check_place`."""
    from ..io.places import check_place as check

    return check(Path(path), image, overwrite, noun)


def is_unfinished(path: str | Path) -> bool:
    """Say whether a run that writes there was stopped and can go on."""
    from ..io.choosing import run_folder

    return run_folder(Path(path)).is_dir()


def write_image(
    path: str | Path, image: Image, manifest: dict[str, Any] | None = None, overwrite: bool = False
) -> None:
    """Write an image of numbers; see :func:`napari_unet.io.images.write_image`."""
    from ..io.images import write_image as write

    write(Path(path), image, manifest, overwrite)


def write_labels(
    path: str | Path,
    labels: Any,
    manifest: dict[str, Any] | None = None,
    table: Table | None = None,
    overwrite: bool = False,
) -> None:
    """Write labels, an Image or an array; see :func:`napari_unet.io.labels.write_labels`."""
    from ..io.labels import write_labels as write

    write(Path(path), as_image(labels), manifest, table, overwrite)


def write_overlay(path: str | Path, image: Image, labels: Image) -> None:
    """Write a picture of the outlined objects; see :func:`napari_unet.io.overlay.write_overlay`."""
    from ..io.overlay import write_overlay as write

    write(path, image, labels)


def write_table(path: str | Path, table: Table) -> None:
    """Write a table as CSV or Parquet."""
    from ..io.tables import write_table as write

    write(Path(path), table)


def read_table(path: str | Path) -> Table:
    """Read a CSV table."""
    from ..io.tables import read_table as read

    return read(Path(path))


def sample(name: str = "simulated-nuclei", seed: int = 0) -> tuple[Image, Labels | None]:
    """Return an image that needs no download, and its true labels where they are known.

    Parameters
    ----------
    name : {"simulated-nuclei", "immunohistochemistry"}
        A simulated fluorescence field, or the nuclear stain of a tissue section (skimage.data).
    seed : int
        Of the simulation.

    Returns
    -------
    image : Image
        ``yx``; uint16 or float32.
    truth : ndarray of int32 or None
        True labels.

    Raises
    ------
    RegistryError
        If there is no such sample.
    """
    from ..samples.by_name import sample as draw

    return draw(name, seed)


def sample_movie(name: str = "nuclei-movie", **options: Any) -> tuple[Image, Image, Tracks]:
    """Return a simulated time-lapse with its truth.

    Parameters
    ----------
    name : {"nuclei-movie", "bacteria-movie", "nuclei-movie-3d"}
        Bright nuclei, rods in phase contrast, or nuclei in a stack.
    **options : Any
        Fields of :class:`~napari_unet.samples.movie_spec.MovieSpec` that shall differ, such as ``frames`` or ``seed``.

    Returns
    -------
    image, labels : Image
        uint16 and int32; drawn frame by frame where somebody looks.
    tracks : Tracks
        The true ones.

    Raises
    ------
    RegistryError, SpecError
        If there is no such movie, or a setting cannot be used.
    """
    from ..samples.by_name import sample_movie as draw

    movie = draw(name, **options)
    return movie.image, movie.labels, movie.tracks()
