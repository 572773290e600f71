"""Measure objects, and judge them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..core.anatomy import check_grid
from ..core.axes import Image
from ..core.errors import ImageError, SpecError
from ..core.ground import PixelAreas
from ..core.lengths import in_one_unit, scaled_like
from ..core.registry import load
from ..core.results import Table
from ..core.steps import Progress, Steps, finish
from .clusters import on_workers
from .files import open_image, open_labels, read_labels

__all__ = ["evaluate", "evaluate_steps", "ground_of", "measure", "measure_steps"]


def measure(labels: Any, image: Any = None, measures: Sequence[str] = ("objects",), client: Any = None) -> Table:
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

    Returns
    -------
    dict of ndarray
        One row an object; the column ``index`` holds its label.

    Raises
    ------
    RegistryError
        If a measure is unknown.
    ClusterError
        If workers cannot do it.
    """
    return finish(measure_steps(labels, image, measures, client))


def measure_steps(
    labels: Any, image: Any = None, measures: Sequence[str] = ("objects",), client: Any = None
) -> Steps[Table]:
    """Measure every object, step by step.

    Parameters
    ----------
    labels, image, measures, client : Any
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
    RegistryError
        If a measure is unknown.
    ClusterError
        If workers cannot do it.
    """
    table: Table = {}
    intensities = None if image is None else open_image(image)
    labels = open_labels(labels, intensities)
    if intensities is not None:
        check_grid(labels, intensities)
        labels = scaled_like(labels, intensities)
    labels = in_one_unit(labels)
    for name in measures:
        measuring = load("measures", name)
        if client is not None and name == "objects":
            table |= yield from on_workers(client, "measure_on_steps", labels, intensities)
        elif hasattr(measuring, "measure_steps"):
            table |= yield from measuring.measure_steps(labels, intensities)
        elif name == "classes":
            table |= measuring.measure(labels, intensities, ground_of(labels, intensities))
        else:
            table |= measuring.measure(labels, intensities)
    return table


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
