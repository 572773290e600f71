"""Find objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.axes import Image
from ..core.conflict import check_conflict
from ..core.errors import OutputError
from ..core.polygons import SUFFIXES as POLYGONS
from ..core.polygons import Meaning
from ..core.results import Segmentation, Table
from ..core.specs import SegmentSpec
from ..core.steps import Looking, Progress, Steps, finish, followed
from .clusters import segment_on
from .files import open_image, write_labels
from .measuring import measure_steps
from .models import load_task
from .polygons import write_polygons_steps

if TYPE_CHECKING:
    from ..models._scorer import Scorer

__all__ = ["measured_steps", "segment", "segment_steps", "with_table"]


def segment_steps(  # noqa: PLR0913  # the face of the verb
    image: Any,
    spec: SegmentSpec | None = None,
    measures: Sequence[str] | None = None,
    *,
    preview: bool | Looking = True,
    output: str | Path | None = None,
    overwrite: bool = False,
    client: Any = None,
) -> Steps[Segmentation]:
    """Find the objects of an image, step by step.

    Parameters
    ----------
    image : Image, array-like, path or sequence of path
        Any axes; arrays of four and more dimensions must be an Image that names them. A path or address, or one for
        each channel, is opened by :func:`~napari_unet.workflows.files.read_image`.
    spec : SegmentSpec, optional
        Settings.
    measures : sequence of str, optional
        Entries of ``measures/`` that fill the table of the result; empty for none, None for those of the model's task.
    preview : bool or callable
        Attach provisional labels to the progress of every tile. A callable also says now and then which part of the
        image somebody looks at, as a slice for each axis, or None: with OME-Zarr as output that part comes first.
    output : path, optional
        Write the labels there. OME-Zarr (``.zarr``) is written while the run goes on, in bounded memory; a run that was
        stopped goes on where it was when it is asked for again, and labels that are there already are verified.
    overwrite : bool
        Replace other labels that are at `output`.
    client : distributed.Client or str, optional
        A dask cluster whose workers do it, or the address of its scheduler. Image and output, which must be OME-Zarr,
        lie where all workers see them. The labels are the same.

    Returns
    -------
    Segmentation
        Labels of the whole image, not loaded where they were written as OME-Zarr; ids are ordered by first pixel and do
        not depend on how the work was cut. Where uncertainty, confidence or anomaly is asked for, also its image, and
        of the first two in the table the mean inside of each object.

    Yields
    ------
    Progress
        One for every tile and every plane; the payload is a :class:`~napari_unet.core.results.Piece` or None.

    Raises
    ------
    AxesError, ImageError, ModelError, SpecError
        If the image or a setting cannot be used; the text says what to do.
    OutputError
        If the labels cannot be written.
    """
    check_conflict()
    source, spec = open_image(image), spec or SegmentSpec()
    place = _place(output, source)
    if place is not None and place.suffix.lower() in POLYGONS:
        spec = spec.model_copy(update={"confidence": True})  # which is a column of theirs
    then = "measuring" if measures is None or measures else ""
    if client is not None:
        found, task = yield from followed(segment_on(client, source, spec, (place, overwrite), _looking(preview)), then)
    else:
        yield Progress(0, 0, "Loading the model")
        from ..models.average import gather

        model = gather(spec, source)
        found = yield from followed(_found(source, spec, model, preview, (place, overwrite)), then)
        task = model.card.task
    measures = _measures(found, task) if measures is None else measures
    return (yield from _with_table(found, source, spec, measures)) if measures else found


def measured_steps(output: Path, source: Image, spec: SegmentSpec) -> Steps[Segmentation]:
    """Open labels that a run has finished, and measure what is measured unasked.

    Parameters
    ----------
    output : Path
        A folder or an address.
    source, spec : Image, SegmentSpec
        Of the run.

    Returns
    -------
    Segmentation
        Labels, not loaded.

    Yields
    ------
    Progress
        While it goes on.

    Raises
    ------
    OutputError
        If there are no finished labels.
    """
    from ..io.addresses import shown
    from ..io.runs import find_finished

    yield Progress(1, 1, "Opening the labels")
    labels, manifest = find_finished(output) or (None, {})
    if labels is None or "labels_hash" not in manifest:
        raise OutputError(f"'{shown(output)}' holds no finished labels any more. Run the segmentation again.")
    labels = replace(labels, name=f"{source.name} {manifest['model']}")
    found = Segmentation(labels, int(manifest["objects"]), float(manifest["diameter"]), 0.0, manifest)
    return (yield from with_table(found, source, spec))


def with_table(found: Segmentation, source: Image, spec: SegmentSpec) -> Steps[Segmentation]:
    """Measure labels that are there: what is measured unasked.

    Parameters
    ----------
    found : Segmentation
        Without its table.
    source, spec : Image, SegmentSpec
        Of the run.

    Returns
    -------
    Segmentation
        With its table.

    Yields
    ------
    Progress
        While it goes on.
    """
    from ..models.cards import find_model, read_card

    measures = _measures(found, read_card(find_model(spec.models[0])).task)
    return (yield from _with_table(found, source, spec, measures)) if measures else found


def _measures(found: Segmentation, task: str) -> Sequence[str]:
    """Say what is measured unasked."""
    return ("classes",) if found.classes else load_task(task).measures


def _with_table(found: Segmentation, source: Image, spec: SegmentSpec, measures: Sequence[str]) -> Steps[Segmentation]:
    """Measure what was found."""
    from ..tiling.unreadable import mended

    yield Progress(1, 1, "Measuring the objects")
    table = yield from measure_steps(found.labels, mended(source, spec), measures)
    table = _with_means(_with_shares(table, found, spec), found)
    if tuple(measures) == ("classes",) and found.manifest.get("rule", {}).get("nested"):
        from ..measures.classes import with_inner

        table = with_inner(table)
    return replace(found, table=_with_names(table, found))


def _place(output: str | Path | None, source: Image) -> Path | None:
    if output is None:
        return None
    from ..io.places import check_apart, check_place

    place = Path(output)
    check_apart(place, source)
    if place.suffix.lower() in POLYGONS:
        check_place(place, source, overwrite=True)
    return place


def _found(
    source: Image, spec: SegmentSpec, model: Scorer, preview: bool | Looking, where: tuple[Path | None, bool]
) -> Steps[Segmentation]:
    """Find the objects and write them, while they are found where that is possible."""
    from ..io.addresses import as_address, shown
    from ..io.places import check_place
    from ..models._bricks import Alone
    from ..models.segment import segment_image
    from ..models.stored import can_store, store_segmentation

    place, overwrite = where
    if place is not None and place.suffix.lower() == ".zarr" and can_store(spec, model):
        crew = Alone(_looking(preview))
        return (yield from store_segmentation(source, spec, model, place, overwrite=overwrite, crew=crew))
    if place is not None and as_address(place):
        raise OutputError(
            f"'{shown(place)}': an object store takes labels brick by brick only, and neither uncertainty nor objects "
            "that need the whole plane at once. Give a file, and copy it there."
        )
    if place is not None:
        check_place(place, source, overwrite or place.suffix.lower() != ".zarr")  # not after hours of work
    found = yield from segment_image(source, spec, model, preview=bool(preview))
    if place is not None and place.suffix.lower() in POLYGONS:
        told = Meaning.told_by(found.manifest, source.source or source.name)
        yield from write_polygons_steps(found.labels, place, None, told, found.confidence, overwrite=True)
    elif place is not None:
        yield Progress(1, 1, "Writing the labels")
        write_labels(place, found.labels, found.manifest, overwrite=overwrite)
    return found


def _looking(preview: bool | Looking) -> Looking | None:
    return preview if callable(preview) else _nowhere if preview else None


def _nowhere() -> None:
    """Look at no part of an image."""


def _with_shares(table: Table, found: Segmentation, spec: SegmentSpec) -> Table:
    """Return a table in which shares of classes are of the pixels that were seen: in the region, and with a number."""
    if "share" not in table or not found.classes:
        return table
    seen = math.prod(found.labels.shape)
    if spec.region:
        from ..core.rasterize import Polygons
        from ..core.windows import windows

        flat, inside = found.labels.along("yx")[0], Polygons(spec.region)
        seen = seen // math.prod(flat) * sum(int(inside.mask(*window).sum()) for window in windows(flat))
    seen -= int(found.manifest.get("not_a_number", 0))
    return table | {"share": table["pixels"].astype(float) / max(seen, 1)}


def _with_names(table: Table, found: Segmentation) -> Table:
    """Add the names of classes, second."""
    if not found.classes or "index" not in table:
        return table
    import numpy as np

    names = {row.label: row.name for row in found.classes}
    named = np.array([names.get(int(label), "") for label in table["index"]], dtype=str)
    return {"index": table["index"], "name": named, **{key: column for key, column in table.items() if key != "index"}}


def _with_means(table: Table, found: Segmentation) -> Table:
    """Add the mean uncertainty and confidence of each object, where they are known."""
    from ..measures._means import means

    known = {"uncertainty": found.uncertainty, "confidence": found.confidence}
    index = table.get("index")
    if index is None:
        return table
    return table | {name: means(found.labels, image, index) for name, image in known.items() if image is not None}


def segment(  # noqa: PLR0913  # the face of the verb
    image: Any,
    spec: SegmentSpec | None = None,
    *,
    measures: Sequence[str] = (),
    output: str | Path | None = None,
    overwrite: bool = False,
    client: Any = None,
    show: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Segmentation:
    """Find the objects of an image.

    Parameters
    ----------
    image : Image, array-like, path or sequence of path
        See :func:`segment_steps`.
    spec : SegmentSpec, optional
        Settings as one object.
    measures : sequence of str
        Entries of ``measures/`` that fill the table of the result.
    output : path, optional
        Where to write the labels; see :func:`segment_steps`.
    overwrite : bool
        Replace other labels that are there.
    client : distributed.Client or str, optional
        See :func:`segment_steps`.
    show : callable, optional
        Called with every Progress.
    **options : Any
        Settings one by one: the fields of :class:`~napari_unet.core.specs.SegmentSpec`.

    Returns
    -------
    Segmentation
        Labels, number and size of the objects, and the record of the run.

    Raises
    ------
    UNetError
        See :func:`segment_steps`.
    """
    spec = SegmentSpec.of(**((spec.model_dump() if spec else {}) | options))
    steps = segment_steps(image, spec, measures, preview=False, output=output, overwrite=overwrite, client=client)
    return finish(steps, show)
