"""What a set of corrections holds. Loads nothing heavy: a dock asks when it is opened."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

__all__ = ["COLUMNS", "TABLE", "read_rows"]

TABLE: Final = "data.csv"
COLUMNS: Final = ("image", "labels", "region", "group", "channels", "place")


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Read what a set holds.

    Parameters
    ----------
    folder : Path
        Of the set; perhaps not there.

    Returns
    -------
    list of dict
        ``image``, ``labels`` and ``region`` (paths relative to the folder), ``group``, ``channels`` (their names) and
        ``place`` (which part of the group's image it is; older sets do not say it).
    """
    file = folder / TABLE
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
