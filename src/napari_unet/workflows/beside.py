"""What is measured of many images beside their objects: rings around them, and objects within objects."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..core.amounts import distance_in
from ..core.axes import Image
from ..core.errors import ImageError, MemoryShortError, OutputError, SpecError, UNetError
from ..core.results import Table
from ..core.specs import SegmentSpec
from ..core.steps import Steps
from .measuring import around_steps, on_one_grid
from .relating import named_others, related_steps

__all__ = ["Beside"]


class Beside:
    """What is asked for of each image.

    Parameters
    ----------
    around : str or float
        As for :func:`~napari_unet.workflows.measuring.measure`.
    inside, within : path, list of path, or dict of str to path
        Folders with labels of other objects on the same images: results of :func:`~napari_unet.workflows.many.batch`,
        or files with the names of the images.

    Raises
    ------
    SpecError
        If something cannot be read, or two columns would have the same name.
    """

    def __init__(self, around: str | float = "", inside: Any = (), within: Any = ()) -> None:
        self._around = str(around).strip()
        if self._around:
            distance_in(self._around, 1.0, "micrometer")  # what cannot be read is said before the first image
        self._others = named_others(inside, within, bool(self._around))
        for folder in (folder for _, _, folder in self._asked()):
            if not isinstance(folder, str | os.PathLike):
                raise SpecError("Labels of other objects of many images are a folder each. Give its path.")
        self._places: dict[tuple[str, str], Path] = {}

    def _asked(self) -> Iterator[tuple[bool, str, Any]]:
        """Yield whether other objects lie inside, what they are called, and their folder."""
        for inside, some in zip((True, False), self._others, strict=True):
            yield from ((inside, column, folder) for column, folder in some.items())

    def find(self, names: Sequence[str], results: Path) -> None:
        """Look for the labels of other objects, before anything is done.

        Parameters
        ----------
        names : sequence of str
            Of all images.
        results : Path
            Where the labels go that are measured.

        Raises
        ------
        ImageError
            If a folder has none of any of these images, or is that of the results.
        """
        from ..io.beside import labels_beside

        for _, column, folder in self._asked():
            if Path(folder).resolve() in (results.resolve(), (results / "labels").resolve()):
                raise ImageError(f"'{folder}' is where the results go. Give the folder of the other objects.")
            found = labels_beside(Path(folder), names)
            if not any(found):
                raise ImageError(
                    f"'{folder}' has no labels of these images, such as '{names[0]}'. Give the results of another run "
                    "over them, or a folder of labels with their names."
                )
            self._places |= {(column, name): place for name, place in zip(names, found, strict=True) if place}

    def seen(self, name: str) -> str:
        """Return a word that changes with what is asked for, and with the labels of other objects of an image.

        Parameters
        ----------
        name : str
            Of the image.

        Returns
        -------
        str
            Empty if nothing is asked for.
        """
        from ..io.ledger import stamp

        told: list[Any] = [self._around] if self._around else []
        for inside, column, _ in self._asked():
            place = self._places.get((column, name))
            told.append([inside, column, place and stamp([place])])
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16] if told else ""

    def steps(
        self, table: Table, labels: Image, image: Image, spec: SegmentSpec, name: str
    ) -> Steps[tuple[Table, tuple[str, ...]]]:
        """Measure it.

        Parameters
        ----------
        table : dict of ndarray
            With the columns of the measure ``objects``; of anything else nothing is measured.
        labels, image : Image
            As they were measured.
        spec : SegmentSpec
            How the image was seen.
        name : str
            Of the image.

        Returns
        -------
        table : dict of ndarray
            With more columns.
        notes : tuple of str
            What could not be measured, and why.

        Yields
        ------
        Progress
            While it goes on.
        """
        from ..tiling.unreadable import mended

        image, notes, asked = mended(image, spec), [], list(self._asked())
        table = yield from around_steps(table, labels, image, self._around)
        if not ({"area_px", "volume_px"} & table.keys()):
            return table, ()
        labels, _ = on_one_grid(labels, image)
        for number, (inside, column, folder) in enumerate(asked):
            if (place := self._places.get((column, name))) is None:
                notes.append(f"No labels of it in '{folder}'.")
                continue
            both = ({column: place}, {}) if inside else ({}, {column: place})
            try:
                table = yield from related_steps(table, labels, both, (number, len(asked)))
            except (OutputError, MemoryShortError):
                raise
            except UNetError as error:
                notes.append(f"'{column}' could not be compared: {error}")
        return table, tuple(notes)
