"""Networks: a file is an architecture, and every file offers ``build(spec)`` and ``halo(spec)``.

``build`` returns a torch module from ``(b, inputs, *spatial)`` to ``(b, outputs, *spatial)`` of raw scores;
``halo`` and ``multiple`` say how much context a pixel needs and what grid tiles must sit on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.registry import load

if TYPE_CHECKING:
    from torch import nn

    from ..core.specs import NetSpec

__all__ = ["build", "halo", "multiple"]


def build(spec: NetSpec) -> nn.Module:
    """Build the network that `spec` describes, freshly initialised.

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
    """
    module: nn.Module = load("nets", spec.architecture).build(spec)
    return module


def halo(spec: NetSpec) -> int:
    """Return how far a score looks, in pixels; see the architecture's own ``halo``."""
    return int(load("nets", spec.architecture).halo(spec))


def multiple(spec: NetSpec) -> int:
    """Return the spacing of the grid that tiles must start on, in pixels."""
    return int(load("nets", spec.architecture).multiple(spec))
