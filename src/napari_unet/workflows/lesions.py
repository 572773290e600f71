"""Measure lesions, compare them over time, and write a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.lengths import in_one_unit
from ..core.lesions import Growth, Lesions
from ..core.steps import Progress, Steps, finish
from .files import open_image, open_labels

__all__ = [
    "compare_lesions", "compare_lesions_steps", "measure_lesions", "measure_lesions_steps", "report_lesions",
    "report_lesions_steps",
]  # fmt: skip


def measure_lesions_steps(
    labels: Any,
    image: Any = None,
    *,
    scores: Any = None,
    organ: Any = None,
    classes: bool = False,
    quantity: str = "",
) -> Steps[Lesions]:
    """Measure every lesion, step by step.

    Parameters
    ----------
    labels : Image, array-like of int or path
        One number a lesion, or with `classes` one number a class: then every connected piece is a lesion.
    image : Image, array-like, path or sequence of path, optional
        Intensities, on the same grid.
    scores : Image, array-like or path, optional
        How sure somebody is of each pixel; its mean in a lesion is the confidence.
    organ : Image, array-like or path, optional
        Not 0 inside of the organ that the lesions lie in.
    classes : bool
        Whether `labels` is a map of classes.
    quantity : str
        What intensities are, such as ``"SUV"`` or ``"HU"``, of channels that differ with commas between; what the image
        says, if it is not given.

    Returns
    -------
    Lesions
        Labels with one number a lesion, the table of :func:`napari_unet.measures.lesions.measure`, and totals.

    Yields
    ------
    Progress
        While lesions are found and measured.

    Raises
    ------
    UNetError
        If an image cannot be used or does not fit the labels.
    """
    from ..measures._components import split_classes
    from ..measures._totals import sum_up
    from ..measures.lesions import Beside, measure_steps, units

    others = [None if other is None else open_image(other) for other in (image, scores, organ)]
    source, kinds = in_one_unit(open_labels(labels, others[0])), None
    if classes:
        yield Progress(0, 0, "Finding the lesions")
        source, found = split_classes(source)
        kinds = dict(enumerate(found.tolist(), start=1))
    table = yield from measure_steps(source, others[0], Beside(others[1], others[2], kinds))
    place = None if others[0] is None else others[0].anatomy
    named = units(source, quantity or (place.quantity if place else ""), others[0])
    return Lesions(source, table, sum_up(table), named)


def measure_lesions(labels: Any, image: Any = None, **options: Any) -> Lesions:
    """Measure every lesion.

    Parameters
    ----------
    labels, image : Any
        As for :func:`measure_lesions_steps`.
    **options : Any
        ``scores``, ``organ``, ``classes`` and ``quantity``.

    Returns
    -------
    Lesions
        As of :func:`measure_lesions_steps`.

    Raises
    ------
    UNetError
        As :func:`measure_lesions_steps`.
    """
    return finish(measure_lesions_steps(labels, image, **options))


def compare_lesions_steps(before: Lesions, after: Lesions) -> Steps[Growth]:
    """Find lesions again at a later time, step by step.

    Parameters
    ----------
    before, after : Lesions
        Of two images of the same place.

    Returns
    -------
    Growth
        The table of :func:`napari_unet.measures._growth.compare`, its sums, also class by class, and the category of
        RECIST 1.1.

    Yields
    ------
    Progress
        One, at the beginning.

    Raises
    ------
    AxesError
        If they cannot be compared.
    """
    from ..measures._growth import compare, sum_up_classes, sum_up_growth
    from ..measures._response import respond

    yield Progress(0, 0, "Comparing the lesions")
    changes = compare((before.labels, before.table), (after.labels, after.table))
    response = respond(changes, after.units.get("longest_diameter", ""))
    return Growth(changes, sum_up_growth(changes), response, sum_up_classes(changes))


def compare_lesions(before: Lesions, after: Lesions) -> Growth:
    """Find lesions again at a later time; see :func:`compare_lesions_steps`."""
    return finish(compare_lesions_steps(before, after))


def report_lesions_steps(
    path: str | Path, lesions: Lesions, image: Any, *, growth: Growth | None = None, title: str = ""
) -> Steps[None]:
    """Write a report of lesions as one page of HTML or PDF, step by step.

    Parameters
    ----------
    path : path-like
        File ending in ``.html`` or ``.pdf``; an existing one is replaced.
    lesions : Lesions
        What is reported.
    image : Image, array-like, path or sequence of path
        Of which the pictures are drawn; on the grid of the labels.
    growth : Growth, optional
        What has changed since an earlier time.
    title : str
        Heading; names of files and patients are never written.

    Yields
    ------
    Progress
        One a picture.

    Raises
    ------
    AxesError
        If the image does not fit the labels.
    OutputError
        If the file cannot be written.
    """
    from ..io.report import write_report_steps

    return (yield from write_report_steps(Path(path), lesions, open_image(image), growth, title))


def report_lesions(
    path: str | Path, lesions: Lesions, image: Any, *, growth: Growth | None = None, title: str = ""
) -> None:
    """Write a report of lesions as one page of HTML or PDF; see :func:`report_lesions_steps`."""
    finish(report_lesions_steps(path, lesions, image, growth=growth, title=title))
