"""The samples by name: pictures and movies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from skimage.color import rgb2hed
from skimage.data import immunohistochemistry

from ..core.axes import Image
from ..core.errors import RegistryError
from .movie_spec import MOVIES
from .movies import Movie, simulate
from .simulated import nuclei

if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt

__all__ = ["sample", "sample_movie"]


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


def sample_movie(name: str = "nuclei-movie", **options: Any) -> Movie:
    """Return a simulated time-lapse by name.

    Parameters
    ----------
    name : {"nuclei-movie", "bacteria-movie", "nuclei-movie-3d"}
        Bright nuclei, rods in phase contrast, or nuclei in a stack.
    **options : Any
        Fields of :class:`~napari_unet.samples.movie_spec.MovieSpec` that shall differ.

    Returns
    -------
    Movie
        Picture and truth, drawn frame by frame where somebody looks.

    Raises
    ------
    RegistryError
        If there is no such movie.
    SpecError
        If a setting cannot be used.
    """
    if name not in MOVIES:
        raise RegistryError(f"'{name}' is not a simulated movie. Choose {', '.join(MOVIES)}.")
    spec = MOVIES[name]
    return simulate(type(spec).of(**(spec.model_dump() | options)))
