"""Simulated time-lapses with full truth: masks, tracks and lineages. Frames are drawn when somebody looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from threading import Lock

import dask.array as da
import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.graph import relink
from napari_unet.core.results import Tracks

from ._cells import Cells, live
from ._drawing import draw_image, draw_labels
from .movie_spec import MovieSpec

__all__ = ["Movie", "simulate"]


@dataclass(frozen=True)
class Movie:
    """A simulated time-lapse.

    Attributes
    ----------
    image : Image
        ``tyx`` or ``tzyx``, uint16: what a microscope sees; a dask array of one frame a chunk.
    labels : Image
        int32, likewise: the true masks. Every cell keeps its number for life.
    given : Image
        The masks to be tracked: numbers differ from frame to frame, and some are missing where that was asked for.
    mothers : dict of int
        The number of each cell's mother, of those that have one.
    """

    image: Image
    labels: Image
    given: Image
    mothers: dict[int, int]

    def tracks(self) -> Tracks:
        """Read all masks, frame by frame, and return the true tracks.

        A cell that leaves the picture and comes back is a new track.
        """
        rows: list[npt.NDArray[np.float64]] = []
        for t in range(self.labels.shape[0]):
            frame = np.asarray(self.labels.data[t])
            where = np.flatnonzero(frame)
            names, which = np.unique(frame.reshape(-1)[where], return_inverse=True)
            area = np.bincount(which, minlength=len(names))
            places = np.unravel_index(where, frame.shape)
            middles = [np.bincount(which, weights=p, minlength=len(names)) / np.maximum(area, 1) for p in places]
            rows.append(np.stack([np.full(len(names), t), names, area, *middles], axis=1))
        t, label, area, *middles = np.concatenate(rows).T
        columns = {"t": t.astype(np.int64), "label": label.astype(np.int64), "area": area.astype(np.int64)}
        nodes = columns | dict(zip(self.labels.axes[1:], middles, strict=True))
        first = ["id", "label", "t", *self.labels.axes[1:], "area"]
        nodes = {name: nodes.get(name, columns["t"]) for name in first}
        empty = Tracks(nodes, np.zeros((0, 2), np.int64), self.labels.axes, self.labels.scale, self.labels.units)
        return relink(empty, self._edges(columns["t"], columns["label"]))

    def _edges(self, t: npt.NDArray[np.int64], label: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        place = {key: row for row, key in enumerate(zip(t.tolist(), label.tolist(), strict=True))}
        found = []
        for (frame, name), row in place.items():
            above = place.get((frame - 1, name))
            if above is None:
                above = place.get((frame - 1, self.mothers.get(name, 0)))
            if above is not None:
                found.append((above, row))
        return np.array(found, np.int64).reshape(-1, 2)


def simulate(spec: MovieSpec | None = None) -> Movie:
    """Simulate a time-lapse.

    Cells walk at random with some memory, push each other apart, grow, divide, die, come in and go out. Only where they
    are is kept in memory (some hundred bytes for each cell and frame).

    Parameters
    ----------
    spec : MovieSpec, optional
        Settings.

    Returns
    -------
    Movie
        Picture and truth.
    """
    spec = spec or MovieSpec()
    lives = list(islice(live(spec), spec.frames))
    frames = _Frames(lives, spec)
    axes = "tzyx" if len(spec.shape) == 3 else "tyx"
    names = {"image": np.uint16, "labels": np.int32, "given": np.int32}
    made = {}
    for name, dtype in names.items():
        view = _View(frames, name, np.dtype(dtype))
        data = da.from_array(view, chunks=(1, *spec.shape), name=False, asarray=True, fancy=False)
        made[name] = Image(data, axes, name=f"simulated {spec.kind}" if name == "image" else f"{spec.kind} {name}")
    pairs = ((cells.ids[cells.mothers > 0], cells.mothers[cells.mothers > 0]) for cells in lives)
    mothers = {a: b for ids, above in pairs for a, b in zip(ids.tolist(), above.tolist(), strict=True)}
    return Movie(made["image"], made["labels"], made["given"], mothers)


class _Frames:
    """Draws frames; keeps the masks of the last one, because its picture is often asked for next."""

    def __init__(self, lives: list[Cells], spec: MovieSpec) -> None:
        self.lives, self.spec = lives, spec
        self._lock, self._held = Lock(), (-1, np.zeros(0, np.int32), np.zeros(0, np.float32))

    def draw(self, t: int, what: str) -> npt.NDArray[np.generic]:
        cells, spec = self.lives[t], self.spec
        with self._lock:
            held = self._held
        if held[0] != t:
            held = (t, *draw_labels(cells, spec))
            with self._lock:
                self._held = held
        labels, depth = held[1:]
        if what == "image":
            return draw_image(cells, spec, labels, depth, t)
        return labels if what == "labels" else _scramble(labels, spec, t)


def _scramble(labels: npt.NDArray[np.int32], spec: MovieSpec, t: int) -> npt.NDArray[np.int32]:
    """Give numbers in any order, and none to what is missed."""
    rng = np.random.default_rng([spec.seed, 4, t])
    ids = np.unique(labels)
    ids = ids[ids > 0]
    table = np.zeros(int(ids.max(initial=0)) + 1, np.int32)
    table[ids] = np.where(rng.random(len(ids)) < spec.dropped, 0, 1 + rng.permutation(len(ids)))
    return np.asarray(table[labels])


class _View:
    """One of the arrays of a movie."""

    def __init__(self, frames: _Frames, what: str, dtype: np.dtype[np.generic]) -> None:
        self.frames, self.what, self.dtype = frames, what, dtype
        self.shape = (len(frames.lives), *frames.spec.shape)
        self.ndim = len(self.shape)

    def __getitem__(self, index: tuple[slice, ...]) -> npt.NDArray[np.generic]:
        """Draw the frames of a part."""
        wanted = range(*index[0].indices(self.shape[0]))
        return np.stack([self.frames.draw(t, self.what)[index[1:]] for t in wanted])
