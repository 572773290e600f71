"""Movies with their tracks become examples of two frames, for targets that learn motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import TrainingDataError
from ..core.examples import Example
from ..core.results import Tracks
from ..core.steps import finish
from ..io.labels import read_labels
from ..io.pairs import read_example
from ..io.tracks import read_tracks
from ..models.frames import two_frames
from ..tracking.ids import follow_ids

__all__ = ["pair_frames"]

Ints = npt.NDArray[np.int64]


def pair_frames(example: Example) -> Example:
    """Turn a movie into an example of two frames at once.

    Parameters
    ----------
    example : Example
        A movie and its labels, which are read frame by frame. Without tracks every number is a track, as in the folders
        of the Cell Tracking Challenge. An example that has been turned already is returned as it is.

    Returns
    -------
    Example
        The image as :func:`~napari_unet.models.frames.two_frames` shows it; the labels of its frames are ``2 * p`` and
        ``2 * p + 1`` for what comes from the object ``2 * p`` in `before`. Three parts of one object are too many: the
        third counts as new.

    Raises
    ------
    TrainingDataError
        If image and labels are no movies of equal length, or the tracks speak of other labels.
    """
    if example.before is not None:
        return example
    image = read_example(example)
    labels = example.labels if isinstance(example.labels, Image) else read_labels(Path(example.labels))
    if not {"t"} <= set(image.axes) & set(labels.axes):
        raise TrainingDataError(
            f"'{example.name}' has the axes '{image.axes}' and labels with '{labels.axes}'. Motion is learned from "
            "movies: both need a time axis (t)."
        )
    tracks = example.tracks
    if tracks is None:
        tracks = finish(follow_ids(labels))
    elif not isinstance(tracks, Tracks):
        tracks = read_tracks(tracks).tracks
    numbers = _number(tracks, labels.shape[labels.axes.index("t")])
    t = tracks.nodes["t"].astype(np.int64)
    if not (t[tracks.edges[:, 1]] - t[tracks.edges[:, 0]] == 1).any():
        raise TrainingDataError(
            f"The tracks of '{example.name}' link nothing. Give the tracks of these labels: in the column "
            "'tracks' of the table."
        )
    place = labels.axes.index("t")
    shape = tuple(n - (i == place) for i, n in enumerate(labels.shape))
    chunks = tuple(1 if i == place else n for i, n in enumerate(shape))
    views = [_Numbered(labels, place, numbers, shape, which) for which in (1, 0)]
    made = [replace(labels, data=da.from_array(v, chunks=chunks, name=False, asarray=True, fancy=False)) for v in views]
    group = example.group or example.source
    return replace(example, image=two_frames(image), labels=made[0], before=made[1], tracks=None, group=group)


def _number(tracks: Tracks, count: int) -> list[tuple[Ints, Ints, Ints]]:
    """Return for each frame its labels, their numbers as children, and their numbers as parents of the next frame."""
    t, label = (tracks.nodes[name].astype(np.int64) for name in ("t", "label"))
    first = np.searchsorted(t, np.arange(count + 1))
    rank = np.arange(len(t)) - first[np.minimum(t, count)]
    as_parent = 2 * (rank + 1)
    # Who has no parent gets a number that is nobody's.
    before = np.where(t > 0, np.diff(first)[np.maximum(np.minimum(t, count) - 1, 0)], 0)
    as_child = 2 * (before + rank + 1)
    seen = np.zeros(len(t), np.int64)
    above, below = tracks.edges[:, 0], tracks.edges[:, 1]
    near = t[below] - t[above] == 1
    done = np.zeros(len(t), np.bool_)
    for a, b in sorted(tracks.edges[near].tolist()):
        if seen[a] < 2 and not done[b]:
            as_child[b] = as_parent[a] + seen[a]
            seen[a], done[b] = seen[a] + 1, True
    return [(label[a:b], as_child[a:b], as_parent[a:b]) for a, b in pairwise(first.tolist())]


class _Numbered:
    """Labels with other numbers, made where somebody looks: frame by frame, of this frame or of the one before."""

    def __init__(
        self, labels: Image, place: int, numbers: list[tuple[Ints, Ints, Ints]], shape: tuple[int, ...], later: int
    ) -> None:
        self.labels, self.place, self.numbers, self.later = labels, place, numbers, later
        self.shape, self.ndim, self.dtype = shape, len(shape), np.dtype(np.int32)

    def __getitem__(self, index: Sequence[slice]) -> npt.NDArray[np.int32]:
        """Return a part, cut by one slice for each axis."""
        frames = range(*index[self.place].indices(self.shape[self.place]))
        rest = tuple(part for i, part in enumerate(index) if i != self.place)
        return np.stack([self._frame(t + self.later)[rest] for t in frames], axis=self.place)

    def _frame(self, t: int) -> npt.NDArray[np.int32]:
        whole: list[Any] = [slice(None)] * self.ndim
        whole[self.place] = t
        values = np.asarray(self.labels.read(tuple(whole)))
        ids, *columns = self.numbers[t]
        numbers = columns[0 if self.later else 1]
        if not len(ids):
            return np.zeros(values.shape, np.int32)
        at = np.minimum(np.searchsorted(ids, values), len(ids) - 1)
        return np.where(ids[at] == values, numbers[at], 0).astype(np.int32)
