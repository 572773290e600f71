"""Is it still the same image? Told from its shape and a small sample of its pixels, however they are stored."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..core.holes import find_holes
from .statistics import spread

if TYPE_CHECKING:
    from ..core.axes import Image

__all__ = ["fingerprint"]

_WHOLE: Final = 2**16  # pixels up to which all are looked at
_WINDOWS: Final = 32
_EDGE: Final = 32  # of a window, along y and x


def fingerprint(image: Image) -> dict[str, Any]:
    """Describe an image so that another, or a changed one, is recognized.

    Up to 65,536 pixels all are looked at; of larger images 32 windows of 32 x 32 pixels, at places that follow from the
    shape alone. A change that meets none of them is not noticed.

    Parameters
    ----------
    image : Image
        Any axes. How it is stored (chunks, compression, byte order, kind of array) makes no difference; where it says
        that it holds no data does.

    Returns
    -------
    dict
        ``axes``, ``shape``, ``dtype``, the shapes of ``levels`` where there are some, and ``sample``, a
        SHA-256 in hexadecimal: to be compared as a whole.

    Raises
    ------
    ImageError
        If the image cannot be read.
    """
    dtype = np.dtype(image.data.dtype).newbyteorder("=")
    edges = [min(n, _EDGE) if a in "yx" else 1 for a, n in zip(image.axes, image.shape, strict=True)]
    if math.prod(image.shape) <= _WHOLE:
        edges = list(image.shape)
    counts = [-(-n // edge) for n, edge in zip(image.shape, edges, strict=True)]
    digest = hashlib.sha256()
    for cell in spread(counts, _WINDOWS):
        sides = zip(cell, edges, image.shape, strict=True)
        places = tuple(slice(i * edge, min((i + 1) * edge, n)) for i, edge, n in sides)
        block = image.read(places)
        digest.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")).data)
        if image.valid:
            holes = find_holes(image, places[image.axes.index("y")], places[image.axes.index("x")])
            digest.update(b"" if holes is None else holes.tobytes())
    levels = {"levels": [[int(n) for n in level.shape] for level in image.levels]} if image.levels else {}
    shape = list(image.shape)
    return {"axes": image.axes, "shape": shape, "dtype": str(dtype), **levels, "sample": digest.hexdigest()}
