"""How the contracting path joins the expansive one: choices of ``NetSpec.skip``."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import nn
from torch.nn import functional

from ..core.specs import NetSpec
from ._blocks import conv, crop
from ._reach import stride

__all__ = ["Gate", "Join"]

_LANES: Final = 64  # values that a processor's vector instructions take together, at most


class Join(nn.Module):
    """Join the features of the contracting path with those from below.

    Parameters
    ----------
    spec : NetSpec
        Kind of skip.
    level : int
        The level that is joined; the finest is 0.
    left, gating : int
        Features of the contracting path, and of the level below before they are brought up.
    """

    def __init__(self, spec: NetSpec, level: int, left: int, gating: int) -> None:
        super().__init__()
        self.added, self.cropped = spec.skip == "add", spec.padding == "valid"
        # Oktay et al. 2018, section 2: the first skip is not gated, its features say too little.
        self.gate = Gate(spec, level, left, gating) if spec.skip == "attention" and level else None

    def forward(self, left: torch.Tensor, up: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        """Join ``(b, left, *s)`` with ``(b, c, *s)``, which is `below` brought up."""
        if self.cropped:
            left = crop(left, up)
        if self.gate is not None:
            left = left * self.gate(left, below)
        return left + up if self.added else torch.cat([left, up], 1)

    def sources(self, radius: int, axis: int) -> tuple[int, int]:
        """Return how far away lies what is needed of the contracting path and, besides what is brought up, from below.

        Parameters
        ----------
        radius : int
            Of what is joined.
        axis : int
            Spatial axis.

        Returns
        -------
        tuple of int
            Pixels of the finer and of the coarser level.
        """
        return (radius, 0) if self.gate is None else self.gate.sources(radius, axis)


class Gate(nn.Module):
    """The additive attention gate of Oktay et al. 2018, eq. 1 and Fig. 2.

    The coarser level says where the finer one is worth looking at: a factor of 0 to 1 for every pixel, computed on the
    coarser grid and interpolated. It looks at nothing but its neighborhood, so it is the same for every tile.

    Parameters
    ----------
    spec : NetSpec
        Dimensions and strides.
    level : int
        The finer level.
    left, gating : int
        Features of the finer and of the coarser level.
    """

    def __init__(self, spec: NetSpec, level: int, left: int, gating: int) -> None:
        super().__init__()
        self.steps = stride(spec, level + 1)
        self.theta = conv((left, left), (1,) * spec.ndim, self.steps, bias=False)
        self.phi = conv((gating, left), (1,) * spec.ndim)
        self.psi = conv((left, 1), (1,) * spec.ndim)

    def forward(self, left: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        """Return the factors ``(b, 1, *s)`` of `left` ``(b, features, *s)``."""
        weight = _sigmoid(self.psi(torch.relu(self.theta(left) + self.phi(below))))
        for axis, step in enumerate(self.steps):
            weight = _interpolated(weight, axis + 2, step)
        return weight

    def sources(self, radius: int, axis: int) -> tuple[int, int]:
        """Return how far away lies what is needed of the finer and of the coarser level."""
        step = self.steps[axis]
        # A fine pixel p lies at (p + 1/2) / step - 1/2 of the coarser grid, between two of its pixels.
        coarse = max(-((2 * (p - radius) + 1 - step) // (2 * step)) for p in range(step))
        coarse = max(coarse, -((step - 1 - 2 * (step - 1 + radius)) // (2 * step)))
        return max(radius, step * coarse + step - 1), coarse


def _sigmoid(x: torch.Tensor) -> torch.Tensor:
    """Return the sigmoid, rounded alike wherever a value stands.

    On a processor torch computes the last values of a tensor one by one, by another formula than those that fill its
    vector instructions. So the tensor is filled up.
    """
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    exported = tracing or torch.compiler.is_compiling()
    if x.device.type != "cpu" or torch.is_grad_enabled() or exported:
        return torch.sigmoid(x)
    count = x.numel()
    filled = functional.pad(x.flatten(), (0, -count % _LANES))
    return torch.sigmoid(filled)[:count].reshape(x.shape)


def _interpolated(x: torch.Tensor, axis: int, step: int) -> torch.Tensor:
    """Make one axis `step` times as long, linearly, with weights that depend on nothing but the place within a step."""
    if step == 1:
        return x
    count = x.shape[axis]
    wide = torch.cat([x.narrow(axis, 0, 1), x, x.narrow(axis, count - 1, 1)], axis)
    parts = []
    for phase in range(step):
        at = (phase + 0.5) / step + 0.5  # on `wide`, counted from the pixel before
        low = math.floor(at)
        here, there = wide.narrow(axis, low, count), wide.narrow(axis, low + 1, count)
        parts.append(here * (1 - at + low) + there * (at - low) if at > low else here)
    return torch.stack(parts, axis + 1).flatten(axis, axis + 1)
