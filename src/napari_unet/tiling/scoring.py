"""Tiles through a network: read, normalize, resample, predict, interpolate, quantise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

import numpy as np

from ..core.errors import ModelError
from ..core.resolutions import choose_level
from ._quantised import quantised
from .grid import Span
from .isolated import read_steady
from .resample import apply_taps, interpolation_taps, sampling_taps
from .statistics import lookup, normalize
from .where import Notes, Scored

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Plane
    from .grid import Ends, Tile
    from .stream import Plan
    from .where import View

    # Of plans that are closed, called with the ends of tiles too, where they have any: see Tile.
    Predict = Callable[..., npt.NDArray[np.float32]]
    Scores = npt.NDArray[np.uint8]

__all__ = ["Storing", "read_net", "score_tiles"]

_LARGEST_READ: Final = 2**24  # image values; more is read in parts


@runtime_checkable
class Storing(Protocol):
    """What predicts, and can also put out scores as they are stored: less is to be moved from a device then."""

    def __call__(self, batch: npt.NDArray[np.float32], ends: Ends = ()) -> npt.NDArray[np.float32]:
        """Compute scores, float32 (b, c, *s) -> float32 (b, k, *s)."""

    @property
    def looks_up(self) -> bool:
        """Whether it normalizes by itself, and wants the image's own values and tables."""

    def stored(
        self, batch: npt.NDArray[Any], outputs: int, tables: npt.NDArray[np.float32] | None = None, ends: Ends = ()
    ) -> npt.NDArray[np.uint8]:
        """Compute scores as they are stored.

        Parameters
        ----------
        batch : ndarray of float32, or of uint8 or uint16
            ``(b, c, *s)``: normalized, all channels; or as stored in the image, one channel or all.
        outputs : int
            How many of the first channels are wanted.
        tables : ndarray of float32, shape (c, n), optional
            For each channel, what its values become when they are normalized.
        ends : tuple of (bool, bool)
            Where the tiles have no halo, see :class:`~napari_unet.tiling.grid.Tile`.

        Returns
        -------
        ndarray of uint8
            ``(b, outputs, *t)``: all scores, or those that have their whole context: the halo is left out.
        """


def read_net(plane: Plane, spans: Sequence[Span], plan: Plan) -> npt.NDArray[np.float32]:
    """Load a part of the net grid, from the coarsest level of the image that is as fine as the net grid.

    Parameters
    ----------
    plane : Plane
        With the selected channels.
    spans : sequence of Span
        Net pixels, global; mirrored where they lie beyond the image.
    plan : Plan
        Factor and statistics.

    Returns
    -------
    ndarray of float32, shape (channels, *spans)
        Normalized values in -1 ... 4.
    """
    level, steps = choose_level(plane, plan.factor)
    factors = (f * step for f, step in zip(plan.factor, steps, strict=True))
    axes = zip(spans, plane.shape_of(level), factors, strict=True)
    taps = [sampling_taps(*axis) for axis in axes]
    boxes = [t.box for t in taps]
    largest = max(range(len(spans)), key=lambda a: boxes[a].size)
    if math.prod(b.size for b in boxes) > _LARGEST_READ and spans[largest].size > 1:
        # A strongly shrunk image: half by half gives the same values in bounded memory.
        middle = (spans[largest].start + spans[largest].stop) // 2
        halves = [list(spans), list(spans)]
        halves[0][largest] = Span(spans[largest].start, middle)
        halves[1][largest] = Span(middle, spans[largest].stop)
        return np.concatenate([read_net(plane, half, plan) for half in halves], axis=largest + 1)
    read = read_steady(plane, [b.slice for b in boxes], plan.statistics.isolated, level)
    block = normalize(read, plan.statistics)
    return apply_taps(block, [t.since(b.start) for t, b in zip(taps, boxes, strict=True)])


def score_tiles(tiles: Sequence[tuple[Plane, Tile]], plan: Plan, predict: Predict | Storing) -> list[Scored]:
    """Send tiles through the network together.

    Parameters
    ----------
    tiles : sequence of (Plane, Tile)
        Tiles of equal read shape and ends.
    plan : Plan
        How. A tile without a pixel that is looked at is neither read nor predicted.
    predict : callable
        float32 (b, c, *s) -> float32 (b, k, *s), scores in 0 ... 1. One that is :class:`Storing` is asked for scores as
        they are stored, where nothing is to be interpolated. Where tiles have ends, it is given them too.

    Returns
    -------
    list of Scored
        For each tile the scores that are to be stored, shape (outputs, *window), and what was seen.

    Raises
    ------
    ModelError
        If the network returns another shape, or memory does not suffice even for a small tile.
    """
    views = [plan.where.view(plane, tile) for plane, tile in tiles]
    seen = [(view, tile) for view, (_, tile) in zip(views, tiles, strict=True) if view.wanted is not False]
    scored = iter(plan.care.score(seen, plan, predict, _scored_once)) if seen else iter(())
    found: list[Scored] = []
    for view, (_, tile) in zip(views, tiles, strict=True):
        if view.wanted is False:
            found.append(Scored(np.zeros((plan.outputs, *(s.size for s in tile.write)), np.uint8), Notes()))
            continue
        found.append(view.judge(next(scored)))
    return found


def _scored_once(tiles: Sequence[tuple[View, Tile]], plan: Plan, predict: Predict | Storing) -> list[Scores]:
    predicted = _predicted(tiles, plan, predict)
    return [_cropped(scores, tile, plan) for (_, tile), scores in zip(tiles, predicted, strict=True)]


def _cropped(scores: npt.NDArray[Any], tile: Tile, plan: Plan) -> Scores:
    """Return what a tile owns of its scores, which are stored ones, or still to be interpolated."""
    # Scores may be there for what has its whole context only.
    ends = tile.ends or ((False, False),) * len(tile.read)
    missing = [read.size - n for read, n in zip(tile.read, scores.shape[1:], strict=True)]
    rims = [0 if at[0] else n if at[1] else n // 2 for at, n in zip(ends, missing, strict=True)]
    own = (slice(c.start - r, c.stop - r) for c, r in zip(tile.crop, rims, strict=True))
    crop = scores[(slice(plan.outputs), *own)]
    if crop.dtype == np.uint8:
        return np.ascontiguousarray(crop)
    axes = zip(tile.write, plan.factor, tile.read, tile.crop, strict=True)
    taps = [interpolation_taps(write, f).since(read.start + crop.start) for write, f, read, crop in axes]
    return quantised(apply_taps(crop.astype(np.float32, copy=False), taps))


def _predicted(tiles: Sequence[tuple[View, Tile]], plan: Plan, predict: Predict | Storing) -> npt.NDArray[Any]:
    shape, ends = tiles[0][1].read_shape, tiles[0][1].ends
    more = (ends,) if ends else ()
    storing = predict if isinstance(predict, Storing) and set(plan.factor) == {1} else None
    image = tiles[0][0].image
    # What has holes is read as numbers with a fraction, which are not looked up.
    if storing is not None and storing.looks_up and not image.valid and image.data.dtype in (np.uint8, np.uint16):
        batch = np.stack([_read_stored(view, tile, plan) for view, tile in tiles])
        predicted = storing.stored(batch, plan.outputs, lookup(batch.dtype, plan.statistics), *more)
    else:
        batch = np.empty((len(tiles), plan.inputs, *shape), np.float32)
        for row, (view, tile) in zip(batch, tiles, strict=True):
            row[:] = read_net(view, tile.read, plan)
        if storing is None:
            predicted = np.asarray(predict(batch, *more))
        else:
            predicted = storing.stored(batch, plan.outputs, None, *more)
    sizes = predicted.shape
    fits = storing is not None or sizes[2:] == shape
    if sizes[:1] != (len(tiles),) or not fits or sizes[1] < plan.outputs:
        raise ModelError(
            f"The model returned the shape {sizes} for {(len(tiles), plan.inputs, *shape)}; expected {len(tiles)} x at "
            f"least {plan.outputs} channels x {shape}. Choose another model or correct this one's card."
        )
    return predicted


def _read_stored(view: View, tile: Tile, plan: Plan) -> npt.NDArray[Any]:
    """Load what a tile sees, as it is stored in the image."""
    taps = [sampling_taps(span, n, 1) for span, n in zip(tile.read, view.shape, strict=True)]
    block: Any = read_steady(view, [t.box.slice for t in taps], plan.statistics.isolated)
    # Copies only: there is one source pixel to each.
    found: npt.NDArray[Any] = apply_taps(block, [t.since(t.box.start) for t in taps])
    return found
