"""How an object's size is written into a score between 0 and 1, and read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["SIZE_RANGE", "decode_size", "encode_size", "equivalent_diameter"]

SIZE_RANGE: Final = (4.0, 256.0)  # diameters, in pixels of the network's grid, that the scores 0 and 1 stand for


def encode_size(diameter: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return scores for diameters in pixels; linear in the logarithm, and 0 only where there is no object."""
    import numpy as np

    low, high = np.log2(SIZE_RANGE)
    code = (np.log2(np.maximum(diameter, 1e-3)) - low) / (high - low)
    return np.where(diameter > 0, np.clip(code, 0.01, 1), 0).astype(np.float32)


def decode_size(scores: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return diameters in pixels for scores."""
    import numpy as np

    low, high = np.log2(SIZE_RANGE)
    return np.asarray(2.0 ** (low + np.asarray(scores, dtype=np.float64) * (high - low)))


def equivalent_diameter(volume: npt.NDArray[Any], ndim: int) -> npt.NDArray[np.float64]:
    """Return the diameters of the disks (2D) or balls (3D) that have the given areas or volumes."""
    import numpy as np

    unit = {2: np.pi / 4, 3: np.pi / 6}[ndim]
    return np.asarray((np.asarray(volume, dtype=np.float64) / unit) ** (1 / ndim))
