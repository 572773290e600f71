"""Objects within objects: what lies inside of each, and in which of others each lies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from ..core.axes import Image
from ..core.errors import SpecError, UNetError
from ..core.results import Table
from ..core.steps import Steps, stage
from .clusters import on_workers
from .files import open_labels, read_labels

__all__ = ["named_others", "related_steps"]


def named_others(inside: Any, within: Any, rings: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return labels by the names that columns of a table have of them.

    Parameters
    ----------
    inside, within : labels, list of labels, or dict
        As for :func:`~napari_unet.workflows.measuring.measure`.
    rings : bool
        Whether the table has columns of rings around objects.

    Returns
    -------
    tuple of two dicts
        Labels as they were given: those that are looked for inside, and those that objects lie in.

    Raises
    ------
    SpecError
        If two columns would have the same name.
    """
    from ..measures._inside import columns_inside, columns_within

    found = _named(inside), _named(within)
    taken: dict[str, str] = {}
    if rings:
        from ..measures._around import SIZES

        taken = dict.fromkeys(SIZES, "the rings around objects")
    for some, columns_of in zip(found, (columns_inside, columns_within), strict=True):
        for name in some:
            for column in columns_of(name):
                if column in taken:
                    raise SpecError(
                        f"A column '{column}' would be of the labels '{name}' and of {taken[column]}. Give the labels "
                        f'another name: {{"other_{name}": ...}}, or rename their file or layer.'
                    )
                taken[column] = f"the labels '{name}'"
    return found


def _named(given: Any) -> dict[str, Any]:
    from ..measures._inside import column_name

    if isinstance(given, Mapping):
        pairs = [(str(name), labels) for name, labels in given.items()]
    else:
        several = list(given) if isinstance(given, list | tuple) else [] if given is None else [given]
        pairs = [(_name(labels), labels) for labels in several]
    found: dict[str, Any] = {}
    for name, labels in pairs:
        if (column := column_name(name)) in found:
            raise SpecError(
                f"Two of the labels are called '{column}', and so would be the columns of both. Give them names: "
                f'{{"{column}": ..., "others": ...}}, or rename a file.'
            )
        found[column] = labels
    return found


def _name(labels: Any) -> str:
    if isinstance(labels, str | os.PathLike):
        return PurePath(os.fspath(labels)).name
    return labels.name if isinstance(labels, Image) else ""


def related_steps(
    table: Table,
    labels: Image,
    others: tuple[Mapping[str, Any], Mapping[str, Any]],
    stages: tuple[int, int],
    client: Any = None,
) -> Steps[Table]:
    """Say of objects that are measured what lies inside of each, and in which of others each lies.

    Parameters
    ----------
    table : dict of ndarray
        With the columns of the measure ``objects``.
    labels : Image
        As they were measured.
    others : tuple of two mappings of str to labels
        Other objects by name: those that are looked for inside, and those that objects lie in.
    stages : (int, int)
        How many jobs were done before, and how many there are in all.
    client : distributed.Client, optional
        Of a cluster that does it.

    Returns
    -------
    dict of ndarray
        The table with more columns; see :mod:`napari_unet.measures._inside`.

    Yields
    ------
    Progress
        While it goes on.

    Raises
    ------
    AxesError, ImageError
        If labels do not fit each other.
    ClusterError
        If workers cannot do it.
    """
    from ..measures._inside import add_inside, add_within, shared_steps

    asked = [
        (name, given, inside)
        for inside, some in zip((True, False), others, strict=True)
        for name, given in some.items()
    ]
    for number, (name, given, lies_inside) in enumerate(asked, stages[0]):
        other = _opened(given, labels)
        steps = on_workers(client, "compare_on_steps", labels, other) if client else shared_steps(labels, other)
        shared = yield from stage(steps, number, stages[1])
        table = add_inside(table, labels, name, shared) if lies_inside else add_within(table, name, shared)
    return table


def _opened(other: Any, labels: Image) -> Image:
    """Open other labels; those that do not say their axes have those of the labels that are measured, if as large."""
    if isinstance(other, Image):
        return other
    if not isinstance(other, str | os.PathLike):
        same = getattr(other, "shape", None) == labels.shape
        return Image(other, labels.axes, name="labels") if same else open_labels(other)
    found = open_labels(other, labels)
    if found.axes == labels.axes or found.shape != labels.shape or not found.guessed:
        return found
    try:
        return read_labels(os.fspath(other), labels.axes, labels)
    except UNetError:  # it cannot be taken so
        return found
