"""Targets: how objects are represented for a network (encode), learned (loss) and found again (decode).

A file is a representation and offers

``CHANNELS``
    names of the score channels;
``encode(labels)``
    int labels ``(*s)`` to float32 targets ``(k, *s)`` in 0 to 1;
``activate(scores)``
    raw network scores ``(b, k, *s)`` to 0 to 1 (any array with torch's methods);
``loss(scores, target, known=None, classify=...)``
    raw scores and targets ``(b, k, *s)`` to one number. `known` is what is known of the truth, ``(b, 2, *s)`` of 0 and
    1: whether a pixel is object or background, and whether also the shape of its object is known, as it is not where
    there are scribbles or an object is cut by the edge of what was annotated. `classify` is how classes are compared,
    if the user chose another loss than the file's own (:func:`classifier`);
``decode(scores, spec, smallest)``
    stored uint8 scores ``(k, *s)`` to int32 labels ``(*s)``, numbered by first pixel.

``CLASSES``
    only if labels are the numbers of classes of pixels, not of objects: how many there are.

``FRAMES``
    only if it is learned from several frames: how many. The image then shows the later frame's channels first, and
    ``encode(labels, before=None)`` is given the labels of the earlier frame too, numbered by what becomes of them:
    ``2 * p`` there is ``2 * p``, or ``2 * p`` and ``2 * p + 1``, here.

``explore(scores, spec, window, shape, grow=None)``
    only if objects can be found brick by brick: stored scores of a brick's window and one pixel around it, to its trees
    and their :class:`~napari_unet.core.forest.Forest`. Stitched, they give the objects of ``decode``, pixel by pixel.
    What :func:`grower` returns may climb in the processor's stead; the trees are the same.

A file whose channels depend on the settings offers ``bind(spec)`` instead, which returns an object with all of these.

If a channel is a part of a vector, the file also offers

``DIRECTIONS``
    for each channel the spatial axis along which it is signed (0 is the network's first axis), or None. Such a score is
    :data:`ZERO` where the vector has no such part; mirroring the image mirrors it there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch

from ..core.forest import Forest
from ..core.registry import load
from ..core.specs import TargetSpec
from ._forest import Grow
from ._forest_torch import grow_on
from ._losses import LOSSES, Classify, balanced, class_weights
from ._weights import border_weights

__all__ = [
    "ZERO", "Classify", "Explore", "Target", "border_weights", "classifier", "count_classes", "count_frames",
    "directions", "explorer", "grower", "target",
]  # fmt: skip

Explore = Callable[..., tuple[npt.NDArray[np.int32], Forest]]

ZERO: Final = 128 / 255  # of a signed score; stored as exactly 128


class Target(Protocol):
    """The contract of every file in this room."""

    @property
    def CHANNELS(self) -> tuple[str, ...]:  # noqa: N802  # a constant of most
        """Names of the score channels."""

    def encode(self, labels: npt.NDArray[np.integer[Any]], *before: Any) -> npt.NDArray[np.float32]:
        """Turn labels into what a network learns; where it has `FRAMES`, those of the frame before come too."""

    def activate(self, scores: Any) -> Any:
        """Bring raw scores into 0 to 1."""

    def loss(self, scores: Any, target: Any, known: Any = None, classify: Classify = ...) -> Any:
        """Compare raw scores with targets, where they are known."""

    def decode(self, scores: npt.NDArray[np.uint8], spec: TargetSpec, smallest: Any) -> npt.NDArray[np.int32]:
        """Turn stored scores into labels."""


def target(rule: TargetSpec | str) -> Target:
    """Return a representation.

    Parameters
    ----------
    rule : TargetSpec or str
        Names a file of this room, and what it needs to know: its classes.

    Returns
    -------
    Target
        The module, or what it makes of the spec.

    Raises
    ------
    RegistryError
        If there is no such file.
    """
    rule = TargetSpec(name=rule) if isinstance(rule, str) else rule
    module = load("targets", rule.name)
    return cast(Target, module.bind(rule) if hasattr(module, "bind") else module)


def count_classes(rule: TargetSpec | str) -> int:
    """Return how many classes of pixels a representation tells apart; 0 where labels are numbers of objects.

    Parameters
    ----------
    rule : TargetSpec or str
        As for :func:`target`.

    Returns
    -------
    int
        Labels go from 1 to this.

    Raises
    ------
    RegistryError
        If there is no such file.
    """
    return int(getattr(target(rule), "CLASSES", 0))


def count_frames(rule: TargetSpec | str) -> int:
    """Return how many frames of a movie a representation is learned from.

    Parameters
    ----------
    rule : TargetSpec or str
        As for :func:`target`.

    Returns
    -------
    int
        1 for most.

    Raises
    ------
    RegistryError
        If there is no such file.
    """
    return int(getattr(target(rule), "FRAMES", 1))


def confidence(rule: TargetSpec | str, scores: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return how sure a network is of what each pixel is taken for.

    Parameters
    ----------
    rule : TargetSpec or str
        As for :func:`target`.
    scores : ndarray of uint8, shape (k, *s)
        As they are stored; what comes after the target's channels does not matter.

    Returns
    -------
    ndarray of uint8, shape (*s)
        The score of the class that a pixel is given, or of foreground.

    Raises
    ------
    RegistryError
        If there is no such file.
    """
    found: Any = target(rule)
    sure = getattr(found, "confidence", None)
    return scores[0] if sure is None else cast("npt.NDArray[np.uint8]", sure(scores[: len(found.CHANNELS)]))


def anomaly(rule: TargetSpec | str, scores: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return how much each pixel speaks against being background, whatever else it may be.

    Parameters
    ----------
    rule : TargetSpec or str
        As for :func:`target`.
    scores : ndarray of uint8, shape (k, *s)
        As they are stored; what comes after the target's channels does not matter.

    Returns
    -------
    ndarray of uint8, shape (*s)
        The sum of the scores of all classes, or the score of foreground. Where every pixel has a class, how much
        speaks against the class that it is given.

    Raises
    ------
    RegistryError
        If there is no such file.
    """
    found: Any = target(rule)
    odd = getattr(found, "anomaly", None)
    return scores[0] if odd is None else cast("npt.NDArray[np.uint8]", odd(scores[: len(found.CHANNELS)]))


def directions(rule: TargetSpec | str) -> tuple[int | None, ...]:
    """Return the spatial axis along which each channel of a representation is signed, None where it is not.

    Parameters
    ----------
    rule : TargetSpec or str
        As for :func:`target`.

    Returns
    -------
    tuple of int or None
        One entry a channel; all None where the file has no ``DIRECTIONS``.

    Raises
    ------
    RegistryError
        If there is no such file.
    """
    found = target(rule)
    return getattr(found, "DIRECTIONS", (None,) * len(found.CHANNELS))


def explorer(rule: TargetSpec | str) -> Explore | None:
    """Return what finds the trees of a brick, or None where a representation can be decoded as a whole only.

    Parameters
    ----------
    rule : TargetSpec or str
        As for :func:`target`.

    Returns
    -------
    callable or None
        The file's ``explore``.

    Raises
    ------
    RegistryError
        If there is no such file.
    """
    return getattr(target(rule), "explore", None)


def grower(device: str) -> Grow | None:
    """Return what grows trees on a device.

    Parameters
    ----------
    device : str
        In torch's words.

    Returns
    -------
    callable or None
        For ``explore``. None for a processor, whose machine code is faster, and for cards that do not know all of the
        operations.
    """
    return partial(grow_on, device) if device.startswith("cuda") and torch.cuda.is_available() else None


def classifier(name: str, balance: bool = False, borders: Any = None) -> Classify:
    """Return how classes are compared with the truth.

    Parameters
    ----------
    name : {"own", "cross-entropy", "border", "dice", "focal", "tversky"}
        As in :class:`~napari_unet.core.specs.TrainSpec`.
    balance : bool
        Let the rarer of object and background, or of several classes, weigh more.
    borders : Tensor, optional
        For ``"border"``: :func:`border_weights` of the batch, ``(b, *s)``.

    Returns
    -------
    callable
        Of scores, target, the weight of touching borders that the target would give, and where the truth is known.
    """
    loss = LOSSES[name]
    if name == "own":
        return balanced if balance else loss

    def classify(scores: Any, target: Any, weight: Any = 1.0, known: Any = None) -> Any:
        weight = 1.0
        if name == "border":
            weight = class_weights(target, known) + (0.0 if borders is None else borders)
        elif balance:
            weight = class_weights(target, known)
        return loss(scores, target, weight, known)

    return classify
