"""The report of an inspection: a table of defects and one of images, written as they come.

The row of an image in ``<name>.images.csv`` is written last and says that the image is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ..core.defects import Defect, Inspection, Verdict
from ..core.errors import OutputError
from .ledger import Ledger, append_rows, whole_rows, write_rows

__all__ = ["Report", "images_table"]

_DEFECTS: Final = (
    "image", "defect", "class", "plane", "y", "x", "area_pixels", "length_pixels", "area_mm2", "length_mm",
    "confidence", "top", "left", "bottom", "right",
)  # fmt: skip
_IMAGES: Final = ("image", "verdict", "defects", "reason", "seconds")


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
        kept = path.with_name(f"{path.stem}.settings.json")
        self._ledger = Ledger(self.images, _IMAGES, settings, _failed, overwrite, shown=path, kept=kept)
        try:
            self._keep()
        except OSError as error:
            raise OutputError(
                f"'{path}' cannot be written: {error.strerror or error}. Choose another place."
            ) from error

    def _keep(self) -> None:
        """Leave the defects of images that are done."""
        rows = [row for row in whole_rows(self.path) if len(row) == len(_DEFECTS) and row[0] in self._ledger.rows]
        write_rows(self.path, [_DEFECTS, *rows])

    def plan(self, images: Sequence[tuple[str, Sequence[Path]]]) -> None:
        """Take in which images are asked for.

        Parameters
        ----------
        images : sequence of (name, files)
            All of them. Those that are done and were asked for in another way have these names from now on.

        Raises
        ------
        OutputError
            If an image of one of these names lies elsewhere.
        """
        if names := self._ledger.names_now(self._ledger.rows, images):
            rows = whole_rows(self.path)  # under both names until the other table knows them
            write_rows(self.path, [_DEFECTS, *rows, *([names[row[0]], *row[1:]] for row in rows if row[0] in names)])
            self._ledger.adopt(images)
            self._keep()
        for name, files in images:
            self._ledger.check_place(name, *files)

    def has(self, image: str, *files: Path) -> bool:
        """Say whether an image is done, and its files are still the same."""
        return self._ledger.same(image, *files) and not _failed(self._ledger.rows[image])

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
        try:
            if self._ledger.forget(verdict.image):
                self._keep()
            append_rows(self.path, (_row(verdict.image, n, one) for n, one in enumerate(verdict.defects, 1)))
        except OSError as error:
            raise OutputError(
                f"'{self.path}' cannot be written: {error.strerror or error}. Make room, then do the same again."
            ) from error
        told = (verdict.image, verdict.verdict, len(verdict.defects), verdict.reason, f"{verdict.seconds:.2f}")
        self._ledger.add(told, *files)

    def summary(self, images: Sequence[str]) -> Inspection:
        """Count what is in the report of some images: it may hold others from before."""
        rows = [self._ledger.rows[name] for name in images]
        said, defects = [row["verdict"] for row in rows], sum(int(row["defects"]) for row in rows)
        return Inspection(said.count("pass"), said.count("fail"), said.count("error"), defects)


def _failed(row: Mapping[str, str]) -> bool:
    return row["verdict"] == "error"


def _row(image: str, number: int, one: Defect) -> list[Any]:
    numbers = (one.y, one.x, one.area, one.length, one.area_mm2, one.length_mm, one.confidence)
    told = ["" if value is None else f"{value:.6g}" for value in numbers]
    return [image, number, one.kind, " ".join(map(str, one.plane)), *told, *one.box]
