"""A movie of which each frame brings the one before along, as more channels."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da

from ..core.axes import Image
from ..core.errors import AxesError

__all__ = ["two_frames"]


def two_frames(image: Image) -> Image:
    """Show two frames at once.

    Parameters
    ----------
    image : Image
        With time; of `t` frames.

    Returns
    -------
    Image
        The axes ``t``, ``c`` and those of space. Of its `t` - 1 frames the first shows the second frame of `image`, and
        after its channels those of the first. A dask array; pixels are read when somebody looks.

    Raises
    ------
    AxesError
        If there are no two frames.
    """
    if "t" not in image.axes or image.shape[image.axes.index("t")] < 2:
        raise AxesError(
            f"'{image.name}' has the axes '{image.axes}' and the shape {image.shape}: motion is seen in two frames or "
            "more. If one of its axes is time, say so."
        )
    own = "t" + "c" * ("c" in image.axes) + "".join(a for a in "zyx" if a in image.axes)
    chunks = tuple(1 if a == "t" else n for a, n in zip(image.axes, image.shape, strict=True))
    data = image.data if isinstance(image.data, da.Array) else da.from_array(image.data, chunks=chunks, name=False)
    data = data.transpose([image.axes.index(a) for a in own])
    if "c" not in own:
        data = data[:, None]
    _, scale, units = image.along(own.replace("c", ""))
    more = dict(zip(own.replace("c", ""), zip(scale, units, strict=True), strict=True)) | {"c": (1.0, "pixel")}
    axes = "tc" + own.replace("c", "")[1:]
    both = da.concatenate([data[1:], data[:-1]], axis=1)
    sides, names = zip(*(more[a] for a in axes), strict=True)
    return replace(image, data=both, axes=axes, scale=sides, units=names, levels=())
