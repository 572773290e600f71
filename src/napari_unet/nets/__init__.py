"""Networks: a file is an architecture, and every file offers ``build``, ``halo`` and ``multiple`` of a ``NetSpec``.

``build`` returns a torch module from ``(b, inputs, *spatial)`` to ``(b, outputs, *spatial)`` of raw scores; in training
it may return a list of such scores, the finest first (deep supervision), and less than it is given (no padding).
``halo`` and ``multiple`` say how much context a pixel needs and what grid tiles must sit on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..core.registry import load

if TYPE_CHECKING:
    from torch import nn

    from ..core.specs import NetSpec

__all__ = ["build", "halo", "multiple", "patch"]


def build(spec: NetSpec) -> nn.Module:
    """Build the network that `spec` describes, freshly initialized.

    Parameters
    ----------
    spec : NetSpec
        Architecture and sizes.

    Returns
    -------
    torch.nn.Module
        Maps ``(b, inputs, *spatial)`` to ``(b, outputs, *spatial)``.

    Raises
    ------
    RegistryError
        If the architecture is unknown.
    SpecError
        If choices of the spec do not go together.
    """
    module: nn.Module = load("nets", spec.architecture).build(spec)
    return module


def halo(spec: NetSpec) -> int | tuple[int, ...]:
    """Return how far a score looks, in pixels, one number for each axis where they differ."""
    found: int | tuple[int, ...] = load("nets", spec.architecture).halo(spec)
    return found


def multiple(spec: NetSpec) -> int | tuple[int, ...]:
    """Return the spacing of the grid that tiles start on, in pixels, one number for each axis where they differ."""
    found: int | tuple[int, ...] = load("nets", spec.architecture).multiple(spec)
    return found


def patch(spec: NetSpec, wanted: int) -> int:
    """Return the smallest edge from `wanted` on that the network can be trained on, in pixels."""
    module = load("nets", spec.architecture)
    if hasattr(module, "patch"):
        return int(module.patch(spec, wanted))
    step = multiple(spec)
    every = step if isinstance(step, int) else math.lcm(*step)
    return -(-wanted // every) * every
