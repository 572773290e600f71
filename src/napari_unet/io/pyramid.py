"""Labels of any size at every resolution, to be looked at: while they are found, and when they are written."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..core.axes import Image
from ..core.errors import OutputError
from ..core.levels import level_shapes, level_steps
from ..core.results import Piece
from ..core.windows import Window, since
from ._zarr_reader import read_zarr
from .addresses import as_address
from .atomic import clear
from .choosing import run_folder
from .levels import Labels, Part, slabs, thinned
from .shelf import Shelf
from .sketch import Sketch

__all__ = ["Pyramid"]

_BLOCK: Final = 512
_PLANES: Final = 4  # that are loaded together where a chunk of the disk has many


class Pyramid:
    """Labels at every resolution, in bounded memory.

    First it is filled with the pieces that a run reports: coarse levels are in memory, fine ones in a file beside the
    unfinished labels, so that a run that goes on shows what was there before. At last it reads what the run has
    written. One thread may fill it while others read.

    Parameters
    ----------
    image : Image
        Whose labels they are.
    output : Path
        Where they are written, an OME-Zarr folder.
    coarse : mapping of int to ndarray of int32
        Arrays for the coarsest levels, of the shapes of :func:`~napari_unet.core.levels.level_shapes`. They are filled
        in place, so that whoever holds them sees what there is at any time.

    Attributes
    ----------
    axes : str
        Of all levels: those of the image, without channels.
    shapes : list of tuple of int
        Of the levels, the finest first.
    changes : int
        Goes up whenever something new can be seen.
    """

    def __init__(self, image: Image, output: Path, coarse: Mapping[int, Labels]) -> None:
        self.output, self.axes, self.coarse = output, image.label_axes, coarse
        shape = image.along(self.axes)[0]
        self.steps, self.shapes = level_steps(self.axes, shape), level_shapes(self.axes, shape)
        self.changes = 0
        self.settled = False
        self._fine = len(self.shapes) - len(self.coarse)  # how many levels are not in memory
        self._shelf = Shelf(self.shapes, self._block(1), self._load)
        self._sketch: Sketch | None = None
        self._stored: list[Image] = []

    # While labels are found.

    def begin(self) -> None:
        """Get ready for pieces; what was seen of the same run before it was stopped is seen again."""
        folder = run_folder(self.output)
        try:
            name = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()[:16]
        except OSError:  # a run that cannot go on
            folder, name = Path(tempfile.mkdtemp(prefix="napari-unet-")), "run"
        self._sketch = Sketch(folder / f"shown-{name}.parts", self.axes)
        for part in self._sketch.take_up(min(self._fine, len(self.shapes) - 1)):
            self._paint(part)
        self.changes += 1

    def add(self, piece: Piece) -> None:
        """Take in a piece of the labels.

        Parameters
        ----------
        piece : Piece
            Of the finest level.

        Raises
        ------
        OutputError
            If it cannot be kept, because the disk is full for example.
        """
        shape = self.shapes[0]
        window = tuple(
            slice(i, i + 1) if isinstance(i, int) else slice(*i.indices(n)[:2])
            for i, n in zip(piece.index, shape, strict=True)
        )
        labels = piece.labels.reshape([s.stop - s.start for s in window])
        found = [(level, thinned(window, labels, steps)) for level, steps in enumerate(self.steps)]
        parts = [Part(level, *thin) for level, thin in found if thin is not None]
        if self._sketch is not None:
            # The finest level in memory is kept too: the others follow from it when a run goes on.
            self._sketch.add(slab for part in parts if part.level <= self._fine for slab in slabs(part, self.axes))
        for part in parts:
            if part.level < self._fine:
                self._shelf.paste(part.level, part.window, part.labels)
            elif part.level == self._fine:
                self._paint(part)
        self.changes += 1

    def _paint(self, part: Part) -> None:
        """Draw into the levels in memory what the finest of them shows."""
        for level, values in self.coarse.items():
            ratio = tuple(a // b for a, b in zip(self.steps[level], self.steps[part.level], strict=True))
            if (thin := thinned(part.window, part.labels, ratio)) is not None:
                values[thin[0]] = thin[1]

    # What can be seen.

    def read(self, level: int, window: Window) -> Labels:
        """Return labels, those that must come from the disk too.

        Parameters
        ----------
        level : int
            From 0, the finest.
        window : tuple of slice
            Of that level.

        Returns
        -------
        ndarray of int32
            A copy.
        """
        if level in self.coarse:
            return self.coarse[level][window].copy()
        found = self._load(level, window)
        return _nothing(window) if found is None else found

    def look(self, level: int, window: Window) -> Labels:
        """Return labels at once: what is not in memory is taken from coarser levels until :meth:`fetch` has loaded it.

        Parameters
        ----------
        level, window : int, tuple of slice
            As for :meth:`read`.

        Returns
        -------
        ndarray of int32
            A copy.
        """
        if level in self.coarse:
            return self.coarse[level][window].copy()
        if not self.settled and (self._sketch is None or not self._sketch.holds(level, window)):
            return _nothing(window)
        out, missing = self._shelf.peek(level, window)
        for part in missing:
            out[since(part, window)] = self._enlarged(level, part)
        return out

    def _enlarged(self, level: int, window: Window) -> Labels:
        coarser = level + 1
        if coarser == len(self.shapes):
            return _nothing(window)
        ratio = [a // b for a, b in zip(self.steps[coarser], self.steps[level], strict=True)]
        wide = tuple(slice(s.start // r, -(-s.stop // r)) for s, r in zip(window, ratio, strict=True))
        found = self.look(coarser, wide)
        for axis, r in enumerate(ratio):
            found = found.repeat(r, axis) if r > 1 else found
        cut = zip(window, wide, ratio, strict=True)
        return found[tuple(slice(s.start - w.start * r, s.stop - w.start * r) for s, w, r in cut)]

    def fetch(self) -> bool:
        """Load something that was looked for; say whether there was anything."""
        found = self._shelf.fetch()
        self.changes += found
        return found

    # When labels are written.

    def settle(self) -> None:
        """Show the labels that are written from now on.

        Raises
        ------
        ImageError
            If they cannot be read.
        OutputError
            If they are others, or have no overviews.
        """
        place = as_address(self.output) or self.output
        finest = read_zarr(place, labels=True)
        if set(finest.axes) != set(self.axes) or finest.along(self.axes)[0] != self.shapes[0]:
            raise OutputError(
                f"'{self.output}' holds labels of the shape {finest.shape}, where {self.shapes[0]} was expected. "
                "Another program has changed them; run again with another name."
            )
        self._stored = [read_zarr(place, labels=True, level=level) for level in range(len(self.shapes))]
        self._read_coarse()
        deep = "z" in self.axes and self._stored[0].data.chunks[self._stored[0].axes.index("z")] > 1
        self._shelf = Shelf(self.shapes, self._block(_PLANES if deep else 1), self._load)
        self.settled = True
        self.close()
        self.changes += 1

    def refresh(self) -> None:
        """Read anew: the labels were written to."""
        self._read_coarse()
        self._shelf.forget()
        self.changes += 1

    def close(self) -> None:
        """Let go of what was kept to be shown; what belongs to an unfinished run stays with it."""
        sketch, self._sketch = self._sketch, None
        if sketch is not None and sketch.file.parent != run_folder(self.output):
            sketch.close()
            clear(sketch.file.parent)

    def _read_coarse(self) -> None:
        for level, values in self.coarse.items():
            values[...] = self._read_stored(level, tuple(slice(0, n) for n in self.shapes[level]))

    def _block(self, planes: int) -> tuple[int, ...]:
        return tuple(_BLOCK if a in "yx" else planes if a == "z" else 1 for a in self.axes)

    def _load(self, level: int, window: Window) -> Labels | None:
        if self.settled:
            return self._read_stored(level, window)
        sketch = self._sketch
        return None if sketch is None else sketch.read(level, window)

    def _read_stored(self, level: int, window: Window) -> Labels:
        stored = self._stored[level]
        at = dict(zip(self.axes, window, strict=True))
        block: Any = np.asarray(stored.data[tuple(at[a] for a in stored.axes)])
        turned = block.transpose([stored.axes.index(a) for a in self.axes])
        found: Labels = turned.astype(np.int32)
        return found


def _nothing(window: Window) -> Labels:
    return np.zeros([s.stop - s.start for s in window], np.int32)
