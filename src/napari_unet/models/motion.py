"""Ask a model where the objects of a movie come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image, Plane
from ..core.errors import AxesError, ImageError, ModelError
from ..core.motion import Motion
from ..core.sizes import equivalent_diameter
from ..core.specs import SegmentSpec
from ..core.steps import Progress, Steps
from ..targets import ZERO, count_frames, target
from ..tiling.statistics import Statistics
from ..tiling.stream import Plan, score_plane
from ._scorer import Predict, Scorer, inner
from .frames import two_frames
from .segment import draft_plan, plan_run, sized

__all__ = ["Seer", "check_motion", "first_motion", "foretell", "gather_motion", "measure_motion"]

_MIDDLE: Final = round(255 * ZERO)
_LOOKS: Final = 8  # frames whose objects say how large objects are

Floats = npt.NDArray[np.float64]
Foretold = tuple[npt.NDArray[np.int64], Floats, Floats]


def foretell(labels: Image, image: Image, spec: SegmentSpec, model: Scorer) -> Steps[Motion]:
    """Foretell where each object of a movie was a frame before, and whether it has divided since.

    Each is the mean over the object's pixels of what a network with the target ``motion`` says; its scores are stored
    as 8 bits and do not depend on tiles. One frame is in memory at a time, with the one before.

    Parameters
    ----------
    labels : Image
        Axes ``t``, ``y``, ``x`` in any order; whole numbers from 0.
    image : Image
        What was segmented, on the same grid.
    spec : SegmentSpec
        Says how the work is cut, and perhaps how large objects are; otherwise the labels say it.
    model : Scorer
        Learned from movies with their tracks.

    Returns
    -------
    Motion
        One entry a frame.

    Yields
    ------
    Progress
        One for every frame.

    Raises
    ------
    AxesError, ImageError
        If the labels are no 2D movie, or the image does not fit them.
    ModelError
        If the model foretells no motion.
    """
    if check_motion(labels, image, model) == 1:
        return gather_motion([first_motion(labels)])
    seer = Seer.of(labels, image, spec, model, measure_motion(labels, image, spec, model))
    found = []
    for t in range(seer.count):
        if t:
            yield Progress(t, seer.count, f"Foretelling the motion of frame {t + 1} of {seer.count}")
        found.append(seer.foretell(t))
    return gather_motion(found)


def check_motion(labels: Image, image: Image, model: Scorer) -> int:
    """Check that the motion of labels can be foretold; see :func:`foretell`.

    Parameters
    ----------
    labels, image, model : Image, Image, Scorer
        As for :func:`foretell`.

    Returns
    -------
    int
        The number of frames.

    Raises
    ------
    AxesError, ImageError, ModelError
        As :func:`foretell`.
    """
    card = model.card
    if count_frames(card.target) < 2:
        raise ModelError(
            f"The model '{card.name}' finds objects but foretells no motion (its target is '{card.target.name}'). "
            "Choose one that was trained with --task motion, or none."
        )
    if sorted(labels.axes) != sorted("tyx"):
        raise AxesError(f"'{labels.name}' has the axes '{labels.axes}'; motion is foretold in 2D movies (tyx).")
    sizes = [i.along("tyx")[0] for i in (labels, image)] if "t" in image.axes else []
    if not sizes or sizes[0] != sizes[1] or "z" in image.axes:
        raise ImageError(
            f"The image '{image.name}' ({image.axes}, {image.shape}) does not fit the labels ({labels.axes}, "
            f"{labels.shape}). Choose the movie that was segmented."
        )
    return sizes[0][0]


def measure_motion(labels: Image, image: Image, spec: SegmentSpec, model: Scorer) -> dict[str, Any]:
    """Measure what is measured once for a movie, intensities and the size of objects; for :meth:`Seer.of`.

    Parameters
    ----------
    labels, image, spec, model : Image, Image, SegmentSpec, Scorer
        As for :func:`foretell`.

    Returns
    -------
    dict
        JSON-like.
    """
    if spec.diameter is None:
        spec = spec.model_copy(update={"diameter": _width(labels, labels.axes.index("t"))})
    plan, diameter = plan_run(two_frames(image), spec, model)
    return {"statistics": plan.statistics.to_dict(), "diameter": diameter}


@dataclass(frozen=True)
class Seer:
    """A model that looks at a movie, frame by frame in any order.

    Attributes
    ----------
    labels : Image
        Whose motion is foretold.
    planes : list of Plane
        Of two frames each.
    plan : Plan
        How they are scored.
    predict : callable
        float32 (b, c, *s) -> float32 (b, k, *s).
    reach : float
        How far the largest offset points, pixels.
    """

    labels: Image
    planes: list[Plane]
    plan: Plan
    predict: Predict
    reach: float

    @classmethod
    def of(cls, labels: Image, image: Image, spec: SegmentSpec, model: Scorer, measured: dict[str, Any]) -> Seer:
        """Make one of what was measured; see :func:`measure_motion`."""
        both = two_frames(image)
        plan = replace(draft_plan(both, spec, model), statistics=Statistics.from_dict(measured["statistics"]))
        plan = sized(plan, model, float(measured["diameter"]))
        reach = float(getattr(target(model.card.target), "REACH", 0.0)) / plan.factor[0]
        return cls(labels, both.planes(2), plan, inner(model), reach)

    @property
    def count(self) -> int:
        """The number of frames."""
        return len(self.planes) + 1

    def foretell(self, t: int) -> Foretold:
        """Foretell the motion of a frame.

        Parameters
        ----------
        t : int
            Which, from 0; the first has none.

        Returns
        -------
        tuple of ndarray
            Numbers of the objects, offsets in pixels, and the chance of a division; see :class:`Motion`.
        """
        time = self.labels.axes.index("t")
        if not t:
            return first_motion(self.labels)
        plane = self.planes[t - 1]
        scores = np.zeros((self.plan.outputs, *plane.shape), np.uint8)
        for _ in score_plane(plane, self.plan, self.predict, scores):
            pass
        return _means(_labels(self.labels, time, t), scores, self.reach)


def _labels(labels: Image, time: int, t: int) -> npt.NDArray[Any]:
    axes = "yx"
    values: npt.NDArray[Any] = Plane(labels, axes, ((time, t),)).read(
        tuple(slice(0, n) for n in labels.along(axes)[0])
    )[0]
    return values


def _width(labels: Image, time: int) -> float | None:
    """Return the median width of the objects of some frames, pixels; None if there are none."""
    frames = np.unique(np.linspace(0, labels.shape[time] - 1, _LOOKS).astype(int)).tolist()
    areas = [
        np.unique(values[values > 0], return_counts=True)[1] for t in frames for values in [_labels(labels, time, t)]
    ]
    found = np.concatenate(areas)
    return float(equivalent_diameter(np.array([np.median(found)]), 2)[0]) if len(found) else None


def first_motion(labels: Image) -> Foretold:
    """Return what is foretold of the first frame: nothing, of objects that are there."""
    time = labels.axes.index("t")
    ids = np.unique(_labels(labels, time, 0)).astype(np.int64)
    ids = ids[ids > 0]
    return ids, np.zeros((len(ids), 2)), np.full(len(ids), np.nan)


def _means(labels: npt.NDArray[Any], scores: npt.NDArray[np.uint8], reach: float) -> Foretold:
    """Average the scores of each object: its number, offsets in pixels, and the chance of a division."""
    where = np.flatnonzero(labels)
    ids, which = np.unique(labels.reshape(-1)[where].astype(np.int64), return_inverse=True)
    areas = np.bincount(which, minlength=len(ids))
    sums = [np.bincount(which, weights=s.reshape(-1)[where], minlength=len(ids)) for s in scores[1:4]]
    back_y, back_x, chance = (total / np.maximum(areas, 1) for total in sums)
    back = (np.stack([back_y, back_x], axis=1) - _MIDDLE) / (255 - _MIDDLE) * reach
    return ids, back, chance / 255


def gather_motion(found: Sequence[Foretold]) -> Motion:
    """Put what was foretold of frames together.

    Parameters
    ----------
    found : sequence of tuple of ndarray
        One a frame; see :meth:`Seer.foretell`.

    Returns
    -------
    Motion
        Of all of them.
    """
    labels, back, chances = zip(*found, strict=True)
    return Motion(tuple(labels), tuple(back), tuple(chances))
