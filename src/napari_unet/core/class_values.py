"""Masks in which the classes are not numbered from 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from .errors import TrainingDataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["number_classes"]

_NAMED: Final = 8


def number_classes(labels: npt.NDArray[np.integer[Any]], values: Sequence[int], name: str) -> npt.NDArray[np.int32]:
    """Turn the values of a mask into the numbers of classes.

    Parameters
    ----------
    labels : ndarray of int
        As they are stored.
    values : sequence of int
        Which value means class 1, 2 and so on; 0 means none of them unless it is among these.
    name : str
        For messages.

    Returns
    -------
    ndarray of int32
        0 where no class is.

    Raises
    ------
    TrainingDataError
        If there are other values; what they mean is never guessed.
    """
    import numpy as np

    present, at = np.unique(labels, return_inverse=True)
    number = {value: index for index, value in enumerate(values, 1)}
    unknown = [int(value) for value in present if value and int(value) not in number]
    if unknown:
        more = ", ..." if len(unknown) > _NAMED else ""
        raise TrainingDataError(
            f"The labels of '{name}' hold the values {', '.join(map(str, unknown[:_NAMED]))}{more}, which stand for no "
            f"class; {', '.join(map(str, values))} do. Give each of them a class, too (--classes and --class-values), "
            "or set the pixels to 0."
        )
    numbers = np.array([number.get(int(value), 0) for value in present], np.int32)
    found: npt.NDArray[np.int32] = numbers[at].reshape(labels.shape)
    return found
