"""The digests of all that a run has written, and the hash that follows from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ..core.axes import AXES
from ..core.hashes import BLOCK, block_numbers, hash_of
from ._plane_work import key_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Image, Plane
    from ._brick_jobs import Jobs

__all__ = ["written_digests", "written_hash"]


def written_digests(image: Image, planes: list[Plane], jobs: Jobs) -> npt.NDArray[np.uint8]:
    """Return the digests of all blocks of labels, as they were written.

    Parameters
    ----------
    image : Image
        Whose labels they are.
    planes : list of Plane
        Of the image.
    jobs : Jobs
        That wrote them.

    Returns
    -------
    ndarray of uint8, shape (blocks, 32)
        In the order of :func:`~napari_unet.core.hashes.block_digests` for all labels, axes in the order ``tzyx``.
    """
    axes = "".join(a for a in AXES if a in image.label_axes)
    shape = image.along(axes)[0]
    digests: npt.NDArray[np.uint8] = np.zeros(
        (math.prod(shape[:-2]) * math.prod(-(-n // BLOCK) for n in shape[-2:]), 32), np.uint8
    )
    for number, plane in enumerate(planes):
        held = {image.axes[dimension]: slice(position, position + 1) for dimension, position in plane.fixed}
        for window in jobs.sink.windows(plane):
            at = held | dict(zip(plane.axes, window, strict=True))
            blocks = block_numbers(shape, tuple(at[a] for a in axes))
            digests[blocks] = jobs.journal.get("written", f"{number}.{key_of(window)}")["digests"].reshape(-1, 32)
    return digests


def written_hash(image: Image, planes: list[Plane], jobs: Jobs) -> str:
    """Return the hash of all labels from the digests of what was written."""
    shape = image.along("".join(a for a in AXES if a in image.label_axes))[0]
    return hash_of(shape, map(bytes, written_digests(image, planes, jobs)))
