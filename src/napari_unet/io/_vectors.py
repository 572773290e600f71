"""Files of shapes. Needs pyogrio and shapely."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyogrio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError

from ..core.errors import OutputError
from ..core.results import Table

__all__ = ["write"]

_DRIVERS: Final = {".gpkg": "GPKG", ".geojson": "GeoJSON"}
_LAYER: Final = "objects"
_DECIMALS: Final = 9  # of degrees: a tenth of a millimeter


def write(
    path: Path,
    shapes: npt.NDArray[np.object_],
    table: Table,
    known: tuple[str | None, Mapping[str, str]],
    append: bool = False,
) -> None:
    """Write shapes with what is known of each.

    Parameters
    ----------
    path : Path
        Where to; the suffix tells the format.
    shapes : ndarray of MultiPolygon
        One a row.
    table : dict of ndarray
        Columns; NaN and None become null.
    known : tuple of (str or None, mapping)
        The coordinate reference system, and facts about the file.
    append : bool
        Put them after those that are there.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    crs, facts = known
    driver = _DRIVERS[path.suffix.lower()]
    options = {"RFC7946": "YES", "COORDINATE_PRECISION": str(_DECIMALS)} if driver == "GeoJSON" else {}
    try:
        with warnings.catch_warnings():
            # Shapes without a system are welcome.
            warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
            pyogrio.raw.write(
                path, shapely.to_wkb(shapely.force_2d(shapes)), [*table.values()], [*table],
                field_mask=[_missing(column) for column in table.values()], layer=_LAYER, driver=driver,
                geometry_type="MultiPolygon", crs=crs, append=append, layer_options=options,
                dataset_metadata=dict(facts) if driver == "GPKG" and facts and not append else None,
            )  # fmt: skip
    except (DataSourceError, DataLayerError, ValueError) as error:
        raise OutputError(
            f"'{path}' could not be written: {error}. Check the free space of the disk, or choose another folder."
        ) from error


def _missing(column: npt.NDArray[Any]) -> npt.NDArray[np.bool_] | None:
    if column.dtype == object:
        return np.array([value is None for value in column], bool)
    return np.isnan(column) if column.dtype.kind == "f" else None
