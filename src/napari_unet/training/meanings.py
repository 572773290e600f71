"""What the numbers in labels mean: classes, strokes, or objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from ..core.errors import TrainingDataError
from ..core.examples import Example
from ..core.specs import TrainSpec
from ..core.windows import Reader, windows
from ..io.drawings import check_classes, classes_drawn, is_drawing
from ..targets import count_classes
from ..tiling.statistics import sample_windows
from .stored import Shelf

__all__ = ["NOTHING", "check_drawn", "counted", "marked", "valued"]

NOTHING: Final = "None of the training images has a labeled object. Draw some labels first."
_CLASSES: Final = 200
_WHITE: Final = 255


def valued(spec: TrainSpec, examples: Sequence[Example]) -> list[Example]:
    """Say of examples what the run says of all: which value means which class, whether labels are strokes.

    Parameters
    ----------
    spec : TrainSpec
        With its target filled in.
    examples : sequence of Example
        As they were found.

    Returns
    -------
    list of Example
        In the same order.

    Raises
    ------
    TrainingDataError
        If there are not as many values as classes.
    """
    count, values = count_classes(spec.target) if spec.target else 0, spec.class_values
    if values and len(values) != count:
        raise TrainingDataError(
            f"Values are given for {len(values)} classes, but there are {count}. Give one value for each class, in the "
            "same order."
        )
    examples = marked(spec, examples)
    if count:
        names = tuple(row.name for row in spec.target.table) if spec.target else ()
        examples = [replace(each, classes=names) if _is_drawn(each) else each for each in examples]
    pixels = [each for each in examples if not _is_drawn(each)]
    if count == 1 and not values and pixels and _is_mask(Shelf(), pixels):
        values = (_WHITE,)
    if values:
        return [each if _is_drawn(each) else replace(each, values=each.values or values) for each in examples]
    between = count > 0 and spec.target is not None and spec.target.background
    return [
        _counted_around(example, count) if between and example.scribbles and not example.values else example
        for example in examples
    ]


def check_drawn(spec: TrainSpec, examples: Sequence[Example]) -> None:
    """Check that some shape is of the classes, where labels are shapes; those of an image may all be of others.

    Parameters
    ----------
    spec : TrainSpec
        With its target filled in.
    examples : sequence of Example
        All of the run.

    Raises
    ------
    ImageError
        If none is, or a file cannot be read.
    """
    drawn = [each.labels for each in examples if isinstance(each.labels, Path) and is_drawing(each.labels)]
    if spec.target is not None and count_classes(spec.target):
        check_classes(drawn, [row.name for row in spec.target.table])


def marked(spec: TrainSpec, examples: Sequence[Example]) -> list[Example]:
    """Say of each example that it has scribbles, where the run says so of all.

    Parameters
    ----------
    spec : TrainSpec
        The run.
    examples : sequence of Example
        As they were found.

    Returns
    -------
    list of Example
        In the same order.
    """
    return [replace(each, scribbles=True) for each in examples] if spec.truth == "scribbles" else list(examples)


def _counted_around(example: Example, count: int) -> Example:
    """Give the classes of scribbles the numbers that are left beside that of the background."""
    numbers = [number for number in range(1, count + 2) if number != example.background][:count]
    return replace(example, values=tuple(numbers)) if numbers[-1] > count else example


def _is_drawn(example: Example) -> bool:
    return isinstance(example.labels, Path) and is_drawing(example.labels)


def _is_mask(shelf: Shelf, examples: Sequence[Example]) -> bool:
    """Say whether labels are black and white pictures."""
    found: set[int] = set()
    for example in examples:
        for plane, window in sample_windows(shelf.labels(example).planes(2)):
            found |= set(np.unique(plane.read(window)).tolist()) - {*example.ignored}
        if not found <= {0, _WHITE}:
            return False
    return _WHITE in found


def _highest(shelf: Shelf, example: Example, strokes: set[int]) -> int:
    """Return the highest label that is neither unknown nor a stroke on the background, in labels of any size."""
    labels, left_out = shelf.labels(example), [*example.ignored, *strokes]
    reader = Reader(labels.data, labels.name)
    blocks = (reader.read(window) for window in windows(reader.shape))
    return max(int(np.max(block, initial=0, where=~np.isin(block, left_out))) for block in blocks)


def counted(shelf: Shelf, examples: Sequence[Example]) -> tuple[str, ...]:
    """Name as many classes as there are in the labels, where nobody has named them.

    Parameters
    ----------
    shelf : Shelf
        Opens them.
    examples : sequence of Example
        All of which the labels are looked at.

    Returns
    -------
    tuple of str
        ``class 1`` and so on, without the numbers of strokes on the background.

    Raises
    ------
    TrainingDataError
        If nothing is labeled, or the numbers are those of objects.
    """
    if drawn := [each.labels for each in examples if isinstance(each.labels, Path) and is_drawing(each.labels)]:
        if len(drawn) < len(examples):
            raise TrainingDataError(
                "Some labels are shapes and others are pixels, so their classes cannot be counted. Name the classes "
                "(--classes)."
            )
        return tuple(sorted({name for file in drawn for name in classes_drawn(file)})) or ("class 1",)
    if _is_mask(shelf, examples):
        return ("class 1",)
    strokes = {each.background for each in examples} if all(each.scribbles for each in examples) else set()
    highest = max(_highest(shelf, example, strokes) for example in examples)
    if not highest:
        raise TrainingDataError(NOTHING)
    if highest > _CLASSES:
        raise TrainingDataError(
            f"The labels go up to {highest}, but classes are numbered from 1 to at most {_CLASSES}. Number the classes "
            "in the labels, or choose a task that finds objects."
        )
    return tuple(f"class {number}" for number in range(1, highest + 1) if number not in strokes)
