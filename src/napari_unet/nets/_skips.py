"""How the contracting path joins the expansive one: choices of ``NetSpec.skip``."""

from __future__ import annotations

import torch

__all__ = ["features", "join"]


def features(skip: str, width: int) -> int:
    """Return the channels that leave :func:`join` for a level of `width` channels."""
    return 2 * width if skip == "concat" else width


def join(skip: str, left: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """Join the contracting path's features with those from below, both ``(b, width, *spatial)``."""
    return torch.cat([left, below], 1) if skip == "concat" else left + below
