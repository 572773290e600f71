"""The folder of a run: all that is needed to go on with it, also in another process. No torch here."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..core.axes import Image
from ..core.bands import band_names, join_names
from ..core.errors import TrainingDataError, UNetError
from ..core.examples import BACKGROUND, Example
from ..core.holes import without_holes
from ..core.region import region_text
from ..core.results import Tracks
from ..core.specs import TrainSpec
from ..io.atomic import atomic_file, write_text
from ..io.images import read_image, write_image
from ..io.labels import write_labels
from ..io.tracks import write_tracks
from ..models.cards import user_folder

__all__ = ["RUN_ENDING", "Order", "is_run", "note_state", "read_order", "run_folder", "write_order"]

Data = Path | Sequence[Example]

RUN_ENDING: Final = ".training"
"""Of the folder of a run."""

_SPEC: Final = "spec.json"
_DATA: Final = "data.csv"
_ASKED: Final = "asked"
_STATE: Final = "state.json"
_WATCHED: Final = "preview.npy"
_COLUMNS: Final = ("image", "labels", "weight", "group", "split", "region", "scribbles")
_LARGE: Final = 2**27  # pixels of an image that is not copied if it can be read again
_ALIKE: Final = ("axes", "shape", "scale", "units")
_LOOKS, _EDGE = 5, 64  # windows in which such an image is compared with its file, and their edge
_SPLITS: Final = {True: "validation", False: "train", None: ""}


@dataclass(frozen=True)
class Order:
    """What a run is to do.

    Attributes
    ----------
    data : Path or sequence of Example
        What is learned from.
    spec : TrainSpec
        As it was given.
    folder : Path
        Where the model goes.
    watched : Image or None
        A picture that is segmented now and then.
    """

    data: Data
    spec: TrainSpec
    folder: Path
    watched: Image | None = None


def run_folder(folder: Path | None, name: str) -> Path:
    """Return where the run of a model is kept: ``<model folder>.training``."""
    folder = folder or user_folder() / name
    return folder.with_name(f"{folder.name}{RUN_ENDING}")


def is_run(data: Any) -> bool:
    """Say whether something is the folder of a run."""
    return isinstance(data, str | os.PathLike) and (Path(data) / _SPEC).is_file()


def write_order(order: Order, asked: bool = False) -> Path:
    """Write down what a run is to do; images of layers are written beside it.

    Parameters
    ----------
    order : Order
        The run.
    asked : bool
        Leave what is written there as it is: whether the run that was begun may go on so is not known yet.

    Returns
    -------
    Path
        Folder of the run, or one in it that stands for what was asked.

    Raises
    ------
    OutputError
        If the disk is full or cannot be written.
    """
    run = run_folder(order.folder, order.spec.name)
    run.mkdir(parents=True, exist_ok=True)
    data = order.data
    if not isinstance(data, Path):
        text = _table(data, run)
        table = run / (f"data-{_short(text.encode())}.csv" if asked else _DATA)
        write_text(table, text)
        data = table.resolve() if asked else Path(_DATA)
    place = run / _ASKED if asked else run
    watched = None if order.watched is None else without_holes(order.watched)
    place.mkdir(exist_ok=True)
    if watched is not None:
        with atomic_file(place / _WATCHED) as part:
            np.save(part, np.asarray(watched.data))
    said = {
        # What is not set is left to the plan, in whichever process it is made.
        "spec": order.spec.model_dump(mode="json", exclude_unset=True),
        "data": str(data),
        "folder": str(order.folder),
        "watched": None if watched is None else {"axes": watched.axes, "scale": watched.scale, "units": watched.units},
    }
    write_text(place / _SPEC, json.dumps(said, indent=1) + "\n")
    return place


def read_order(run: Path) -> Order:
    """Read what a run is to do.

    Parameters
    ----------
    run : Path
        Its folder.

    Returns
    -------
    Order
        As it was written.

    Raises
    ------
    TrainingDataError
        If the folder is damaged.
    SpecError
        If a setting is unknown or out of range.
    """
    try:
        said = json.loads((run / _SPEC).read_text("utf-8"))
        values, data, folder, look = (said[name] for name in ("spec", "data", "folder", "watched"))
        watched = None
        if look is not None:
            picture = np.load(run / _WATCHED, allow_pickle=False)
            watched = Image(picture, look["axes"], tuple(look["scale"]), tuple(look["units"]), "preview")
        return Order(run / data, TrainSpec.of(**values), Path(folder), watched)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingDataError(
            f"The folder {run} of a training is damaged: {error}. Start the training with its images again."
        ) from error


def note_state(run: Path, state: str, **more: Any) -> None:
    """Note whether a run is running, paused, stopped or done, and by which process.

    Parameters
    ----------
    run : Path
        Its folder.
    state : {"running", "paused", "stopped", "failed", "done"}
        What is so now.
    **more : Any
        Plain values.
    """
    write_text(run / _STATE, json.dumps({"state": state, "pid": os.getpid(), **more}) + "\n")


def _table(data: Sequence[Example], run: Path) -> str:
    rows = []
    more: tuple[str, ...] = ("background",) if any(each.background != BACKGROUND for each in data) else ()
    more += ("tracks",) if any(each.tracks is not None for each in data) else ()
    more += ("before",) if any(each.before is not None for each in data) else ()
    more += tuple(name for name in ("values", "ignored") if any(getattr(each, name) for each in data))
    called, together = [_names(each) for each in data], _layers_of_one_file(data)
    more += ("channels",) if any(called) else ()
    more += ("modality",) if any(map(_modality, data)) else ()
    for example, names in zip(data, called, strict=True):
        region = ""
        if example.region:
            text = region_text(example.region)
            region = f"regions/{_short(text.encode())}.txt"
            (run / "regions").mkdir(exist_ok=True)
            write_text(run / region, text + "\n")
        row = {
            "image": _place(example.image, run, "images"),
            "labels": _place(example.labels, run, "labels"),
            "weight": f"{example.weight:g}",
            "group": example.group or (example.source if example.source in together else ""),
            "split": _SPLITS[example.held_out],
            "region": region,
            "scribbles": "yes" if example.scribbles else "",
            "background": str(example.background),
            "tracks": "" if example.tracks is None else _tracks(example.tracks, run),
            "before": "" if example.before is None else _place(example.before, run, "labels"),
            "values": ";".join(map(str, example.values)),
            "ignored": ";".join(map(str, example.ignored)),
            "channels": names,
            "modality": _modality(example),
        }
        rows.append({name: row[name] for name in (*_COLUMNS, *more)})
    written = StringIO()
    table = csv.DictWriter(written, (*_COLUMNS, *more), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return written.getvalue()


def _modality(example: Example) -> str:
    """Return what the image was taken by; that of a layer, whose file does not say it, too."""
    anatomy = example.image.anatomy if isinstance(example.image, Image) else None
    return example.modality or ("" if anatomy is None else anatomy.modality)


def _layers_of_one_file(data: Sequence[Example]) -> set[str]:
    """Return files from which several layers come, which stay one group when each is written to a file of its own."""
    sources = {id(each.image): each.source for each in data if isinstance(each.image, Image)}
    return {source for source, count in Counter(sources.values()).items() if count > 1}


def _names(example: Example) -> str:
    """Return what the channels are called; those of a layer, whose file does not say it, too."""
    image = example.image
    return join_names(example.channels or (band_names(image) if isinstance(image, Image) else ()))


def _tracks(tracks: Tracks | Path, run: Path) -> str:
    """Return the file of tracks; those of a layer are written."""
    if not isinstance(tracks, Tracks):
        return str(Path(tracks).resolve())
    columns = (tracks.nodes[name] for name in ("t", "label"))
    file = run / "tracks" / f"{_short(*map(np.ascontiguousarray, columns), np.ascontiguousarray(tracks.edges))}.csv"
    file.parent.mkdir(exist_ok=True)
    write_tracks(file, tracks)
    return file.relative_to(run).as_posix()


def _place(what: Image | Path | tuple[Path, ...], run: Path, room: str) -> str:
    """Return the file of an image, or those of its channels; that of a layer is written, once for each content."""
    if isinstance(what, tuple):
        return ";".join(str(file.absolute()) for file in what)  # not where links lead: channels are called as these are
    if not isinstance(what, Image):
        return str(Path(what).resolve())
    if room == "images" and (file := _same_file(what)):
        return str(file)
    what = without_holes(what)
    data = np.ascontiguousarray(what.data)
    about = f"{what.axes} {what.shape} {data.dtype.str} {what.scale}".encode()
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in what.name)[:40]
    file = run / room / f"{name}-{_short(about, data)}.tif"
    file.parent.mkdir(exist_ok=True)
    if not file.exists():
        image = Image(data, what.axes, what.scale, what.units, what.name)
        write_labels(file, image) if room == "labels" else write_image(file, image)
    return file.relative_to(run).as_posix()


def _same_file(image: Image) -> Path | None:
    """Return the file of a large image that was never in memory and is not to be: another process reads it there."""
    if isinstance(image.data, np.ndarray) or math.prod(image.shape) < _LARGE or not image.source:
        return None
    file = Path(image.source).resolve()
    try:
        found = read_image(file) if file.exists() else None
        if found is None or any(getattr(found, name) != getattr(image, name) for name in _ALIKE):
            return None
        # Layers of one file may be parts of it: looks here and there tell.
        for share in np.linspace(0, 1, _LOOKS):
            starts = [int(share * max(0, n - _EDGE)) for n in image.shape]
            window = tuple(slice(a, min(a + _EDGE, n)) for a, n in zip(starts, image.shape, strict=True))
            if not np.array_equal(image.read(window), found.read(window), equal_nan=image.data.dtype.kind == "f"):
                return None
    except UNetError:
        return None
    return file


def _short(*parts: Any) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:12]
