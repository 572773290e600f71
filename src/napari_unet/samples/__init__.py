"""Pictures to try things on, with their truth where it is known; none is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skimage.data import immunohistochemistry

from ..core.axes import Image
from ..core.errors import RegistryError
from .simulated import nuclei

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["sample"]


def sample(name: str, seed: int = 0) -> tuple[Image, npt.NDArray[np.int32] | None]:
    """Return a picture by name.

    Parameters
    ----------
    name : {"simulated-nuclei", "immunohistochemistry"}
        A simulated fluorescence field, or a stained tissue section (``skimage.data``).
    seed : int
        Of the simulation.

    Returns
    -------
    image : Image
        uint16 ``yx`` or uint8 ``yxc``.
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
        return Image(immunohistochemistry(), "yxc", name=name), None
    raise RegistryError(f"'{name}' is not a sample. Choose simulated-nuclei or immunohistochemistry.")
