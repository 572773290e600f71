"""Labels that were corrected by hand, written back into an OME-Zarr: levels, hash and record change together."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import zarr

from ..core.axes import Image
from ..core.errors import ImageError, OutputError
from ..core.hashes import block_digests, block_numbers, digest_steps, hash_of
from ..core.levels import level_steps
from ..core.steps import Progress, Steps
from ..core.windows import Reader, Window, meet, since, windows
from ._zarr import DIGESTS, folder_of, read_digests, shards_in, write_digests
from ._zarr_reader import read_zarr
from .addresses import as_address
from .label_store import stored_labels
from .labels import as_facts
from .levels import Labels, thinned
from .runs import RunFolder
from .swaps import Swaps

__all__ = ["Change", "Edited", "edit_steps", "forget_edits", "undo_edit"]

_HIGHEST: Final = 2**31 - 1


@dataclass(frozen=True)
class Change:
    """A part of some labels that was corrected.

    Attributes
    ----------
    window : mapping of str to slice
        Where it lies, for each axis.
    before, after : Image
        The part as it was taken and as it is now, int32; any order of axes.
    """

    window: Mapping[str, slice]
    before: Image
    after: Image


@dataclass(frozen=True)
class Edited:
    """What became of a change.

    Attributes
    ----------
    ids : tuple of int
        Objects that have changed, appeared or vanished.
    renamed : dict of int to int
        New objects and the ids that they have got, where theirs could have been taken.
    box : dict of str to slice
        Where all changed pixels lie.
    manifest : dict
        The record, as it is now.
    """

    ids: tuple[int, ...]
    renamed: dict[int, int]
    box: dict[str, slice]
    manifest: dict[str, Any]


def edit_steps(output: Path, change: Change) -> Steps[Edited]:
    """Write corrected labels into the OME-Zarr that they were taken from.

    Whole shards are replaced, all of them or none. Ids that were not in the part before it was corrected become new
    ones, above all others, since they could be taken elsewhere. Only pixels that were corrected are written.

    Parameters
    ----------
    output : Path
        Of a finished run.
    change : Change
        What was corrected.

    Returns
    -------
    Edited
        What it became.

    Yields
    ------
    Progress
        One for every shard, and for every part that is read to know the hash of all labels.

    Raises
    ------
    ImageError
        If there are no labels, or the corrected values are none.
    OutputError
        If nothing has changed, the same pixels were changed by somebody else, or the disk cannot be written.
    """
    with _held(output) as swaps:
        found = stored_labels(output)
        if found is None:
            raise ImageError(f"'{output}' holds no labels of this program any more. Run the segmentation again.")
        labels, manifest = found
        yield Progress(0, 0, "Looking at the labels that are there")
        edit = _Edit(labels, manifest, change, (yield from _highest(labels, manifest)))
        if not edit.changed.any():
            raise OutputError("Nothing has changed: there is nothing to put back.")
        edit.check()
        new = swaps.draft()
        try:
            files, removed = yield from _write(output, edit, new)
        except OSError as error:
            raise OutputError(
                f"The corrections could not be written beside '{output}': {error.strerror or error}. Check the free "
                "space and the connection of the disk, then put them back again; nothing is changed."
            ) from error
        swaps.commit(new, files, removed)
    return Edited(edit.ids, edit.renamed, edit.box, edit.record)


def undo_edit(output: Path) -> dict[str, Any]:
    """Take the last correction back.

    Parameters
    ----------
    output : Path
        As for :func:`edit_steps`.

    Returns
    -------
    dict
        The record, as it was before.

    Raises
    ------
    OutputError
        If there is nothing to undo, or the disk cannot be written.
    """
    with _held(output) as swaps:
        swaps.undo()
    found = stored_labels(output)
    return found[1] if found is not None else {}


def forget_edits(output: Path) -> None:
    """Let go of what could be undone; the corrections stay."""
    swaps = Swaps(output)
    if swaps.folder.is_dir():
        swaps.forget()


@contextmanager
def _held(output: Path) -> Iterator[Swaps]:
    """Hold labels for this program alone, and bring to an end what was begun with them."""
    if address := as_address(output):
        raise OutputError(
            f"Corrections cannot be put back into '{address}': nothing can be swapped there. Copy it to a disk, and "
            "correct it there."
        )
    with RunFolder(output) as run:
        if run.begun:
            raise OutputError(
                f"An unfinished run is about to replace '{output}'. Finish it, or remove '{run.folder}', first."
            )
        swaps = Swaps(output)
        swaps.recover()
        yield swaps


class _Edit:
    """A change in the axes of the labels that are stored, cut to the pixels that differ."""

    def __init__(self, labels: Image, manifest: Mapping[str, Any], change: Change, highest: int) -> None:
        self.labels, axes = labels, labels.axes
        before, after = (_turned(image, axes) for image in (change.before, change.after))
        if int(after.min()) < 0:
            raise ImageError("The corrected labels hold negative numbers. Labels are 0 (background) or from 1 up.")
        changed = before != after
        self.inner = _box(changed)
        whole = tuple(change.window[a] for a in axes)
        self.window: Window = tuple(
            slice(w.start + i.start, w.start + i.stop) for w, i in zip(whole, self.inner, strict=True)
        )
        self.box = dict(zip(axes, self.window, strict=True))
        self.changed, self.before = changed[self.inner], before[self.inner]
        known = np.unique(before)
        highest = max(highest, int(known.max(initial=0)))
        self.renamed, self.after = _renamed(after[self.inner], self.changed, known, highest)
        touched = {*self.before[self.changed].tolist(), *self.after[self.changed].tolist()}
        self.ids = tuple(sorted(touched - {0}))
        note = {
            "when": datetime.now(UTC).isoformat(timespec="seconds"), "pixels": int(np.count_nonzero(changed)),
            "objects": len(self.ids), "new": len(self.renamed),
        }  # fmt: skip
        self.record = dict(manifest) | {
            "objects": highest + len(self.renamed), "edited": [*manifest.get("edited", []), note],
        }  # fmt: skip

    def check(self) -> None:
        """Refuse to write over what somebody else has changed meanwhile."""
        now = np.asarray(self.labels.data[self.window]).astype(np.int32)
        if (now != self.before)[self.changed].any():
            raise OutputError(
                f"'{self.labels.name}' was changed since this region was taken, at pixels that you have corrected too. "
                "Take the region again."
            )


def _highest(labels: Image, manifest: Mapping[str, Any]) -> Steps[int]:
    """Return the highest id: a run has given its objects the numbers from 1 up; other labels must be gone through."""
    if {"objects", "labels_hash"} <= set(manifest):
        return int(manifest["objects"])
    reader, highest = Reader(labels.data, labels.name), 0
    for window in windows(labels.shape):
        yield Progress(0, 0, "Looking for the highest number")
        highest = max(highest, int(reader.read(window).max()))
    return highest


def _turned(image: Image, axes: str) -> Labels:
    values = np.asarray(image.data).transpose([image.axes.index(a) for a in axes])
    return values.astype(np.int32, copy=False)


def _box(changed: npt.NDArray[np.bool_]) -> Window:
    """Return the smallest window around all pixels that differ."""
    parts = []
    for axis in range(changed.ndim):
        where = np.flatnonzero(changed.any(axis=tuple(a for a in range(changed.ndim) if a != axis)))
        parts.append(slice(int(where[0]), int(where[-1]) + 1) if where.size else slice(0, 0))
    return tuple(parts)


def _renamed(
    after: Labels, changed: npt.NDArray[np.bool_], known: npt.NDArray[np.int32], highest: int
) -> tuple[dict[int, int], Labels]:
    """Give new objects ids that nobody has."""
    new = np.setdiff1d(np.unique(after[changed]), [0, *known])
    if highest + len(new) > _HIGHEST:
        raise OutputError("There are no free ids left for new objects.")
    renamed = {int(i): highest + 1 + number for number, i in enumerate(new)}
    found = after.copy()
    for old, value in renamed.items():
        found[(after == old) & changed] = value
    return renamed, found


def _write(output: Path, edit: _Edit, new: Path) -> Steps[tuple[list[str], list[str]]]:
    """Write all that is new; return the files, and those that are to be removed."""
    root, steps = Path(os.path.realpath(output)), level_steps(edit.labels.axes, edit.labels.shape)
    finest = read_zarr(root, labels=True).data
    digests = yield from _digests(finest, edit.record)
    files: list[str] = []
    removed: list[str] = []
    for number, step in enumerate(steps):
        level = read_zarr(root, labels=True, level=number).data
        inside = folder_of(level).relative_to(root).as_posix()
        for key, shard, block in _new_shards(level, edit, step):
            if number == 0:
                digests[block_numbers(level.shape, shard)] = _as_rows(b"".join(block_digests(block)))
            (files if _store(new / inside, level, shard, block) else removed).append(f"{inside}/{key}")
            yield Progress(0, 0, "Writing the corrected labels")
    edit.record["labels_hash"] = hash_of(finest.shape, map(bytes, digests))
    group = folder_of(finest).parent.relative_to(root)
    files += _store_digests(new, group, digests) + _store_record(root, new, group, edit.record)
    # A shard of nothing but background that was none before is no change.
    return files, [name for name in removed if (root / name).exists()]


def _new_shards(level: zarr.Array[Any], edit: _Edit, step: tuple[int, ...]) -> Iterator[tuple[str, Window, Any]]:
    """Go through the shards of a level that change, with what they are to hold."""
    values, where = thinned(edit.window, edit.after, step), thinned(edit.window, edit.changed, step)
    if values is None or where is None:
        return
    window = values[0]
    for key, shard in shards_in(level, window):
        both = meet(shard, window)
        if both is not None and (changed := where[1][since(both, window)]).any():
            block = np.array(level[shard], np.uint32)
            block[since(both, shard)][changed] = values[1][since(both, window)][changed]
            yield key, shard, block


def _store(folder: Path, level: zarr.Array[Any], shard: Window, block: npt.NDArray[np.uint32]) -> bool:
    """Write a shard as the level would, into another folder; say whether there is anything to write."""
    if not block.any():
        return False
    if not (folder / "zarr.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder_of(level) / "zarr.json", folder / "zarr.json")
    zarr.open_array(folder, mode="r+")[shard] = block
    return True


def _digests(finest: zarr.Array[Any], record: Mapping[str, Any]) -> Steps[npt.NDArray[np.uint8]]:
    """Return the digests of all blocks as they are stored, or else from the labels."""
    expected = record.get("labels_hash")
    kept = read_digests(folder_of(finest).parent)
    if kept is not None and _hash(finest.shape, kept) == expected:
        return kept
    found = _as_rows(bytes((yield from digest_steps(finest)))).copy()
    if expected is not None and _hash(finest.shape, found) != expected:
        raise OutputError(
            "These labels were changed or damaged since they were written, so nothing can be put back. "
            "Run the segmentation again."
        )
    return found


def _hash(shape: tuple[int, ...], digests: npt.NDArray[np.uint8]) -> str | None:
    try:
        return hash_of(shape, map(bytes, digests))
    except ImageError:
        return None  # not as many as there are blocks


def _as_rows(digests: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(digests, np.uint8).reshape(-1, 32)


def _store_digests(new: Path, group: Path, digests: npt.NDArray[np.uint8]) -> list[str]:
    write_digests(new / group, digests)
    folder = new / group / DIGESTS
    return [file.relative_to(new).as_posix() for file in sorted(folder.rglob("*")) if file.is_file()]


def _store_record(root: Path, new: Path, group: Path, record: Mapping[str, Any]) -> list[str]:
    about = json.loads((root / group / "zarr.json").read_text("utf-8"))
    about["attributes"]["napari-unet"] = as_facts(record)
    (new / group / "zarr.json").write_text(json.dumps(about, indent=2), "utf-8")
    return [(group / "zarr.json").as_posix()]
