"""What is done of a set of images: a table with a row for each, and beside it the settings that it was done with.

The row of an image is written last and says that the image is done. What was torn when a run was killed is cut off
before it goes on.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..core.errors import OutputError
from .atomic import write_text

__all__ = [
    "FILES", "Ledger", "append_rows", "check_settings", "is_same", "read_rows", "renamed", "stamp", "whole_rows",
    "write_rows",
]  # fmt: skip

FILES: Final = ("bytes", "changed", "files")  # the last columns of a ledger


class Ledger:
    """A table that grows by a row an image.

    Parameters
    ----------
    path : Path
        Of the table, ``.csv``.
    columns : sequence of str
        Its columns; the first is ``image``, its name, and those of FILES follow by themselves.
    settings : mapping
        Plain values: what the results depend on. Another run goes on only with the same.
    failed : callable
        Says of a row that nothing came of its image. Where that is so of all rows, other settings begin anew: they
        may be what was wrong.
    overwrite : bool
        Begin anew whatever is there.
    shown : Path, optional
        What errors name; the table if missing.
    kept : Path, optional
        Where the settings go; ``<table>.settings.json`` if missing.

    Attributes
    ----------
    rows : dict of str to dict
        By the image's name, in the order of the file: the texts of its row.
    """

    def __init__(  # noqa: PLR0913  # two places of three are the report's own
        self, path: Path, columns: Sequence[str], settings: Mapping[str, Any],
        failed: Callable[[Mapping[str, str]], bool], overwrite: bool = False, *,
        shown: Path | None = None, kept: Path | None = None,
    ) -> None:  # fmt: skip
        self.path, self.shown = path, shown or path
        self.columns = (*columns, *FILES)
        self.rows: dict[str, dict[str, str]] = {}
        self.kept = kept or path.with_name(f"{path.stem}.settings.json")
        said = json.loads(json.dumps(settings))
        try:
            if not overwrite and (self.shown.is_file() or path.exists()) and not self._in_vain(said, failed):
                self._go_on(said)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            for file in (path, self.kept):
                file.unlink(missing_ok=True)
            write_text(self.kept, json.dumps(said, indent=1))
            write_rows(path, [self.columns])
        except OSError as error:
            raise self._unwritable(error, "Choose another place.") from error

    def _in_vain(self, said: Mapping[str, Any], failed: Callable[[Mapping[str, str]], bool]) -> bool:
        """Say whether a run with other settings was here, and nothing came of any image."""
        before, rows = _read_settings(self.kept), read_rows(self.path, self.columns).values()
        return before not in (None, said) and bool(rows) and all(map(failed, rows))

    def _go_on(self, said: Mapping[str, Any]) -> None:
        """Read what is done, and cut off what is torn."""
        check_settings(self.kept, said, self.shown)
        self.rows = read_rows(self.path, self.columns)
        self._write()

    def _write(self) -> None:
        write_rows(self.path, [self.columns, *(row.values() for row in self.rows.values())])

    def _unwritable(self, error: OSError, advice: str) -> OutputError:
        return OutputError(f"'{self.shown}' cannot be written: {error.strerror or error}. {advice}")

    def adopt(self, images: Sequence[tuple[str, Sequence[Path]]]) -> None:
        """Give images that were asked for in another way before, and are done, the names that they have now.

        Parameters
        ----------
        images : sequence of (name, files)
            All that are asked for.
        """
        if names := self.names_now(self.rows, images):
            self.rows = renamed(self.rows, names)
            self._write()

    def names_now(
        self, rows: Mapping[str, Mapping[str, str]], images: Sequence[tuple[str, Sequence[Path]]]
    ) -> dict[str, str]:
        """Return the names that :meth:`adopt` gives, by the old ones, for rows of any table of the same folder."""
        known = {row["files"]: name for name, row in rows.items()}
        asked = {name for name, _ in images}
        found = {known.get(self._place(files), ""): name for name, files in images if name not in rows} if known else {}
        return {old: new for old, new in found.items() if old and old not in asked}

    def check_place(self, image: str, *files: Path) -> None:
        """Refuse an image whose name is taken by one that lies elsewhere: each would be taken for the other.

        Parameters
        ----------
        image : str
            Its name.
        *files : Path
            Of the image.

        Raises
        ------
        OutputError
            If there is another image of this name.
        """
        place, row = self._place(files), self.rows.get(image)
        if row is not None and row["files"] != place:
            raise OutputError(
                f"'{self.shown}' has an image '{image}' already: '{row['files']}', not '{place}'. Write results of "
                "their own for this one, or name both folders in one command, whose images are called by their folders."
            )

    def same(self, image: str, *files: Path) -> bool:
        """Say whether an image has a row, and its files are still the same."""
        return image in self.rows and is_same(self.rows[image], files)

    def sort(self, names: Sequence[str]) -> None:
        """Put the rows of these images into this order, before all others."""
        self.rows = {name: self.rows[name] for name in dict.fromkeys((*names, *self.rows)) if name in self.rows}
        self._write()

    def take(self, other: Ledger) -> None:
        """Take over the rows of another ledger of the same columns and folder, and remove that one."""
        self.rows |= other.rows
        self._write()
        for file in (other.path, other.kept):
            file.unlink(missing_ok=True)

    def forget(self, image: str) -> bool:
        """Take the row of an image away; say whether there was one."""
        if self.rows.pop(image, None) is None:
            return False
        self._write()
        return True

    def add(self, row: Sequence[object], *files: Path) -> None:
        """Write the row of an image, in the place of an earlier one.

        Parameters
        ----------
        row : sequence
            The values of the columns, of which the first is the image's name.
        *files : Path
            Of the image, so that a change of one is noticed.

        Raises
        ------
        OutputError
            If the disk is full or the place is gone.
        """
        told = dict(zip(self.columns, map(str, (*row, *stamp(files), self._place(files))), strict=True))
        name = told[self.columns[0]]
        try:
            self.forget(name)
            append_rows(self.path, [told.values()])
        except OSError as error:
            raise self._unwritable(error, "Make room, then do the same again.") from error
        self.rows[name] = told

    def _place(self, files: Sequence[Path]) -> str:
        """Return where the files of an image lie, as seen from the table where that can be said."""
        return "; ".join(_seen_from(self.path.parent.resolve(), file.resolve()) for file in files)


def check_settings(kept: Path, settings: Mapping[str, Any], shown: Path) -> None:
    """Refuse to go on with other settings; an OutputError says which of them differ.

    Parameters
    ----------
    kept : Path
        Where those of the earlier run are.
    settings : mapping
        Plain values.
    shown : Path
        What the error names.
    """
    said, before = json.loads(json.dumps(settings)), _read_settings(kept)
    if before != said:
        changed = [name for name in {**said, **before} if before.get(name) != said.get(name)] if before else []
        what = f" with other settings ({', '.join(changed)})" if changed else ""
        raise OutputError(
            f"'{shown}' is there and was made{what or ' by something else'}. Choose another name, or allow it "
            "to be replaced: --overwrite."
        )


def _read_settings(kept: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(kept.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def renamed(rows: Mapping[str, Mapping[str, str]], names: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the rows of images with other names, by their old names, in the same order."""
    return {names.get(old, old): {**row, "image": names.get(old, old)} for old, row in rows.items()}


def is_same(row: Mapping[str, str], files: Sequence[Path]) -> bool:
    """Say whether files are as they were when the row was written."""
    return (row["bytes"], row["changed"]) == stamp(files)


def stamp(files: Sequence[Path]) -> tuple[str, str]:
    """Return sizes and times of files, with blanks between; empty where one is not there.

    Parameters
    ----------
    files : sequence of Path
        A folder, such as an OME-Zarr, stands for all files in it, but for the labels of an image, and one of several
        images of a file for the file.

    Returns
    -------
    sizes, times : str
        Bytes, and nanoseconds.
    """
    real = [file.parent if file.parent.is_file() else file for file in files]
    if not all(file.exists() for file in real):
        return "", ""
    found = [_size_and_time(file) for file in real]
    return " ".join(str(size) for size, _ in found), " ".join(str(time) for _, time in found)


def _size_and_time(file: Path) -> tuple[int, int]:
    """Return bytes and nanoseconds; of a folder those of all files in it, and the latest."""
    inner = file / "labels"  # of an image, they are no part of it
    skipped = inner.is_dir() and any(each.is_dir() and each != inner for each in file.iterdir())
    files = (each for each in file.rglob("*") if each.is_file() and not (skipped and each.is_relative_to(inner)))
    found = [each.stat() for each in files] if file.is_dir() else [file.stat()]
    return sum(one.st_size for one in found), max((one.st_mtime_ns for one in found), default=0)


def _seen_from(folder: Path, file: Path) -> str:
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive
        return file.as_posix()


def _lines(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def write_rows(file: Path, rows: Iterable[Iterable[object]]) -> None:
    """Write a table, whole or not at all."""
    write_text(file, _lines(rows))


def whole_rows(file: Path) -> Sequence[list[str]]:
    """Return the rows of a table without its title, and without a last line that has no end."""
    return _whole(file)[1:]


def _whole(file: Path) -> list[list[str]]:
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return []
    return list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))


def read_rows(file: Path, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the rows of a ledger that are whole, by the image's name; a column that it has not is empty."""
    titles, *rows = _whole(file) or [[]]
    told = [dict(zip(titles, row, strict=True)) for row in rows if len(row) == len(titles)]
    return {row[columns[0]]: {name: row.get(name, "") for name in columns} for row in told if columns[0] in row}


def append_rows(file: Path, rows: Iterable[Iterable[object]]) -> None:
    """Write rows behind those of a table, and see that they are on the disk."""
    with file.open("a", encoding="utf-8", newline="") as stream:
        stream.write(_lines(rows))
        stream.flush()
        os.fsync(stream.fileno())
