"""A model on an image of any size: labels go to disk while they are found, and a run that was stopped goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..core.axes import Image
from ..core.errors import OutputError
from ..core.hashes import label_hash_steps
from ..core.lengths import symbol
from ..core.results import Segmentation
from ..core.specs import SegmentSpec
from ..core.steps import Progress, Steps
from ..io.addresses import shown
from ..io.behind import Behind
from ..io.runs import RunFolder, find_finished, goes_on, has_output
from ..tiling._brick_jobs import intact
from ..tiling._written import written_digests
from ..tiling.bricked import segment_bricks
from ..tiling.care import told
from ..tiling.chunks import cached
from ..tiling.fingerprint import without_unknown
from ..tiling.unreadable import is_readable, mended
from ._bricks import Alone, Crew, can_store, prepare, share_left
from ._foretold import Foretold
from ._scorer import Scorer
from .errand import source_of
from .segment import careful, found_out, record

__all__ = ["can_store", "difference", "identity", "store_segmentation", "unlike"]

# What makes two runs the same run; all else in a manifest is what came out.
_IDENTITY: Final = (
    "program", "model", "sha256", "averaged", "rule", "sight", "device", "runtime", "precision", "image", "pixels",
    "settings",
)  # fmt: skip
_LATER: Final = ("sight", "pixels")  # which records of old do not have
_FREE: Final = ("tiling", "device", "model")  # settings that may differ: what was really used is named beside them
_APART: Final = (
    "name",
    "scale",
    "units",
    "start",
)  # of an image: what its labels do not depend on, or only where it counts
_PLACES: Final = {"image": ("start",), "place": ("transform", "crs"), "anatomy": ("affine",)}
_DIGITS: Final = 6  # of the size of a pixel, which readers and layers round otherwise
_LONGEST: Final = 200
_WORDS: Final = {
    "program": "labels of another version of this program",
    "model": "labels of another model",
    "sha256": "labels of another model of that name",
    "averaged": "labels of other models",
    "rule": "objects of that model by another rule on its card",
    "sight": "labels of that model when its card said otherwise how it sees images",
    "device": "labels that another device computed",
    "runtime": "labels that another runtime computed",
    "precision": "labels in another precision",
    "image": "labels of another image, or of this one before it was changed",
    "pixels": "labels of this image when its pixels had another size",
    "settings": "labels with other settings",
}


def store_segmentation(
    image: Image,
    spec: SegmentSpec,
    model: Scorer,
    output: Path,
    *,
    overwrite: bool = False,
    crew: Crew | None = None,
) -> Steps[Segmentation]:
    """Find the objects of an image with a model and write their labels as OME-Zarr.

    What was done by an unfinished run of the same kind is not done again. If the result is there already, it is
    verified instead.

    Parameters
    ----------
    image : Image
        Any axes.
    spec : SegmentSpec
        Settings.
    model : Scorer
        Which network, or several as one.
    output : Path
        An OME-Zarr folder to write.
    overwrite : bool
        Replace other labels that are there.
    crew : Crew, optional
        Who does the work, and whether somebody looks on; by default the threads of this process.

    Returns
    -------
    Segmentation
        Labels, not loaded, and the record of the run; no measurements.

    Yields
    ------
    Progress
        One for every brick and every written part.

    Raises
    ------
    AxesError, ImageError, ModelError
        If the image does not fit the model or cannot be read.
    OutputError
        If something else is at the place, another program is writing there, or it cannot be written.
    """
    start, image, crew = time.perf_counter(), mended(cached(image), spec), crew or Alone()
    yield Progress(0, 0, "Looking for an earlier run")
    asked = record(image, spec, model)
    done, wanted = (yield from _verified(image, output, asked, overwrite)), identity(asked)
    if done is not None:
        return replace(done, seconds=time.perf_counter() - start)
    with RunFolder(output) as folder:
        if overwrite:
            folder.make_room()
        if not folder.begun:
            yield Progress(0, 0, "Measuring intensities and object size")
            begun = {"identity": wanted, "errand": source_of(image, spec)}
            folder.journal.begin(begun | crew.begin(image, spec, model))
        _check_same(folder, wanted)
        if doubt := folder.begun.get("doubt"):
            yield Progress(0, 0, "Measuring intensities and object size", news=doubt)
        found = yield from _written(image, spec, model, folder, crew)
    return replace(found, seconds=time.perf_counter() - start)


def _written(image: Image, spec: SegmentSpec, model: Scorer, folder: RunFolder, crew: Crew) -> Steps[Segmentation]:
    """Do what is left of a run, and put the result where it belongs."""
    care = careful(spec, model, _retried(folder), partial(_note_retried, folder))
    work = prepare(image, spec, model, folder.begun, care, crew.looking is not None)
    plan, store = work.plan, folder.store(image, work.plan.ndim)
    foretold = Foretold(care, round(share_left(folder.journal, folder.begun) * math.prod(store.labels.shape)))
    foretold.store(folder.output, folder.journal, image, plan, work.rule)
    with Behind(folder.journal) as journal:
        jobs = crew.jobs(work, journal, store)
        objects, found_hash = yield from told(segment_bricks(image, jobs, crew.looking, crew.hands), care, foretold)
        digests = written_digests(image, image.planes(plan.ndim), jobs)
    yield Progress(0, 0, "Writing the overviews")
    facts = found_out(image, plan, work.diameter, work.finding.smallest)
    facts |= {key: folder.begun[key] for key in ("doubt",) if key in folder.begun}
    manifest = record(image, spec, model) | facts | {"objects": objects, "labels_hash": found_hash}
    labels = yield from folder.publish_steps(manifest, store, digests)
    labels = replace(labels, name=f"{image.name} {model.card.name}")
    return Segmentation(labels, objects, work.diameter, 0.0, manifest)


def _check_same(folder: RunFolder, wanted: Mapping[str, Any]) -> None:
    if other := difference(folder.begun["identity"], wanted):
        raise OutputError(
            f"'{folder.folder}' holds unfinished {other}. To go on, give the command as it was then; to "
            "start anew, remove that folder, or choose another name."
        )


def _retried(folder: RunFolder) -> dict[str, int]:
    """Return how often a run that goes on was short of memory."""
    return {name: int(count) for name, count in (intact(folder.journal, "run", "retried") or {}).items()}


def _note_retried(folder: RunFolder, retried: Mapping[str, int]) -> None:
    folder.journal.put("run", "retried", **{name: np.array(count) for name, count in retried.items()})


def identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must be equal for a run to go on.

    Parameters
    ----------
    manifest : mapping
        Of a run.

    Returns
    -------
    dict
        As JSON would hold it.
    """
    found = {key: manifest[key] for key in _IDENTITY if key in manifest}
    # The name may be that of a file or of a layer.
    found["image"] = {key: value for key, value in manifest["image"].items() if key not in _APART}
    if "pixels" in found:
        found["pixels"] = _rounded(found["pixels"])
    found["settings"] = {key: value for key, value in manifest["settings"].items() if key not in _FREE}
    return found


def difference(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say in which way a run is another one; empty if it is the same.

    One that was to stop at a damaged part of the image goes on as one that skips it.

    Parameters
    ----------
    there, wanted : mapping
        From :func:`identity`.

    Returns
    -------
    str
        In words: what is there, and how it differs.
    """
    if there.get("settings", {}).get("unreadable") == "stop":
        there = {**there, "settings": {**there["settings"], "unreadable": wanted["settings"]["unreadable"]}}
    if "image" in there:
        wanted = {**wanted, "image": without_unknown(there["image"], wanted["image"])}
    for key in _IDENTITY:
        if there.get(key) != wanted.get(key) and not (key in _LATER and key not in there):
            return f"{_WORDS[key]} ({_differing(there.get(key), wanted.get(key))})"
    return ""


def unlike(manifest: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Say in which way finished labels are not those that are asked for; empty if they are.

    Parameters
    ----------
    manifest : mapping
        Of the finished run.
    wanted : mapping
        From :func:`~napari_unet.models.segment.record`.

    Returns
    -------
    str
        In words: what is there, and how it differs. Labels say where they lie, so the image must lie there too.
    """
    if other := difference(identity(manifest), identity(wanted)):
        return other
    wanted = json.loads(json.dumps(wanted))  # as it would be read again
    there, now = manifest["image"], wanted["image"]
    sizes = [_rounded(image) for image in (there, now) if "scale" in image]
    if len(sizes) == len((there, now)) and sizes[0] != sizes[1]:
        return f"{_WORDS['pixels']} ({_differing(*sizes)})"
    for name, keys in _PLACES.items():
        places = [{key: (of.get(name) or {}).get(key) for key in keys} for of in (manifest, wanted)]
        if places[0] != places[1]:
            return f"labels of this image when it lay elsewhere ({_differing(*places)})"
    return ""


def _rounded(sizes: Mapping[str, Any]) -> dict[str, Any]:
    """Return sizes of pixels, so that they are the same whoever has read them."""
    scale = [float(f"{side:.{_DIGITS}g}") for side in sizes["scale"]]
    return {"scale": scale, "units": [*map(symbol, sizes["units"])]}


def _differing(there: Any, wanted: Any) -> str:
    """Say what differs, as short as possible."""
    if isinstance(wanted, Mapping):
        there = there or {}
        keys = [key for key in {**there, **wanted} if there.get(key) != wanted.get(key)]
        return ", ".join(f"{key}: {_short(there.get(key))} then, {_short(wanted.get(key))} now" for key in keys)
    return f"{there} then, {wanted} now"


def _short(value: Any) -> str:
    """Write a value, unless it is as long as a region can be."""
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _verified(image: Image, output: Path, wanted: Mapping[str, Any], overwrite: bool) -> Steps[Segmentation | None]:
    """Return the labels of a finished run, if these are they and they are undamaged."""
    if not has_output(output) or goes_on(output, overwrite):
        return None
    found = find_finished(output)
    labels, manifest = found or (None, {})
    complete = {"settings", "labels_hash", "objects", "diameter"} <= set(manifest)
    other = unlike(manifest, wanted) if complete else "something else"
    if labels is not None and not other and manifest.get("edited"):
        other = f"labels that were corrected by hand, last {manifest['edited'][-1]['when']}"
    elif labels is not None and not other and any(is_readable(image, at) for at in manifest.get("unreadable", ())):
        other = "labels of this image when parts of it could not be read, which can be read now"
    elif labels is not None and not other:
        yield Progress(0, 0, "Verifying the labels that are there")
        if (yield from _sound(labels, manifest["labels_hash"])):
            _tidy(output, identity(wanted))
            return Segmentation(labels, int(manifest["objects"]), float(manifest["diameter"]), 0.0, manifest)
        other = "labels that were changed or damaged since they were written"
    if overwrite:
        return None
    raise OutputError(
        f"'{shown(output)}' exists and holds {other}. Choose another name, or allow it to be replaced: --overwrite."
    )


def _sound(labels: Image, expected: str) -> Steps[bool]:
    """Say whether stored labels are as they were written."""
    try:
        found = yield from label_hash_steps(labels.data)
        return found == expected
    except (OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError):
        return False  # a part of them cannot even be read


def _tidy(output: Path, wanted: Mapping[str, Any]) -> None:
    """Remove what is left of the run that made these labels, if it was killed after they were in place."""
    if RunFolder(output).folder.is_dir():
        with RunFolder(output) as folder:
            if not folder.begun or not difference(folder.begun["identity"], wanted):
                folder.discard()
