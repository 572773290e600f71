"""Tile by tile through the network, with scores and labels that do not depend on the tiles."""

from __future__ import annotations

from .grid import Grid, Span, Tile
from .resample import resample
from .run import segment_planes
from .statistics import Statistics, measure_statistics, normalize
from .stream import Plan, score_plane

__all__ = [
    "Grid",
    "Plan",
    "Span",
    "Statistics",
    "Tile",
    "measure_statistics",
    "normalize",
    "resample",
    "score_plane",
    "segment_planes",
]
