"""Ask a model where the objects of a movie come from."""

from __future__ import annotations

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
from ..tiling.stream import score_plane
from ._scorer import Scorer, inner
from .frames import two_frames
from .segment import plan_run

__all__ = ["foretell"]

_MIDDLE: Final = round(255 * ZERO)
_LOOKS: Final = 8  # frames whose objects say how large objects are

Floats = npt.NDArray[np.float64]


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
    count, time = sizes[0][0], labels.axes.index("t")
    if count == 1:
        return _gathered([_first(labels, time)])
    both = two_frames(image)
    if spec.diameter is None:
        spec = spec.model_copy(update={"diameter": _width(labels, time)})
    plan, _ = plan_run(both, spec, model)
    found = [_first(labels, time)]
    reach = float(getattr(target(card.target), "REACH", 0.0)) / plan.factor[0]
    for plane in both.planes(2):
        t = len(found)
        yield Progress(t, count, f"Foretelling the motion of frame {t + 1} of {count}")
        scores = np.zeros((plan.outputs, *plane.shape), np.uint8)
        for _ in score_plane(plane, plan, inner(model), scores):
            pass
        found.append(_means(_labels(labels, time, t), scores, reach))
    return _gathered(found)


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


def _first(labels: Image, time: int) -> tuple[Any, Floats, Floats]:
    ids = np.unique(_labels(labels, time, 0)).astype(np.int64)
    ids = ids[ids > 0]
    return ids, np.zeros((len(ids), 2)), np.full(len(ids), np.nan)


def _means(labels: npt.NDArray[Any], scores: npt.NDArray[np.uint8], reach: float) -> tuple[Any, Floats, Floats]:
    """Average the scores of each object: its number, offsets in pixels, and the chance of a division."""
    where = np.flatnonzero(labels)
    ids, which = np.unique(labels.reshape(-1)[where].astype(np.int64), return_inverse=True)
    areas = np.bincount(which, minlength=len(ids))
    sums = [np.bincount(which, weights=s.reshape(-1)[where], minlength=len(ids)) for s in scores[1:4]]
    back_y, back_x, chance = (total / np.maximum(areas, 1) for total in sums)
    back = (np.stack([back_y, back_x], axis=1) - _MIDDLE) / (255 - _MIDDLE) * reach
    return ids, back, chance / 255


def _gathered(found: list[tuple[Any, Floats, Floats]]) -> Motion:
    labels, back, chances = zip(*found, strict=True)
    return Motion(tuple(labels), tuple(back), tuple(chances))
