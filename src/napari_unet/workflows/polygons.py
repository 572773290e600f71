"""Labels as polygons: on the map, for QuPath and for ImageJ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.axes import Image
from ..core.errors import ImageError
from ..core.polygons import Meaning, Polygons, PolygonSpec
from ..core.steps import Progress, Steps, finish
from .files import check_place, read_image, read_labels

__all__ = ["write_polygons", "write_polygons_steps"]


def write_polygons_steps(
    labels: Image | str | Path,
    output: str | Path,
    spec: PolygonSpec | None = None,
    meaning: Meaning | None = None,
    scores: Image | str | Path | None = None,
    overwrite: bool = False,
) -> Steps[Polygons]:
    """Turn labels into polygons and write them, step by step.

    Parameters
    ----------
    labels : Image or path
        Whole numbers from 0 (background); on a map one plane.
    output : path
        ``.gpkg``: a GeoPackage in the coordinate reference system of the labels. ``.geojson``: longitude and latitude,
        or pixels for QuPath where the labels lie on no map. ``.zip``: ROIs for the ROI Manager of ImageJ.
    spec : PolygonSpec, optional
        Settings.
    meaning : Meaning, optional
        Classes of labels, where they come from, and how they were made; see
        :class:`napari_unet.core.polygons.Meaning`. What it does not say, the record in the file of the labels does.
    scores : Image or path, optional
        How sure a model was of each pixel, on the same grid; the mean inside of an object is its confidence. Numbers of
        8 bits are taken for parts of 255.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Polygons
        See :class:`napari_unet.core.polygons.Polygons`.

    Yields
    ------
    Progress
        While it goes on.

    Raises
    ------
    ImageError
        If something cannot be read, or the grids differ.
    OutputError
        If the polygons cannot be written.
    MissingExtraError
        If a package is missing.
    """
    place = Path(output)
    found = labels if isinstance(labels, Image) else read_labels(labels)
    check_place(place, found, overwrite, "polygons")
    yield Progress(0, 0, "Reading the labels")
    from ..io.labels import as_facts
    from ..io.polygons import in_pixels, polygon_steps
    from ..io.polygons import write_polygons as write
    from ..io.runs import find_manifest

    told = meaning or Meaning(source=found.source or found.name)
    facts = dict(told.manifest)
    if not facts and not isinstance(labels, Image) and Path(labels).suffix.lower() in (".tif", ".tiff", ".zarr"):
        facts = find_manifest(Path(labels))
    if not told.classes:
        own = Meaning.told_by(facts, "")
        told = replace(told, classes=own.classes, kind=told.kind or own.kind)
    placed = replace(found, geo=None) if in_pixels(place, found.geo) else found
    polygons = yield from polygon_steps(placed, spec, told)
    if scores is not None and len(polygons):
        yield Progress(0, 0, "Reading the scores")
        means = _means(found, scores if isinstance(scores, Image) else read_image(scores), polygons)
        polygons = replace(polygons, table=polygons.table | {"confidence": means})
    yield Progress(1, 1, "Writing the polygons")
    write(place, polygons, as_facts(facts))
    return polygons


def _means(labels: Image, scores: Image, polygons: Polygons) -> Any:
    """Return the mean score of each polygon's label."""
    from ..measures._means import means

    axes = labels.label_axes
    fits = scores.axes == axes and scores.shape == labels.along(axes)[0]
    if scores.channels > 1 or scores.along("yx")[0] != labels.along("yx")[0] or ({*axes} - {*"yx"} and not fits):
        raise ImageError(
            f"The scores '{scores.name}' have {scores.channels} band(s) of {scores.along('yx')[0]} pixels, the labels "
            f"one of {labels.along('yx')[0]}. Give scores of one band on the grid of the labels, with all its planes."
        )
    if scores.geo and labels.geo and not scores.geo.same_grid(labels.geo):
        raise ImageError(f"The scores '{scores.name}' lie elsewhere than the labels. Give scores on their grid.")
    found = means(labels, replace(scores, geo=None), polygons.table["label"])
    return found / 255 if str(scores.data.dtype) == "uint8" else found


def write_polygons(labels: Image | str | Path, output: str | Path, **options: Any) -> Polygons:
    """Turn labels into polygons and write them.

    Parameters
    ----------
    labels, output : Image or path, path
        As for :func:`write_polygons_steps`.
    **options : Any
        Fields of :class:`~napari_unet.core.polygons.PolygonSpec`, and ``meaning``, ``scores`` and ``overwrite``
        of :func:`write_polygons_steps`.

    Returns
    -------
    Polygons
        What was written.

    Raises
    ------
    UNetError
        See :func:`write_polygons_steps`.
    """
    more = {name: options.pop(name) for name in ("meaning", "scores", "overwrite") if name in options}
    return finish(write_polygons_steps(labels, output, PolygonSpec.of(**options), **more))
