"""Pictures and masks of simulated cells, one frame at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ._cells import Cells
from .movie_spec import MovieSpec

__all__ = ["draw_image", "draw_labels"]

_OFFSET: Final = 200.0
_GAIN: Final = 12.0
_PHOTONS: Final = 110.0
_READ_NOISE: Final = 0.8  # photons

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


def draw_labels(cells: Cells, spec: MovieSpec) -> tuple[Labels, Floats]:
    """Draw masks: each pixel belongs to the cell that it is deepest in.

    Parameters
    ----------
    cells : Cells
        At one time.
    spec : MovieSpec
        Settings.

    Returns
    -------
    labels : ndarray of int32
        The numbers of cells.
    depth : ndarray of float32
        0 in the middle of a cell, 1 at its rim and outside.
    """
    labels, depth = np.zeros(spec.shape, np.int32), np.ones(spec.shape, np.float32)
    radius, length = cells.rods(spec)
    rows = zip(cells.ids.tolist(), cells.places, cells.axes, radius.tolist(), length.tolist(), strict=True)
    for name, place, axis, r, long in rows:
        reach = 1.25 * r + long / 2 + 1
        low = np.maximum(np.floor(place - reach), 0).astype(int)
        high = np.minimum(np.ceil(place + reach) + 1, spec.shape).astype(int)
        if (low >= high).any():
            continue
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        sides = [np.arange(a, b, dtype=np.float32) - np.float32(c) for a, b, c in zip(low, high, place, strict=True)]
        own = _depth(sides, axis, r, long, np.random.default_rng([spec.seed, 2, name]) if _bumpy(spec) else None)
        better = own < depth[window]
        labels[window][better] = name
        depth[window][better] = own[better]
    return labels, depth


def _bumpy(spec: MovieSpec) -> bool:
    return spec.kind == "nuclei"


def _depth(
    sides: list[Floats], axis: npt.NDArray[np.float64], radius: float, length: float, rng: np.random.Generator | None
) -> Floats:
    """Distance from the middle line of a rod, in radii; of a nucleus with a rim that is not quite round."""
    ndim = len(sides)
    grid = [side.reshape([-1 if i == k else 1 for i in range(ndim)]) for k, side in enumerate(sides)]
    along = sum(np.float32(a) * g for a, g in zip(axis, grid, strict=True))
    on = np.clip(along, -length / 2, length / 2)
    away = [g - on * np.float32(a) for a, g in zip(axis, grid, strict=True)]
    distance: Floats = np.sqrt(sum(part**2 for part in away))
    if rng is not None:
        span = np.maximum(np.sqrt(sum(g**2 for g in grid)), np.float32(1e-6))
        for order in (2, 3):
            # A wave around the cell that turns with its axis.
            turn = axis[[*range(1, ndim), 0]] * np.where(np.arange(ndim) == ndim - 1, -1, 1)
            mix = rng.normal(size=2)
            mix /= np.linalg.norm(mix)
            cosine = (
                sum(np.float32(mix[0] * a + mix[1] * b) * g for a, b, g in zip(axis, turn, grid, strict=True)) / span
            )
            wave = 2 * cosine**2 - 1 if order == 2 else 4 * cosine**3 - 3 * cosine
            distance = np.asarray(distance * (1 - np.float32(0.05 * rng.normal()) * wave), np.float32)
    return np.asarray(distance / np.float32(radius), np.float32)


def draw_image(cells: Cells, spec: MovieSpec, labels: Labels, depth: Floats, t: int) -> npt.NDArray[np.uint16]:
    """Draw what a microscope sees of the cells.

    Parameters
    ----------
    cells : Cells
        At one time.
    spec : MovieSpec
        Settings.
    labels, depth : ndarray
        See :func:`draw_labels`.
    t : int
        Frame.

    Returns
    -------
    ndarray of uint16
        The picture.
    """
    rng = np.random.default_rng([spec.seed, 3, t])
    ids = np.concatenate([[0], cells.ids])
    order = np.argsort(ids)
    which = order[np.searchsorted(ids[order], labels)]
    # A number of its own for each cell that stays the same: how much stain it took up.
    stain = np.exp(0.3 * (np.modf(np.sin(ids * 12.9898) * 43758.5453)[0] * 2)).astype(np.float32)
    bright = 1 + 0.9 * np.concatenate([[0], cells.condensed() + np.clip(1 - cells.left / 3, 0, 1)])
    light = (stain * bright.astype(np.float32))[which] * (labels > 0)
    blur = [2.2 * spec.blur] * (labels.ndim - 2) + [spec.blur] * 2
    if spec.kind == "nuclei":
        thick = 0.45 + 0.55 * np.sqrt(np.maximum(0, 1.04 - depth**2))
        grain = ndimage.gaussian_filter(rng.normal(size=labels.shape).astype(np.float32), spec.diameter / 12)
        seen = ndimage.gaussian_filter(light * thick * np.exp(0.2 * grain / max(float(grain.std()), 1e-6)), blur)
        seen = 0.9 * seen + 0.12 * ndimage.uniform_filter(light, max(3, round(2 * spec.diameter))) + 0.05
    else:
        # Phase contrast: dark bodies with a bright halo.
        body = ndimage.gaussian_filter((labels > 0) * (0.75 + 0.25 * (1 - depth)), blur)
        halo = ndimage.gaussian_filter(body, 0.45 * spec.diameter) - 0.5 * body
        seen = np.maximum(1.6 - 1.1 * body + 0.9 * np.maximum(halo, 0), 0.05)
    fade = (1 - spec.bleaching) ** (t / max(1, spec.frames - 1)) if spec.kind == "nuclei" else 1.0
    photons = _PHOTONS * fade * _lamp(labels.shape) * seen
    if spec.noise:
        photons = rng.poisson(photons / spec.noise**2) * spec.noise**2
        photons = photons + rng.normal(0, _READ_NOISE * spec.noise, labels.shape)
    return np.asarray(np.clip(np.rint(_OFFSET + _GAIN * photons), 0, 65535), np.uint16)


def _lamp(shape: tuple[int, ...]) -> Floats:
    """Light that is a little weaker at the rims of the picture."""
    ramps = [np.linspace(-1, 1, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32) for n in shape[-2:]]
    return np.asarray(1 - 0.1 * (ramps[0][:, None] ** 2 + ramps[1][None] ** 2), np.float32)
