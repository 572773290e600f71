"""From examples to pairs: annotated images are opened, checked, and kept in memory or left where they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from skimage.measure import label as connected

from ..core.anatomy import check_grid
from ..core.axes import Image, Plane
from ..core.bands import band_names
from ..core.errors import TrainingDataError
from ..core.examples import Example
from ..core.specs import NetSpec, NormalizeSpec, TrainSpec
from ..targets import count_classes
from ..tiling import Statistics, measure_statistics, normalize
from ..tiling.isolated import steady
from .pairs import Pair, Truth, make_pair
from .stored import Shelf, Stored, as_whole, digest, stored_pair

__all__ = ["Loader", "matched", "truth_of"]

_LARGE: Final = 2**26  # values of one plane, above which it is never read as a whole
_HELD: Final = 2**28  # values that are held in memory in all; by the data alone, so that runs can be repeated
_TINY: Final = 8  # pixels along an edge
_PART: Final = 0.25  # of the area of an image, in which all its labels lie


def truth_of(example: Example, spec: TrainSpec) -> Truth:
    """Return what the labels of an example say.

    Parameters
    ----------
    example : Example
        What it says of itself counts.
    spec : TrainSpec
        Otherwise what the run says of all.

    Returns
    -------
    Truth
        Everything, regions, or scribbles.

    Raises
    ------
    TrainingDataError
        If only regions are to count and the example has none.
    """
    if spec.truth == "regions" and example.region is None:
        raise TrainingDataError(
            f"'{example.name}' has no region, but only what lies in drawn regions is to count. Draw a rectangle or "
            "polygon around what you have annotated, or let everything count (truth: all)."
        )
    sparse = example.scribbles or spec.truth == "scribbles"
    count = count_classes(spec.target) if spec.target else 0
    unknown = count > 0 and spec.target is not None and not spec.target.background
    background = example.background if sparse and not unknown else None
    values, paired = example.values if count else (), example.before is not None
    return Truth(example.region, background, count, unknown, values, example.name, paired, example.ignored)


@dataclass
class Loader:
    """Opens examples one after the other.

    Attributes
    ----------
    spec : TrainSpec
        With its network and normalization filled in.
    known : tuple of (str, tuple of str)
        Whose channels are called how: a model that is started from; otherwise the first image that has names counts.
    warnings : list of str
        What the user should know of the images, gathered while they are read.
    """

    spec: TrainSpec
    known: tuple[str, tuple[str, ...]] = ("", ())
    warnings: list[str] = field(default_factory=list)
    _shelf: Shelf = field(default_factory=Shelf)
    _held: int = 0

    def load(self, example: Example, judged: bool = False) -> list[Pair]:
        """Read an example.

        Parameters
        ----------
        example : Example
            Of any number of planes.
        judged : bool
            Whether it is held out: models are judged by it, and do not learn from it.

        Returns
        -------
        list of Pair
            One for each plane (2D networks) or volume (3D networks).

        Raises
        ------
        TrainingDataError
            If image, labels and network do not fit together.
        ImageError
            If a file cannot be read, or medical labels lie on another grid than their image.
        """
        net, normalized = self.spec.net, self.spec.normalize
        if net is None or normalized is None:
            raise TrainingDataError("The training settings are incomplete: fill them from a task first.")
        image, labels = self._shelf.image(example), self._shelf.labels(example)
        check_grid(labels, image)
        self._check_channels(image, net, normalized, example.name)
        self._check_order(band_names(image), example.name)
        together = matched(image, labels, net.ndim, example.name)
        statistics = measure_statistics([plane for plane, _ in together], normalized)
        self._check_image(image, statistics, example)
        truth, pairs = truth_of(example, self.spec), []
        for number, (plane, drawn) in enumerate(together):
            name = example.name if len(together) == 1 else f"{example.name} {_place(plane)}"
            stored = Stored(self._again(example, number, 0), self._again(example, number, 1), statistics, truth, name)
            pair = self._pair(stored, plane, drawn, example.weight / len(together))
            units = plane.image.along(plane.axes)[2]
            facts = {
                "shape": plane.shape,
                "scale": _scale(plane),
                "units": units,
                "channels": image.channels,
                "kind": _kind(image),
                "bands": band_names(image),
            }
            pairs.append(replace(pair, group=example.group or example.source, facts={**facts, **pair.facts}))
        if example.before is not None:
            earlier = matched(image, self._shelf.read(example.before), net.ndim, example.name)
            pairs = [replace(p, before=_in_memory(plane)) for p, (_, plane) in zip(pairs, earlier, strict=True)]
        self._check_labels(pairs, example, "counts as" if judged else "is learned as")
        return pairs

    def _check_channels(self, image: Image, net: NetSpec, normalized: NormalizeSpec, name: str) -> None:
        if image.channels not in (1, net.inputs):
            who, fix = "the network", "Take images with as many channels as the others have."
            if self.spec.start:
                who = f"the model '{self.spec.start}'"
                fix = f"Start from another model, or from nothing, or take images of {net.inputs} channels."
            takes = "1 channel" if net.inputs == 1 else f"1 or {net.inputs} channels"
            raise TrainingDataError(
                f"'{name}' has axes {image.axes} and {image.channels} channels; {who} takes {takes}. {fix}"
            )
        known = len(normalized.divisor)
        if known not in (0, 1, image.channels):
            who = f"the model '{self.spec.start}'" if self.spec.start else "the normalization that is given"
            raise TrainingDataError(
                f"'{name}' has {image.channels} channel{'s' * (image.channels != 1)}, but {who} is for {known}. "
                f"Start from another model, or from nothing, or take images of {known} channels."
            )

    def _check_order(self, names: Sequence[str], name: str) -> None:
        """Refuse channels that bear the names of those of other images, but stand in another order."""
        if not names or not all(names):
            return
        if not self.known[1]:
            self.known = (f"'{name}'", tuple(names))
        mine, theirs = ([word.casefold() for word in each] for each in (names, self.known[1]))
        if mine != theirs and sorted(mine) == sorted(theirs):
            raise TrainingDataError(
                f"The channels of '{name}' are {', '.join(names)}, but those of {self.known[0]} are "
                f"{', '.join(self.known[1])}. Give them in the same order for all images."
            )

    def _pair(self, stored: Stored, plane: Plane, drawn: Plane, weight: float) -> Pair:
        values = math.prod(plane.shape) * plane.image.channels
        if values > _LARGE and not stored.truth.paired:
            return stored_pair(stored, None, weight)
        whole = tuple(slice(0, n) for n in plane.shape)
        block, labels = plane.read(whole), as_whole(drawn.read(whole)[0], stored.name)
        pair = make_pair(
            normalize(steady(block, stored.statistics.isolated), stored.statistics),
            labels,
            stored.name,
            weight,
            stored.truth,
        )
        # Planes of a stack may be blank, which makes them no copies of each other.
        pair = replace(pair, digest="" if (block == block.flat[0]).all() else digest(block))
        if not (stored.truth.classes or stored.truth.paired or pair.scribbles):
            numbers = int(np.count_nonzero(np.unique(labels)))
            pair = replace(pair, facts={"numbers": numbers, "objects": len(pair.sizes) - 1})
        self._held += values
        if self._held <= _HELD:
            return pair
        if stored.truth.paired:
            return stored_pair(replace(stored, ids=np.arange(int(labels.max(initial=0)) + 1)), pair, weight)
        if stored.truth.classes:
            return stored_pair(replace(stored, ids=np.arange(stored.truth.classes + 1)), pair, weight)
        ids = np.unique(stored.truth.read(labels, whole)[0])
        ids = ids if ids[0] == 0 else np.concatenate([np.zeros(1, ids.dtype), ids])
        if len(ids) == 2 or len(ids) != len(pair.sizes):  # what hangs together is an object, as in each patch
            return stored_pair(stored, replace(pair, sizes=np.zeros(0, np.float32)), weight)
        return stored_pair(replace(stored, ids=ids), pair, weight)

    def _again(self, example: Example, number: int, which: int) -> Callable[[], Plane]:
        """Return what opens a plane once more, whether its file is still open or not."""
        ndim = self.spec.net.ndim if self.spec.net else 2

        def again() -> Plane:
            image, labels = self._shelf.image(example), self._shelf.labels(example)
            return matched(image, labels, ndim, example.name)[number][which]

        return again

    def _check_image(self, image: Image, statistics: Statistics, example: Example) -> None:
        """Find what makes an image useless, or doubtful."""
        if all(low == high for low, high in zip(statistics.low, statistics.high, strict=True)):
            raise TrainingDataError(
                f"'{example.name}' is the same everywhere, or holds no numbers. Take it out, or export it again."
            )
        if min(image.along(image.spatial)[0][-2:]) < _TINY:
            raise TrainingDataError(
                f"'{example.name}' has only {image.along(image.spatial)[0]} pixels. Take images of at least {_TINY} "
                "pixels along an edge, better 64."
            )
        if image.data.dtype.kind == "f" and math.prod(image.shape) <= _LARGE:
            wrong = int(np.count_nonzero(~np.isfinite(np.asarray(image.data))))
            if wrong:
                self.warnings.append(
                    f"'{example.name}' has {wrong} pixels that are no numbers (NaN). They count as dark."
                )

    def _check_labels(self, pairs: Sequence[Pair], example: Example, taken: str) -> None:
        """Find labels that are probably not what the user means."""
        empty = [pair.name for pair in pairs if not len(pair.spots)]
        if len(empty) == len(pairs):
            self.warnings.append(f"'{example.name}' has no labeled object: all of it {taken} background.")
        elif empty:
            self.warnings.append(
                f"{len(empty)} of {len(pairs)} planes of '{example.name}' have no labeled object: what they show "
                f"{taken} background{', inside of the regions, which count in all of them' * bool(example.region)}. If "
                "they are not annotated, leave them out, or paint strokes instead, on the background too (scribbles)."
            )
        first = pairs[0]
        if all(pair.places is not None and not len(pair.places) for pair in pairs):
            if truth_of(example, self.spec).open:
                raise TrainingDataError(
                    f"The labels of '{example.name}' are 0 everywhere, which means that nothing of it is known. If 0 "
                    "is none of the classes, say so (--background), or leave the image out."
                )
            raise TrainingDataError(
                f"Nothing of '{example.name}' is known: its regions lie outside of it, or it has no scribbles. Draw "
                "them on the image, in pixels, or leave it out."
            )
        if first.scribbles and not any(_has_background(pair) for pair in pairs):
            self.warnings.append(
                f"The scribbles of '{example.name}' mark no background. Paint some with the label {example.background}."
            )
        apart = self.spec.grid is None or self.spec.grid.sized  # of lesions masks are the rule
        if apart and not (example.scribbles or pairs[0].kinds) and _is_mask(self._shelf.labels(example)):
            self.warnings.append(
                f"The labels of '{example.name}' have one value only: what hangs together is taken for an object, and "
                "objects that touch are one. Give every object a number of its own where that is wrong."
            )
        numbers, objects = (sum(pair.facts.get(name, 0) for pair in pairs) for name in ("numbers", "objects"))
        if apart and objects >= 2 * numbers > 2 * len(pairs):
            self.warnings.append(
                f"The {numbers} numbers in the labels of '{example.name}' mark {objects} separate pieces: each counts "
                "as an object, and those that touch are one where they share a number. Numbers that stand for kinds, "
                "not for objects, are learned as classes (a task of classes, or --classes)."
            )
        seen, depth = _labeled_planes(pairs)
        if apart and not (first.kinds or first.scribbles) and 0 < seen < _PART * depth:
            self.warnings.append(
                f"Only {seen} of {depth} planes of '{example.name}' have a labeled object, and what the others show "
                "is learned as background. If they are not annotated, cut out the planes that are, or paint strokes "
                "instead, on the background too (scribbles)."
            )
        share = _labeled_share(pairs)
        if apart and not first.kinds and share < _PART:
            self.warnings.append(
                f"All labels of '{example.name}' lie in {max(share, 0.01):.0%} of its area, and what has no label is "
                "learned as background. If there are objects elsewhere, draw a shape around what you have labeled and "
                "say so (regions)."
            )


def _in_memory(plane: Plane) -> torch.Tensor:
    values = as_whole(plane.read(tuple(slice(0, n) for n in plane.shape))[0], plane.image.name)
    return torch.from_numpy(values.astype(np.int32))


def _has_background(pair: Pair) -> bool:
    return pair.places is not None and len(pair.places) > len(pair.spots)


def _labeled_share(pairs: Sequence[Pair]) -> float:
    """Return the share of the area, in y and x, in which all objects lie; 1 where there are none, or truth is local."""
    spots = [pair.spots[:, -2:] for pair in pairs if len(pair.spots)]
    if not spots or any(pair.places is not None for pair in pairs):
        return 1.0
    box = np.ptp(np.concatenate(spots), axis=0) + 1
    return float(np.prod(box / np.array(tuple(pairs[0].labels.shape)[-2:])))


def _labeled_planes(pairs: Sequence[Pair]) -> tuple[int, int]:
    """Return how many planes of volumes have labels, and how many there are; none of images that are no volumes."""
    deep = [pair for pair in pairs if len(pair.labels.shape) == 3]
    return sum(len(np.unique(pair.spots[:, 0])) for pair in deep), sum(pair.labels.shape[0] for pair in deep)


def _is_mask(labels: Image) -> bool:
    """Say whether labels are a mask, such as 0 and 255."""
    if math.prod(labels.shape) > _LARGE:
        return False
    data = np.asarray(labels.data)
    values = np.unique(data)
    if np.count_nonzero(values) != 1:
        return False
    # A single object may well have the number 1, but it is in one piece.
    return float(values[-1]) != 1.0 or int(connected(data > 0, connectivity=1, return_num=True)[1]) > 1


def matched(image: Image, labels: Image, ndim: int, name: str) -> list[tuple[Plane, Plane]]:
    """Return planes of an image with those of its labels.

    Parameters
    ----------
    image, labels : Image
        That belong together.
    ndim : int
        Of what the network looks at.
    name : str
        For messages.

    Returns
    -------
    list of (Plane, Plane)
        In the order of the image.

    Raises
    ------
    TrainingDataError
        If they do not fit together.
    """
    planes, drawn = image.planes(ndim), {_key(plane): plane for plane in labels.planes(ndim)}
    missing = [plane for plane in planes if _key(plane) not in drawn]
    if missing or len(planes) != len(drawn):
        if "t" in image.axes and set(image.axes) - set(labels.axes) == {"t"}:
            points = image.along("t")[0][0]
            raise TrainingDataError(
                f"'{name}' has {points} time points (axes {image.axes}, shape {image.shape}), but its labels have no "
                "time. If these are sequences such as T1 and FLAIR, name them: in a file dataset.json in the folder, "
                'such as {"channel_names": {"0": "T1", "1": "FLAIR"}}, or in the column \'channels\' of a table '
                "(T1;FLAIR). Of a movie, each time point needs labels."
            )
        raise TrainingDataError(
            f"'{name}' has axes {image.axes} and shape {image.shape}, but its labels have axes {labels.axes} and shape "
            f"{labels.shape}. They must be the same but for the channels; check that the files belong together."
        )
    found = [(plane, drawn[_key(plane)]) for plane in planes]
    for plane, own in found:
        if plane.shape != own.shape:
            raise TrainingDataError(
                f"'{name}': the image has shape {plane.shape} but its labels {own.shape}. "
                "They must be the same; check that the files belong together."
            )
    return found


def _key(plane: Plane) -> tuple[tuple[str, int], ...]:
    """Return which plane it is, whatever the order of the axes; an axis of length one is none."""
    image = plane.image
    return tuple(sorted((image.axes[d], at) for d, at in plane.fixed if image.shape[d] > 1))


def _place(plane: Plane) -> str:
    return " ".join(f"{axis}={at}" for axis, at in _key(plane))


def _scale(plane: Plane) -> tuple[float, ...]:
    """Return the spacing along the axes of a plane; empty where none is known."""
    _, scale, units = plane.image.along(plane.axes)
    return () if all(unit == "pixel" for unit in units) and len(set(scale)) == 1 else scale


def _kind(image: Image) -> str:
    return str(np.dtype(image.data.dtype))
