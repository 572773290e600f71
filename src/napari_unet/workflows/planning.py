"""See what a training will do before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core.axes import Image
from ..core.conflict import check_conflict
from ..core.examples import Example
from ..core.results import Plan
from ..core.specs import TrainSpec
from ..core.steps import Progress, Steps, finish

__all__ = ["plan", "plan_steps", "preview_patches", "preview_patches_steps"]


def plan_steps(data: str | Path | Sequence[Example], spec: TrainSpec) -> Steps[Plan]:
    """Read annotated images, find what is wrong with them, and decide how to learn from them.

    Parameters
    ----------
    data : path or sequence of Example
        A table or folder (:func:`napari_unet.io.pairs.find_examples`), or annotated images themselves.
    spec : TrainSpec
        What is set by name stays as it is; everything else is decided.

    Returns
    -------
    Plan
        Settings with everything filled in, why, and what to think about; its spec may be changed and trained with.

    Yields
    ------
    Progress
        One an image.

    Raises
    ------
    TrainingDataError
        If images and labels do not fit together.
    """
    check_conflict()
    yield Progress(0, 0, "Reading the annotated images")
    from ..training.plan import prepare

    prepared = yield from prepare(_given(data), spec)
    return prepared.plan


def plan(
    data: str | Path | Sequence[Example],
    spec: TrainSpec | None = None,
    show: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Plan:
    """Decide how to learn from annotated images; see :func:`plan_steps`. Options are the fields of TrainSpec."""
    return finish(plan_steps(data, _with(spec, options)), show)


def preview_patches_steps(
    data: str | Path | Sequence[Example], spec: TrainSpec, count: int = 8
) -> Steps[list[tuple[Image, Image]]]:
    """Draw patches as the training would see them, with their labels.

    Parameters
    ----------
    data : path or sequence of Example
        As for :func:`plan_steps`.
    spec : TrainSpec
        As for :func:`plan_steps`.
    count : int
        How many.

    Returns
    -------
    list of (Image, Image)
        Patch (channels first, about 0 to 1) and labels (-1 where nothing is known).

    Yields
    ------
    Progress
        One an image.

    Raises
    ------
    TrainingDataError
        If images and labels do not fit together.
    """
    check_conflict()
    yield Progress(0, 0, "Reading the annotated images")
    from ..training.plan import prepare
    from ..training.preview import draw_patches

    prepared = yield from prepare(_given(data), spec)
    return draw_patches(prepared, count)


def preview_patches(
    data: str | Path | Sequence[Example], spec: TrainSpec | None = None, count: int = 8, **options: Any
) -> list[tuple[Image, Image]]:
    """Draw patches as the training would see them; see :func:`preview_patches_steps`."""
    return finish(preview_patches_steps(data, _with(spec, options), count))


def _given(data: str | Path | Sequence[Example]) -> Path | Sequence[Example]:
    return Path(data) if isinstance(data, str | Path) else data


def _with(spec: TrainSpec | None, options: dict[str, Any]) -> TrainSpec:
    """Return the spec with options; what neither sets stays open."""
    return TrainSpec.of(**((spec.model_dump(exclude_unset=True) if spec else {}) | options))
