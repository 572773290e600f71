"""The folder of what came of many images: labels, a table for each, and two tables of all of them.

``images.csv`` has a row for each image, written last, which says that the image is done; ``objects.csv`` is put
together from the tables of the images in the end, so that a run may be stopped and go on.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

from ..core.batches import FORMATS, Found
from ..core.errors import OutputError
from ..core.results import Table
from .atomic import atomic_file
from .folders import check_replaced, label_names
from .journal import Journal
from .ledger import Ledger, stamp
from .tables import write_table

__all__ = ["Results"]

_COLUMNS: Final = ("image", "well", "objects", "width", "seconds", "failed", "note", "labels", "written")
_OWN: Final = ".batch"  # holds the settings, and a lock
_ALL: Final = "objects.csv"


class Results:
    """The folder; use it as a context: only one program at a time writes there.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    settings : mapping
        Plain values: what the labels depend on. Another run goes on only with the same.
    kind : str
        How the files of labels end.
    overwrite : bool
        Begin anew whatever is there.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], kind: str, overwrite: bool = False) -> None:
        if kind not in FORMATS:
            raise OutputError(f"Labels of many images are written as {', '.join(FORMATS)}, not as '{kind}'.")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"'{folder}' is a file. Give a folder for the results.")
        self.folder, self._kind, self._overwrite = folder, kind, overwrite
        self._settings = {**settings, "format": kind}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Take the folder; an OutputError says that another program has it, or that it holds other results."""
        with ExitStack() as stack:
            stack.enter_context(Journal(self.folder / _OWN))
            kept = self.folder / _OWN / "settings.json"
            self._ledger = Ledger(self.folder / "images.csv", _COLUMNS, self._settings, self._overwrite, kept=kept)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """Let other programs have the folder."""
        self._stack.close()

    def plan(self, images: Sequence[tuple[tuple[Path, ...], str]]) -> list[Path]:
        """Choose where the labels of each image go.

        Parameters
        ----------
        images : sequence of (files, name)
            All that are asked for.

        Returns
        -------
        list of Path
            For each image, in the same order; where its labels are already if it is done.

        Raises
        ------
        OutputError
            If an image of this name lies elsewhere, or labels there may not be replaced.
        """
        taken = {row["labels"]: name for name, row in self._ledger.rows.items() if row["labels"]}
        places = []
        for (files, name), short in zip(images, label_names([name for _, name in images]), strict=True):
            self._ledger.check_place(name, *files)
            told = self._ledger.rows.get(name, {}).get("labels")
            free = taken.get(f"labels/{short}{self._kind}", name) == name
            places.append(self.folder / (told or f"labels/{short if free else name}{self._kind}"))
        if not self._overwrite:
            waiting = [p for p, (files, name) in zip(places, images, strict=True) if not self.has(name, *files)]
            check_replaced(waiting)
        return places

    def has(self, name: str, *files: Path) -> bool:
        """Say whether an image is segmented, is still the same, and its labels are there."""
        row = self._ledger.rows.get(name)
        done = row is not None and not row["failed"] and (self.folder / row["labels"]).exists()
        return done and self._ledger.same(name, *files)

    def is_changed(self, name: str) -> bool:
        """Say whether labels were changed since they were measured, such as by hand."""
        row = self._ledger.rows[name]
        place = self.folder / row["labels"]
        return row["written"] != " ".join(stamp([place])) or not self._table(row["labels"]).is_file()

    def add(self, found: Found, table: Table, *files: Path) -> None:
        """Write what came of an image: first its table, then its row.

        Parameters
        ----------
        found : Found
            What is said of it.
        table : Table
            Its measurements; empty if it could not be segmented.
        *files : Path
            Of the image.

        Raises
        ------
        OutputError
            If the disk is full or the place is gone.
        """
        if not found.failed:
            self._table(found.labels).parent.mkdir(parents=True, exist_ok=True)
            write_table(self._table(found.labels), table)
        told: dict[str, Any] = asdict(found) | {"width": f"{found.width:.2f}", "seconds": f"{found.seconds:.2f}"}
        told["written"] = "" if found.failed else " ".join(stamp([self.folder / found.labels]))
        self._ledger.add([told[name] for name in _COLUMNS], *files)

    def found(self, names: Sequence[str]) -> tuple[Found, ...]:
        """Return what is said of some images; the folder may hold others from before."""
        return tuple(_found(self._ledger.rows[name]) for name in names)

    def join(self) -> None:
        """Write the table of the objects of all images that are in the folder.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        done = [row for row in self._ledger.rows.values() if row["labels"] and self._table(row["labels"]).is_file()]
        first = ["image", "well"] if any(row["well"] for row in done) else ["image"]
        names: dict[str, None] = {}
        for row in done:
            names |= dict.fromkeys(next(_lines(self._table(row["labels"])), []))
        with atomic_file(self.folder / _ALL) as part, part.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, [*first, *names], restval="", lineterminator="\n")
            writer.writeheader()
            for row in done:
                lines, own = _lines(self._table(row["labels"])), {name: row[name] for name in first}
                titles = next(lines, [])
                writer.writerows({**own, **dict(zip(titles, line, strict=True))} for line in lines)

    def _table(self, labels: str) -> Path:
        """Return where the table of some labels lies."""
        return self.folder / "tables" / f"{labels.removeprefix('labels/').removesuffix(self._kind)}.csv"


def _found(row: Mapping[str, str]) -> Found:
    texts = {name: row[name] for name in ("image", "well", "failed", "note", "labels")}
    return Found(objects=int(row["objects"]), width=float(row["width"]), seconds=float(row["seconds"]), **texts)


def _lines(file: Path) -> Iterator[list[str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        yield from csv.reader(stream)
