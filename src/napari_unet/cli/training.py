"""``train``: what its options mean is said once, in :class:`~napari_unet.core.specs.TrainSpec`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final

import typer

from .. import workflows
from .._terminal import say_json, tell, watch
from ..core.errors import Cancelled, OutputError, SpecError, UNetError
from ..core.model_card import is_plain
from ..core.specs import TrainSpec
from ..core.steps import Progress, Steps, finish
from . import planning
from .models import use_of

__all__ = ["EXAMPLES", "train"]

EXAMPLES: Final = (
    "napari-unet train my-images --name my-cells --minutes 10\n\n"
    "napari-unet train my-images --name my-cells --start nuclei --validation 0.2 --patience 5\n\n"
    "my-images holds two folders, images and labels, with files of equal names, or imagesTr and labelsTr as nnU-Net "
    "has them; or give a CSV table with the columns image and labels. The folder of a run that was stopped, "
    "my-cells.training, goes on; with --finish it ends with what was learned so far."
)
_TRAIN: Final = TrainSpec()
_TOLD: Final = ("AP50", "mAP", "Dice", "mDice", "mIoU")
_FEW: Final = 200  # steps
_TOO_FEW: Final = (
    ", which are few: from nothing a model needs some hundreds. Give it more time, or --start from another."
)
# Of 19: what else runs has three times the share of a processor. A window sleeps most of the time, so that is enough
# for it to be served at once. With 10, which is nine times, a training on a computer whose cores are busy gets a tenth
# of them, and the first preview comes late. It is set once, before there are other threads: in Linux each has its own,
# a later change would reach only one of them, and it can be raised but not taken back.
_NICE: Final = 5
_GRACE: Final = 5.0  # seconds to a safe point after the parent process is gone

_Name = Annotated[str, typer.Option(help="Name of the new model.", show_default=False)]
_Task = Annotated[str, typer.Option(help="What the model is for; gives all other defaults.")]
_Start = Annotated[str, typer.Option(help="Model to start from, by name or folder.", show_default="from nothing")]
_Network = Annotated[str, typer.Option(help="Kind of network, such as attention-unet.", show_default="the task's")]
_Steps = Annotated[int, typer.Option(help="Length of the training; not with --minutes.")]
_Minutes = Annotated[
    float | None,
    typer.Option(help="Train for so long instead; the learning rate follows the time.", show_default=False),
]
_Patience = Annotated[
    int, typer.Option(help="Stop after so many reports without a better score on held-out images; 0 never.")
]
_Batch = Annotated[int | None, typer.Option(help="Patches looked at in a step.", show_default="as planned")]
_Patch = Annotated[int | None, typer.Option(help="Edge of a patch in pixels.", show_default="as planned")]
_Rate = Annotated[
    float | None,
    typer.Option(
        help="Highest learning rate.",
        show_default=f"{_TRAIN.rate:g}; with --start 0.03 times that, or 0.1 times for other objects",
    ),
]
_Seed = Annotated[int, typer.Option(help="Same seed, images and machine: same model.")]
_Every = Annotated[int, typer.Option(help="Steps between reports and safe points.")]
_Threads = Annotated[int, typer.Option(help="Threads; 0 leaves the choice to PyTorch.")]
_Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda (NVIDIA) or mps (Apple).")]
_Devices = Annotated[
    int, typer.Option(help="Graphics cards (or processes) of this machine that share the patches of a step.")
]
_Nodes = Annotated[int, typer.Option(help="Machines that do so; start the same command on each, best with torchrun.")]
_Accumulate = Annotated[int, typer.Option(help="Compute a step in so many parts: less memory.")]
_License = Annotated[str, typer.Option(help="What others may do with the model, such as CC-BY-4.0; goes on its card.")]
_Folder = Annotated[Path | None, typer.Option(help="New folder for the model.", show_default="among your models")]
_Finish = Annotated[
    bool,
    typer.Option("--finish", help="End a training that runs or was stopped: what it has learned becomes the model."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts, and nothing else.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def train(  # noqa: PLR0913  # a command's options are its arguments
    data: Annotated[Path, typer.Argument(help="Folder or table of annotated images.", show_default=False)],
    name: _Name = "",
    task: _Task = _TRAIN.task,
    start: _Start = _TRAIN.start,
    network: _Network = _TRAIN.network,
    dimensions: planning.Dimensions = _TRAIN.ndim,
    truth: planning.Truth = _TRAIN.truth,
    validation: planning.Validation = _TRAIN.validation,
    folds: planning.Folds = _TRAIN.folds,
    corner: planning.Corner = _TRAIN.corner,
    loss: planning.Loss = _TRAIN.loss,
    balance: planning.Balance = _TRAIN.balance,
    classes: planning.Classes = "",
    colors: planning.Colors = "",
    class_values: planning.ClassValues = "",
    background: planning.Background = None,
    steps: _Steps = _TRAIN.steps,
    minutes: _Minutes = None,
    patience: _Patience = _TRAIN.patience,
    batch: _Batch = None,
    patch: _Patch = None,
    depth: planning.Depth = _TRAIN.depth,
    zoom: planning.Zoom = None,
    rate: _Rate = None,
    seed: _Seed = _TRAIN.seed,
    every: _Every = _TRAIN.every,
    threads: _Threads = _TRAIN.threads,
    device: _Device = _TRAIN.device,
    devices: _Devices = _TRAIN.devices,
    nodes: _Nodes = _TRAIN.nodes,
    accumulate: _Accumulate = _TRAIN.accumulate,
    license: _License = _TRAIN.license,
    folder: _Folder = None,
    dry_run: planning.DryRun = False,
    as_json: _Json = False,
    overwrite: _Overwrite = False,
    finish_now: _Finish = False,
    events: Annotated[bool, typer.Option("--events", hidden=True)] = False,
    while_parent_lives: Annotated[bool, typer.Option("--while-parent-lives", hidden=True)] = False,
) -> None:
    """Teach a new model with images that you have annotated.

    A training that was stopped goes on where it was when the same command is given again.
    """
    data = workflows.named_training(data, folder)
    if dry_run and (finish_now or workflows.unfinished_training(data)):
        raise SpecError("What was begun is planned already. Leave out --dry-run, or give the images.")
    if finish_now:
        data = data if workflows.unfinished_training(data) else workflows.training_folder(name or data.name, folder)
        workflows.unfinished_training(data)  # one that is damaged is refused before anything is left in it
        workflows.finish_training(data)
        if not _others_speak() and workflows.is_training(data):
            tell({"Training": data, "Ends": "with its present step; its model is made by the program that trains"})
            return
    known = workflows.unfinished_training(data)
    if minutes is not None and steps != _TRAIN.steps:
        raise SpecError("A training has a time or a number of steps. Give --minutes or --steps, not both.")
    spec = planning.chosen(
        name=name or (known[0].name if known else _TRAIN.name if dry_run else _nameless(data)), task=task, start=start,
        network=network, ndim=dimensions, truth=truth, validation=validation, folds=folds, corner=corner, loss=loss,
        balance=balance, steps=steps, minutes=minutes, patience=patience, batch=batch, patch=patch, depth=depth,
        zoom=zoom, rate=rate, seed=seed, every=every, threads=threads, device=device, devices=devices, nodes=nodes,
        accumulate=accumulate, license=license,
        **planning.class_table(task, start, classes, colors, class_values, background),
    )  # fmt: skip
    if known:
        folder = known[1]
    else:
        if dry_run:
            if name:
                _check_place(name, folder, overwrite)
            planning.say_plan(data, spec, as_json)
            return
        _check_place(spec.name, folder, overwrite)
    with _wishes(while_parent_lives) as wishes:
        job = workflows.train_steps(data, spec, folder, wishes, overwrite)
        if events:
            _tell_parent(job)
        elif _others_speak():
            finish(job)
        else:
            _tell_person(job, as_json)


def _others_speak() -> bool:
    """Say whether this is one of several processes that train together; the first one speaks for all."""
    return os.environ.get("RANK", "0") != "0"


def _nameless(data: Path) -> str:
    if not data.exists():
        raise SpecError(
            f"There is no '{data}'. Give a folder with images and labels in it, a CSV table, or the folder of a "
            "training that was stopped; of one that has ended the model is made."
        )
    raise SpecError("The new model needs a name: --name my-cells.")


def _tell_person(job: Steps[Path], as_json: bool) -> None:
    try:
        made = watch(_fewer(job), log=True)
    except (Cancelled, KeyboardInterrupt) as error:
        typer.echo(
            "Give the same command again to go on from the last safe point, or with --finish to make the model of what "
            "was learned so far.",
            err=True,
        )
        raise KeyboardInterrupt from error
    card = workflows.load_model(str(made), "cpu").card
    if as_json:
        say_json({"name": card.name, "folder": str(made), "sha256": card.sha256})
        return
    listed = any(other.name == card.name and other.sha256 == card.sha256 for other in workflows.list_models())
    use = card.name if listed else made
    known = {"On held-out images": "validation", "Cross-validation": "cross-validation"}
    told = {title: _told(card.metrics[kind]) for title, kind in known.items() if kind in card.metrics}
    steps, start = card.training.get("steps", 0), card.training.get("settings", {}).get("start")
    few = steps < _FEW and not start
    tell(
        {"Model": card.name, "Folder": made, "Steps": f"{steps}{_TOO_FEW * few}"} | told | {"Use it": use_of(card, use)}
    )


def _told(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {scores[name]:.3f}" for name in _TOLD if name in scores)


def _fewer(job: Steps[Path]) -> Steps[Path]:
    """Leave out the words between two reports where there is no terminal on which one replaces the other."""
    try:
        while True:
            progress = next(job)
            if sys.stderr.isatty() or progress.payload is not None or progress.news or not _is_word(progress):
                yield progress
    except StopIteration as end:
        made: Path = end.value
        return made
    finally:
        job.close()


def _is_word(progress: Progress) -> bool:
    return progress.note.startswith("step ") or progress.note == "paused"


def _tell_parent(job: Steps[Path]) -> None:
    """Write one line of JSON for each event, as the parent process expects them."""
    try:
        made = finish(job, lambda progress: typer.echo(workflows.said_by_training(progress)))
    except UNetError as error:
        typer.echo(workflows.said_by_training(error))
        raise typer.Exit(2) from error
    typer.echo(workflows.said_by_training(made))


@contextmanager
def _wishes(parent: bool) -> Iterator[Any]:
    """Turn Ctrl-C and the signal to end into a stop at a safe point; a second one, or an early one, ends at once."""
    wishes = workflows.new_wishes()

    def stop(number: int, frame: FrameType | None) -> None:
        if wishes.failing:
            # torchrun ends those who are left when one is gone: why must not be cut off. The next signal ends at once.
            wishes.failing = False
            return
        if wishes.stopped or not wishes.attentive:
            raise KeyboardInterrupt
        wishes.stop()

    before = {}
    if threading.current_thread() is threading.main_thread():
        for kind in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(kind) is not signal.SIG_IGN:
                before[kind] = signal.signal(kind, stop)
    if parent:
        _give_way()
        threading.Thread(target=_hear, args=(wishes,), daemon=True).start()
    try:
        yield wishes
    finally:
        for kind, handler in before.items():
            if not (wishes.failing and kind == signal.SIGTERM):
                signal.signal(kind, handler)


def _give_way() -> None:
    """Let the program that waits for this one go first, so that its screen answers; Windows is told at the start."""
    if hasattr(os, "nice"):
        os.nice(_NICE)


def _hear(wishes: Any) -> None:
    """Hear what the parent process says, and end soon after it."""
    for line in sys.stdin:
        wishes.hear(line)
    wishes.stop()
    time.sleep(_GRACE)
    os._exit(1)


def _check_place(name: str, folder: Path | None, overwrite: bool) -> None:
    if not is_plain(name):
        raise SpecError(f"'{name}' cannot be the name of a model: use letters, digits, spaces and hyphens.")
    workflows.check_model_place(name, folder, overwrite=True)  # names of models of the program are never free
    taken = any(card.name == name for card in workflows.list_models()) if folder is None else folder.exists()
    if folder is not None and taken and not (folder.is_dir() and _replaceable(folder)):
        raise OutputError(f"'{folder}' is there and is no model. Give the name of a new folder.")
    if taken and not overwrite:
        raise OutputError(
            f"There is a model '{folder or name}'. Choose another name, or allow it to be replaced: --overwrite."
        )


def _replaceable(folder: Path) -> bool:
    return not any(folder.iterdir()) or (folder / "card.json").is_file()
