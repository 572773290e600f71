"""Random changes of geometry and intensity, each patch resampled once.

Elastic deformation as in Ronneberger et al. 2015, section 3.1: random displacements on a coarse grid, interpolated
bicubically (trilinearly in 3D), fused here with rotation, scale and mirroring into a single sampling grid.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from ..core.specs import AugmentSpec

__all__ = ["place_patch", "recolor", "sampling_grid"]


def sampling_grid(
    shape: tuple[int, ...],
    edge: int | tuple[int, ...],
    zoom: float | tuple[float, ...],
    spec: AugmentSpec | None,
    rng: np.random.Generator,
    middle: npt.NDArray[np.float64] | None = None,
) -> torch.Tensor:
    """Return where a random patch takes its pixels from.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of the image.
    edge : int or tuple of int
        Edges of the patch, pixels.
    zoom : float or tuple of float
        Patch pixels for one image pixel, along each axis where they differ.
    spec : AugmentSpec or None
        None: a plain crop.
    rng : numpy.random.Generator
        Source of randomness.
    middle : ndarray of float, optional
        Where the middle of the patch is, pixels of the image; by default anywhere, see :func:`place_patch`.

    Returns
    -------
    Tensor
        Float32 ``(edge, ..., edge, ndim)`` in the order and units of ``grid_sample`` (x first, -1 to 1).
    """
    ndim = len(shape)
    edges = (edge,) * ndim if isinstance(edge, int) else edge
    lines = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in edges), indexing="ij")
    if spec is not None and spec.elastic > 0:
        lines = tuple(line + bent for line, bent in zip(lines, _elastic(edges, spec, rng), strict=True))
    matrix = np.eye(ndim)
    if spec is not None and spec.rotate:
        matrix = _rotation(ndim, spec, rng)
    zooms = (zoom,) * ndim if isinstance(zoom, int | float) else zoom
    place = place_patch(shape, edges, zooms, rng) if middle is None else middle
    points = []
    # Axis by axis: what lies side by side in memory is many times faster.
    for row, own_zoom, start, length in zip(matrix, zooms, place.tolist(), shape, strict=True):
        shares = [(2 * float(share) / own_zoom / length, line) for share, line in zip(row, lines, strict=True) if share]
        own = shares[0][1] * shares[0][0]
        for share, line in shares[1:]:
            own = own.add_(line, alpha=share)
        points.append(own.add_(2 * start / length - 1))
    return torch.stack(points[::-1], -1)


def place_patch(
    shape: tuple[int, ...],
    edges: tuple[int, ...],
    zooms: tuple[float, ...],
    rng: np.random.Generator,
    wanted: npt.NDArray[np.float64] | None = None,
) -> npt.NDArray[np.float64]:
    """Return where the middle of a patch lies: anywhere where it still shows mostly image.

    Parameters
    ----------
    shape : tuple of int
        Spatial shape of the image.
    edges : tuple of int
        Edges of what the network sees, pixels of the patch.
    zooms : tuple of float
        Patch pixels for one image pixel.
    rng : numpy.random.Generator
        Source of randomness.
    wanted : ndarray of float, optional
        Where it is to be, pixels of the image; the result is as near as may be.

    Returns
    -------
    ndarray of float
        Pixels of the image. Up to a tenth of the patch lies outside on a side, so that borders are seen often.
    """
    half = np.minimum(0.4 * np.array(edges) / np.array(zooms), np.array(shape) / 2)
    return np.clip(wanted, half, shape - half) if wanted is not None else rng.uniform(half, shape - half)


def _rotation(ndim: int, spec: AugmentSpec, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Rotate in the last two axes (the plane in which microscopes are isotropic) and mirror."""
    angle, stretch = rng.uniform(-np.pi, np.pi) * spec.angle / 180, 2 ** (0.1 * rng.standard_normal())
    matrix = np.eye(ndim)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[-2:, -2:] = turn @ np.diag([stretch, 1 / stretch])
    signs = rng.choice([-1.0, 1.0], ndim)
    signs[[axis not in spec.mirror for axis in "zyx"[-ndim:]]] = 1
    return np.asarray(matrix * signs)


def _elastic(edges: tuple[int, ...], spec: AugmentSpec, rng: np.random.Generator) -> torch.Tensor:
    ndim, coarse = len(edges), [max(edge // spec.elastic_grid, 1) + 2 for edge in edges]
    # Uniformly random strength: most patches keep natural shapes, some are bent as far as the spec allows.
    strength = spec.elastic * rng.uniform(0, 1)
    field = torch.from_numpy((strength * rng.standard_normal((ndim, *coarse))).astype(np.float32))
    for axis, (n, knots) in enumerate(zip(edges, coarse, strict=True), 1):
        field = (_curve(n, knots, cubic=ndim == 2) @ field.movedim(axis, -2)).movedim(-2, axis)
    return field


@lru_cache
def _curve(points: int, knots: int, *, cubic: bool) -> torch.Tensor:
    """Return how much every knot says at every point of a line, ``(points, knots)``."""
    alone, mode = torch.eye(knots)[None, None], "bicubic" if cubic else "bilinear"
    return functional.interpolate(alone, size=(knots, points), mode=mode, align_corners=True)[0, 0].T.contiguous()


def recolor(image: torch.Tensor, channels: int, spec: AugmentSpec | None, rng: np.random.Generator) -> torch.Tensor:
    """Change intensities and bring the patch to the network's number of channels.

    Parameters
    ----------
    image : Tensor
        ``(c, *s)`` float32, about 0 to 1.
    channels : int
        Wanted channels; a single one is repeated.
    spec : AugmentSpec or None
        None: no change.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Tensor
        ``(channels, *s)`` float32.
    """
    if spec is not None:
        image = _mix(image, spec, rng)
        image = _blur(image, spec.blur * rng.uniform(0, 1)) if rng.random() < 0.3 else image
        image = _coarser(image, rng.uniform(0.5, 1)) if rng.random() < spec.low_resolution else image
        image = _tone(image, spec, rng)
        if rng.random() < 0.5:
            strength = float(spec.noise * rng.uniform(0, 1) ** 2)
            # Drawn where the image is: of all random numbers only these are many.
            source = torch.Generator(image.device).manual_seed(int(rng.integers(2**63)))
            image = torch.randn(image.shape, generator=source, device=image.device).mul_(strength).add_(image)
        if spec.drop_bands and image.shape[0] > 1:
            image = _dropped(image, spec.drop_bands, rng)
    return image.expand(channels, *image.shape[1:]) if image.shape[0] == 1 else image


def _dropped(image: torch.Tensor, chance: float, rng: np.random.Generator) -> torch.Tensor:
    """Let channels be missing: 0 is what one without contrast, or that is not there, is normalized to."""
    kept = rng.random(image.shape[0]) >= chance
    kept[rng.integers(image.shape[0])] = True
    return image * _column(kept, image)


def _mix(image: torch.Tensor, spec: AugmentSpec, rng: np.random.Generator) -> torch.Tensor:
    if image.shape[0] > 1 and rng.random() < spec.gray:
        share = torch.from_numpy(rng.dirichlet([2.0] * image.shape[0]).astype(np.float32)).to(image.device)
        image = torch.einsum("c,c...->...", share, image)[None]
    elif image.shape[0] > 1 and rng.random() < spec.shuffle:
        image = image[rng.permutation(image.shape[0]).tolist()]
    return 1 - image if rng.random() < spec.invert else image


def _tone(image: torch.Tensor, spec: AugmentSpec, rng: np.random.Generator) -> torch.Tensor:
    """Gamma, contrast, brightness and an uneven illumination, each channel a little differently."""
    sides = [1] * (image.ndim - 1)
    power = 2 ** (spec.gamma * rng.uniform(-1, 1) + min(0.1, spec.gamma) * rng.standard_normal(image.shape[0]))
    # Gamma acts on what lies inside the unit range; the rest keeps its distance from it.
    core = image.clamp(0, 1)
    image = core ** _column(power, image) + (image - core)
    gain = 1 + spec.contrast * rng.uniform(-1, 1) + 0.1 * spec.contrast * rng.standard_normal(image.shape[0])
    lift = 0.5 * spec.contrast * rng.uniform(-1, 1, image.shape[0])
    image = image * _column(gain, image) + _column(lift, image)
    if rng.random() < 0.25:
        knots = torch.from_numpy(rng.uniform(1 - spec.contrast, 1 + spec.contrast, (1, 1, *[3] * len(sides))))
        mode = {2: "bilinear", 3: "trilinear"}[len(sides)]
        shade = functional.interpolate(
            knots.float().to(image.device), size=image.shape[1:], mode=mode, align_corners=True
        )
        image = image * shade[0]
    return image


def _column(values: npt.NDArray[Any], image: torch.Tensor) -> torch.Tensor:
    """Return one value a channel, to be multiplied or added."""
    return torch.tensor(values, dtype=torch.float32, device=image.device).reshape(-1, *[1] * (image.ndim - 1))


def _coarser(image: torch.Tensor, share: float) -> torch.Tensor:
    """Show an image as it looks at a lower resolution (nnU-Net's simulation of it, Isensee et al. 2021)."""
    size = [max(1, round(n * share)) for n in image.shape[1:]]
    mode = {2: "bilinear", 3: "trilinear"}[image.ndim - 1]
    small = functional.interpolate(image[None], size=size, mode="area")
    return functional.interpolate(small, size=image.shape[1:], mode=mode, align_corners=False)[0]


def _blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    radius = max(int(np.ceil(2.5 * sigma)), 1)
    line = torch.arange(-radius, radius + 1, dtype=torch.float32, device=image.device)
    kernel = torch.exp(-0.5 * (line / max(sigma, 1e-3)) ** 2)
    kernel = kernel / kernel.sum()
    ndim = image.ndim - 1
    conv = {2: functional.conv2d, 3: functional.conv3d}[ndim]
    x = image[:, None]
    for axis in range(ndim):
        size = [1] * ndim
        size[axis] = len(kernel)
        pad = [0] * (2 * ndim)
        pad[2 * (ndim - 1 - axis)] = pad[2 * (ndim - 1 - axis) + 1] = radius
        x = conv(functional.pad(x, pad, mode="replicate"), kernel.reshape(1, 1, *size))
    return x[:, 0]
