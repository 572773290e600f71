"""Maps of classes: each pixel holds the number of its class."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["ClassRow", "as_classes", "class_table"]

_MOST: Final = 255
# Okabe and Ito 2008: told apart by most people, whatever colors they see.
_COLORS: Final = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
_TURN: Final = 0.618034  # of the circle of hues from one color to the next


class ClassRow(NamedTuple):
    """A class of pixels: its number in the labels, its name, its color as ``#rrggbb``."""

    label: int
    name: str
    color: str


def class_table(names: Sequence[str], colors: Sequence[str] = ()) -> tuple[ClassRow, ...]:
    """Give every class its number and a color.

    Parameters
    ----------
    names : sequence of str
        Of the classes 1, 2 and so on; one without a name if there are none.
    colors : sequence of str
        One for each, as ``#rrggbb``; empty: chosen here, always the same for the same number.

    Returns
    -------
    tuple of ClassRow
        In the order of their numbers.
    """
    return tuple(
        ClassRow(number, name, colors[number - 1] if colors else _color(number))
        for number, name in enumerate(names or ("object",), 1)
    )


def _color(number: int) -> str:
    if number <= len(_COLORS):
        return _COLORS[number - 1]
    light = (0.9, 0.65, 0.8)[number % 3]
    parts = colorsys.hsv_to_rgb(number * _TURN % 1, 0.75, light)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


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
