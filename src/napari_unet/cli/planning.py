"""``plan``: what a training will do, before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from .. import workflows
from .._terminal import say_json, watch
from ..core.specs import TrainSpec

__all__ = [
    "Balance", "Corner", "Data", "Depth", "Dimensions", "DryRun", "Loss", "Truth", "Validation", "chosen", "plan",
    "say_plan",
]  # fmt: skip

_TRAIN: Final = TrainSpec()

Data = Annotated[Path, typer.Argument(help="Folder or table of annotated images.", show_default=False)]
Truth = Annotated[
    str,
    typer.Option(
        help="What labels say: all, regions (only what lies in drawn areas is true) or scribbles (pixels without a "
        "label are unknown, and the label 1 is background)."
    ),
]
Validation = Annotated[float, typer.Option(help="Share of the images, by group, that is held out to judge the model.")]
Corner = Annotated[bool, typer.Option("--corner", help="With a single image, hold out a corner of it.")]
Loss = Annotated[
    str,
    typer.Option(
        help="own (the target's), cross-entropy, border (objects that touch), dice, focal or tversky (small, rare "
        "objects)."
    ),
]
Balance = Annotated[bool, typer.Option("--balance", help="Let the rarer of object and background weigh more.")]
Dimensions = Annotated[int, typer.Option(help="2: planes of stacks are images; 3: volumes; 0 follows the images.")]
Depth = Annotated[int, typer.Option(help="Planes of a 3D patch; 0 chooses.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how it would be done, and what may be wrong.")]


def plan(  # noqa: PLR0913  # a command's options are its arguments
    data: Data,
    task: Annotated[str, typer.Option(help="What the model is for; gives all other defaults.")] = _TRAIN.task,
    start: Annotated[
        str, typer.Option(help="Model to start from, by name or folder.", show_default="from nothing")
    ] = _TRAIN.start,
    network: Annotated[
        str, typer.Option(help="Kind of network, such as attention-unet.", show_default="the task's")
    ] = _TRAIN.network,
    truth: Truth = _TRAIN.truth,
    validation: Validation = _TRAIN.validation,
    corner: Corner = _TRAIN.corner,
    loss: Loss = _TRAIN.loss,
    balance: Balance = _TRAIN.balance,
    dimensions: Dimensions = _TRAIN.ndim,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Look at annotated images, and say how 'train' would learn from them and what may be wrong with them."""
    spec = chosen(
        task=task, start=start, network=network, truth=truth, validation=validation, corner=corner, loss=loss,
        balance=balance, ndim=dimensions,
    )  # fmt: skip
    say_plan(data, spec, as_json)


def say_plan(data: Path, spec: TrainSpec, as_json: bool) -> None:
    """Print the plan of a training, and do nothing else.

    Parameters
    ----------
    data : Path
        Folder or table.
    spec : TrainSpec
        What was chosen.
    as_json : bool
        Print for scripts.
    """
    made = watch(workflows.plan_steps(data, spec))
    if as_json:
        say_json({
            "spec": made.spec.model_dump(mode="json"), "words": list(made.words), "warnings": list(made.warnings),
            "counts": made.counts,
        })  # fmt: skip
        return
    for line in made.words:
        typer.echo(line)
    for line in made.warnings:
        typer.echo(f"Note: {line}", err=True)


def chosen(**values: Any) -> TrainSpec:
    """Return the settings of a command, of which those at their default are left for the plan to decide.

    Parameters
    ----------
    **values : Any
        Fields of :class:`~napari_unet.core.specs.TrainSpec`.

    Returns
    -------
    TrainSpec
        Only what differs from the defaults counts as set.

    Raises
    ------
    SpecError
        If a value is out of range, or there is no such setting.
    """
    return TrainSpec.of(**{name: value for name, value in values.items() if value != getattr(_TRAIN, name, None)})
