"""Folders of the Cell Tracking Challenge: one TIFF of masks for each frame, and a text file of tracks.

A line of the text file says ``L B E P``: the number of a track, its first and last frame, and its parent (0 for none).
Masks hold the numbers of tracks. A track may be missing in some frames between its first and its last.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import dask.array as da
import numpy as np
import numpy.typing as npt
import tifffile

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.core.graph import assemble
from napari_unet.core.results import TrackFile, Tracks

from .atomic import atomic_folder

__all__ = ["is_result", "read", "write"]

_TEXTS: Final = ("res_track.txt", "man_track.txt")
_OURS: Final = re.compile(r"mask\d+\.tif|res_track\.txt")
_NUMBER: Final = re.compile(r"(\d+)$")
_MOST: Final = 65535
_MOST_SAID: Final = 20


def is_result(path: Path) -> bool:
    """Say whether a folder holds a result of tracking and nothing else; a truth (``man_track``) is none."""
    return all(_OURS.fullmatch(file.name) for file in path.iterdir())


def write(path: Path, tracks: Tracks, labels: Callable[[int], npt.NDArray[Any]], overwrite: bool = False) -> None:
    """Write a folder ``maskNNN.tif`` with ``res_track.txt``.

    Parameters
    ----------
    path : Path
        The folder.
    tracks : Tracks
        What to write; of two tracks that merge, the first is the parent.
    labels : callable
        Returns the masks of a frame, numbered by track.
    overwrite : bool
        Replace a folder that is there.

    Raises
    ------
    OutputError
        If there are more tracks than the format can number, or the place cannot be written.
    """
    nodes = tracks.nodes
    count = int(nodes["track"].max(initial=0))
    if count > _MOST:
        raise OutputError(
            f"There are {count} tracks; the Cell Tracking Challenge numbers at most {_MOST}. Write .geff instead."
        )
    t, track = nodes["t"].astype(np.int64), nodes["track"].astype(np.int64)
    first, last, parent = np.full(count + 1, 1 << 62), np.full(count + 1, -1), np.zeros(count + 1, np.int64)
    np.minimum.at(first, track, t)
    np.maximum.at(last, track, t)
    parent[track] = nodes["parent"]
    frames = len(labels) if hasattr(labels, "__len__") else int(t.max(initial=-1)) + 1
    digits = max(3, len(str(frames - 1)))
    with atomic_folder(path, overwrite) as folder:
        for frame in range(frames):
            masks = labels(frame).astype(np.uint16)
            # Masks that were filled in may begin before what was tracked does, or end after it.
            drawn = np.flatnonzero(np.bincount(masks.reshape(-1), minlength=1)[: count + 1])
            first[drawn], last[drawn] = np.minimum(first[drawn], frame), np.maximum(last[drawn], frame)
            tifffile.imwrite(
                folder / f"mask{frame:0{digits}d}.tif", masks, compression="zlib", photometric="minisblack"
            )
        lines = [f"{i} {first[i]} {last[i]} {parent[i]}\n" for i in range(1, count + 1)]
        (folder / "res_track.txt").write_text("".join(lines), encoding="ascii")


def read(path: Path) -> TrackFile:
    """Read a folder; what does not fit together is listed, and the masks decide.

    Parameters
    ----------
    path : Path
        With ``res_track.txt`` (or ``man_track.txt``) and the masks.

    Returns
    -------
    TrackFile
        Tracks, the masks (lazy), and what is wrong.

    Raises
    ------
    ImageError
        If there are no masks, or they cannot be read.
    """
    problems: list[str] = []
    files = _masks(path, problems)
    shape, frames, rows = (), sorted(files), []
    for t in frames:
        values = _load(files[t])
        if shape and values.shape != shape:
            raise ImageError(
                f"'{files[t].name}' has the shape {values.shape}, the frames before have {shape}. All frames of a "
                "movie must have one size."
            )
        shape = values.shape
        rows.append(_objects(values, t))
    lines = _lines(path, problems)
    t, track, area, *middle = np.concatenate(rows).T
    axes = "zyx"[3 - len(shape) :]
    table = {"t": t.astype(np.int64), "track": track.astype(np.int64), "area": area.astype(np.int64)}
    table |= dict(zip(axes, middle, strict=True))
    _compare(lines, table, problems)
    table["parent"] = np.array([lines.get(int(i), (0, 0, 0))[2] for i in track], np.int64)
    made = assemble(table, path.name)
    views = [_Frame(files.get(t), shape) for t in range(frames[-1] + 1)]
    data = da.stack([da.from_array(view, chunks=shape, name=False) for view in views])
    return TrackFile(made.tracks, Image(data, f"t{axes}", name=path.name), (*problems, *made.problems))


class _Frame:
    """A mask that is read when somebody looks; empty if there is none."""

    def __init__(self, file: Path | None, shape: tuple[int, ...]) -> None:
        self.file, self.shape, self.dtype, self.ndim = file, shape, np.dtype(np.int32), len(shape)

    def __getitem__(self, index: Any) -> npt.NDArray[np.int32]:
        values = np.zeros(self.shape, np.int32) if self.file is None else _load(self.file)
        return np.asarray(values[index].astype(np.int32))


def _load(file: Path) -> npt.NDArray[Any]:
    try:
        values = np.asarray(tifffile.imread(file))
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise ImageError(f"'{file}' could not be read: {error}. Copy it again from where it came.") from error
    if values.dtype.kind not in "bui" or values.ndim not in (2, 3):
        raise ImageError(f"'{file}' holds no masks: {values.dtype}, {values.ndim} dimensions. Masks are whole numbers.")
    return values


def _masks(path: Path, problems: list[str]) -> dict[int, Path]:
    """Find the masks by the number at the end of their names; those of a truth are called ``man_trackNNN``."""
    found: dict[int, Path] = {}
    for file in sorted(path.glob("*.tif*")):
        number = _NUMBER.search(file.stem)
        if number is None or file.stem.startswith("man_seg"):
            problems.append(f"'{file.name}' is no mask of a frame and was left out.")
        elif int(number[1]) in found:
            problems.append(f"'{file.name}' is frame {int(number[1])} a second time and was left out.")
        else:
            found[int(number[1])] = file
    if not found:
        raise ImageError(f"'{path}' holds no masks (mask000.tif, mask001.tif and so on). Choose the folder with them.")
    lost = sorted(set(range(max(found) + 1)) - set(found))
    problems += [f"There is no mask of frame {t}: taken as empty." for t in lost[:_MOST_SAID]]
    return found


def _objects(values: npt.NDArray[Any], t: int) -> npt.NDArray[np.float64]:
    where = np.flatnonzero(values)
    names, which = np.unique(values.reshape(-1)[where], return_inverse=True)
    area = np.bincount(which, minlength=len(names))
    places = np.unravel_index(where, values.shape)
    middle = [np.bincount(which, weights=place, minlength=len(names)) / np.maximum(area, 1) for place in places]
    return np.stack([np.full(len(names), t), names, area, *middle], axis=1).astype(np.float64)


def _lines(path: Path, problems: list[str]) -> dict[int, tuple[int, int, int]]:
    """Read the text file: first frame, last frame and parent of each track."""
    file = next((path / name for name in _TEXTS if (path / name).is_file()), None)
    if file is None:
        problems.append(f"There is no {_TEXTS[0]}: every number is a track without parent.")
        return {}
    found: dict[int, tuple[int, int, int]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 4 or not all(word.isdigit() for word in words):
            problems.append(f"{file.name}, line {number}, is not four whole numbers: '{line[:40]}'. Left out.")
        elif int(words[0]) in found:
            problems.append(f"{file.name}, line {number}, speaks of track {words[0]} a second time. Left out.")
        else:
            name, *rest = map(int, words)
            found[name] = (rest[0], rest[1], rest[2])
    return found


def _compare(lines: dict[int, tuple[int, int, int]], table: dict[str, npt.NDArray[Any]], problems: list[str]) -> None:
    """Say where the text and the masks differ."""
    order = np.argsort(table["track"], kind="stable")
    names, start = np.unique(table["track"][order], return_index=True)
    times = np.split(table["t"][order], start[1:]) if len(names) else []
    seen = {int(name): (int(t.min()), int(t.max())) for name, t in zip(names, times, strict=True)}
    said: list[str] = []
    for name in sorted(set(lines) - set(seen)):
        said.append(f"Track {name} is in the text but in no mask: left out.")
    for name, (first, last) in seen.items():
        if name not in lines:
            if lines:
                said.append(f"Track {name} is in the masks but not in the text: taken as a track without parent.")
        elif lines[name][:2] != (first, last):
            begin, end, _ = lines[name]
            said.append(f"Track {name} is in frames {first} to {last}, not {begin} to {end} as the text says.")
    problems += said[:_MOST_SAID]
    if len(said) > _MOST_SAID:
        problems.append(f"And {len(said) - _MOST_SAID} more like these.")
