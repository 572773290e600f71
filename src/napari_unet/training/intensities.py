"""Intensities that mean the same in all images, measured once over all that is learned from.

CT is in Hounsfield units, satellites measure reflectance: an image that is all sea, or all lung, must not be stretched
to look like others. For CT this is the rule of nnU-Net (Isensee et al. 2021): values inside of the labels of all
images are pooled, clipped to their percentiles 0.5 and 99.5, and their mean and standard deviation become 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import TrainingDataError
from ..core.examples import Example
from ..core.specs import NormalizeSpec, TrainSpec
from ..core.steps import Progress, Steps
from ..tiling.statistics import sample_windows
from .data import matched, truth_of
from .stored import Shelf, as_whole

__all__ = ["is_ct", "measure_ct", "measure_fixed"]

_AIR: Final = -500.0  # Hounsfield units; nothing but air, lung and what scanners write outside of their field is less
_SAMPLE: Final = 100_000  # values of an image that are pooled
_PERCENTILES: Final = (0.5, 99.5)  # nnU-Net's

Floats = npt.NDArray[np.float64]


def is_ct(image: Image, modality: str = "") -> bool:
    """Say whether intensities are Hounsfield units.

    Parameters
    ----------
    image : Image
        Any axes.
    modality : str
        What somebody says of it.

    Returns
    -------
    bool
        What is said, or the image says of itself; if nobody says anything, whether the lowest values are below -500 and
        more than half of all are negative: a body and the air around it.
    """
    said = modality or ("" if image.anatomy is None else image.anatomy.modality)
    if said:
        return said.upper() == "CT"
    if image.channels > 1 or image.data.dtype.kind not in "if":
        return False
    values = _sampled(image)[0]
    return bool(len(values)) and float(values.min()) < _AIR and float(np.median(values)) < 0


def measure_ct(examples: Sequence[Example], spec: TrainSpec) -> Steps[NormalizeSpec]:
    """Measure CT images inside of their labels.

    Parameters
    ----------
    examples : sequence of Example
        That are learned from.
    spec : TrainSpec
        With its network and target filled in.

    Returns
    -------
    NormalizeSpec
        Of kind "fixed", with a floor and a ceiling.

    Yields
    ------
    Progress
        One an example.

    Raises
    ------
    TrainingDataError
        If nothing is labeled.
    """
    shelf, ndim = Shelf(), spec.net.ndim if spec.net else 3
    pooled: list[Floats] = []
    for done, example in enumerate(examples):
        yield Progress(done, len(examples), f"Measuring {example.name}")
        image, labels = shelf.image(example), shelf.labels(example)
        planes = matched(image, labels, ndim, example.name)
        drawn, truth = {id(plane): labels for plane, labels in planes}, truth_of(example, spec)
        inside = []
        for plane, window in sample_windows([plane for plane, _ in planes]):
            objects, known = truth.read(as_whole(drawn[id(plane)].read(window)[0], example.name), window)
            mask = objects > 0 if known is None else (objects > 0) & known
            inside.append(_finite(plane.read(window)[0][mask]))
        pooled.append(_thinned(np.concatenate(inside)))
    values = np.concatenate(pooled)
    if not len(values):
        raise TrainingDataError("None of the training images has a labeled object. Draw some labels first.")
    floor, ceiling = np.percentile(values, _PERCENTILES)
    values = np.clip(values, floor, ceiling)
    return NormalizeSpec(
        kind="fixed", offset=(_told(values.mean()),), divisor=(_told(values.std()) or 1.0,), floor=_told(floor),
        ceiling=_told(ceiling), limits=None,
    )  # fmt: skip


def measure_fixed(examples: Sequence[Example], spec: TrainSpec) -> Steps[NormalizeSpec]:
    """Measure the percentiles of all images together, for each channel or all of them.

    Parameters
    ----------
    examples : sequence of Example
        That are learned from.
    spec : TrainSpec
        With a normalization of kind "fixed" without numbers.

    Returns
    -------
    NormalizeSpec
        With numbers.

    Yields
    ------
    Progress
        One an example.
    """
    rule, shelf = spec.normalize or NormalizeSpec(kind="fixed"), Shelf()
    pooled: list[list[Floats]] = []
    for done, example in enumerate(examples):
        yield Progress(done, len(examples), f"Measuring {example.name}")
        channels = _sampled(shelf.image(example), rule.floor, rule.ceiling)
        pooled.append([np.concatenate(channels)] if rule.joint else channels)
    most = max(map(len, pooled))
    offset, divisor = [], []
    for channel in range(most):
        values = np.concatenate([found[channel] for found in pooled if len(found) == most])
        low, high = np.percentile(values, (rule.low, rule.high)) if len(values) else (0.0, 1.0)
        offset.append(_told(low))
        divisor.append(_told(high - low) or 1.0)
    return rule.model_copy(update={"offset": tuple(offset), "divisor": tuple(divisor)})


def _sampled(image: Image, floor: float | None = None, ceiling: float | None = None) -> list[Floats]:
    """Return some finite values of each channel, the same for the same image."""
    planes = image.planes(2)
    parts = [plane.read(window) for plane, window in sample_windows(planes)]
    found = [_thinned(np.concatenate([_finite(part[k]) for part in parts])) for k in range(image.channels)]
    if floor is None and ceiling is None:
        return found
    return [np.clip(values, floor, ceiling) for values in found]


def _finite(values: npt.NDArray[np.generic]) -> Floats:
    flat = values.ravel().astype(np.float64)
    return flat[np.isfinite(flat)]


def _thinned(values: Floats) -> Floats:
    step = math.ceil(len(values) / _SAMPLE)
    return values[:: max(1, step + (step > 1 and step % 2 == 0))]


def _told(value: float) -> float:
    """Return a number with as many digits as anybody wants to read on a card."""
    return float(f"{value:.6g}")
