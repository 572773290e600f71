"""The report of an inspection: a table of defects and one of images, written as they come.

The row of an image in ``<name>.images.csv`` is written last and says that the image is done. What was torn when a run
was killed is cut off before it goes on.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..core.defects import Defect, Inspection, Verdict
from ..core.errors import OutputError
from .atomic import write_text

__all__ = ["Report", "images_table"]

_DEFECTS: Final = (
    "image", "defect", "class", "plane", "y", "x", "area_pixels", "length_pixels", "area_mm2", "length_mm",
    "confidence", "top", "left", "bottom", "right",
)  # fmt: skip
_IMAGES: Final = ("image", "verdict", "defects", "reason", "seconds", "bytes", "changed", "files")


def images_table(path: Path) -> Path:
    """Return where the verdicts lie that belong to a table of defects."""
    return path.with_name(f"{path.stem}.images{path.suffix}")


class Report:
    """Two tables that grow.

    Parameters
    ----------
    path : Path
        Of the table of defects, ``.csv``.
    settings : mapping
        Plain values: what the verdicts depend on. Another run goes on only with the same.
    overwrite : bool
        Begin anew whatever is there.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any], overwrite: bool = False) -> None:
        if path.suffix.lower() != ".csv":
            raise OutputError(f"'{path}' is to be a report: give it a name that ends in .csv.")
        self.path, self.images = path, images_table(path)
        self._done: dict[str, dict[str, str]] = {}
        said = json.loads(json.dumps(settings))
        kept = path.with_name(f"{path.stem}.settings.json")
        try:
            if not overwrite and (path.exists() or self.images.exists()):
                self._go_on(kept, said)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            for file in (self.images, path, kept):
                file.unlink(missing_ok=True)
            write_text(kept, json.dumps(said, indent=1))
            write_text(path, _lines([_DEFECTS]))
            write_text(self.images, _lines([_IMAGES]))
        except OSError as error:
            raise OutputError(
                f"'{path}' cannot be written: {error.strerror or error}. Choose another place."
            ) from error

    def _go_on(self, kept: Path, said: Mapping[str, Any]) -> None:
        """Read what is done, and cut off what is torn."""
        try:
            before = json.loads(kept.read_text("utf-8"))
        except (OSError, ValueError):
            before = None
        if before != said:
            changed = [name for name in said if before is None or before.get(name) != said[name]] if before else []
            what = f" with another {', '.join(changed)}" if changed else ""
            raise OutputError(
                f"'{self.path}' is there and was made{what or ' by something else'}. Choose another name, or allow it "
                "to be replaced: --overwrite."
            )
        rows = _whole_rows(self.images)
        self._done = {row[0]: dict(zip(_IMAGES, row, strict=True)) for row in rows if len(row) == len(_IMAGES)}
        write_text(self.images, _lines([_IMAGES, *(list(row.values()) for row in self._done.values())]))
        self._keep()

    def _keep(self) -> None:
        """Leave the defects of images that are done."""
        rows = [row for row in _whole_rows(self.path) if len(row) == len(_DEFECTS) and row[0] in self._done]
        write_text(self.path, _lines([_DEFECTS, *rows]))

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
            If the report has another image of this name.
        """
        place, row = self._place(files), self._done.get(image)
        if row is not None and row["files"] != place:
            raise OutputError(
                f"'{self.path}' has an image '{image}' already: '{row['files']}', not '{place}'. Write a report of its "
                "own for this one, or name both folders in one command, whose images are called by their folders."
            )

    def has(self, image: str, *files: Path) -> bool:
        """Say whether an image is done, and its files are still the same."""
        row = self._done.get(image)
        return row is not None and row["verdict"] != "error" and (row["bytes"], row["changed"]) == _stamp(files)

    def add(self, verdict: Verdict, *files: Path) -> None:
        """Write what was found in an image.

        Parameters
        ----------
        verdict : Verdict
            And its defects.
        *files : Path
            Of the image, so that a change of one is noticed.

        Raises
        ------
        OutputError
            If the disk is full or the place is gone.
        """
        told = (verdict.image, verdict.verdict, len(verdict.defects), verdict.reason, f"{verdict.seconds:.2f}")
        row = [*told, *_stamp(files), self._place(files)]
        try:
            if verdict.image in self._done:
                del self._done[verdict.image]
                write_text(self.images, _lines([_IMAGES, *(list(each.values()) for each in self._done.values())]))
                self._keep()
            _append(self.path, _lines(_row(verdict.image, n, one) for n, one in enumerate(verdict.defects, 1)))
            _append(self.images, _lines([row]))
        except OSError as error:
            raise OutputError(
                f"'{self.path}' cannot be written: {error.strerror or error}. Make room, then do the same again."
            ) from error
        self._done[verdict.image] = dict(zip(_IMAGES, map(str, row), strict=True))

    def _place(self, files: Sequence[Path]) -> str:
        """Return where the files of an image lie, as seen from the report where that can be said."""
        return "; ".join(_seen_from(self.path.parent.resolve(), file.resolve()) for file in files)

    def summary(self, images: Sequence[str]) -> Inspection:
        """Count what is in the report of some images: it may hold others from before."""
        rows = [self._done[name] for name in images]
        said, defects = [row["verdict"] for row in rows], sum(int(row["defects"]) for row in rows)
        return Inspection(said.count("pass"), said.count("fail"), said.count("error"), defects)


def _row(image: str, number: int, one: Defect) -> list[Any]:
    numbers = (one.y, one.x, one.area, one.length, one.area_mm2, one.length_mm, one.confidence)
    told = ["" if value is None else f"{value:.6g}" for value in numbers]
    return [image, number, one.kind, " ".join(map(str, one.plane)), *told, *one.box]


def _seen_from(folder: Path, file: Path) -> str:
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive
        return file.as_posix()


def _stamp(files: Sequence[Path]) -> tuple[str, str]:
    """Return sizes and times of files, with blanks between; empty where one is not there."""
    if not all(file.exists() for file in files):
        return "", ""
    found = [_size_and_time(file) for file in files]
    return " ".join(str(size) for size, _ in found), " ".join(str(time) for _, time in found)


def _size_and_time(file: Path) -> tuple[int, int]:
    """Return bytes and nanoseconds; of a folder, such as an OME-Zarr, those of all files in it, and the latest."""
    found = [each.stat() for each in file.rglob("*") if each.is_file()] if file.is_dir() else [file.stat()]
    return sum(one.st_size for one in found), max((one.st_mtime_ns for one in found), default=0)


def _lines(rows: Any) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _whole_rows(file: Path) -> Sequence[list[str]]:
    """Return the rows of a table without its title, and without a last line that has no end."""
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return []
    return list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))[1:]


def _append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8", newline="") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
