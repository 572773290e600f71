"""Simulated fluorescence pictures of nuclei with their truth, in 2D and 3D."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_unet.core.errors import SpecError

__all__ = ["nuclei"]

_OFFSET: Final = 200.0
_GAIN: Final = 12.0
_PHOTONS: Final = 110.0
_READ_NOISE: Final = 10.0
_TRIES: Final = 30
_CLUSTERED: Final = 0.55
_KEEP: Final = 0.6

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]


def nuclei(
    shape: Sequence[int] = (512, 512),
    count: int = 120,
    diameter: float = 24.0,
    seed: int = 0,
    noise: float = 1.0,
    spread: float = 0.18,
) -> tuple[npt.NDArray[np.uint16], Labels]:
    """Simulate a fluorescence picture of stained nuclei.

    Nuclei are ellipses (ellipsoids) with smooth bumps, partly in clusters; they may touch but not overlap, and a
    later one yields to those before. Inside they have chromatin texture, nucleoli and less light at the rim. The
    light is blurred by a microscope (more along z), spread as haze, unevenly lit and counted with Poisson and read
    noise.

    Parameters
    ----------
    shape : sequence of int
        ``(y, x)`` or ``(z, y, x)`` in pixels.
    count : int
        Number of nuclei wanted; fewer where there is no room.
    diameter : float
        Median diameter in pixels, at least 4.
    seed : int
        The same seed and settings give the same picture.
    noise : float
        0 for none, 1 for a good and 4 for a poor camera picture.
    spread : float
        Standard deviation of the logarithm of the diameters, 0 to 1.

    Returns
    -------
    image : ndarray of uint16
        The picture.
    labels : ndarray of int32
        The truth: 0 is background, nuclei are numbered from 1 without gaps.

    Raises
    ------
    SpecError
        If a setting is out of range.
    """
    size = tuple(int(n) for n in shape)
    if len(size) not in (2, 3) or min(size) < 1:
        raise SpecError(f"The shape must be (y, x) or (z, y, x) of at least 1 pixel each, not {tuple(shape)}.")
    if count < 0 or not (diameter >= 4 and noise >= 0 and 0 <= spread <= 1 and math.isfinite(diameter + noise)):
        raise SpecError(
            f"Nuclei need count >= 0, diameter >= 4, noise >= 0 and spread from 0 to 1; "
            f"got count={count}, diameter={diameter}, noise={noise}, spread={spread}."
        )
    rng = np.random.default_rng(seed)
    light, labels = np.zeros(size, np.float32), np.zeros(size, np.int32)
    texture = _texture(rng, len(size), diameter)
    for nucleus in _place(rng, labels, count, diameter, spread):
        light[nucleus.window] += _stain(rng, nucleus, texture)
    return _expose(rng, light, diameter, noise), labels


@dataclass(frozen=True)
class _Nucleus:
    """A drawn nucleus: where, which pixels of the window, how far from center (0) to rim (1), and its radius."""

    window: tuple[slice, ...]
    mask: npt.NDArray[np.bool_]
    depth: Floats
    radius: float


def _place(rng: np.random.Generator, labels: Labels, count: int, diameter: float, spread: float) -> Iterator[_Nucleus]:
    """Draw nuclei into `labels`, one by one, and yield them."""
    placed: list[tuple[npt.NDArray[np.float64], float]] = []
    for _ in range(count):
        for _ in range(_TRIES):
            radius = diameter / 2 * float(np.clip(np.exp(spread * rng.normal()), 0.45, 2.2))
            center = _site(rng, labels.shape, radius, placed)
            nucleus = _draw(rng, labels, center, radius)
            if nucleus is not None:
                placed.append((center, radius))
                labels[nucleus.window][nucleus.mask] = len(placed)
                yield nucleus
                break


def _site(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    radius: float,
    placed: list[tuple[npt.NDArray[np.float64], float]],
) -> npt.NDArray[np.float64]:
    """Choose a center: anywhere, or beside a nucleus so that clusters grow."""
    if placed and rng.random() < _CLUSTERED:
        neighbor, other = placed[int(rng.integers(len(placed)))]
        return neighbor + _direction(rng, len(shape)) * (radius + other) * rng.uniform(0.88, 1.12)
    return rng.uniform(0, 1, len(shape)) * shape


def _direction(rng: np.random.Generator, ndim: int) -> npt.NDArray[np.float64]:
    vector = rng.normal(size=ndim)
    unit: npt.NDArray[np.float64] = vector / np.linalg.norm(vector)
    return unit


def _draw(rng: np.random.Generator, labels: Labels, center: npt.NDArray[np.float64], radius: float) -> _Nucleus | None:
    """Shape a nucleus in a window of `labels`; None if too little of it would be left."""
    ndim, reach = labels.ndim, 1.75 * radius
    if (center < 0).any() or (center >= labels.shape).any() or labels[tuple(center.astype(int))]:
        return None
    low = np.maximum(0, np.floor(center - reach)).astype(int)
    high = np.minimum(labels.shape, np.ceil(center + reach) + 1).astype(int)
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    free = labels[window] == 0
    distance, unit = _ellipsoid(rng, window, center, radius)
    if not _enough(free & (distance <= 1), distance <= 1):
        return None
    # Harmonics of the direction bend the outline smoothly: low ones strongly, high ones a little.
    rim = np.ones_like(distance)
    for order in (2, 2, 3, 3, 4, 5):
        along = np.tensordot(_direction(rng, ndim).astype(np.float32), unit, axes=1)
        before, wave = along, 2 * along**2 - 1
        for _ in range(order - 2):
            # cos(k a) from cos(a): the recurrence of the Chebyshev polynomials.
            before, wave = wave, 2 * along * wave - before
        rim += np.float32(0.16 / order**1.5 * rng.normal()) * wave
    depth = (distance / np.maximum(rim, np.float32(0.4))).astype(np.float32, copy=False)
    whole = depth <= 1
    mask = free & whole
    pieces, found = ndimage.label(mask)
    if found > 1:
        mask = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    return _Nucleus(window, mask, depth, radius) if _enough(mask, whole) else None


def _enough(mask: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]) -> bool:
    return bool(mask.sum() >= max(4, _KEEP * whole.sum()))


def _ellipsoid(
    rng: np.random.Generator, window: tuple[slice, ...], center: npt.NDArray[np.float64], radius: float
) -> tuple[Floats, Floats]:
    """Distance from the center (1 on an ellipse or ellipsoid turned at random), and the unit direction."""
    ndim = len(window)
    stretch = np.exp(rng.normal(0, 0.13, ndim))
    stretch /= stretch.prod() ** (1 / ndim)
    turn = np.linalg.qr(rng.normal(size=(ndim, ndim)))[0] / (radius * stretch[:, None])
    sides = (np.arange(part.start, part.stop) - c for part, c in zip(window, center, strict=True))
    grid = np.stack(np.meshgrid(*sides, indexing="ij")).astype(np.float32)
    points = np.tensordot(turn.astype(np.float32), grid, axes=1)
    distance = np.sqrt((points**2).sum(axis=0)).astype(np.float32, copy=False)
    return distance, (points / np.maximum(distance, np.float32(1e-6))).astype(np.float32, copy=False)


def _texture(rng: np.random.Generator, ndim: int, diameter: float) -> Floats:
    """Make a block of chromatin texture (mean 1) that continues across its edges."""
    edge = min(512, 8 * math.ceil(diameter)) if ndim == 2 else min(96, 3 * math.ceil(diameter))
    total = np.zeros((edge,) * ndim, np.float32)
    for sigma, amount in ((diameter / 18, 0.16), (diameter / 7, 0.2)):
        layer = ndimage.gaussian_filter(rng.normal(size=total.shape).astype(np.float32), sigma, mode="wrap")
        total += amount * layer / layer.std()
    return np.exp(total).astype(np.float32)


def _stain(rng: np.random.Generator, nucleus: _Nucleus, texture: Floats) -> Floats:
    """Light of one nucleus in its window, before the microscope."""
    shape, depth = nucleus.mask.shape, nucleus.depth
    start = rng.integers(texture.shape[0], size=len(shape))
    index = np.ix_(*((np.arange(n) + s) % texture.shape[0] for n, s in zip(shape, start, strict=True)))
    # A nucleus is thinner at its rim; a widefield picture sums over its thickness.
    thickness = np.sqrt(np.maximum(0.0, 1.04 - depth**2))
    light = (0.45 + 0.55 * thickness) * texture[index] * float(np.exp(rng.normal(0, 0.35)))
    grid = np.indices(shape, dtype=np.float32)
    inner = np.argwhere(nucleus.mask & (depth < 0.7))
    for _ in range(int(rng.integers(0, 4)) if len(inner) else 0):
        spot = inner[int(rng.integers(len(inner)))].reshape(-1, *(1,) * len(shape))
        width = nucleus.radius * rng.uniform(0.1, 0.2)
        light *= 1 - rng.uniform(0.3, 0.65) * np.exp(-((grid - spot) ** 2).sum(axis=0) / (2 * width**2))
    stained: Floats = np.where(nucleus.mask, light, 0).astype(np.float32)
    return stained


def _expose(rng: np.random.Generator, light: Floats, diameter: float, noise: float) -> npt.NDArray[np.uint16]:
    """Blur, light and count."""
    blur = max(0.7, diameter / 26)
    sharp = ndimage.gaussian_filter(light, [2.2 * blur] * (light.ndim - 2) + [blur] * 2)
    # Three box filters are nearly a Gaussian, at a cost that does not grow with its width.
    haze = light
    for _ in range(3):
        haze = ndimage.uniform_filter(haze, max(3, round(diameter * 1.3)))
    field = np.ones(light.shape, np.float32)
    for axis, n in enumerate(light.shape[-2:], start=light.ndim - 2):
        ramp = np.linspace(-1, 1, n, dtype=np.float32) if n > 1 else np.zeros(1, np.float32)
        bowl = 1 - rng.uniform(0.05, 0.22) * (ramp - rng.uniform(-0.4, 0.4)) ** 2 + rng.uniform(-0.1, 0.1) * ramp
        field *= bowl.reshape([-1 if i == axis else 1 for i in range(light.ndim)])
    photons = _PHOTONS * field * (0.86 * sharp + 0.2 * haze + 0.05)
    if noise > 0:
        # Fewer photons at the same brightness: relative noise grows in proportion.
        photons = rng.poisson(photons / noise**2).astype(np.float32) * noise**2
        photons += rng.normal(0, _READ_NOISE / _GAIN * noise, light.shape).astype(np.float32)
    counted: npt.NDArray[np.uint16] = np.clip(np.rint(_OFFSET + _GAIN * photons), 0, 65535).astype(np.uint16)
    return counted
