"""Labels of any size as arrays that napari can show: nothing is read before it is needed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.levels import fitting_levels, level_shapes, level_steps

from ._channels import repeat
from ._view import View

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_unet.core.axes import Image

__all__ = ["Sheet", "draw_quickly"]

_IN_MEMORY: Final = 2**24  # pixels of the coarse levels

Window = tuple[slice, ...]
Values = npt.NDArray[np.int32]


class Sheet:
    """The levels of some labels, while they are found and when they are written.

    Parameters
    ----------
    image : Image
        Whose labels they are.
    channels : tuple of (int, int) or None
        Where an axis of channels is to be put in, and how many; see :func:`~._channels.channel_axis`.

    Attributes
    ----------
    arrays : list of View or ndarray
        The levels, the finest first.
    coarse : dict of int to ndarray
        Those in memory, without channels.
    levels : Pyramid or None
        The engine's side; None until a job has opened it.
    holes : dict of int to window
        Parts of the finest level that are not drawn, because another layer shows them, by the id of that layer.
    idle : Event
        Set while nobody loads what drawing does not find in memory. Else drawing waits for no disk; whoever asks
        without drawing always gets what is really there.
    """

    def __init__(self, image: Image, channels: tuple[int, int] | None) -> None:
        self.axes = image.label_axes
        self.shape = shape = image.along(self.axes)[0]
        self.steps, shapes = level_steps(self.axes, shape), level_shapes(self.axes, shape)
        kept = fitting_levels(shapes, _IN_MEMORY)
        self.coarse = {level: np.zeros(shapes[level], np.int32) for level in kept}
        self.levels: Any = None
        self.holes: dict[int, Window] = {}
        self.idle = threading.Event()
        self.idle.set()
        self._drawing = threading.local()
        self.arrays: list[Any] = [View(self, level, shape, channels) for level, shape in enumerate(shapes)]
        if len(shapes) > 1 and self.coarse:
            # napari keeps what it once read of the coarsest level; an array that is filled in place stays up to date.
            self.arrays[-1] = repeat(self.coarse[len(shapes) - 1], channels)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Prefer a fast answer to a sharp one, in this thread."""
        self._drawing.now = True
        try:
            yield
        finally:
            self._drawing.now = False

    def read(self, level: int, window: Window) -> Values:
        """Return a part of a level.

        Parameters
        ----------
        level : int
            From 0, the finest.
        window : tuple of slice
            Without channels.

        Returns
        -------
        ndarray of int32
            Nothing but background until the engine has opened the labels.
        """
        if self.levels is None:
            return np.zeros([s.stop - s.start for s in window], np.int32)
        if not getattr(self._drawing, "now", False):
            found: Values = self.levels.read(level, window)
            return found
        found = self.levels.read(level, window) if self.idle.is_set() else self.levels.look(level, window)
        for hole in [*self.holes.values()]:
            cuts = zip(hole, self.steps[level], window, strict=True)
            own = [
                (max(-(-h.start // s), w.start) - w.start, min(-(-h.stop // s), w.stop) - w.start) for h, s, w in cuts
            ]
            found[tuple(slice(a, max(a, b)) for a, b in own)] = 0
        return found


def draw_quickly(layer: Labels, sheet: Sheet) -> None:
    """Have a layer drawn from what is in memory.

    Parameters
    ----------
    layer : napari.layers.Labels
        Shows the arrays of `sheet`.
    sheet : Sheet
        Is told when it is being drawn.
    """
    # napari offers no place for this. Where a version has none of these, drawing waits for the disk, and is right too.
    owner = getattr(layer, "_slicing_state", layer)
    draw = owner.set_view_slice

    def quick() -> None:
        with sheet.drawing():
            draw()

    owner.set_view_slice = quick
