"""How well a model finds the objects of images that it has not learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..core.axes import Image
from ..core.class_values import number_classes
from ..core.examples import Example
from ..core.rasterize import Polygons
from ..core.sizes import equivalent_diameter
from ..core.specs import SegmentSpec, TargetSpec
from ..core.steps import finish
from ..io.pairs import read_example
from ..metrics.matching import Counts, count, scores
from ..models.model import Model
from ..models.segment import segment_image
from ..targets import count_classes, count_frames
from .pairs import number_objects
from .stored import Shelf

__all__ = ["Judged", "Shown", "judge", "open_example", "summarize"]

_LEAST: Final = 64  # pixels along an edge of a part
_SAMPLES: Final = 1000  # of the bootstrap
_CONFIDENCE: Final = 95.0  # percent

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Shown:
    """An annotated image at hand, whole or a part of it.

    Attributes
    ----------
    image : Image
        What a model is given.
    truth : ndarray of int32
        Its labels, along ``image.label_axes``; 0 where nothing is known.
    known : ndarray of bool or None
        Where the truth is known, in y and x or along all axes; None: everywhere.
    sparse : bool
        Only labeled pixels are known (scribbles): objects cannot be counted.
    diameter : float
        Typical size of the objects, pixels; 0 if there are none, or nobody knows how large they are.
    name : str
        For messages and files.
    """

    image: Image
    truth: Labels
    known: npt.NDArray[np.bool_] | None
    sparse: bool
    diameter: float
    name: str


@dataclass(frozen=True)
class Judged:
    """One image compared with its truth.

    Attributes
    ----------
    counts : Counts or None
        Objects; None where they cannot be counted.
    classes : ndarray of float64, shape (k, 3), or None
        For each class the pixels that are of it in both, in the truth, and in the labels; None where they are
        objects.
    overlap, pixels : float
        Pixels that are object in both, and the sum of those that are in one: Dice is ``2 * overlap / pixels``.
    labels : ndarray of int32
        What the model found.
    """

    counts: Counts | None
    overlap: float
    pixels: float
    labels: Labels
    classes: npt.NDArray[np.float64] | None = None


def open_example(
    example: Example,
    most: float = math.inf,
    wanted: float | None = None,
    rule: TargetSpec | None = None,
    ndim: int = 0,
) -> Shown:
    """Read an annotated image, or its middle if it is large.

    Parameters
    ----------
    example : Example
        Layers or files.
    most : float
        Pixels of the network's grid that may be looked at.
    wanted : float, optional
        Object size on that grid.
    rule : TargetSpec, optional
        What is learned: of objects a mask, which has one value, stands for the parts of it that hang together, as when
        it is learned from. None: numbers are taken as they are.
    ndim : int
        Dimensions that the network looks at, in which objects are measured; 0: all that the image has.

    Returns
    -------
    Shown
        Ready to be judged.

    Raises
    ------
    ImageError
        If a file cannot be read.
    """
    image = read_example(example)
    ndim = min(ndim or 3, len(image.spatial))
    truth = _ordered(Shelf().labels(example), image.label_axes)
    known = None
    if example.ignored:
        known = ~np.isin(truth, example.ignored)
        truth = np.where(known, truth, 0)
    kinds, sparse = count_classes(rule) if rule is not None else 0, example.scribbles
    if sparse and not (kinds and rule is not None and not rule.background):
        known = truth > 0
        truth = np.where(truth == example.background, 0, truth)
    if example.values:
        truth = number_classes(truth, example.values, example.name)
    if rule is not None and not sparse and not kinds and count_frames(rule) == 1:
        truth = _apart(truth, image.label_axes)
    truth = truth.astype(np.int32, copy=False)
    if example.region:
        rows, columns = truth.shape[-2:]
        inside = Polygons(example.region).mask(slice(0, rows), slice(0, columns))
        known = inside if known is None else known & inside
        truth = np.where(known, truth, 0)
    diameter = 0.0 if sparse else _diameter(truth, image.label_axes, ndim)  # strokes tell no size
    shown = Shown(image, truth, known, sparse, diameter, example.name)
    pixels = truth.size * (wanted / diameter if wanted and diameter else 1.0) ** ndim
    return shown if pixels <= most else middle(shown, math.sqrt(most / pixels))


def middle(shown: Shown, share: float) -> Shown:
    """Return the middle of an image: this share of its rows and of its columns, at least 64."""
    window: list[slice] = []
    for axis, length in zip(shown.image.axes, shown.image.shape, strict=True):
        keep = min(max(round(length * share), _LEAST), length) if axis in "yx" else length
        window.append(slice((length - keep) // 2, (length - keep) // 2 + keep))
    rows, columns = (window[shown.image.axes.index(axis)] for axis in "yx")
    data = shown.image.read(tuple(window))
    known = None if shown.known is None else shown.known[..., rows, columns]
    return replace(
        shown, image=replace(shown.image, data=data, levels=()), truth=shown.truth[..., rows, columns], known=known
    )


def _ordered(drawn: Image, axes: str) -> Labels:
    """Return labels as an array along `axes`."""
    data = np.asarray(drawn.data)
    missing = [axis for axis in axes if axis not in drawn.axes]
    found = "".join(missing) + drawn.axes
    data = data.reshape((1,) * len(missing) + data.shape)
    extra = tuple(i for i, axis in enumerate(found) if axis not in axes)
    data = np.squeeze(data, extra) if extra else data
    found = "".join(axis for axis in found if axis in axes)
    return data.transpose([found.index(axis) for axis in axes])


def _apart(truth: Labels, axes: str) -> Labels:
    """Give objects the numbers that they are learned with, in each frame others: who comes from whom is not asked."""
    time = axes.find("t")
    found, last = [], 0
    for frame in np.moveaxis(truth, time, 0) if time >= 0 else truth[None]:
        parts = number_objects(frame)
        found.append(np.where(parts > 0, parts + last, 0).astype(np.int32))
        last += int(parts.max(initial=0))
    return np.moveaxis(np.stack(found), 0, time) if time >= 0 else found[0]


def _diameter(truth: Labels, axes: str, ndim: int) -> float:
    """Return the median size of the objects, each measured in every frame, or plane, that the network looks at."""
    order = sorted(range(len(axes)), key=lambda i: "tzyx".index(axes[i]))
    frames = truth.transpose(order)
    frames = frames.reshape(-1, *frames.shape[-ndim:])
    sizes = [np.bincount(frame[frame > 0].ravel()) for frame in frames]
    known = np.concatenate([np.zeros(0), *(each[each > 0].astype(float) for each in sizes)])
    return float(np.median(equivalent_diameter(known, ndim))) if len(known) else 0.0


def judge(shown: Shown, model: Model, measured: bool = True) -> Judged:
    """Segment an image as a user would, and compare.

    Parameters
    ----------
    shown : Shown
        The image and its truth.
    model : Model
        Ready to predict.
    measured : bool
        Let the model measure the object size, as it does for users; else it is given, which takes less time while a
        network knows little.

    Returns
    -------
    Judged
        Counts of objects and pixels.

    Raises
    ------
    AxesError, ImageError, ModelError
        If the image does not fit the model.
    """
    sized, kinds = model.card.grid.sized, count_classes(model.card.target)
    given = model.card.diameter if shown.sparse else shown.diameter  # with strokes it has learned images as they are
    diameter = None if measured or given <= 0 or not sized else round(given, 2)
    spec = SegmentSpec(model=model.card.name, device=model.device, diameter=diameter)
    found = finish(segment_image(shown.image, spec, model, preview=False))
    labels = np.asarray(found.labels.data)
    compared = labels if shown.known is None else np.where(shown.known, labels, 0)
    truth = shown.truth
    if kinds:
        return replace(_classed(truth, compared, kinds, model.card.target), labels=labels)
    both = float(np.count_nonzero((compared > 0) & (truth > 0)))
    pixels = float(np.count_nonzero(compared) + np.count_nonzero(truth))
    if shown.sparse:
        return Judged(None, both, pixels, labels)
    wanted, got = (truth, labels) if shown.known is None else _comparable(truth, labels, shown.known)
    return Judged(count(wanted, got), both, pixels, labels)


def _comparable(truth: Labels, labels: Labels, known: npt.NDArray[np.bool_]) -> tuple[Labels, Labels]:
    """Leave out objects of which nobody knows whether they are right: cut in the truth, or mostly not on what is known.

    What lies on an object that is cut counts neither for nor against a model, as what COCO tells to ignore.
    """
    rim = np.broadcast_to(known & ndimage.binary_dilation(~known), truth.shape)
    cut = np.isin(truth, np.setdiff1d(truth[rim], 0)) & (truth > 0)
    judged = np.broadcast_to(known, truth.shape) & ~cut
    inside, whole = (np.bincount(each.ravel(), minlength=int(labels.max()) + 1) for each in (labels[judged], labels))
    return np.where(cut, 0, truth), np.where((2 * inside >= whole)[labels], labels, 0)


def _classed(truth: Labels, found: Labels, kinds: int, rule: TargetSpec) -> Judged:
    """Compare classes of pixels, where the truth is known; those within each other as the regions that they are."""
    compared = found if rule.background else np.where(truth > 0, found, 0)
    shared = np.minimum(truth, compared) if rule.nested else np.where(truth == compared, truth, 0)
    counts = [np.bincount(values.ravel(), minlength=kinds + 1)[1 : kinds + 1] for values in (shared, truth, compared)]
    table = np.stack(counts, 1).astype(np.float64)
    if rule.nested:
        table = table[::-1].cumsum(axis=0)[::-1]
    return Judged(None, float(table[:, 0].sum()), float(table[:, 1:].sum()), found, table)


def summarize(judged: Sequence[Judged], seed: int = 0) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Pool images into scores, and say how sure they are.

    Parameters
    ----------
    judged : sequence of Judged
        Of the images.
    seed : int
        Of the bootstrap.

    Returns
    -------
    scores : dict of float
        ``AP50``, ``mAP`` and ``Dice`` of the objects against the background; without images nothing, where objects
        cannot be counted ``Dice`` alone. Of classes ``mDice`` and ``mIoU``, means over those that occur, and ``Dice 1``
        and so on.
    intervals : dict of (float, float)
        95 % confidence: percentiles of 1000 draws of as many images with replacement (Efron 1979). Empty for fewer
        than three images.
    """
    if not judged:
        return {}, {}
    values = _pooled(judged)
    if len(judged) < 3:
        return values, {}
    rng = np.random.default_rng(seed)
    draws = [_pooled([judged[i] for i in rng.integers(len(judged), size=len(judged))]) for _ in range(_SAMPLES)]
    rim = (100 - _CONFIDENCE) / 2
    sure = {}
    for name in values:
        low, high = np.percentile([draw[name] for draw in draws if name in draw], (rim, 100 - rim))
        sure[name] = (float(low), float(high))
    return values, sure


def _pooled(judged: Sequence[Judged]) -> dict[str, float]:
    tables = [each.classes for each in judged if each.classes is not None]
    if tables:
        return _of_classes(np.sum(tables, 0))
    counted = [each.counts for each in judged if each.counts is not None]
    found = {}
    if counted:
        all_scores = scores(sum(counted[1:], counted[0]))
        found = {name: all_scores[name] for name in ("AP50", "mAP")}
    pixels = sum(each.pixels for each in judged)
    return found | {"Dice": 2 * sum(each.overlap for each in judged) / pixels if pixels else 1.0}


def _of_classes(table: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return the scores of pooled pixels; of classes that are in neither there are none."""
    both, wanted, got = table.T
    there = np.flatnonzero(wanted + got)
    dice, iou = 2 * both[there] / (wanted + got)[there], both[there] / (wanted + got - both)[there]
    if not len(there):
        return {"mDice": 1.0, "mIoU": 1.0}
    each = {f"Dice {number + 1}": float(value) for number, value in zip(there, dice, strict=True)}
    return {"mDice": float(dice.mean()), "mIoU": float(iou.mean())} | each
