"""What representations have in common whose objects are hills of a potential: they differ in how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.forest import Forest
from ..core.specs import TargetSpec
from ._basins import basins
from ._forest import Grow
from ._forest import explore as grow_forest

__all__ = ["Hills", "Landscape"]

Bytes = npt.NDArray[np.uint8]
Landscape = tuple[Bytes, npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Hills:
    """Finds the objects of a representation.

    Attributes
    ----------
    landscape : callable
        Stored scores ``(k, *s)`` and the rule, to the potential (uint8) and the foreground (bool), both ``(*s)``. Each
        pixel for itself, in whole numbers, so that nothing depends on rounding or on what is around it.
    """

    landscape: Callable[[Bytes, TargetSpec], Landscape]

    def decode(self, scores: Bytes, spec: TargetSpec, smallest: float) -> npt.NDArray[np.int32]:
        """Turn stored scores ``(k, *s)`` into labels ``(*s)``: the basins of the potential."""
        return basins(*self.landscape(scores, spec), spec.level, spec.least(smallest))

    def explore(
        self, scores: Bytes, spec: TargetSpec, window: Sequence[slice], shape: Sequence[int], grow: Grow | None = None
    ) -> tuple[npt.NDArray[Any], Forest]:
        """Find the trees of one brick; see :mod:`napari_unet.targets`."""
        return grow_forest(*self.landscape(scores, spec), window, shape, grow=grow)
