"""Links of many frames chosen together, exactly: by motile (Funke et al.), whose integer programs SCIP solves.

The costs are those of :mod:`.lap`, but a link that leaves an object out for some frames competes with all others from
the start. Frames are solved in windows that overlap: the first half of a window's links is kept, and the next window
begins there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import MissingExtraError, SpecError
from napari_unet.core.steps import Progress, Steps

from ._candidates import Scale, Side
from ._choose import Events, Links, gather, margins_of
from ._constraints import Constraints
from ._later import joins

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_package", "solve_steps"]

_WINDOW: Final = 12  # frames
_SECONDS: Final = 60.0  # for one window; what the solver has by then is used
_FRAME: Final = "t"
_COST: Final = "cost"

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def check_package() -> None:
    """Check that motile is installed; a MissingExtraError says how to."""
    if find_spec("motile") is None:
        raise MissingExtraError("motile", "motile", "Linking many frames together")


def solve_steps(
    possible: Callable[[int], Events],
    movie: tuple[Ints, Side],
    scale: Scale,
    limits: tuple[int, float],
    known: Constraints,
) -> Steps[Links]:
    """Choose the links of all frames.

    Parameters
    ----------
    possible : callable
        Gives what may have happened between a frame and the next, as nodes.
    movie : tuple of ndarray of int64, shape (frames + 1,), and Side
        First node of each frame, and all nodes.
    scale : Scale
        What is usual from frame to frame.
    limits : tuple of int and float
        Most frames in a gap, and the cost of an end or a start.
    known : Constraints
        What is decided.

    Returns
    -------
    Links
        Some of them leave frames out.

    Yields
    ------
    Progress
        One a window.

    Raises
    ------
    MissingExtraError
        If motile is not installed.
    SpecError
        If a window has no solution, because memory or time ran out.
    """
    check_package()
    (first, side), (max_gap, unlinked) = movie, limits
    frames, count = len(first) - 1, int(first[-1])
    half = max(_WINDOW // 2, max_gap + 1)
    taken = np.zeros(count, np.bool_)
    kept: list[tuple[Events, Floats]] = []
    for start in range(0, frames - 1, half):
        stop = min(start + 2 * half, frames - 1)
        yield Progress(frames + start, 2 * frames, f"Linking frames {start + 1} to {stop + 1} of {frames}")
        parts = [possible(t) for t in range(start, stop)]
        for wait in range(2, max_gap + 2):
            parts += [_gaps(first, t, wait, (side, scale), known) for t in range(start, min(stop, frames - wait))]
        # What begins in the second half is decided again, with more of what follows.
        border = count if stop == frames - 1 else int(first[start + half])
        kept.append(_window(gather(parts), first, taken, unlinked, border))
        who = kept[-1][0].who
        taken[who[:, 1]] = True
        taken[who[_born(who, first), 2]] = True
        if stop == frames - 1:
            break
    events = gather([events for events, _ in kept])
    return _links(events, np.concatenate([np.zeros(0), *(sure for _, sure in kept)]), first)


def _window(
    events: Events, first: Ints, taken: npt.NDArray[np.bool_], unlinked: float, border: int
) -> tuple[Events, Floats]:
    """Choose the events of a window, without children that are `taken`: those before a node, and their margins."""
    gain = unlinked * (events.who >= 0).sum(axis=1) - events.costs
    free = ~taken[events.who[:, 1]] & ~taken[np.where(_born(events.who, first), events.who[:, 2], events.who[:, 1])]
    rows = np.flatnonzero((gain > 0) & free)
    events, gain = events.take(rows), gain[rows]
    chosen = _solve(events.who, gain, first)
    sure = margins_of(_sided(events.who, first), gain, chosen, 2 * int(first[-1]))
    early = events.who[chosen, 0] < border
    return events.take(chosen[early]), sure[early]


def _two(who: Ints, first: Ints) -> npt.NDArray[np.bool_]:
    """Say which events are of two parents: the third object is of the same frame as the first."""
    frame = np.searchsorted(first, who, side="right")
    return np.asarray((who[:, 2] >= 0) & (frame[:, 2] == frame[:, 0]))


def _born(who: Ints, first: Ints) -> npt.NDArray[np.bool_]:
    """Say which events have a second child."""
    return np.asarray((who[:, 2] >= 0) & ~_two(who, first))


def _sided(who: Ints, first: Ints) -> Ints:
    """Give objects another number where they are children."""
    out, count = who.copy(), int(first[-1])
    out[:, 1] += count
    out[_born(who, first), 2] += count
    return out


def _gaps(first: Ints, t: int, wait: int, movie: tuple[Side, Scale], known: Constraints) -> Events:
    """List links from a frame to one some frames later."""
    side, scale = movie
    count = int(first[-1])
    before, here = (np.arange(first[at], first[at + 1]) for at in (t, t + wait))
    wide = replace(scale, reach=scale.reach * math.sqrt(wait), stride=scale.stride * math.sqrt(wait))
    found = joins(before, here, side, wide, wait, count)
    who = np.where(found.who >= 0, found.who % count, -1) if len(found) else found.who
    return Events(who, found.costs).take(np.flatnonzero(known.allow(who[:, 0], who[:, 1])))


def _links(events: Events, sure: Floats, first: Ints) -> Links:
    """Turn events into links."""
    count = int(first[-1])
    links = Links.of(Events(_sided(events.who, first), events.costs), sure, count)
    return replace(links, pairs=links.pairs % max(count, 1))


def _solve(who: Ints, gain: Floats, first: Ints) -> Ints:
    """Choose events that gain the most, no object twice on one side: rows of `who`, ascending."""
    if not len(who):
        return np.zeros(0, np.int64)
    import ilpy  # noqa: PLC0415  # an extra
    import motile  # noqa: PLC0415
    from motile.costs import EdgeSelectedCost  # noqa: PLC0415

    graph, ends, joints = _graph(motile.TrackGraph(), who, gain, first)
    solver = motile.Solver(graph)
    solver.add_cost(EdgeSelectedCost(attribute=_COST))
    for constraint in _constraints(joints):
        solver.add_constraint(constraint)
    solution = solver.solve(timeout=_SECONDS, backend=ilpy.Preference.Scip)
    chosen = solver.get_variables(motile.variables.EdgeSelected)
    found = np.array([row for edge, row in ends.items() if solution[int(chosen[edge])] > 0.5], np.int64)
    if not len(found) and (gain > 0).any():
        raise SpecError(
            f"No links were found within {_SECONDS:.0f} seconds: there are too many objects in a window of "
            f"{_WINDOW} frames ({len(np.unique(who))}). Use the method 'lap', or a smaller max_distance."
        )
    return np.sort(found)


def _graph(graph: Any, who: Ints, gain: Floats, first: Ints) -> tuple[Any, dict[tuple[int, int], int], list[int]]:
    """Build motile's graph: an event of three is a joint that all its objects are linked with, or none."""
    frame = 2 * (np.searchsorted(first, who, side="right") - 1)
    two = _two(who, first)
    for node, t in {*zip(who[who >= 0].tolist(), frame[who >= 0].tolist(), strict=True)}:
        graph.add_node(node, {_FRAME: t})
    ends: dict[tuple[int, int], int] = {}
    joints = []
    for row, ((a, b, c), worth) in enumerate(zip(who.tolist(), gain.tolist(), strict=True)):
        if c < 0:
            graph.add_edge((a, b), {_COST: -worth})
            ends[a, b] = row
            continue
        joint = -1 - row
        joints.append(joint)
        graph.add_node(joint, {_FRAME: int(frame[row, 0]) + 1})
        pairs = ((a, joint), (c, joint), (joint, b)) if two[row] else ((a, joint), (joint, b), (joint, c))
        for pair, cost in zip(pairs, (-worth, 0.0, 0.0), strict=True):
            graph.add_edge(pair, {_COST: cost})
        ends[pairs[0]] = row
    return graph, ends, joints


def _constraints(joints: list[int]) -> Iterable[Any]:
    """Yield what must hold: an object has one event on each side, and a joint all of its links or none."""
    from ilpy.expressions import Constant  # noqa: PLC0415  # comes with motile
    from motile.constraints import Constraint  # noqa: PLC0415
    from motile.variables import EdgeSelected  # noqa: PLC0415

    class Once(Constraint):
        def instantiate(self, solver: Any) -> Iterable[Any]:
            chosen = solver.get_variables(EdgeSelected)
            for edges in (solver.graph.prev_edges, solver.graph.next_edges):
                for node, several in edges.items():
                    if node >= 0 and len(several) > 1:
                        yield sum((chosen[edge] for edge in several), Constant(0)) <= 1

    class Whole(Constraint):
        def instantiate(self, solver: Any) -> Iterable[Any]:
            chosen = solver.get_variables(EdgeSelected)
            for joint in joints:
                one, *others = solver.graph.prev_edges[joint] + solver.graph.next_edges[joint]
                for other in others:
                    yield chosen[one] - chosen[other] == 0

    yield Once()
    yield Whole()
