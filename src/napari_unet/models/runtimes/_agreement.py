"""How a runtime's scores compare: with those of float32, and with themselves in other tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["agreement", "is_exact"]

Floats = npt.NDArray[np.float32]
Scores = Callable[[Floats], Floats]
_HALF: Final = 0.5
_CELLS: Final = 6  # of the network's grid that are looked at, besides the margin


def agreement(ours: Scores, exact: Scores, pictures: Iterable[Floats]) -> dict[str, float]:
    """Compare scores with those of float32.

    Parameters
    ----------
    ours, exact : callable
        float32 ``(b, c, *s)`` to scores ``(b, k, *s)``, the foreground first.
    pictures : iterable of ndarray of float32
        What to compare on.

    Returns
    -------
    dict of float
        ``foreground``: share of pixels that are foreground (above 0.5) for both or for neither;
        ``difference``: mean absolute difference of all scores, which go from 0 to 1.
    """
    same: list[float] = []
    apart: list[float] = []
    for picture in pictures:
        one, other = ours(picture), exact(picture)
        same.append(float(((one[:, 0] > _HALF) == (other[:, 0] > _HALF)).mean()))
        apart.append(float(np.abs(one - other).mean()))
    return {"foreground": round(float(np.mean(same)), 6), "difference": round(float(np.mean(apart)), 6)}


def is_exact(inside: Scores, channels: int, margin: tuple[int, ...], steps: tuple[int, ...]) -> bool:
    """Try whether scores are bit-identical for other tiles and batches.

    Parameters
    ----------
    inside : callable
        float32 ``(b, c, *s)`` to scores without the margin, ``(b, k, *(s - 2 * margin))``.
    channels : int
        Of the input.
    margin, steps : tuple of int
        Pixels that a score needs around it, and the grid that tiles start on, along every axis.

    Returns
    -------
    bool
        False if a tile in a batch of three, or a tile by itself, differed from the same pixels of the whole.
    """
    rng = np.random.default_rng(0)
    rims = [2 * rim // step + 1 for rim, step in zip(margin, steps, strict=True)]
    shape = [(rim + _CELLS) * step for rim, step in zip(rims, steps, strict=True)]
    image = rng.normal(0.5, 0.5, (1, channels, *shape)).astype(np.float32)
    whole = inside(image)
    for others, first, cells in ((0, 0, _CELLS - 1), (0, 2, 1), (2, 1, 3)):
        starts = [first * step for step in steps]
        read = [slice(a, a + (rim + cells) * n) for a, rim, n in zip(starts, rims, steps, strict=True)]
        tile = image[_at(read)]
        batch = np.concatenate([rng.normal(size=(others, *tile.shape[1:])).astype(np.float32), tile])
        scores = inside(batch)[-1:]
        same = whole[_at([slice(a, a + n) for a, n in zip(starts, scores.shape[2:], strict=True)])]
        if scores.tobytes() != same.tobytes():
            return False
    return True


def _at(window: list[slice]) -> tuple[Any, ...]:
    return (..., *window)
