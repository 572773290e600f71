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

from ..core.batches import FORMATS, Found, read_words
from ..core.errors import OutputError
from ..core.results import Table
from .atomic import atomic_file
from .choosing import BATCH
from .folders import check_replaced, label_names
from .journal import Journal
from .ledger import FILES, Ledger, check_settings, is_same, read_rows, renamed, stamp
from .tables import write_table

__all__ = ["Results", "labels_of"]

_COLUMNS: Final = ("image", "well", "objects", "classes", "width", "seconds", "failed", "note", "labels", "written")
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
    part : (int, int), optional
        Which part of how many this program does, while others do theirs: rows are kept apart until a program that does
        no part takes the folder.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        kind: str,
        overwrite: bool = False,
        part: tuple[int, int] | None = None,
    ) -> None:
        if kind not in FORMATS:
            raise OutputError(f"Labels of many images are written as {', '.join(FORMATS)}, not as '{kind}'.")
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"'{folder}' is a file. Give a folder for the results.")
        self.folder, self._kind, self._overwrite, self._part = folder, kind, overwrite, part
        self._known: dict[str, dict[str, str]] = {}  # done by others
        self._settings = {**settings, "format": kind}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Take the folder; an OutputError says that another program has it, or that it holds other results."""
        journal, own = Journal(self.folder / BATCH), self.folder / "images.csv"
        with ExitStack() as stack:
            if self._part is None:
                stack.enter_context(journal)
                self._ledger = self._open(own, self._overwrite)
                self._gather()
            else:
                name = "{}-of-{}".format(*self._part)
                stack.enter_context(journal.share(name))
                if own.is_file() and not self._overwrite:
                    check_settings(self._kept(own), self._settings, own)
                    self._known = read_rows(own, (*_COLUMNS, *FILES))
                self._ledger = self._open(self.folder / f"images.part-{name}.csv", self._overwrite)
            self._stack = stack.pop_all()
        return self

    def _kept(self, table: Path) -> Path:
        return self.folder / BATCH / f"{table.stem}.settings.json"

    def _open(self, table: Path, overwrite: bool = False) -> Ledger:
        return Ledger(table, _COLUMNS, self._settings, _failed, overwrite, kept=self._kept(table))

    def _gather(self) -> None:
        """Take over what was done in parts."""
        for table in sorted(self.folder.glob("images.part-*-of-*.csv")):
            if self._overwrite:
                table.unlink()
            else:
                self._ledger.take(self._open(table))

    def _row(self, name: str) -> dict[str, str] | None:
        return self._ledger.rows.get(name) or self._known.get(name)

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
        asked = [(name, files) for files, name in images]
        self._ledger.adopt(asked)
        self._known = renamed(self._known, self._ledger.names_now(self._known, asked))
        taken = {
            row["labels"].casefold(): name for name, row in (self._known | self._ledger.rows).items() if row["labels"]
        }
        places = []
        for (files, name), short in zip(images, label_names([name for _, name in images]), strict=True):
            self._ledger.check_place(name, *files)
            told = (self._row(name) or {}).get("labels")
            free = taken.get(f"labels/{short}{self._kind}".casefold(), name) == name
            places.append(self.folder / (told or f"labels/{short if free else name}{self._kind}"))
        if not self._overwrite:
            waiting = [p for p, (files, name) in zip(places, images, strict=True) if not self.has(name, *files)]
            check_replaced(waiting)
        return places

    def has(self, name: str, *files: Path) -> bool:
        """Say whether an image is segmented, is still the same, and its labels are there."""
        row = self._row(name)
        return row is not None and not _failed(row) and is_same(row, files) and (self.folder / row["labels"]).exists()

    def is_changed(self, name: str, seen: str = "") -> bool:
        """Say whether labels, or what else is measured of them, have changed; a part leaves that to the whole.

        Parameters
        ----------
        name : str
            Of the image.
        seen : str
            A word for what else is measured; see :meth:`add`.

        Returns
        -------
        bool
            Whether they are to be measured again, such as after corrections by hand.
        """
        if (row := self._ledger.rows.get(name)) is None or self._part:
            return False
        return row["written"] != self._written(row["labels"], seen) or not self._table(row["labels"]).is_file()

    def _written(self, labels: str, seen: str) -> str:
        return " ".join(filter(None, (*stamp([self.folder / labels]), seen)))

    def add(self, found: Found, table: Table, *files: Path, seen: str = "") -> None:
        """Write what came of an image: first its table, then its row.

        Parameters
        ----------
        found : Found
            What is said of it.
        table : Table
            Its measurements; empty if it could not be segmented.
        *files : Path
            Of the image.
        seen : str
            A word that changes with what is measured beside the objects, and with what that depends on.

        Raises
        ------
        OutputError
            If the disk is full or the place is gone.
        """
        if not found.failed:
            self._table(found.labels).parent.mkdir(parents=True, exist_ok=True)
            write_table(self._table(found.labels), table)
        told: dict[str, Any] = asdict(found) | {"width": f"{found.width:.2f}", "seconds": f"{found.seconds:.2f}"}
        told |= {"classes": found.classes, "objects": "" if found.shares else found.objects}
        told["written"] = "" if found.failed else self._written(found.labels, seen)
        self._ledger.add([told[name] for name in _COLUMNS], *files)

    def found(self, names: Sequence[str]) -> tuple[Found, ...]:
        """Return what is said of some images; the folder may hold others from before."""
        rows = self._known | self._ledger.rows
        return tuple(_found(rows[name]) for name in names)

    def join(self, names: Sequence[str]) -> None:
        """Write the table of the objects of all images that are in the folder, unless only a part of them is done.

        Parameters
        ----------
        names : sequence of str
            Of the images, in the order in which they are to stand in both tables, whenever each was done.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        if self._part:
            return
        self._ledger.sort(names)
        done = [row for row in self._ledger.rows.values() if row["labels"] and self._table(row["labels"]).is_file()]
        first = ["image", "well"] if any(row["well"] for row in done) else ["image"]
        columns: dict[str, None] = {}
        for row in done:
            columns.update((title, None) for title in next(_lines(self._table(row["labels"])), []))
        with atomic_file(self.folder / _ALL) as part, part.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, [*first, *columns], restval="", lineterminator="\n")
            writer.writeheader()
            for row in done:
                lines, own = _lines(self._table(row["labels"])), {name: row[name] for name in first}
                titles = next(lines, [])
                writer.writerows({**own, **dict(zip(titles, line, strict=True))} for line in lines)

    def _table(self, labels: str) -> Path:
        """Return where the table of some labels lies."""
        return self.folder / "tables" / f"{labels.removeprefix('labels/').removesuffix(self._kind)}.csv"


def labels_of(folder: Path) -> dict[str, Path] | None:
    """Return where the labels of the images in a folder of results are.

    Parameters
    ----------
    folder : Path
        Any folder; what is done in parts counts as well.

    Returns
    -------
    dict of str to Path, or None
        By the names of the images, those that are segmented; None if the folder holds no results.
    """
    if not (folder / BATCH).is_dir():
        return None
    tables = [*sorted(folder.glob("images.part-*-of-*.csv")), folder / "images.csv"]
    rows = {name: row for table in tables for name, row in read_rows(table, _COLUMNS).items()}
    places = {name: folder / row["labels"] for name, row in rows.items() if row["labels"] and not _failed(row)}
    return {name: place for name, place in places.items() if place.exists()}


def _failed(row: Mapping[str, str]) -> bool:
    return bool(row["failed"])


def _found(row: Mapping[str, str]) -> Found:
    texts = {name: row[name] for name in ("image", "well", "failed", "note", "labels")}
    objects, shares = int(row["objects"] or 0), read_words(row["classes"])
    width, seconds = float(row["width"]), float(row["seconds"])
    return Found(objects=objects, shares=shares, width=width, seconds=seconds, **texts)


def _lines(file: Path) -> Iterator[list[str]]:
    with file.open(newline="", encoding="utf-8") as stream:
        yield from csv.reader(stream)
