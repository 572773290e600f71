"""Pictures to try things on, with their truth where it is known; none is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.color import rgb2hed
from skimage.data import immunohistochemistry

from ..core.axes import Image
from ..core.errors import RegistryError
from .simulated import nuclei

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["sample"]


def sample(name: str, seed: int = 0) -> tuple[Image, npt.NDArray[np.int32] | None]:
    """Return a picture by name.

    Parameters
    ----------
    name : {"simulated-nuclei", "immunohistochemistry"}
        A simulated fluorescence field, or the nuclear stain of a tissue section (``skimage.data``): hematoxylin where
        it is stronger than the brown stain of the cells, separated by color deconvolution (Ruifrok and Johnston 2001).
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
    if name == "simulated-nuclei":
        picture, truth = nuclei((512, 512), count=150, diameter=24.0, seed=seed)
        return Image(picture, "yx", name=name), truth
    if name == "immunohistochemistry":
        stains = rgb2hed(immunohistochemistry())
        return Image(np.maximum(stains[..., 0] - stains[..., 2], 0).astype(np.float32), "yx", name=name), None
    raise RegistryError(f"'{name}' is not a sample. Choose simulated-nuclei or immunohistochemistry.")
