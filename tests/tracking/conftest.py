"""A movie of disks that move, divide, enter, leave and hide, with its truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest


@dataclass
class Movie:
    """Labels whose ids are shuffled in every frame, and the links between ``(t, label)``."""

    labels: npt.NDArray[np.uint16]
    links: set[tuple[tuple[int, int], tuple[int, int]]] = field(default_factory=set)


def simulate(frames: int = 16, ndim: int = 2, edge: int = 200, speed: float = 2.0, seed: int = 0) -> Movie:
    """Simulate.

    Every object has a square (cube) of 40 pixels for itself, so that the truth is never in doubt. Of five, the second
    divides, the third enters and leaves, and the fourth hides for one or two frames.
    """
    rng = np.random.default_rng(seed)
    shape = (40 * (ndim == 3),) * (ndim - 2) + (edge, edge)
    made = Movie(np.zeros((frames, *shape), np.uint16))
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    homes = [np.array((20,) * (ndim - 2) + at) for at in np.ndindex(edge // 40, edge // 40)]
    last: dict[tuple[int, str], tuple[int, int]] = {}
    names: list[list[int]] = [list(rng.permutation(np.arange(1, 4 * len(homes)))) for _ in range(frames)]
    for i, home in enumerate(homes):
        home[-2:] = 40 * home[-2:] + 20
        place, kind, radius = home.astype(float), i % 5, rng.uniform(6.5, 8)
        event = int(rng.integers(4, frames - 4))
        hidden = range(event, event + 1 + i // 5 % 2)
        apart = np.zeros(ndim)
        apart[-2 + i // 5 % 2] = 1
        for t in range(frames):
            place = home + np.clip(place + rng.normal(0, speed / 2, ndim) - home, -6, 6)
            if (kind == 2 and not 2 <= t < frames - 3) or (kind == 3 and t in hidden):
                continue
            bodies = {"": (place, radius)}
            if kind == 1 and t >= event:
                gap = min(5.5 + 1.5 * (t - event), 9) * apart
                bodies = {"a": (place - gap, 0.7 * radius), "b": (place + gap, 0.7 * radius)}
            for name, (center, size) in bodies.items():
                label = int(names[t].pop())
                box = tuple(slice(max(0, int(c) - 9), int(c) + 11) for c in center)
                made.labels[t][box][np.linalg.norm(grid[box] - center, axis=-1) < size] = label
                before = last.get((i, name), last.get((i, "")))
                if before is not None:
                    made.links.add((before, (t, label)))
                last[i, name] = (t, label)
    return made


@pytest.fixture(scope="session")
def movie() -> Callable[..., Movie]:
    """Return the simulator."""
    return simulate
