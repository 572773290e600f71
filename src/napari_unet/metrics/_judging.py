"""Several metrics of one pair of labels: counts, which those of other pairs are added to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from inspect import signature
from operator import add
from typing import Any

import numpy as np

from napari_unet.core.anatomy import check_grid
from napari_unet.core.axes import Image
from napari_unet.core.errors import SpecError
from napari_unet.core.registry import load

__all__ = ["check_options", "conclude", "judge"]


def check_options(metrics: Sequence[str], options: Mapping[str, Any]) -> None:
    """Check that each option is known to a metric.

    Parameters
    ----------
    metrics : sequence of str
        Entries of ``metrics/``.
    options : mapping
        Settings of the metrics.

    Raises
    ------
    RegistryError
        If a metric is unknown.
    SpecError
        If no metric knows an option.
    """
    knows = {name for metric in metrics for name in _known(load("metrics", metric))}
    if unknown := set(options).difference(knows):
        known = ", ".join(sorted(knows)) or "none"
        raise SpecError(f"The metrics do not know {', '.join(sorted(unknown))}. Their settings: {known}.")


def judge(truth: Any, found: Any, metrics: Sequence[str], options: Mapping[str, Any], binary: bool = False) -> Any:
    """Compare two labels.

    Parameters
    ----------
    truth, found : Image or array-like of int
        Of equal shape, and on one grid where both say where they lie.
    metrics : sequence of str
        Entries of ``metrics/``.
    options : mapping
        Settings; each metric gets those that its ``count`` knows.
    binary : bool
        Compare foreground with background only.

    Returns
    -------
    list
        What each metric counted.

    Raises
    ------
    ImageError
        If shapes differ.
    """
    if isinstance(truth, Image) and isinstance(found, Image):
        check_grid(found, truth)
    counts = []
    for metric in (load("metrics", name) for name in metrics):
        own = {name: value for name, value in options.items() if name in _known(metric)}
        pair = (_values(labels, binary, getattr(metric, "SCALED", False)) for labels in (truth, found))
        counts.append(metric.count(*pair, **own))
    return counts


def conclude(metrics: Sequence[str], counted: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Add up what was counted and make scores of it.

    Parameters
    ----------
    metrics : sequence of str
        Entries of ``metrics/``.
    counted : sequence of list
        One a pair, in their order; see :func:`judge`.

    Returns
    -------
    dict of float
        Scores by name.
    """
    found: dict[str, float] = {}
    for name, counts in zip(metrics, zip(*counted, strict=True), strict=True):
        found |= load("metrics", name).scores(reduce(add, counts))
    return found


def _known(metric: Any) -> list[str]:
    return list(signature(metric.count).parameters)[2:]


def _values(found: Any, binary: bool, scaled: bool) -> Any:
    """Return the array of labels, or for metrics that know the size of pixels the image."""
    if binary:
        mask = np.asarray(found.data if isinstance(found, Image) else found) > 0
        found = replace(found, data=mask, levels=()) if isinstance(found, Image) else mask
    return found.data if isinstance(found, Image) and not scaled else found
