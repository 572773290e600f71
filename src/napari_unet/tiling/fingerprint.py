"""Is it still the same image? Told from its shape and a small sample of its pixels, however they are stored."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..core.errors import ImageError
from ..core.holes import find_holes
from .statistics import spread

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..core.axes import Image

__all__ = ["COARSER", "fingerprint", "without_unknown"]

COARSER: Final = "coarser"
_WHOLE: Final = 2**16  # pixels up to which all are looked at
_WINDOWS: Final = 32
_EDGE: Final = 32  # of a window, along y and x
_FEW: Final = 8  # windows of a coarser level: whoever makes those anew changes them everywhere
_FEW_WHOLE: Final = _FEW * _EDGE**2  # pixels; some are computed from the full image whenever they are read


def fingerprint(image: Image) -> dict[str, Any]:
    """Describe an image so that another, or a changed one, is recognized.

    Up to 65,536 pixels all are looked at; of larger images 32 windows of 32 x 32 pixels, at places that follow from the
    shape alone. A change that meets none of them is not noticed. Of coarser levels, which networks read that look at
    larger pixels, 8,192 pixels are looked at, in 8 windows at most.

    Parameters
    ----------
    image : Image
        Any axes. How it is stored (chunks, compression, byte order, kind of array) makes no difference; where it says
        that it holds no data does.

    Returns
    -------
    dict
        ``axes``, ``shape``, ``dtype``, ``sample``, a SHA-256 in hexadecimal, and where there are coarser levels their
        shapes (``levels``) and samples (``coarser``; empty of one that cannot be read, which a run may never do): to be
        compared as a whole.

    Raises
    ------
    ImageError
        If the image cannot be read.
    """
    shapes = [[int(n) for n in level.shape] for level in image.levels]
    coarser = [_sample_if_readable(image, number) for number in range(1, len(shapes) + 1)]
    return {
        "axes": image.axes,
        "shape": list(image.shape),
        "dtype": str(np.dtype(image.data.dtype).newbyteorder("=")),
        **({"levels": shapes, COARSER: coarser} if shapes else {}),
        "sample": _sample(image),
    }


def without_unknown(there: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of an image now as it was told once: records of old do not know what coarser levels hold."""
    return {key: value for key, value in now.items() if key != COARSER or key in there}


def _sample(image: Image, level: int = 0) -> str:
    shape = tuple(image.levels[level - 1].shape) if level else image.shape
    edges = [min(n, _EDGE) if a in "yx" else 1 for a, n in zip(image.axes, shape, strict=True)]
    if math.prod(shape) <= (_FEW_WHOLE if level else _WHOLE):
        edges = list(shape)
    counts = [-(-n // edge) for n, edge in zip(shape, edges, strict=True)]
    digest = hashlib.sha256()
    for cell in spread(counts, _FEW if level else _WINDOWS):
        places = tuple(slice(i * e, min((i + 1) * e, n)) for i, e, n in zip(cell, edges, shape, strict=True))
        block = image.read(places, level)
        digest.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")).data)
        if image.valid and not level:
            holes = find_holes(image, places[image.axes.index("y")], places[image.axes.index("x")])
            digest.update(b"" if holes is None else holes.tobytes())
    return digest.hexdigest()


def _sample_if_readable(image: Image, level: int) -> str:
    try:
        return _sample(image, level)
    except ImageError:
        return ""
