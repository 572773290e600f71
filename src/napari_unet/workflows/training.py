"""Teach models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.conflict import check_conflict
from ..core.specs import TrainSpec
from ..core.steps import Progress, Steps, finish
from .models import load_task

__all__ = ["train", "train_steps"]


def train_steps(data: str | Path, spec: TrainSpec, folder: str | Path | None = None) -> Steps[Path]:
    """Train a model on annotated images, step by step; a stopped run goes on where it was.

    Parameters
    ----------
    data : path
        A table (CSV with the columns ``image`` and ``labels``) or a folder with ``images`` and ``labels`` in it.
    spec : TrainSpec
        Settings; what is None is taken from the task.
    folder : path, optional
        Where the model goes; the user's model folder by default. Checkpoints lie beside it until it is done.

    Returns
    -------
    Path
        The model folder.

    Yields
    ------
    Progress
        See :func:`napari_unet.training.fit.fit`.

    Raises
    ------
    TrainingDataError
        If images and labels do not fit together; found before the first step.
    """
    check_conflict()
    yield Progress(0, 0, "Reading the annotated images")
    from ..models.cards import find_model, read_card
    from ..training.run import train_model

    spec = spec.filled(read_card(find_model(spec.start))) if spec.start else spec
    return (yield from train_model(Path(data), spec.filled(load_task(spec.task)), Path(folder) if folder else None))


def train(
    data: str | Path,
    spec: TrainSpec | None = None,
    folder: str | Path | None = None,
    show: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Path:
    """Train a model on annotated images; see :func:`train_steps`. Options are the fields of TrainSpec."""
    spec = TrainSpec.of(**((spec.model_dump() if spec else {}) | options))
    return finish(train_steps(data, spec, folder), show)
