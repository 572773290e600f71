"""Linking by linear assignment: optimal between two frames, then gaps and divisions together.

After Jaqaman et al. 2008 (Nature Methods 5:695): a first assignment links the objects of consecutive frames, a second
one joins the ends and starts that are left, over gaps or as second daughters. Here costs know the overlap of masks too.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.graph import relink
from napari_unet.core.linking import LinkSpec
from napari_unet.core.results import Tracks
from napari_unet.core.sizes import equivalent_diameter
from napari_unet.core.steps import Progress, Steps

from ._assign import assign
from ._candidates import divisions, gaps, join, steps, sure
from ._constraints import Constraints, constrain
from ._detect import Frame, detect, spatial_axes

__all__ = ["link"]

_ALTERNATIVE: Final = 1.05  # Jaqaman et al. 2008, online methods: not to link costs a little more than the links made
_SHARE: Final = 90.0  # percentile of the sure links that stands for "the links made"; outliers do not count
_CHEAPEST: Final = 0.75  # in a movie where nearly nothing moves, one object still may
_STRIDES: Final = 3.0  # an object hidden for a while moves no farther than this many usual steps (times root of time)
_SHORTEST: Final = 0.5  # object widths

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def link(labels: Image, spec: LinkSpec, image: Image | None = None) -> Steps[Tracks]:
    """Follow objects through time, step by step.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0 with the axes ``t``, ``y``, ``x`` and perhaps ``z``; ids of different frames need not fit
        together. Read one frame at a time.
    spec : LinkSpec
        Settings.
    image : Image, optional
        What was segmented, on the same grid.

    Returns
    -------
    Tracks
        Nodes ordered by time, then label.

    Yields
    ------
    Progress
        One for every frame that is read and every frame that is linked.

    Raises
    ------
    AxesError, ImageError
        If these are no labels with time.
    """
    axes = spatial_axes(labels)
    frames = yield from detect(labels)
    count = len(frames)
    first = np.concatenate([[0], np.cumsum([len(frame.labels) for frame in frames])])
    areas = np.concatenate([frame.areas for frame in frames])
    scale = np.array(labels.along(axes)[1])
    # All lengths from here on are in object widths, so that no setting depends on the pixel size.
    width = float(np.median(equivalent_diameter(areas * math.prod(scale), len(axes)))) if len(areas) else 1.0
    scale = scale / width
    positions = np.concatenate([frame.positions for frame in frames])
    pairs = [steps(a, b, scale, spec.max_distance, spec.min_overlap) for a, b in pairwise(frames)]
    unlinked = _unlinked(np.concatenate([np.zeros(0), *map(sure, pairs)]), spec)
    parents = np.full(first[-1], -1, np.int64)
    time = np.repeat(np.arange(count), np.diff(first))
    known = constrain(spec, time, np.concatenate([frame.labels for frame in frames]))
    for t, (parent, child, costs) in enumerate(pairs):
        yield Progress(count + t, 2 * count, f"Linking frame {t + 1} of {count}")
        free = known.allow(first[t] + parent, first[t + 1] + child)
        above, below = assign((parent[free], child[free], costs[free]), unlinked)
        parents[first[t + 1] + below] = first[t] + above
    yield Progress(2 * count - 1, 2 * count, "Closing gaps and finding divisions")
    _close(parents, first, positions * scale, areas, spec, known)
    edges = np.concatenate([np.stack([parents, np.arange(first[-1])], axis=1)[parents >= 0], known.fixed])
    return relink(_nodes(labels, axes, frames), edges)


def _unlinked(costs: Floats, spec: LinkSpec) -> float:
    """Return the cost of appearing or disappearing: a link may cost as much as one of each."""
    most = (spec.max_distance**2 + 1) / 2
    usual = float(np.percentile(costs, _SHARE)) if len(costs) else 0.0
    return _ALTERNATIVE * min(max(usual, _CHEAPEST), most)


def _close(parents: Ints, first: Ints, positions: Floats, areas: Ints, spec: LinkSpec, known: Constraints) -> None:
    """Give parents to nodes that have none: over gaps, or as second daughters. Changes `parents`."""
    nodes = np.arange(len(parents))
    linked = parents >= 0
    child = np.full(len(parents), -1, np.int64)
    child[parents[linked]] = nodes[linked]
    strides = np.linalg.norm(positions[linked] - positions[parents[linked]], axis=1)
    usual = _STRIDES * float(np.percentile(strides, _SHARE)) if len(strides) else spec.max_distance
    reach = min(max(usual, _SHORTEST), spec.max_distance)
    frames = [nodes[a:b] for a, b in pairwise(first)]
    starts = [frame[parents[frame] < 0] for frame in frames]
    ends = [frame[child[frame] < 0] for frame in frames]
    found = [
        gaps(ends[t], starts[t + wait], positions, areas, reach * math.sqrt(wait))
        for wait in range(2, spec.max_gap + 2)
        for t in range(len(frames) - wait)
    ]
    if spec.division:
        for t, frame in enumerate(frames[:-1]):
            mothers = frame[child[frame] >= 0]
            found.append(divisions((mothers, child[mothers]), starts[t + 1], positions, areas, spec.max_distance))
    above, below, costs = join(found)
    free = known.allow(above, below)
    candidates = above[free], below[free], costs[free]
    # A mother has a child already, an end has none: as rows of the assignment they cannot be confused.
    above, below = assign(candidates, _ALTERNATIVE * float(candidates[2].max(initial=1.0)))
    parents[below] = above


def _nodes(labels: Image, axes: str, frames: list[Frame]) -> Tracks:
    """Make tracks of objects that nothing links yet."""
    positions = np.concatenate([frame.positions for frame in frames])
    nothing = np.zeros(len(positions), np.int64)
    nodes = {
        "id": nothing,
        "label": np.concatenate([frame.labels for frame in frames]),
        "t": np.repeat(np.arange(len(frames)), [len(frame.labels) for frame in frames]),
        **{axis: positions[:, i] for i, axis in enumerate(axes)},
        "area": np.concatenate([frame.areas for frame in frames]),
        "track": nothing,
        "parent": nothing,
        "lineage": nothing,
    }
    _, scale, units = labels.along(f"t{axes}")
    return Tracks(nodes, nothing[:0].reshape(0, 2), f"t{axes}", scale, units, labels.name)
