"""Empty tiles: what a network says to constant input is computed once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .scoring import Storing

if TYPE_CHECKING:
    import numpy.typing as npt

    from .grid import Ends
    from .scoring import Predict

    Values = npt.NDArray[np.float32]
    Answer = Callable[[Any], npt.NDArray[Any]]

__all__ = ["Sparing"]

_KEPT: Final = 4  # answers: few values fill empty tiles, and tiles have few shapes
_STRIDE: Final = 4099  # of the pixels that are looked at first


class Sparing:
    """A network that is asked only once about input that is constant.

    Missing chunks of a sparse image and the margins of a slide are tiles of one value a channel. What reaches the
    network of them is the same input every time, and so is the answer; which part of it is used is the tile's business.

    Parameters
    ----------
    predict : callable
        float32 (b, c, *s) -> float32 (b, k, *s); the rows of a batch have nothing to do with each other. If it is
        :class:`~napari_unet.tiling.scoring.Storing`, so is this.
    """

    def __init__(self, predict: Predict | Storing) -> None:
        self._predict = predict
        self._known: OrderedDict[tuple[Any, ...], npt.NDArray[Any]] = OrderedDict()
        self._lock = Lock()
        if isinstance(predict, Storing):
            self.stored, self.looks_up = partial(self._stored, predict), predict.looks_up

    def __call__(self, batch: Values, ends: Ends = ()) -> Values:
        """Compute scores.

        Parameters
        ----------
        batch : ndarray of float32, shape (b, c, *s)
            Normalized.
        ends : tuple of (bool, bool)
            Of the tiles.

        Returns
        -------
        ndarray of float32, shape (b, k, *s)
            What the network returns; not to be written to.
        """
        more = (ends,) if ends else ()
        return self._ask(batch, lambda rows: self._predict(rows, *more), 0, ends)

    def _stored(
        self,
        predict: Storing,
        batch: npt.NDArray[Any],
        outputs: int,
        tables: Values | None = None,
        ends: Ends = (),
    ) -> npt.NDArray[Any]:
        more = (ends,) if ends else ()
        return self._ask(batch, lambda rows: predict.stored(rows, outputs, tables, *more), outputs, ends)

    def _ask(self, batch: npt.NDArray[Any], predict: Answer, outputs: int, ends: Ends) -> npt.NDArray[Any]:
        empty = np.array([_is_constant(row) for row in batch])
        if not empty.any():
            return predict(batch)
        rest = np.asarray(predict(batch[~empty])) if not empty.all() else batch[:0]
        others = iter(rest[:, None])
        rows = [
            self._answer(row[None], predict, outputs, ends) if known else next(others, rest[:0])
            for row, known in zip(batch, empty, strict=True)
        ]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def _answer(self, row: npt.NDArray[Any], predict: Answer, outputs: int, ends: Ends) -> npt.NDArray[Any]:
        key = (outputs, ends, row.dtype, row.shape, row.reshape(row.shape[1], -1)[:, 0].tobytes())
        with self._lock:  # also while it is computed: others that ask the same wait for the answer
            found = self._known.get(key)
            if found is None:
                found = self._known[key] = np.asarray(predict(row))
            self._known.move_to_end(key)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found


def _is_constant(row: npt.NDArray[Any]) -> bool:
    """Say whether every channel (c, *s) holds one value, bit by bit; most that do not are told from a few pixels."""
    flat = np.ascontiguousarray(row).view(f"u{row.dtype.itemsize}").reshape(len(row), -1)
    first = flat[:, :1]
    return bool((flat[:, ::_STRIDE] == first).all() and (flat == first).all())
