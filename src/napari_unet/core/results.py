"""What long jobs hand back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .axes import Image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Piece", "Segmentation", "Table", "label_hash"]

Table = dict[str, "npt.NDArray[np.generic]"]


@dataclass(frozen=True)
class Piece:
    """A finished part of the labels, for whoever shows them while the run goes on.

    Attributes
    ----------
    index : tuple of int or slice
        Where it belongs in the labels array.
    labels : ndarray of int32
        Its values; provisional until the run ends (ids may still change).
    """

    index: tuple[int | slice, ...]
    labels: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Segmentation:
    """Labels and how they were made.

    Attributes
    ----------
    labels : Image
        int32, the axes of the source without channels, its scale and units.
    objects : int
        Number of objects; ids run from 1 to this.
    diameter : float
        Object size that was used, pixels of the image.
    seconds : float
        Wall time from image to labels.
    manifest : dict
        Model, sha256, statistics, settings, device: all that is needed to do it again.
    table : dict of ndarray
        Measurements of the objects, one row each; ``index`` is the label.
    """

    labels: Image
    objects: int
    diameter: float
    seconds: float
    manifest: dict[str, Any] = field(default_factory=dict)
    table: Table = field(default_factory=dict)

    @property
    def hash(self) -> str:
        """The identity of the labels; see :func:`label_hash`."""
        return label_hash(self.labels.data)


def label_hash(labels: npt.NDArray[np.integer[Any]]) -> str:
    """Hash labels independently of their integer type.

    Parameters
    ----------
    labels : ndarray of int
        Any shape.

    Returns
    -------
    str
        sha256 of shape and values, hexadecimal.
    """
    import numpy as np

    shape = ",".join(map(str, labels.shape))
    return hashlib.sha256(shape.encode() + np.ascontiguousarray(labels, dtype="<i8").tobytes()).hexdigest()
