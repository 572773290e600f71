"""Teach models."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.conflict import check_conflict
from ..core.errors import InUseError, OutputError, SpecError, UNetError
from ..core.specs import TrainSpec
from ..core.steps import Progress, Steps, finish

if TYPE_CHECKING:
    from ..core.axes import Image
    from ..core.examples import Example
    from ..core.results import Epoch
    from ..training.wishes import Wishes

__all__ = [
    "check_model_place",
    "finish_training",
    "hold_training",
    "is_training",
    "named_training",
    "new_wishes",
    "said_by_training",
    "train",
    "train_apart_steps",
    "train_steps",
    "training_curve",
    "training_folder",
    "unfinished_training",
]


def train_steps(
    data: str | Path | Sequence[Example],
    spec: TrainSpec | None = None,
    folder: str | Path | None = None,
    wishes: Wishes | None = None,
    overwrite: bool = False,
) -> Steps[Path]:
    """Train a model on annotated images, step by step; a stopped run goes on where it was.

    Parameters
    ----------
    data : path or sequence of Example
        A table (CSV with the columns ``image`` and ``labels``), a folder with ``images`` and ``labels`` in it (or
        ``imagesTr`` and ``labelsTr``), see :func:`~napari_unet.io.pairs.find_examples`, or the folder of a run that was
        stopped, which then goes on with its own settings.
    spec : TrainSpec, optional
        Settings; what is not set by name follows from the data, the task and the model that is started from. For a run
        that goes on only what is set by name counts: where it computes and for how long.
    folder : path, optional
        Where the model goes; the user's model folder by default. Checkpoints lie beside it until it is done.
    wishes : Wishes, optional
        Of the user while it runs: stop, pause.
    overwrite : bool
        Replace a model that is there.

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
    OutputError
        If there is a model and it may not be replaced.
    ModelError
        If the program has a model of this name.
    SpecError
        If a run that goes on was begun with other settings.
    """
    check_conflict()
    yield Progress(0, 0, "Reading the annotated images")
    from ..training.folds import known_scores, train_folds
    from ..training.run import train_model
    from ..training.runs import is_run, read_order
    from ..training.wishes import taken_back

    watched, scores, begun = None, None, is_run(data)
    if begun:
        order = read_order(Path(data))  # type: ignore[arg-type]  # is_run says so
        with taken_back(Path(data)):  # type: ignore[arg-type]
            spec = _of_today(order.spec, spec, Path(data))  # type: ignore[arg-type]
        data, folder, watched = order.data, order.folder, order.watched
        scores = known_scores(folder) if spec.folds else None
    place = Path(folder) if folder else None
    source = Path(data) if isinstance(data, str | os.PathLike) else data
    spec = spec or TrainSpec()
    if not begun:
        check_model_place(spec.name, place, overwrite)
    if spec.folds and scores is None:
        return (yield from train_folds(source, spec, place, wishes))
    return (yield from train_model(source, spec, place, watched, wishes, scores))


def _of_today(begun: TrainSpec, given: TrainSpec | None, run: Path) -> TrainSpec:
    """Return the settings of a run that goes on, with what may have changed since it was begun."""
    from ..training.state import FREE, same_run

    said = {name: getattr(given, name) for name in sorted(given.model_fields_set)} if given else {}
    found = begun.model_copy(update={name: value for name, value in said.items() if name in FREE})
    other = [name for name, value in said.items() if name not in FREE and value != getattr(begun, name)]
    other += [] if same_run(begun, found) else ["minutes"]
    if other:
        raise SpecError(
            f"'{run.name}' goes on with the settings that it was begun with, and {' and '.join(other)} would be "
            f"another. Leave that out; only these may change: {', '.join(FREE)} (not from steps to minutes, or back)."
        )
    return found


def train(
    data: str | Path | Sequence[Example],
    spec: TrainSpec | None = None,
    folder: str | Path | None = None,
    show: Callable[[Progress], None] | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Path:
    """Train a model on annotated images; see :func:`train_steps`. Options are the fields of TrainSpec."""
    spec = TrainSpec.of(**((spec.model_dump(exclude_unset=True) if spec else {}) | options))
    return finish(train_steps(data, spec, folder, overwrite=overwrite), show)


def train_apart_steps(
    data: str | Path | Sequence[Example],
    spec: TrainSpec,
    folder: str | Path | None = None,
    preview: Image | None = None,
    overwrite: bool = False,
) -> Steps[Path]:
    """Train a model in a process of its own: memory comes back, and a crash there is none here.

    Parameters
    ----------
    data : path or sequence of Example
        As for :func:`train_steps`.
    spec : TrainSpec
        Settings; what is None is taken from the task.
    folder : path, optional
        Where the model goes; the user's model folder by default.
    preview : Image, optional
        A picture that is segmented now and then with what was learned so far, in at most a tenth of the time.
    overwrite : bool
        Replace a model that is there.

    Returns
    -------
    Path
        The model folder.

    Yields
    ------
    Progress
        The same as :func:`train_steps`, and four times a second at least. Closing the generator ends the process within
        a second; the same call goes on where it was.

    Raises
    ------
    TrainingError
        If the process crashes: with what it said last.
    UNetError
        What :func:`train_steps` raises.
    """
    check_conflict()
    from ..models.cards import user_folder
    from ..training.process import train_apart
    from ..training.runs import Order, is_run, read_order

    if is_run(data):
        order = read_order(Path(data))  # type: ignore[arg-type]  # is_run says so
        order = replace(order, watched=preview or order.watched)
    else:
        check_model_place(spec.name, folder, overwrite)
        source = Path(data).resolve() if isinstance(data, str | os.PathLike) else tuple(data)
        order = Order(source, spec, Path(folder).resolve() if folder else user_folder() / spec.name, preview)
    return (yield from train_apart(order))


def check_model_place(name: str, folder: str | Path | None = None, overwrite: bool = False) -> None:
    """Refuse to train a model where there is one already.

    Parameters
    ----------
    name : str
        Of the model to be.
    folder : path, optional
        See :func:`train_steps`.
    overwrite : bool
        Whether one that is there may be replaced; those of the program never are.

    Raises
    ------
    OutputError
        If there is a model and it may not be replaced.
    ModelError
        If the program has a model of this name.
    """
    from ..training.place import check_place

    check_place(name, Path(folder) if folder else None, overwrite)


def training_folder(name: str, folder: str | Path | None = None) -> Path:
    """Return where the run of a model is kept until it is done: its safe points, its log and its examples."""
    from ..training.runs import run_folder

    return run_folder(Path(folder) if folder else None, name)


def training_curve(folder: Path | None) -> list[Epoch]:
    """Return what a run that was stopped has reported; nothing without a folder."""
    from ..training.curve import read_curve

    return [] if folder is None else read_curve(folder)


def named_training(data: str | Path, folder: str | Path | None = None) -> Path:
    """Return a run's folder, wherever it lies.

    Parameters
    ----------
    data : path
        Images, a run's folder, or only its name, such as ``my-cells.training``.
    folder : path, optional
        See :func:`train`.

    Returns
    -------
    Path
        That of the run with this name among the user's models where there is no such file or folder; otherwise `data`.
    """
    from ..training.runs import RUN_ENDING, is_run, run_folder

    data = Path(data)
    if data.exists() or data.name != str(data) or data.suffix != RUN_ENDING:
        return data
    found = run_folder(Path(folder) if folder else None, data.stem)
    return found if is_run(found) else data


def unfinished_training(data: str | Path) -> tuple[TrainSpec, Path] | None:
    """Return the settings of a run that was stopped, and where its model goes; None if this is no run's folder."""
    from ..training.runs import is_run, read_order

    if not is_run(data):
        return None
    order = read_order(Path(data))
    return order.spec, order.folder


def hold_training(folder: str | Path, hold: bool = True) -> None:
    """Pause a running training, whichever process it is in, or let it go on.

    Parameters
    ----------
    folder : path
        Of the run, see :func:`training_folder`.
    hold : bool
        False lets it go on.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    SpecError
        If it is no run's folder.
    """
    from ..training.wishes import PAUSE

    _leave(Path(folder), PAUSE, hold)


def finish_training(folder: str | Path) -> None:
    """Have a training end now, with what it has learned so far as the model; its learning rate does not fall any more.

    A running one hears it within a second, whichever process it is in. If it was stopped, :func:`train_steps` of this
    folder makes the model.

    Parameters
    ----------
    folder : path
        Of the run, see :func:`training_folder`.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    SpecError
        If it is no run's folder.
    """
    from ..training.wishes import FINISH

    _leave(Path(folder), FINISH)


def _leave(run: Path, wish: str, there: bool = True) -> None:
    """Leave a wish where a training looks for it, or take it back."""
    from ..training.runs import is_run

    if not is_run(run):
        raise SpecError(f"'{run}' is no training that was begun. Give its folder, which ends in .training.")
    try:
        if there:
            (run / wish).touch()
        else:
            (run / wish).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"'{run}' cannot be written: {error.strerror or error}. Allow it, then try again.") from error


def is_training(folder: str | Path) -> bool:
    """Say whether some program trains in the folder of a run right now."""
    from ..io.journal import Journal

    try:
        with Journal(Path(folder)):
            return False
    except InUseError:
        return True


def new_wishes() -> Wishes:
    """Return the means to stop a training, let it wait or finish it from outside of its loop."""
    from ..training.wishes import Wishes

    return Wishes()


def said_by_training(event: Progress | Path | UNetError) -> str:
    """Write what a training says as a line for the process that has started it."""
    from ..training.events import done_line, error_line, progress_line

    if isinstance(event, Path):
        return done_line(event)
    return error_line(event) if isinstance(event, UNetError) else progress_line(event)
