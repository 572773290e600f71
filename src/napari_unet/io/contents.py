"""What a file has to show: its image, and the labels that lie beside it."""

from __future__ import annotations

import os

from ..core.axes import Image
from ..core.errors import ImageError
from ._zarr_reader import is_zarr, label_places
from .addresses import as_address, as_file
from .images import read_image
from .labels import read_labels

__all__ = ["read_contents"]


def read_contents(path: str | os.PathLike[str]) -> tuple[list[Image], list[Image]]:
    """Open all that belongs together in a file.

    Parameters
    ----------
    path : path-like
        As for :func:`~napari_unet.io.images.read_image`.

    Returns
    -------
    images : list of Image
        At most one; none for a store that holds nothing but labels.
    labels : list of Image
        All label images of an OME-Zarr, in the order in which it names them.

    Raises
    ------
    ImageError, AxesError
        If the file cannot be read.
    """
    place = as_address(path) or as_file(path)
    found = label_places(place) if isinstance(place, str) or is_zarr(place) else []
    labels = [read_labels(label) for label in found]
    if found == [str(place)]:
        return [], labels
    try:
        return [read_image(path)], labels
    except ImageError:
        if not labels:
            raise
        return [], labels
