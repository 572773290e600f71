"""Measure objects, and judge them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core.amounts import distance_in
from ..core.anatomy import check_grid
from ..core.axes import Image
from ..core.errors import ImageError, SpecError
from ..core.ground import PixelAreas
from ..core.lengths import in_one_unit, scaled_like
from ..core.registry import load
from ..core.results import Table
from ..core.steps import Progress, Steps, finish, stage
from .clusters import on_workers
from .files import open_image, open_labels, read_labels
from .relating import named_others, related_steps

__all__ = ["around_steps", "evaluate", "evaluate_steps", "ground_of", "grow", "measure", "measure_steps", "on_one_grid"]


def measure(  # noqa: PLR0913  # the face of the verb
    labels: Any,
    image: Any = None,
    measures: Sequence[str] = ("objects",),
    client: Any = None,
    around: str | float = "",
    inside: Any = (),
    within: Any = (),
) -> Table:
    """Measure every object.

    Parameters
    ----------
    labels : Image, array-like of int or path
        Objects.
    image : Image, array-like, path or sequence of path, optional
        Intensities, on the same grid. Its pixel sizes count where labels have none.
    measures : sequence of str
        Entries of ``measures/``.
    client : distributed.Client or str, optional
        A dask cluster whose workers do it, or the address of its scheduler. Labels and image are files that all
        workers see. The table is the same. Measures other than ``objects`` are computed here.
    around : str or float, optional
        Measure the ring around each object, too, such as the cytoplasm around a nucleus: how far it reaches, in pixels
        or with a unit (``"5 um"``). See :func:`~napari_unet.measures._around.add_rings` for the columns.
    inside : labels, list of labels, or dict, optional
        Other objects on the same grid, such as foci of nuclei, that are counted in each object; a dict names them
        (``{"foci": labels}``), else their files do. See :func:`~napari_unet.measures._inside.add_inside`.
    within : labels, list of labels, or dict, optional
        Other objects, such as cells, of which it is said in which each object lies. See
        :func:`~napari_unet.measures._inside.add_within`.

    Returns
    -------
    dict of ndarray
        One row an object; the column ``index`` holds its label.

    Raises
    ------
    RegistryError
        If a measure is unknown.
    SpecError
        If `around` cannot be read, or it, `inside` or `within` is asked for without the measure ``objects``, or two
        columns would have the same name.
    AxesError
        If images or labels do not cover the same pixels.
    ClusterError
        If workers cannot do it.
    """
    return finish(measure_steps(labels, image, measures, client, around, inside, within))


def measure_steps(  # noqa: PLR0913  # the face of the verb
    labels: Any,
    image: Any = None,
    measures: Sequence[str] = ("objects",),
    client: Any = None,
    around: str | float = "",
    inside: Any = (),
    within: Any = (),
) -> Steps[Table]:
    """Measure every object, step by step.

    Parameters
    ----------
    labels, image, measures, client, around, inside, within : Any
        As for :func:`measure`.

    Returns
    -------
    dict of ndarray
        As :func:`measure` returns it.

    Yields
    ------
    Progress
        While it goes on, from measures that tell.

    Raises
    ------
    RegistryError, SpecError, AxesError, ClusterError
        As for :func:`measure`.
    """
    table: Table = {}
    labels, intensities = on_one_grid(labels, image)
    distance = _distance(around, labels)
    contents, places = named_others(inside, within, bool(distance))
    for asked, words in ((distance, "lies around objects"), (contents, "lies in objects"), (places, "objects lie in")):
        if asked and "objects" not in measures:
            raise SpecError(f"What {words} is measured with 'objects', not with '{', '.join(measures)}'.")
    own_ring = bool(distance) and client is None  # workers measure rings with their objects
    count = len(measures) + own_ring + len(contents) + len(places)
    for number, name in enumerate(measures):
        measuring = load("measures", name)
        if client is not None and name == "objects":
            steps = on_workers(client, "measure_on_steps", labels, intensities, distance)
            table |= yield from stage(steps, number, count)
        elif hasattr(measuring, "measure_steps"):
            table |= yield from stage(measuring.measure_steps(labels, intensities), number, count)
        elif name == "classes":
            table |= measuring.measure(labels, intensities, ground_of(labels, intensities))
        else:
            table |= measuring.measure(labels, intensities)
    if own_ring:
        from ..measures._around import measure_steps as measure_around

        around_them = measure_around(table, labels, intensities, distance)
        table = yield from stage(around_them, len(measures), count)
    return (yield from related_steps(table, labels, (contents, places), (len(measures) + own_ring, count), client))


def around_steps(table: Table, labels: Image, image: Image | None, around: str | float) -> Steps[Table]:
    """Measure what lies around objects that are measured.

    Parameters
    ----------
    table : dict of ndarray
        With the columns of the measure ``objects``.
    labels, image : Image
        As they were measured.
    around : str or float
        As for :func:`measure`; empty for nothing.

    Returns
    -------
    dict of ndarray
        The table with more columns.

    Yields
    ------
    Progress
        While it goes on.

    Raises
    ------
    SpecError
        If `around` cannot be read.
    """
    labels, image = on_one_grid(labels, image)
    distance = _distance(around, labels)
    if not distance or not ({"area_px", "volume_px"} & table.keys()):
        return table
    from ..measures._around import measure_steps as measure_around

    return (yield from measure_around(table, labels, image, distance))


def grow(labels: Any, by: str | float, ring: bool = False, image: Any = None) -> Image:
    """Let every object grow, where no other is nearer: cells from nuclei.

    Parameters
    ----------
    labels : Image, array-like of int or path
        Objects.
    by : str or float
        How far, in pixels or with a unit (``"5 um"``).
    ring : bool
        Leave out the objects themselves: what is left is the ring around each, with the same number.
    image : Image, array-like, path or sequence of path, optional
        Whose pixel sizes count where labels have none.

    Returns
    -------
    Image
        Labels on the same grid, computed where they are read; see :func:`~napari_unet.measures._around.grow`.

    Raises
    ------
    SpecError
        If the distance cannot be read, or the pixel size is not known.
    AxesError, ImageError
        If these are no labels.
    """
    from ..measures._around import grow as let_grow

    labels, _ = on_one_grid(labels, image)
    distance = _distance(by, labels)
    if not distance:
        raise SpecError("Say how far objects are to grow: a number of pixels, or with a unit, such as '5 um'.")
    return let_grow(labels, distance, ring)


def on_one_grid(labels: Any, image: Any) -> tuple[Image, Image | None]:
    """Open labels and their image; sizes of pixels are those that one of them knows, in one unit.

    Parameters
    ----------
    labels : Image, array-like of int or path
        Objects.
    image : Image, array-like, path or sequence of path, optional
        Intensities.

    Returns
    -------
    labels, image : Image
        The second is None if none was given.

    Raises
    ------
    AxesError, ImageError
        If they lie on different grids, or cannot be opened.
    """
    intensities = None if image is None else open_image(image)
    found = open_labels(labels, intensities)
    if intensities is not None:
        check_grid(found, intensities)
        found = scaled_like(found, intensities)
    return in_one_unit(found), intensities


def _distance(around: str | float, labels: Image) -> float:
    """Return how far around objects something is asked for, in the unit of their labels; 0 for nothing."""
    if not str(around).strip():
        return 0.0
    (scale,), (unit,) = labels.along("x")[1:]
    return distance_in(around, scale, unit)


def ground_of(*images: Image | None) -> PixelAreas | None:
    """Return how large pixels are on the ground, by the first image that knows; None if that is not known.

    Parameters
    ----------
    *images : Image or None
        On one grid.

    Returns
    -------
    callable or None
        See :func:`napari_unet.io.ground_areas.pixel_areas`.
    """
    from ..io.ground_areas import pixel_areas

    placed = [image for image in images if image is not None and image.geo is not None and image.geo.crs]
    if not placed:
        return None
    height, width = placed[0].along("yx")[0]
    return pixel_areas(placed[0].geo, (height, width))


def evaluate(  # noqa: PLR0913  # the face of the verb
    truth: Any,
    predicted: Any,
    metrics: Sequence[str] = ("matching",),
    *,
    binary: bool = False,
    axes: str | None = None,
    client: Any = None,
    show: Callable[[Progress], None] | None = None,
    **options: Any,
) -> dict[str, float]:
    """Compare labels with the truth.

    Parameters
    ----------
    truth, predicted : array-like of int, Image or path, or lists of them
        Labels of equal shape; several images are pooled: their objects are counted together, and so are those of the
        time points of a movie, in which numbers may begin again. Files are read one at a time.
    metrics : sequence of str
        Entries of ``metrics/``.
    binary : bool
        Compare foreground with background only, whatever the numbers are.
    axes : str, optional
        Of files that do not say, such as ``tyx``.
    client : distributed.Client or str, optional
        A dask cluster whose workers compare, pair by pair, or the address of its scheduler. The labels are files that
        all workers see. The scores are the same.
    show : callable, optional
        Called with every Progress.
    **options : Any
        Settings of the metrics: each gets those that its ``count`` knows, such as ``tolerance`` of ``surfaces``.

    Returns
    -------
    dict of float
        Scores by name.

    Raises
    ------
    ImageError
        If shapes differ.
    SpecError
        If no metric knows an option.
    ClusterError
        If workers cannot do it.
    """
    return finish(evaluate_steps(truth, predicted, metrics, options, binary=binary, axes=axes, client=client), show)


def evaluate_steps(  # noqa: PLR0913  # the face of the verb
    truth: Any,
    predicted: Any,
    metrics: Sequence[str] = ("matching",),
    options: dict[str, Any] | None = None,
    *,
    binary: bool = False,
    axes: str | None = None,
    client: Any = None,
) -> Steps[dict[str, float]]:
    """Compare labels with the truth, step by step.

    Parameters
    ----------
    truth, predicted, metrics, options, binary, axes, client : Any
        As for :func:`evaluate`.

    Returns
    -------
    dict of float
        Scores by name.

    Yields
    ------
    Progress
        One for every pair.

    Raises
    ------
    ImageError, SpecError, ClusterError
        As for :func:`evaluate`.
    """
    from ..io.pairs import read_judged
    from ..metrics._judging import check_options, conclude, judge

    several, options = isinstance(truth, list | tuple), options or {}
    if several and len(truth) != len(predicted):
        raise ImageError(
            f"The numbers of images differ: {len(truth)} of true labels, {len(predicted)} to judge. Give pairs."
        )
    pairs = list(zip(truth, predicted, strict=True)) if several else [(truth, predicted)]
    if not pairs:
        raise ImageError("There is nothing to compare: give at least one image of true labels, and one to judge.")
    check_options(metrics, options)
    if client is not None and axes:
        raise SpecError(
            "On a cluster axes are those that the files name. Leave them out, or compare without a cluster."
        )
    if client is not None:
        found: dict[str, float] = yield from on_workers(client, "evaluate_on_steps", pairs, metrics, options, binary)
        return found
    counted = []
    for number, pair in enumerate(pairs):
        yield Progress(number, len(pairs), "Comparing")
        if isinstance(pair[0], str | Path) and isinstance(pair[1], str | Path):
            true, guess = read_judged(pair[0], pair[1], axes)
        else:
            true, guess = (read_labels(labels, axes) if isinstance(labels, str | Path) else labels for labels in pair)
        counted.append(judge(true, guess, metrics, options, binary))
    return conclude(metrics, counted)
