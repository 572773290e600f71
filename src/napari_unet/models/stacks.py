"""Stacks seen by a network of planes: its scores in planes, perhaps from three sides, and objects in 3D.

Stringer et al. 2021 (Nature Methods 18:100, "3D segmentation") look at volumes from three sides with a network of
planes. What is averaged here are scores, so that objects are decoded in 3D as those of a network of volumes are: tile
by tile alike.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import ModelError
from ..core.model_card import ModelCard
from ..core.sizes import decode_size
from ..core.stacks import VOLUME, Kind, step_between
from ..targets import directions, target
from ..tiling.grid import Ends
from ._scorer import Predict, Scorer, inner, runtime_of

__all__ = ["Stacked", "stack_of"]

_AT_ONCE: Final = 2**21  # pixels of slices that are computed together
# Scores of slices side by side differ a little, which makes small hills: they must not become objects.
_PERSISTENCE: Final = 0.15
_HILLS: Final = ("heat", "distance")  # channels that are high in the middle of an outline
_NARROW: Final = 0.5  # small objects must not vanish


class Stacked:
    """A model of planes in the form of a model of volumes.

    Parameters
    ----------
    flat : Scorer
        Model of planes, or several as one.
    kind : {"volume", "sides"}
        Whether it sees planes of yx only, or those of zx and zy, too.

    Attributes
    ----------
    flat, kind : Scorer, str
        The same.
    card : ModelCard
        Its card, but for the dimensions, and the least persistence of an object.
    halo, multiple : tuple of int
        As those of the model of planes, along all axes that it sees.

    Raises
    ------
    ModelError
        If the model sees volumes already, or objects cannot be found in 3D from its scores.
    """

    def __init__(self, flat: Scorer, kind: Kind) -> None:
        if why := _unfit(flat.card):
            raise ModelError(
                f"'{flat.card.name}' cannot find objects of a stack in 3D: {why}. Choose 'planes' for Stack (--stack "
                "planes), or another model."
            )
        self.flat, self.kind, self.outputs = flat, kind, flat.outputs
        self.device, self.precision, self.runtime = flat.device, flat.precision, runtime_of(flat)
        rule, net = flat.card.target, flat.card.net
        self.card = flat.card.model_copy(update={
            "net": net.model_copy(update={"ndim": VOLUME}),
            "target": rule.model_copy(update={"persistence": max(rule.persistence, _PERSISTENCE)}),
        })  # fmt: skip
        rim, step = max(_each(flat.halo)), math.lcm(*_each(flat.multiple))
        self.halo, self.multiple = ((rim,) * 3, (step,) * 3) if kind == "sides" else ((0, rim, rim), (1, step, step))
        self._hill, self._widths = _hill(flat.card), _widths(self.card.diameter)
        self.members = getattr(flat, "members", ((flat, None),))
        self.uncertainty = bool(getattr(flat, "uncertainty", False))

    @property
    def record(self) -> dict[str, Any]:
        """What was averaged, for the record of a run."""
        return {"stack": self.kind, **getattr(self.flat, "record", {})}

    def steps(self, image: Image) -> tuple[float, ...]:
        """Say how far apart pixels lie along z, y and x, in those along x; 0 where that makes no difference.

        In a plane the network knows objects as they are, so along y it is 1.
        """
        step = step_between(image)
        return (step if self.kind == "sides" else 0.0, 1.0, 1.0)

    def predict(self, batch: npt.NDArray[np.float32], ends: Ends = ()) -> npt.NDArray[np.float32]:
        """Compute scores.

        Parameters
        ----------
        batch : ndarray of float32
            ``(b, c, z, y, x)``, normalized, every spatial length a multiple of ``multiple``.
        ends : tuple of (bool, bool)
            Makes no difference here.

        Returns
        -------
        ndarray of float32
            ``(b, k, z, y, x)`` in 0 to 1, in the order of the model of planes: those of the planes, or the mean of
            three. These are added in the order of their axes, so that the sum is the same however tiles are cut.
        """
        return self._mean(batch, [(0, n) for n in batch.shape[2:]], None)

    def predict_inner(self, batch: npt.NDArray[np.float32], ends: Ends = ()) -> npt.NDArray[np.float32]:
        """Compute scores only where they have their whole context.

        Parameters
        ----------
        batch : ndarray of float32
            As for :meth:`predict`.
        ends : tuple of (bool, bool)
            Edges where an image ends, see :class:`~napari_unet.tiling.grid.Tile`.

        Returns
        -------
        ndarray of float32
            The same, but 0 nearer than ``halo`` to an edge where no image ends.
        """
        known = ends or ((False, False),) * VOLUME
        inside = [
            (0 if low else rim, n if high else n - rim)
            for n, rim, (low, high) in zip(batch.shape[2:], self.halo, known, strict=True)
        ]
        if any(start >= stop for start, stop in inside):
            return self.predict(batch)
        return self._mean(batch, inside, known)

    def _mean(
        self, batch: npt.NDArray[np.float32], wanted: list[tuple[int, int]], known: Ends | None
    ) -> npt.NDArray[np.float32]:
        """Average the scores of what lies inside, and leave the rest 0; of slices only that is computed, if `known`."""
        whole = np.zeros((len(batch), self.outputs + 1, *batch.shape[2:]), np.float32)
        inside: Any = (..., *(slice(*ends) for ends in wanted))
        total = whole[inside]
        axes = range(VOLUME if self.kind == "sides" else 1)
        for axis in axes:
            start, stop = wanted[axis]
            others: Any = (..., *(slice(*ends) for other, ends in enumerate(wanted) if other != axis))
            predict = self._predict(known, axis)
            slices, sums = np.moveaxis(batch, 2 + axis, 1), np.moveaxis(total, 2 + axis, 1)
            step = max(1, _AT_ONCE // math.prod(slices.shape[-2:]))
            for row, into in zip(slices, sums, strict=True):
                for first in range(start, stop, step):
                    last = min(first + step, stop)
                    scores = predict(np.ascontiguousarray(row[first:last]))
                    into[first - start : last - start] += scores[others]
        if len(axes) > 1:
            total /= np.float32(len(axes))
        elif self._hill is not None:
            total[:, self._hill] *= self._widths[np.rint(total[:, -1] * np.float32(255)).astype(np.uint8)]
        return whole

    def _predict(self, known: Ends | None, axis: int) -> Predict:
        """Return what computes slices across an axis: all of them, or their inside, with the same scores to the bit."""
        if known is None:
            return self.flat.predict
        ends = tuple(end for other, end in enumerate(known) if other != axis)
        return partial(inner(self.flat), ends=ends) if any(map(any, ends)) else inner(self.flat)


def stack_of(model: Scorer) -> Kind:
    """Return how a model sees stacks."""
    return model.kind if isinstance(model, Stacked) else "planes"


def _unfit(card: ModelCard) -> str:
    """Say why objects of a stack cannot be found in 3D from the scores of a model; empty if they can."""
    if card.net.ndim == VOLUME:
        return "it sees volumes as they are"
    if card.foreign is not None:
        return "it comes from elsewhere, and how it sees the border of an image is not known"
    if not card.grid.sized:
        return "it does not bring objects to one width"
    if any(axis is not None for axis in directions(card.target)):
        return "its scores say in which direction the middle of an object lies"
    return ""


def _each(sides: int | tuple[int, ...]) -> tuple[int, ...]:
    return (sides,) if isinstance(sides, int) else sides


def _hill(card: ModelCard) -> int | None:
    """Return which channel is high in the middle of an outline, if one is."""
    names = target(card.target).CHANNELS
    return next((names.index(name) for name in _HILLS if name in names), None)


def _widths(usual: float) -> npt.NDArray[np.float32]:
    """Return how wide outlines are in those that the network knows best, 0.5 to 1, for scores of width in 256 steps.

    What is high in the middle of an outline is as high in all planes of an object. Between two objects that touch one
    above the other outlines are narrow, so it becomes lower there, as between two that touch side by side. A table, so
    that equal scores are equal in any tile; a network that tells no widths says 0, which changes nothing.
    """
    table = np.clip(decode_size(np.arange(256) / 255) / usual, _NARROW, 1)
    table[0] = 1
    return table.astype(np.float32)
