"""The same place at several dates: how much of each class, and what turned into what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from ..core.axes import Image, as_image
from ..core.errors import AxesError, ImageError, SpecError
from ..core.polygons import Meaning
from ..core.results import Table
from ..core.steps import Progress, Steps, finish
from .files import read_labels
from .measuring import ground_of

__all__ = ["change", "change_steps"]

_DATED: Final = 3  # axes of an array
_TELLING: Final = (".tif", ".tiff", ".zarr")  # files that know how they were made


def change_steps(
    labels: Any, names: Sequence[str] = (), unit: str = "", *, empty: bool = True
) -> Steps[tuple[Table, Table]]:
    """Measure how a map of classes changes over time, step by step.

    Parameters
    ----------
    labels : Image, array-like or path, or a list of them
        Maps of classes with the axes ``tyx`` (arrays too); or several maps ``yx`` of one grid, in the order
        of their dates.
    names : sequence of str
        Of the classes 1, 2 and so on; where they are missing those that the files of maps tell.
    unit : str
        ``"m2"``, ``"ha"``, ``"km2"``, ``"mm2"`` or ``"pixels"``; empty: square meters where the size of a pixel is
        known, else pixels. On the ground, where maps know their reference system.
    empty : bool
        Whether 0 counts as a class; if not, nothing is known where it is at either date.

    Returns
    -------
    areas, changes : dict of str to ndarray
        A row for each date and class; a row for each two dates and two classes. In area units, pixels and shares. Dates
        are numbers from 0 (``t``), and bear the names of their files where each is a file (``date``).

    Yields
    ------
    Progress
        One for each window.

    Raises
    ------
    UNetError
        If these are no maps of classes on one grid, or the unit cannot be had.
    """
    from ..measures._change import measure_change

    given = labels if isinstance(labels, list | tuple) else [labels]
    images = [_map(one) for one in given]
    joined = images[0] if len(images) == 1 else _joined(images)
    names = names or _told_names(images)
    areas, changes = yield from measure_change(joined, names, unit, empty, ground_of(joined))
    dates = _named(images)
    if len(dates) != joined.along("t")[0][0]:
        return areas, changes
    return _dated(areas, dates, {"t": "date"}), _dated(changes, dates, {"t_from": "date_from", "t_to": "date_to"})


def _named(images: Sequence[Image]) -> list[str]:
    """Return what the dates are called: as their files, without endings; empty where they are no files."""
    from ..io._georeferenced import list_dates
    from ..io.folders import label_names, name_apart

    files = [Path(image.source) for image in images if image.source]
    if len(images) == 1 and files and files[0].is_dir() and files[0].suffix.lower() not in _TELLING:
        files = list_dates(files[0])
    told = len(set(files)) == len(files) >= len(images)
    return label_names(name_apart(files)) if told else []


def _dated(table: Table, dates: Sequence[str], columns: Mapping[str, str]) -> Table:
    """Put the name of each date behind its number."""
    import numpy as np

    found: Table = {}
    for name, column in table.items():
        found[name] = column
        if name in columns:
            found[columns[name]] = np.array(dates)[column]
    return found


def _told_names(images: Sequence[Image]) -> tuple[str, ...]:
    """Return the names of the classes 1, 2 and so on, as the files of maps tell them; empty if they tell none."""
    from ..io.runs import find_manifest

    known: dict[int, str] = {}
    for file in (file for image in images for file in _files_of(Path(image.source))):
        for number, name in Meaning.told_by(find_manifest(file), "").classes.items():
            if known.setdefault(number, name) != name:
                raise SpecError(
                    f"Class {number} is '{known[number]}' in one map and '{name}' in '{file.name}': they do not tell "
                    "the same. Name the classes yourself (--classes) if they are the same all the same."
                )
    return tuple(known.get(number, f"class {number}") for number in range(1, max(known, default=0) + 1))


def _files_of(source: Path) -> list[Path]:
    """Return the files that may tell what the classes of a map are called: of a folder of dates all of them."""
    from ..io._georeferenced import list_dates

    telling = source.suffix.lower() in _TELLING
    files = list_dates(source) if source.is_dir() and not telling else [source]
    return [file for file in files if file.suffix.lower() in _TELLING]


def _map(given: Any) -> Image:
    """Return a map of classes; an array of three axes starts with time."""
    if isinstance(given, str | Path):
        return read_labels(given)
    return as_image(given, None if isinstance(given, Image) or len(given.shape) != _DATED else "tyx")


def _joined(images: Sequence[Image]) -> Image:
    """Return maps of one grid as one image with time; nothing is loaded."""
    first = images[0]
    for image in images:
        if sorted(image.axes) != ["x", "y"]:
            raise AxesError(f"'{image.name}' has the axes '{image.axes}'; maps of several dates have y and x only.")
        if image.axes != first.axes or image.shape != first.shape:
            raise ImageError(
                f"'{first.name}' has {first.shape} pixels and '{image.name}' {image.shape}. Maps of several dates must "
                "lie on one grid: reproject them first."
            )
        if image.geo and first.geo:
            apart = not image.geo.same_grid(first.geo)
        else:
            apart = (image.scale, image.units) != (first.scale, first.units)
        if apart:
            raise ImageError(
                f"'{first.name}' and '{image.name}' do not lie at the same place, or have pixels of other sizes. "
                "Reproject them to one grid first, or put them into a folder of their own, named in the order of their "
                "dates, and give that (--axes tyx): then it is done while they are read."
            )
    scale, units = (1.0, *first.scale), ("pixel", *first.units)
    return replace(
        first, data=_Dates([image.data for image in images]), axes="t" + first.axes, scale=scale, units=units,
        levels=(), valid=(), name="maps",
    )  # fmt: skip


class _Dates:
    """Arrays of equal shape as one with another axis in front."""

    def __init__(self, parts: Sequence[Any]) -> None:
        import numpy as np

        self._parts = parts
        self.shape = (len(parts), *parts[0].shape)
        self.dtype = np.result_type(*(part.dtype for part in parts))
        self.ndim = len(self.shape)

    def __getitem__(self, window: Any) -> Any:
        import numpy as np

        first, *inner = window
        chosen = [self._parts[first]] if isinstance(first, int) else self._parts[first]
        found = np.stack([np.asarray(part[tuple(inner)], self.dtype) for part in chosen])
        return found[0] if isinstance(first, int) else found


def change(
    labels: Any,
    names: Sequence[str] = (),
    unit: str = "",
    *,
    empty: bool = True,
    show: Callable[[Progress], None] | None = None,
) -> tuple[Table, Table]:
    """Measure how a map of classes changes over time; see :func:`change_steps`."""
    return finish(change_steps(labels, names, unit, empty=empty), show)
