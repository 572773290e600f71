"""Which images are kept out of training to judge it: whole patients, fields or images, never parts of one unsaid."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final

from ..core.errors import TrainingDataError
from ..core.examples import Example
from ..core.region import Polygon
from ..core.specs import TrainSpec
from ..io.pairs import read_example
from .pairs import Pair

__all__ = ["Split", "check_leaks", "draw_lot", "hold_out", "name_groups", "part_groups"]


_NO_SHARE: Final = (
    "A corner is to be held out, but no share of the images is said, so nothing is held out. Give a share too, such as "
    "--validation 0.2."
)


@dataclass(frozen=True)
class Split:
    """Examples to learn from and examples to judge by.

    Attributes
    ----------
    learned, held_out : list of Example
        In the order in which they were given.
    words : str
        How they were parted.
    warnings : tuple of str
        What the user should know.
    """

    learned: list[Example]
    held_out: list[Example]
    words: str
    warnings: tuple[str, ...] = ()


def hold_out(examples: Sequence[Example], spec: TrainSpec) -> Split:
    """Part examples into those to learn from and those to judge by.

    Which groups are held out follows from their names and the seed alone, so that more images of other groups leave
    the choice as it is as far as possible.

    Parameters
    ----------
    examples : sequence of Example
        What they say of themselves comes first; others of the same group follow.
    spec : TrainSpec
        Gives the share.

    Returns
    -------
    Split
        At least one group is learned from; at least one is held out if a share is asked for and there are two.

    Raises
    ------
    TrainingDataError
        If nothing is left to learn from, or a group is to be on both sides.
    """
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        groups[example.group or example.source].append(example)
    said = {name: {e.held_out for e in members} - {None} for name, members in groups.items()}
    for name, wishes in said.items():
        if len(wishes) > 1:
            raise TrainingDataError(
                f"Images of the group '{name}' are both to be learned from and held out. What was taken of the same "
                "patient, field or slide must be on one side: correct the groups or the split."
            )
    kept = {name for name, wishes in said.items() if wishes == {True}}
    called = name_groups(examples)
    free = sorted((name for name, ways in said.items() if not ways), key=lambda name: draw_lot(called[name], spec.seed))
    if spec.validation > 0 and not kept:
        wanted = max(1, round(spec.validation * len(groups)))
        # One group is left to learn from, whoever said what.
        kept = set(free[: min(wanted, len(groups) - 1)])
        if not kept and len(groups) == 1:
            return _single(list(examples), next(iter(groups)), spec)
    learned = [e for e in examples if (e.group or e.source) not in kept]
    held = [e for e in examples if (e.group or e.source) in kept]
    if not learned:
        raise TrainingDataError("All images are held out for validation. Leave some to learn from.")
    if not held:
        unheard = (_NO_SHARE,) if spec.corner and spec.validation == 0 else ()
        return Split(learned, [], "All images are learned from; none is held out to judge the model.", unheard)
    count = len(groups) - len(kept)
    noun = ("group" if any(e.group for e in examples) else "image") + ("" if count == 1 else "s")
    words = f"{count} {noun} {'is' if count == 1 else 'are'} learned from, {len(kept)} held out to judge."
    return Split(learned, held, words)


def part_groups(examples: Sequence[Example], folds: int, seed: int) -> list[set[str]]:
    """Part the groups of examples into folds of about equal size.

    Parameters
    ----------
    examples : sequence of Example
        What is said to be of one group stays together; an example without is a group of its own.
    folds : int
        How many.
    seed : int
        Another one makes other folds.

    Returns
    -------
    list of set of str
        The groups of each fold.

    Raises
    ------
    TrainingDataError
        If there are fewer groups than folds.
    """
    called = name_groups(examples)
    groups = sorted(called, key=lambda name: draw_lot(called[name], seed))
    if len(groups) < folds:
        raise TrainingDataError(
            f"{folds} folds need as many patients or images, but there are {len(groups)}. Annotate more, or ask for "
            "fewer folds."
        )
    return [set(groups[number::folds]) for number in range(folds)]


def name_groups(examples: Sequence[Example]) -> dict[str, str]:
    """Call groups by names that do not depend on where their files lie, nor on how the way there is written.

    Parameters
    ----------
    examples : sequence of Example
        What is said to be of one group is called so; an example without is called as its file, with as many of the
        folders above it as tell it from others.

    Returns
    -------
    dict of str to str
        By the group, or the source where there is none.
    """
    names = {each.group or each.source: each.group for each in examples}
    parts = {each.source: _way(each) for each in examples if not each.group}
    taken, depth = Counter(way[-1:] for way in parts.values()), 1
    while parts:
        alone = [source for source, way in parts.items() if taken[way[-depth:]] == 1 or depth >= len(way)]
        for source in alone:
            names[source] = "/".join(parts.pop(source)[-depth:])
        depth += 1
        taken = Counter(way[-depth:] for way in parts.values())
    return names


def _way(example: Example) -> tuple[str, ...]:
    # Of an image with a file for each channel the first one tells which it is.
    return example.files[0].resolve().parts if example.files else PurePath(example.source).parts


def _single(examples: list[Example], name: str, spec: TrainSpec) -> Split:
    """Part a single image, or group, if that is wanted."""
    alone = "a single image" if len(examples) == 1 else f"a single group of images ('{name}')"
    if not spec.corner:
        words = f"There is {alone}, so nothing is held out: how good the model is on other images stays unknown."
        more = " A corner of it can be held out (corner: yes), which tells less than another image would."
        return Split(examples, [], "All images are learned from; none is held out to judge the model.", (words + more,))
    learned, held = [], []
    for example in examples:
        outside, inside = _corner(example, spec.validation)
        learned.append(replace(example, region=outside))
        held.append(replace(example, region=inside))
    words = (
        f"There is {alone}: its lower right corner is held out, {spec.validation:.0%} of it. It is alike what is "
        "learned from, so that scores are better than they would be on another image."
    )
    return Split(learned, held, words, (words,))


def _corner(example: Example, share: float) -> tuple[tuple[Polygon, ...], tuple[Polygon, ...]]:
    """Return the region outside and inside of a corner."""
    if example.region is not None:
        raise TrainingDataError(
            f"'{example.name}' has a region of its own, so that no corner of it can be held out. Hold out nothing, or "
            "annotate a second image."
        )
    image = read_example(example)
    (height, width), *_ = image.along("yx")
    y, x = round(height * (1 - share**0.5)) - 0.5, round(width * (1 - share**0.5)) - 0.5
    top, left, bottom, right = -0.5, -0.5, height - 0.5, width - 0.5
    outside = ((top, left), (top, right), (y, right), (y, x), (bottom, x), (bottom, left))
    return (outside,), (((y, x), (y, right), (bottom, right), (bottom, x)),)


def draw_lot(name: str, seed: int) -> str:
    """Return what a name is sorted by where order must mean nothing, and stay the same whatever else there is.

    Parameters
    ----------
    name : str
        Of an image or a group.
    seed : int
        Another one makes another order.

    Returns
    -------
    str
        A digest.
    """
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def check_leaks(learned: Sequence[Pair], held_out: Sequence[Pair]) -> None:
    """Refuse to judge a model by what it has learned.

    Parameters
    ----------
    learned, held_out : sequence of Pair
        Both sides, with the digests of their content.

    Raises
    ------
    TrainingDataError
        If the same image is on both.
    """
    seen = {pair.digest: pair for pair in learned if pair.digest}
    for pair in held_out:
        other = seen.get(pair.digest)
        if other is not None and other.group != pair.group:
            raise TrainingDataError(
                f"'{pair.name}' is held out to judge the model, but the same image is learned from as '{other.name}'. "
                "Remove one of them, or give both the same group."
            )
