"""Maps of classes: each pixel holds the number of its class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["as_classes"]

_MOST: Final = 255


def as_classes(values: npt.NDArray[Any], name: str, advice: str) -> npt.NDArray[np.uint8]:
    """Check that values are classes.

    Parameters
    ----------
    values : ndarray
        Booleans or whole numbers from 0 (background) to 255.
    name : str
        For the user.
    advice : str
        What to do if each object has a number of its own, and there are too many.

    Returns
    -------
    ndarray of uint8
        The same, not copied where that is possible.

    Raises
    ------
    ImageError
        If they are none.
    """
    import numpy as np

    if values.dtype.kind == "b":
        return values.view(np.uint8)
    if values.dtype.kind not in "iu" and not (values == np.rint(values)).all():
        raise ImageError(f"'{name}' holds numbers with a fraction; a map of classes holds whole numbers from 0.")
    if values.dtype != np.uint8 and (values.min() < 0 or values.max() > _MOST):
        raise ImageError(
            f"'{name}' holds values from {values.min()} to {values.max()}; classes are 0 (background) to {_MOST}. "
            f"If each object has a number of its own, {advice}."
        )
    return values.astype(np.uint8, copy=False)
