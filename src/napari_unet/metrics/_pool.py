"""Scores of many cases, class by class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Pool", "flatten"]

Sums = Mapping[str, tuple[float, int]]


@dataclass(frozen=True)
class Pool:
    """Sums of scores; add those of several images to pool them.

    In medicine a score is that of a patient, and a set of patients has the mean: a large tumor weighs no more than a
    small one.

    Attributes
    ----------
    classes : mapping of int to mapping of str to (float, int)
        For each class and score, the sum and how many cases it is of.
    cases : int
        Number of cases, also those that have none of the classes.
    """

    classes: Mapping[int, Sums] = field(default_factory=dict)
    cases: int = 0

    def __add__(self, other: Pool) -> Pool:
        """Pool two sets of cases."""
        found: dict[int, Sums] = {}
        for kind in sorted({*self.classes, *other.classes}):
            one, two = self.classes.get(kind, {}), other.classes.get(kind, {})
            found[kind] = {name: _added(one.get(name), two.get(name)) for name in dict.fromkeys([*one, *two])}
        return Pool(found, self.cases + other.cases)

    @classmethod
    def of(cls, scores: Mapping[int, Mapping[str, float]]) -> Pool:
        """Return the pool of one case; NaN stands for what it has no score of."""
        found = {
            kind: {name: (0.0, 0) if math.isnan(v) else (float(v), 1) for name, v in own.items()}
            for kind, own in scores.items()
        }
        return cls(found, 1)

    def means(self, kind: int) -> dict[str, float]:
        """Return the mean of each score of a class over the cases that have one; NaN where there is none."""
        return {name: total / n if n else math.nan for name, (total, n) in self.classes[kind].items()}


def flatten(by_class: Mapping[int, Mapping[str, float]], perfect: Mapping[str, float]) -> dict[str, float]:
    """Name the scores of classes.

    Parameters
    ----------
    by_class : mapping of int to mapping of str to float
        Scores of each class.
    perfect : mapping of str to float
        Scores of an empty prediction of an empty truth.

    Returns
    -------
    dict of str to float
        The mean over classes under the name of each score; if there are several, each class's own with its number
        appended (``dice_2``). NaN is left out of means.
    """
    if not by_class:
        return dict(perfect)
    names = dict.fromkeys(name for own in by_class.values() for name in own)
    found = {name: _mean([own[name] for own in by_class.values() if name in own]) for name in names}
    if len(by_class) > 1:
        found |= {f"{name}_{kind}": value for kind, own in by_class.items() for name, value in own.items()}
    return found


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _added(one: tuple[float, int] | None, two: tuple[float, int] | None) -> tuple[float, int]:
    (a, n), (b, m) = one or (0.0, 0), two or (0.0, 0)
    return a + b, n + m
