"""What a model's card tells of its training: data, plan, software, curve, scores and how sure they are."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from platform import platform, python_version
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from skimage.segmentation import find_boundaries

from ..core.axes import Image
from ..core.examples import Example
from ..core.model_card import ModelCard
from ..core.results import Plan
from ..core.specs import TrainSpec
from .gentle import telling
from .looks import picture
from .state import History
from .unseen import risen_since
from .validate import Judged, Shown, summarize

__all__ = ["EXAMPLE", "Outcome", "complete_card", "describe_data", "draw_example", "ends", "verdict"]

EXAMPLE: Final = "example.png"
_HELD: Final = "on the held-out images"
_ENDS: Final = ("low", "high")
_EDGE: Final = 256  # pixels of each half of the picture
_ROWS: Final = 200  # of the curve that go into the card
_NAMED: Final = 500  # images whose hashes are listed one by one
_WHOLE: Final = 2**28  # bytes of a file that is hashed whole; of a larger one its ends
_PART: Final = 2**24  # values of an array that are hashed at once
_DESCRIBES: Final = ("zarr.json", ".zattrs", ".zarray", ".zgroup", "DICOMDIR")
_ORANGE: Final = (255, 140, 0)
_PACKAGES: Final = ("napari-unet-suite", "torch", "numpy", "scikit-image")

Outcome = tuple[Sequence[Shown], Sequence[Judged]]


def verdict(
    start: str, before: Mapping[str, float], after: Mapping[str, float], where: str = _HELD, kept: bool = False
) -> str:
    """Say whether fine-tuning was worth it.

    Parameters
    ----------
    start : str
        Name of the model that it began with; empty if it began with nothing.
    before, after : mapping of float
        Scores of that model and of the new one, on the same images.
    where : str
        Which images these are.
    kept : bool
        Whether the weights of that model were kept therefore.

    Returns
    -------
    str
        Empty where there is nothing to compare.
    """
    name = telling(before, after)
    if not start or not name:
        return ""
    said = f"{where}: {name} {before[name]:.3f} before, {after[name]:.3f} after."
    if kept:
        return (
            f"Not better than '{start}' {said} So its weights were kept. Annotate more images of the kind on which it "
            "fails, or learn for longer, and train again."
        )
    if after[name] > before[name]:
        return f"Better than '{start}' {said}"
    return (
        f"Not better than '{start}' {said} Keep using '{start}', or annotate more images of the kind on which it fails "
        "and train again."
    )


def complete_card(
    card: ModelCard, facts: Mapping[str, Any], history: History, outcome: Outcome, said: str = ""
) -> ModelCard:
    """Add to a card what is known after the training.

    Parameters
    ----------
    card : ModelCard
        As it was before the first step.
    facts : mapping
        Plain values: the settings, the data and so on.
    history : History
        Of the run.
    outcome : tuple
        The held-out images and how they were judged.
    said : str
        What else is to be said of the model, see :func:`verdict`.

    Returns
    -------
    ModelCard
        With data, scores and the record of the training.
    """
    shown, judged = outcome
    scores, sure = summarize(judged)
    metrics = dict(card.metrics)
    if scores:
        metrics["validation"] = scores | ends(sure) | {"images": float(len(judged))}
    if history.before and scores:
        metrics["validation of the model it started from"] = dict(history.before)
    thinned = history.rows[:: -(-len(history.rows) // _ROWS) or 1]
    training = {
        **facts,
        "software": {name: version(name) for name in _PACKAGES} | {"python": python_version(), "system": platform()},
        "seconds": round(history.seconds, 1),
        "best step": history.best_step if history.best >= 0 else None,
        "validation loss has risen since step": risen_since(history.rows),
        "curve": thinned,
        "validation": {
            each.name: summarize([one])[0] for each, one in zip(shown[:_NAMED], judged[:_NAMED], strict=True)
        },
    }
    words = " ".join(filter(None, (card.description, said)))
    # A time is not a recipe that can be followed; the number of steps is.
    done, meant = facts.get("steps"), facts.get("settings", {}).get("steps")
    recipe = card.recipe.replace(" minutes of", f" minutes ({done} steps) of")
    if done != meant:
        recipe = recipe.replace(f"{meant} steps of", f"{done} of {meant} steps of")
    more = {"metrics": metrics, "training": training, "description": words, "recipe": recipe}
    return card.model_copy(update=more)


def ends(sure: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Name the ends of intervals as a card does.

    Parameters
    ----------
    sure : mapping of str to (float, float)
        From :func:`~napari_unet.training.validate.summarize`.

    Returns
    -------
    dict of float
        ``"Dice low"``, ``"Dice high"`` and so on.
    """
    return {f"{name} {end}": value for name, pair in sure.items() for end, value in zip(_ENDS, pair, strict=True)}


def describe_data(learned: Sequence[Example], held_out: Sequence[Example]) -> dict[str, Any]:
    """Say which images were learned from and which were held out, so that others can tell whether theirs are the same.

    Parameters
    ----------
    learned, held_out : sequence of Example
        The images.

    Returns
    -------
    dict
        Counts, and the sha256 of images and labels: of files their bytes, of layers their values.
    """
    kinds = {"learned from": learned, "held out": held_out}
    lists = {kind: [_hashes(example) for example in examples] for kind, examples in kinds.items()}
    whole = hashlib.sha256("".join(h["image"] + h["labels"] for hashes in lists.values() for h in hashes).encode())
    return {
        "images": len(learned),
        "held out": len(held_out),
        "sha256": whole.hexdigest(),
        "files": {kind: hashes[:_NAMED] for kind, hashes in lists.items()},
    }


def _hashes(example: Example) -> dict[str, str]:
    return {"name": example.name, "image": _hash(example.image), "labels": _hash(example.labels)}


def _hash(what: Image | Path | tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    if isinstance(what, tuple):
        return hashlib.sha256("".join(map(_hash, what)).encode()).hexdigest()
    if isinstance(what, Image):
        digest.update(f"{what.axes} {what.shape}".encode())
        rows = max(1, _PART // max(1, math.prod(what.shape[1:])))
        for start in range(0, what.shape[0], rows):  # lazy arrays may be larger than memory
            block = what.read((slice(start, min(start + rows, what.shape[0])), *(slice(0, n) for n in what.shape[1:])))
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()
    folder = Path(what)
    if folder.is_file():
        _add_file(digest, folder)
        return digest.hexdigest()
    # Of a large OME-Zarr or DICOM folder the names and sizes of all files tell which it is, and what describes it.
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    small = sum(file.stat().st_size for file in files) <= _WHOLE
    for file in files:
        digest.update(f"{file.relative_to(folder).as_posix()} {file.stat().st_size} ".encode())
        if small or file.name in _DESCRIBES:
            _add_file(digest, file)
    return digest.hexdigest()


def _add_file(digest: Any, file: Path, most: int = _WHOLE) -> None:
    """Add the bytes of a file, or its ends and its size if it is larger than most."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        digest.update(stream.read(most // 2 if size > most else size))
        if size > most:
            stream.seek(-most // 2, 2)
            digest.update(stream.read() + str(size).encode())


def draw_example(shown: Shown, labels: npt.NDArray[np.integer[Any]], file: Path) -> None:
    """Draw a part of an image, and beside it the same with the outlines of what the model finds.

    Parameters
    ----------
    shown : Shown
        The image.
    labels : ndarray of int
        What was found.
    file : Path
        PNG to write, at most 512 by 256 pixels.
    """
    flat = picture(shown.image)
    while labels.ndim > 2:
        labels = labels[len(labels) // 2]
    window = tuple(slice((n - min(n, _EDGE)) // 2, (n - min(n, _EDGE)) // 2 + min(n, _EDGE)) for n in flat.shape)
    flat, labels = flat[window], labels[window]
    low, high = np.nanpercentile(flat, (1, 99.8))
    gray = np.nan_to_num(255 * np.clip((flat - low) / max(float(high - low), 1e-6), 0, 1)).astype(np.uint8)
    left = np.repeat(gray[..., None], 3, -1)
    right = left.copy()
    right[find_boundaries(labels, mode="inner")] = _ORANGE
    Picture.fromarray(np.concatenate((left, right), 1)).save(file, format="PNG", optimize=True)


def plan_facts(spec: TrainSpec, plan: Plan | None, steps: int, device: str, processes: int) -> dict[str, Any]:
    """Return the settings of a run as plain values; with these steps in the place of a time it can be done again."""
    return {
        "start": spec.start,
        "seed": spec.seed,
        "steps": steps,
        "device": device,
        "processes": processes,
        "plan": list(plan.words) if plan else [],
        "counts": dict(plan.counts) if plan else {},
        "settings": spec.model_dump(mode="json", exclude={"net", "target", "normalize", "name", "task"}),
    }
