"""Tables of measurements as CSV or Parquet."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.errors import ImageError, MissingExtraError, OutputError
from napari_unet.core.results import Table

from .atomic import atomic_file

__all__ = ["TABLES", "check_table", "read_table", "write_table"]

TABLES: Final = (".csv", ".parquet")

_ROWS: Final = 1 << 16  # that are text in memory at once
_BOOLS: Final = {"True": True, "False": False}


def check_table(path: str | os.PathLike[str]) -> None:
    """Raise a MissingExtraError if a table of this name needs a package that is not installed."""
    if Path(path).suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", "parquet", "A table as Parquet")


def write_table(path: str | os.PathLike[str], table: Table) -> None:
    """Write a table as CSV (one row of names, then one row each; NaN becomes an empty field) or as Parquet.

    Parameters
    ----------
    path : path-like
        File ending in ``.csv`` or ``.parquet``; an existing one is replaced.
    table : dict of str to ndarray
        Columns of one length: whole numbers, floats (written so that they read back as the same double), booleans
        or text.

    Raises
    ------
    OutputError
        If the file cannot be written, the suffix is none of these, or the columns do not fit together.
    MissingExtraError
        If it is Parquet, and pyarrow is not installed.
    """
    if (kind := Path(path).suffix.lower()) not in TABLES:
        raise OutputError(f"Tables are written as CSV or Parquet; '{path}' ends in neither. End it in .csv.")
    columns = {name: np.asarray(values) for name, values in table.items()}
    lengths = {name: values.shape for name, values in columns.items()}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) > 1:
        raise OutputError(f"The columns of a table must be lists of one length; these have the shapes {lengths}.")
    if kind == ".parquet":
        check_table(path)
        _write_parquet(path, columns)
        return
    with atomic_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for start in range(0, max(map(len, columns.values()), default=0), _ROWS):
            part = (_texts(column[start : start + _ROWS]) for column in columns.values())
            writer.writerows(zip(*part, strict=True))


def read_table(path: str | os.PathLike[str]) -> Table:
    """Read a CSV table.

    Parameters
    ----------
    path : path-like
        File with one row of names.

    Returns
    -------
    dict of str to ndarray
        int64, bool or float64 columns where all fields allow it (empty fields are NaN), text otherwise.

    Raises
    ------
    ImageError
        If the file is missing, is not text, or its rows do not fit its header.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError as error:
        raise ImageError(f"There is no table '{path}'. Check the name.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(f"'{path}' could not be read as a CSV table: {error}. Choose a text file (UTF-8).") from error
    if not rows or len(set(rows[0])) != len(rows[0]):
        raise ImageError(f"'{path}' needs a first row with a different name for each column.")
    names, body = rows[0], rows[1:]
    # The csv module gives an empty row for an empty line, which in a table of one column is one empty field.
    body = [row or [""] for row in body] if len(names) == 1 else [row for row in body if row]
    bad = next((i for i, row in enumerate(body) if len(row) != len(names)), None)
    if bad is not None:
        raise ImageError(
            f"'{path}', row {bad + 2}, has {len(body[bad])} fields instead of {len(names)}. Repair or export it again."
        )
    return {name: _values([row[i] for row in body]) for i, name in enumerate(names)}


def _write_parquet(path: str | os.PathLike[str], columns: dict[str, npt.NDArray[Any]]) -> None:
    arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    with atomic_file(path) as temporary:
        parquet.write_table(arrow.table({name: arrow.array(column) for name, column in columns.items()}), temporary)


def _texts(column: npt.NDArray[np.generic]) -> list[str]:
    if column.dtype.kind == "f":
        return ["" if math.isnan(value) else repr(value) for value in map(float, column)]
    return [str(value) for value in column.tolist()]


def _values(fields: list[str]) -> npt.NDArray[np.generic]:
    """Convert to the narrowest of int, bool, float and text that fits all fields."""
    kinds: tuple[tuple[Any, Callable[[str], Any]], ...] = (
        (np.int64, lambda field: int(_number(field))),
        (np.bool_, _BOOLS.__getitem__),
        (np.float64, lambda field: float(_number(field or "nan"))),
    )
    for dtype, convert in kinds if fields else kinds[-1:]:
        try:
            return np.array([convert(field) for field in fields], dtype=dtype)
        except (ValueError, KeyError, OverflowError):
            continue
    return np.array(fields)


def _number(field: str) -> str:
    # Python reads 1_0 as ten; in a table it is a name.
    if "_" in field:
        raise ValueError(field)
    return field
