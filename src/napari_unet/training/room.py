"""How much of a disk a training takes, said before its first step."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import torch

from ..core.axes import Image
from ..core.errors import OutputError, TrainingDataError
from ..core.preflight import Room, size_words
from ..core.specs import TrainSpec
from ..io.sizes import folder_size, free_space
from ..nets import build
from .runs import Order

__all__ = ["check_room", "room_for"]

_STATES: Final = 3  # safe points: the last, the one before, and the one that is being written
_SHARES: Final = 4  # times the weights in each: the network, its average, the optimizer at most twice
_AVERAGES: Final = 4  # the best one and the model, and each of them while it takes the place of the one before
_REST: Final = 8_000_000  # bytes: examples, log, card


def room_for(spec: TrainSpec, order: Order, run: Path) -> Room:
    """Return how much a training writes beyond what it has written already, and how much is free.

    Parameters
    ----------
    spec : TrainSpec
        Complete, its network with all outputs.
    order : Order
        What was asked for: images of layers and the picture that is watched are written too.
    run : Path
        Folder of the run; perhaps not there.

    Returns
    -------
    Room
        On the disk of the run, where the model goes too.

    Raises
    ------
    TrainingDataError
        If the settings are incomplete.
    """
    if spec.net is None:
        raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
    with torch.device("meta"):
        weights = sum(value.nbytes for value in build(spec.net).state_dict().values())
    layers: list[Image] = [] if order.watched is None else [order.watched]
    if not isinstance(order.data, Path):
        layers += [what for each in order.data for what in (each.image, each.labels) if isinstance(what, Image)]
    pixels = sum(math.prod(image.shape) * image.data.dtype.itemsize for image in layers)
    needed = weights * (_STATES * _SHARES + _AVERAGES) + pixels + _REST
    return Room(max(0, needed - folder_size(run)), free_space(run))


def check_room(spec: TrainSpec, order: Order, run: Path) -> str:
    """Refuse a training for which the disk is too small.

    Parameters
    ----------
    spec : TrainSpec
        Complete.
    order : Order
        What was asked for.
    run : Path
        Folder of the run; perhaps not there.

    Returns
    -------
    str
        What to think about where there is little room; empty where there is enough.

    Raises
    ------
    OutputError
        If it cannot be kept: with how much is missing, and what to do.
    """
    room = room_for(spec, order, run)
    if room.free is None or not room.tight:
        return ""
    fix = "Free some, or choose a larger disk for the model: --folder, or the environment variable NAPARI_UNET_MODELS."
    told = f"This training writes about {size_words(room.needed)} to '{run}': safe points, the model and its pictures."
    if room.free < room.needed:
        missing = size_words(room.needed - room.free)
        raise OutputError(f"{told} Only {size_words(room.free)} are free there, so {missing} are missing. {fix}")
    return f"{told} {size_words(room.free)} are free, which is little: it may become full. {fix}"
