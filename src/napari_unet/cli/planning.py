"""``plan``: what a training will do, before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from .. import workflows
from .._terminal import say_json, watch
from ..core.errors import SpecError
from ..core.specs import PLANNED, TargetSpec, TrainSpec

__all__ = [
    "Background", "Balance", "ClassValues", "Classes", "Colors", "Corner", "Data", "Depth", "Dimensions", "DryRun",
    "Folds", "Loss", "Truth", "Validation", "Zoom", "chosen", "class_table", "plan", "say_plan",
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
Folds = Annotated[
    int,
    typer.Option(
        help="Cross-validate first: so many models, each without a part of the patients or images; takes that many "
        "times as long more. 5 is usual."
    ),
]
Corner = Annotated[bool, typer.Option("--corner", help="With a single image, hold out a corner of it.")]
Loss = Annotated[
    str,
    typer.Option(
        help="own (the target's), cross-entropy, border (objects that touch), dice, focal or tversky (small, rare "
        "objects)."
    ),
]
Classes = Annotated[
    str,
    typer.Option(help="Classes of pixels, in the order of their numbers: building,road.", show_default="the task's"),
]
Colors = Annotated[str, typer.Option(help="A color for each class: '#e5484d,#8d8d8d'.", show_default="the task's")]
ClassValues = Annotated[
    str,
    typer.Option(
        help="Value in the masks of each class, such as 255 or building=1,road=6.", show_default="1, 2 and so on"
    ),
]
Background = Annotated[
    bool | None,
    typer.Option(help="0 in the masks is none of the classes, or (no) not known.", show_default="the task's"),
]
Balance = Annotated[
    bool, typer.Option("--balance", help="Let the rarer of object and background, or of several classes, weigh more.")
]
Dimensions = Annotated[int, typer.Option(help="2: planes of stacks are images; 3: volumes; 0 follows the images.")]
Depth = Annotated[int, typer.Option(help="Planes of a 3D patch; 0 chooses.")]
Zoom = Annotated[
    float | None,
    typer.Option(
        help="How large images are seen where objects have no usual width: 0.5 half as large.",
        show_default="from the images",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how it would be done, and what may be wrong.")]


def class_table(
    task: str, start: str, classes: str, colors: str, values: str, background: bool | None
) -> dict[str, Any]:
    """Return settings for the classes that are to be told apart.

    Parameters
    ----------
    task, start : str
        Preset that is changed; a model that is started from, which has classes of its own.
    classes, colors, values : str
        Lists with commas between, as options of the same names; values may be ``name=value`` too.
    background : bool or None
        Whether a pixel may be none of them; None takes the task's, and yes for a single class.

    Returns
    -------
    dict
        Fields of :class:`~napari_unet.core.specs.TrainSpec`.

    Raises
    ------
    SpecError
        If they do not fit together.
    """
    names, numbers = _words(classes), [word.partition("=") for word in _words(values)]
    named = [name.strip() for name, equals, _ in numbers if equals]
    if any("=" in name for name in names):
        raise SpecError(f"--classes takes names alone. Say which value means which with --class-values {classes}.")
    if named and len(named) < len(numbers):
        raise SpecError("--class-values takes values alone, such as 1,6, or name=value for all: building=1,road=6.")
    if named and names and sorted(named) != sorted(names):
        raise SpecError(f"--class-values names {', '.join(named)}, but --classes {', '.join(names)}.")
    try:
        found = {name.strip(): int(number) for name, _, number in numbers} if named else {}
        found_numbers = [found[name] for name in names or named] if named else [int(word) for word, _, _ in numbers]
    except ValueError:
        raise SpecError(
            f"--class-values takes whole numbers, such as 1,6 or building=1,road=6; not '{values}'."
        ) from None
    names = names or named
    chosen: dict[str, Any] = {"class_values": tuple(found_numbers)} if found_numbers else {}
    if not (names or colors or background is not None):
        return chosen
    if start:
        raise SpecError(f"'{start}' has classes of its own. Leave out --classes, --colors and --background.")
    usual = workflows.load_task(task).target
    names = names or list(usual.classes)
    if background is None:
        background = usual.background or len(names) == 1
    table = {"name": "classes", "classes": tuple(names), "colors": tuple(_words(colors)), "background": background}
    return chosen | {"target": TargetSpec.of(**usual.model_dump() | table)}


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")] if text.strip() else []


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
    classes: Classes = "",
    colors: Colors = "",
    class_values: ClassValues = "",
    background: Background = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Look at annotated images, and say how 'train' would learn from them and what may be wrong with them."""
    spec = chosen(
        task=task, start=start, network=network, truth=truth, validation=validation, corner=corner, loss=loss,
        balance=balance, ndim=dimensions, **class_table(task, start, classes, colors, class_values, background),
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
        Fields of :class:`~napari_unet.core.specs.TrainSpec`; None leaves one to the plan.

    Returns
    -------
    TrainSpec
        Only what differs from the defaults counts as set, and whatever is said of what is planned otherwise.

    Raises
    ------
    SpecError
        If a value is out of range, or there is no such setting.
    """
    said = {name: value for name, value in values.items() if value is not None}
    return TrainSpec.of(**{n: v for n, v in said.items() if n in PLANNED or v != getattr(_TRAIN, n, None)})
