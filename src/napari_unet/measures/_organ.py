"""How far lesions lie from the border of their organ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import KDTree

from napari_unet.core.axes import Image
from napari_unet.core.windows import Reader, Window

from ._source import Source

__all__ = ["Organ"]


class Organ:
    """The border of an organ, one time point at once, which is loaded as a whole.

    Parameters
    ----------
    mask : Image
        Not 0 inside.
    """

    def __init__(self, mask: Image) -> None:
        self._source = Source(mask, Reader(mask.data, mask.name))
        self._scale = np.array(self._source.scale)
        self._at: int | None = -1
        self._outside = np.zeros((0, len(self._scale)), np.int64)
        self._inside = np.zeros((0,) * len(self._scale), np.bool_)
        self._tree: KDTree | None = None

    def distance(self, t: int | None, lesion: npt.NDArray[np.bool_], window: Window) -> float:
        """Return the gap between a lesion and what lies outside of the organ.

        Parameters
        ----------
        t : int or None
            Time point.
        lesion : ndarray of bool
            In a window.
        window : tuple of slice
            Where that is.

        Returns
        -------
        float
            In the unit of the scale, from face to face of the voxels; 0 if a part of the lesion is not in the organ,
            NaN if the organ has no border in the image.
        """
        if t != self._at:
            self._load(t)
        if (lesion & ~self._inside[window]).any():
            return 0.0
        if self._tree is None:
            return float("nan")
        rim = lesion & ~ndimage.binary_erosion(lesion)
        places = np.argwhere(rim) + [part.start for part in window]
        _, nearest = self._tree.query(places * self._scale)
        gaps = np.maximum(np.abs(places - self._outside[nearest]) - 1, 0) * self._scale
        return float(np.sqrt((gaps**2).sum(axis=1).min()))

    def _load(self, t: int | None) -> None:
        self._at = t
        self._inside = self._source.read(t, tuple(slice(0, n) for n in self._source.shape)) > 0
        around = ndimage.binary_dilation(self._inside, ndimage.generate_binary_structure(self._inside.ndim, 1))
        self._outside = np.argwhere(around & ~self._inside)
        self._tree = KDTree(self._outside * self._scale) if len(self._outside) else None
