"""Cells that move, push, grow, divide and die. A cell is a rod with round ends; a nucleus is a short one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

from .movie_spec import MovieSpec

__all__ = ["Cells", "live"]

_ROUNDS: Final = 12  # of pushing apart, for each frame
_BEADS: Final = 4  # a rod pushes and is pushed at this many places
_TURN: Final = 0.12  # radians a frame, of a cell that has a way of its own
_APART: Final = 0.4  # radians between the ways of a mother and of a daughter
_MITOSIS: Final = 0.12  # share of a cycle in which a nucleus is condensed
_DYING: Final = 3.0  # frames
_MARGIN: Final = 3.0  # diameters around the picture in which cells live too, so that they come and go

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """All cells at one time; every field has one row a cell.

    Attributes
    ----------
    ids, mothers : ndarray of int64
        Numbers from 1 that are never used again, and that of the mother (0 for none).
    places, axes, pace : ndarray of float64, shape (n, d)
        Middles (pixels), directions of the long axes, and velocities (pixels a frame).
    ways : ndarray of float64, shape (n, d)
        Directions that they keep, of length 1.
    age, cycle, size, left : ndarray of float64
        Time since birth and at division (frames), own factor of size, and frames until it is gone (inf: healthy).
    """

    ids: Ints
    mothers: Ints
    places: Floats
    axes: Floats
    pace: Floats
    ways: Floats
    age: Floats
    cycle: Floats
    size: Floats
    left: Floats

    def __len__(self) -> int:
        """Count them."""
        return len(self.ids)

    def take(self, which: npt.NDArray[np.generic]) -> Cells:
        """Return some of them."""
        return Cells(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def join(self, other: Cells) -> Cells:
        """Return these and others."""
        both = {f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)}
        return Cells(**both)

    def phase(self) -> Floats:
        """How far each is from birth (0) to division (1)."""
        return np.asarray(np.clip(self.age / self.cycle, 0, 1))

    def condensed(self) -> Floats:
        """How mitotic each looks, 0 to 1: shortly before a division and shortly after."""
        phase = self.phase()
        late = np.clip((phase - 1 + _MITOSIS) / _MITOSIS, 0, 1)
        early = np.where(self.mothers > 0, np.clip(1 - phase / _MITOSIS, 0, 1), 0)
        return np.asarray(np.maximum(late, early))

    def rods(self, spec: MovieSpec) -> tuple[Floats, Floats]:
        """Return the radius of each, and the distance of the centers of its round ends."""
        phase, alive = self.phase(), np.clip(self.left / _DYING, 0.35, 1) ** 0.5
        if spec.kind == "bacteria":
            width = np.full(len(self), spec.diameter)
            # Between birth and division the whole length doubles, caps included.
            long = 2.1 * width * self.size * (1 + phase)
            return width / 2 * alive, (long - width) * alive
        # Volume doubles; what is condensed takes less room.
        volume = 0.65 * (1 + phase) * (1 - 0.3 * self.condensed())
        radius = 0.5 * spec.diameter * self.size * volume ** (1 / self.places.shape[1]) * 0.86 * alive
        # Daughters lie flat beside each other, a mother is round.
        return radius, radius * (0.55 - 0.35 * self.condensed())


def live(spec: MovieSpec) -> Iterator[Cells]:
    """Let cells live, one frame after the other, for as long as somebody asks.

    Parameters
    ----------
    spec : MovieSpec
        Settings.

    Yields
    ------
    Cells
        At each frame.
    """
    rng, turns = np.random.default_rng([spec.seed, 1]), np.random.default_rng([spec.seed, 5])
    size = np.array(spec.shape, float)
    margin = np.minimum(_MARGIN * spec.diameter, np.where(np.arange(len(size)) < len(size) - 2, 0, np.inf))
    share = float(np.prod((size + 2 * margin) / size))
    cells = _begin(rng, spec, round(spec.count * share), size, margin)
    last = len(cells)
    way = _directions(rng, 1, len(size))[0]
    if spec.heading is not None:
        angle = np.deg2rad(spec.heading)
        way = np.concatenate([np.zeros(len(size) - 2), [np.sin(angle), np.cos(angle)]])
    for _ in range(3):
        cells = _push(cells, spec, size)
    for _ in range(spec.frames):
        yield cells
        cells = _roam(turns, _move(rng, cells, spec, way), spec)
        cells, last = _divide(rng, replace(cells, age=cells.age + 1), spec, last)
        dying = np.isinf(cells.left) & (rng.random(len(cells)) < spec.death)
        cells = replace(cells, left=np.where(dying, _DYING, cells.left - 1))
        cells = _push(cells.take(cells.left > 0), spec, size)
        # Drift empties one side: what leaves there comes in again on the other, as somebody else.
        around, whole = cells.places + margin, size + 2 * margin
        out = ((around < 0) | (around >= whole)).any(axis=1)
        fresh = np.arange(last + 1, last + 1 + int(out.sum()))
        last += len(fresh)
        ids, mothers = cells.ids.copy(), cells.mothers.copy()
        ids[out], mothers[out] = fresh, 0
        cells = replace(cells, ids=ids, mothers=mothers, places=around % whole - margin)


def _begin(rng: np.random.Generator, spec: MovieSpec, count: int, size: Floats, margin: Floats) -> Cells:
    places = rng.uniform(-margin, size + margin, (count, len(size)))
    cycle = _cycles(rng, spec, count)
    ways = _directions(np.random.default_rng([spec.seed, 4]), count, len(size))
    return Cells(
        np.arange(1, count + 1), np.zeros(count, np.int64), places, _directions(rng, count, len(size)),
        np.zeros_like(places), ways, rng.random(count) * np.minimum(cycle, 1e6), cycle,
        np.exp(0.1 * rng.normal(size=count)), np.full(count, np.inf),
    )  # fmt: skip


def _cycles(rng: np.random.Generator, spec: MovieSpec, count: int) -> Floats:
    if not spec.cycle:
        return np.full(count, 1e9)
    return np.asarray(spec.cycle * np.exp(0.15 * rng.normal(size=count)))


def _directions(rng: np.random.Generator, count: int, ndim: int) -> Floats:
    found = rng.normal(size=(count, ndim))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))


def _move(rng: np.random.Generator, cells: Cells, spec: MovieSpec, way: Floats) -> Cells:
    """Walk at random, with some memory, and drift together."""
    ndim = cells.places.shape[1]
    step = spec.speed * spec.diameter / np.sqrt(ndim)
    kick = step * np.sqrt(1 - spec.memory**2) * rng.normal(size=cells.places.shape)
    pace = spec.memory * cells.pace + kick
    turned = cells.axes + 0.12 * rng.normal(size=cells.axes.shape) * (3 if spec.kind == "nuclei" else 1)
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    return replace(cells, places=cells.places + pace + spec.drift * spec.diameter * way, pace=pace, axes=turned)


def _roam(rng: np.random.Generator, cells: Cells, spec: MovieSpec) -> Cells:
    """Let each cell go its own way, which turns a little; newborn cells turn more."""
    if not spec.roam:
        return cells
    angle = np.where((cells.age == 0) & (cells.mothers > 0), _APART, _TURN)[:, None]
    ways = cells.ways + angle * rng.normal(size=cells.ways.shape)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    return replace(cells, places=cells.places + spec.roam * spec.diameter * ways, ways=ways)


def _divide(rng: np.random.Generator, cells: Cells, spec: MovieSpec, last: int) -> tuple[Cells, int]:
    """Replace every cell that is old enough by two, side by side along its axis."""
    ripe = (cells.age >= cells.cycle) & np.isinf(cells.left)
    if not ripe.any():
        return cells, last
    mothers = cells.take(ripe)
    count = len(mothers)
    radius, length = mothers.rods(spec)
    half = (0.25 * (length + 2 * radius) if spec.kind == "bacteria" else 0.75 * radius)[:, None] * mothers.axes
    share = np.clip(1 + 0.06 * rng.normal(size=count), 0.85, 1.15)
    daughters = []
    for number, side in enumerate((-1, 1)):
        axes = mothers.axes + 0.1 * rng.normal(size=mothers.axes.shape)
        if spec.kind == "nuclei":
            # Plates of chromosomes face each other.
            axes = _directions(rng, count, axes.shape[1])
            axes -= (axes * mothers.axes).sum(axis=1, keepdims=True) * mothers.axes
        axes /= np.maximum(np.linalg.norm(axes, axis=1, keepdims=True), 1e-9)
        daughters.append(
            replace(
                mothers,
                ids=last + 1 + number * count + np.arange(count),
                mothers=mothers.ids,
                places=mothers.places + side * half,
                axes=axes,
                pace=0.5 * mothers.pace + side * 0.15 * half,
                age=np.zeros(count),
                cycle=_cycles(rng, spec, count),
                size=mothers.size * (share if side > 0 else 2 - share),
            )
        )
    return cells.take(~ripe).join(daughters[0]).join(daughters[1]), last + 2 * count


def _push(cells: Cells, spec: MovieSpec, size: Floats) -> Cells:
    """Push apart what overlaps; rods turn as they are pushed."""
    if len(cells) < 2:
        return cells
    radius, length = cells.rods(spec)
    beads = _BEADS if spec.kind == "bacteria" else 1
    along = np.linspace(-0.5, 0.5, beads) if beads > 1 else np.zeros(1)
    owner, arm = np.repeat(np.arange(len(cells)), beads), np.tile(along, len(cells)) * np.repeat(length, beads)
    places, axes = cells.places.copy(), cells.axes.copy()
    reach = np.repeat(radius * (1.0 if beads > 1 else 1.12), beads)
    for _ in range(_ROUNDS):
        points = places[owner] + arm[:, None] * axes[owner]
        pairs = KDTree(points).query_pairs(2 * float(reach.max()), output_type="ndarray")
        pairs = pairs[owner[pairs[:, 0]] != owner[pairs[:, 1]]]
        apart = points[pairs[:, 0]] - points[pairs[:, 1]]
        distance = np.maximum(np.linalg.norm(apart, axis=1), 1e-6)
        deep = reach[pairs[:, 0]] + reach[pairs[:, 1]] - distance
        hit = deep > 0
        if not hit.any():
            break
        push = (0.35 / beads**0.5 * deep[hit] / distance[hit])[:, None] * apart[hit]
        for side, sign in ((0, 1), (1, -1)):
            who, force = owner[pairs[hit, side]], sign * push
            np.add.at(places, who, force)
            lever = arm[pairs[hit, side]] / np.maximum(length[who], 1e-6) ** 2
            np.add.at(axes, who, lever[:, None] * force)
        axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    # A slice is as thin as it is: nothing leaves it along z.
    inside = np.arange(len(size)) < len(size) - 2
    places[:, inside] = np.clip(places[:, inside], 0, size[inside] - 1)
    return replace(cells, places=places, axes=axes)
