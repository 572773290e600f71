"""Follow objects through time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.axes import as_image
from ..core.conflict import check_conflict
from ..core.linking import LinkSpec
from ..core.results import Tracks
from ..core.steps import Progress, Steps, finish

__all__ = ["track", "track_steps"]


def track_steps(labels: Any, spec: LinkSpec | None = None) -> Steps[Tracks]:
    """Follow labels through time, step by step; see :func:`napari_unet.tracking.lap.link`; arrays start with t."""
    check_conflict()
    from ..tracking.lap import link

    movie = as_image(labels, {3: "tyx", 4: "tzyx"}.get(getattr(labels, "ndim", 0)))
    return (yield from link(movie, spec or LinkSpec()))


def track(
    labels: Any, spec: LinkSpec | None = None, show: Callable[[Progress], None] | None = None, **options: Any
) -> Tracks:
    """Follow labels through time; see :func:`track_steps`. Options are the fields of LinkSpec."""
    return finish(track_steps(labels, LinkSpec.of(**((spec.model_dump() if spec else {}) | options))), show)
