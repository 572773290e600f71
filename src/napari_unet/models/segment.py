"""A model on an image: what is measured once, the plan of the run, its labels and its record."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any, Final

from ..core.axes import Image, Plane
from ..core.results import Segmentation, label_hash
from ..core.sizes import decode_size
from ..core.specs import SegmentSpec
from ..core.steps import Progress, Steps
from ..targets import target
from ..tiling.run import segment_planes
from ..tiling.scale import measure_diameter
from ..tiling.statistics import Statistics, measure_statistics
from ..tiling.stream import Plan
from .model import Model

__all__ = ["plan_run", "segment_image"]

_SNAP: Final = 0.1  # a magnification this near to 1 is 1: no resampling, and exactly the stored pixels
_LARGEST_ZOOM: Final = 6.0
_BEYOND: Final = 1.5  # how far outside the card's range a measured object size is believed
_RGBA: Final = 4


def plan_run(image: Image, spec: SegmentSpec, model: Model) -> tuple[Plan, float]:
    """Measure what is measured once for an image: intensities and object size.

    Parameters
    ----------
    image : Image
        Any axes.
    spec : SegmentSpec
        Settings; an object size given there is not measured.
    model : Model
        Which network.

    Returns
    -------
    plan : Plan
        How to score every tile.
    diameter : float
        Object size that is used, image pixels, rounded to two decimals: what the user is shown is what was used.

    Raises
    ------
    AxesError, ImageError
        If the image does not fit the model.
    """
    card, channels = model.card, spec.channels
    if channels is None and image.channels == _RGBA and card.net.inputs == _RGBA - 1:
        channels = (0, 1, 2)  # transparency is no color
    used = len(channels) if channels is not None else image.channels
    nothing = Statistics((0.0,) * used, (0.0,) * used)
    ones = (1.0,) * card.net.ndim
    plan = Plan(ones, nothing, model.halo, model.multiple, card.net.inputs, model.outputs, channels, spec.tiling)
    planes = [plan.select(plane) for plane in image.planes(card.net.ndim)]
    plan = replace(plan, statistics=measure_statistics(planes, card.normalise))
    diameter = round(spec.diameter or _measured(planes, plan, model), 2)
    # Nothing is seen of objects much wider than the image, but shrinking it to them takes memory without end.
    widest = max(2.0 * max(planes[0].shape), card.diameter)
    diameter = max(min(diameter, widest), card.diameter / _LARGEST_ZOOM)
    factor = card.diameter / diameter
    factor = 1.0 if abs(factor - 1) < _SNAP else factor
    return replace(plan, factor=(factor,) * card.net.ndim), diameter


def _measured(planes: list[Plane], plan: Plan, model: Model) -> float:
    found = measure_diameter(planes, plan, model.predict, model.card.diameter, decode_size)
    low, high = model.card.diameter_range
    return min(max(found, low / _BEYOND), high * _BEYOND) if found else model.card.diameter


def segment_image(image: Image, spec: SegmentSpec, model: Model, *, preview: bool = True) -> Steps[Segmentation]:
    """Find the objects of an image with a model.

    Parameters
    ----------
    image : Image
        Any axes.
    spec : SegmentSpec
        Settings.
    model : Model
        Which network.
    preview : bool
        Attach provisional labels to the progress of every tile.

    Returns
    -------
    Segmentation
        Labels and the record of the run; no measurements.

    Yields
    ------
    Progress
        One for every tile and every plane.

    Raises
    ------
    AxesError, ImageError, ModelError
        If the image does not fit the model or cannot be read.
    """
    start = time.perf_counter()
    yield Progress(0, 0, "Measuring intensities and object size")
    plan, diameter = plan_run(image, spec, model)
    rule, ndim = model.card.target, model.card.net.ndim
    if spec.threshold is not None:
        rule = rule.model_copy(update={"threshold": spec.threshold})
    typical = {2: math.pi / 4, 3: math.pi / 6}[ndim] * diameter**ndim
    smallest = rule.min_fraction * typical if spec.min_size is None else spec.min_size
    decode = partial(target(rule.name).decode, spec=rule, smallest=smallest)
    labels, objects = yield from segment_planes(image, plan, model.predict, decode, decode if preview else None)
    name = f"{image.name} {model.card.name}"
    found = Image(labels, image.label_axes, *image.along(image.label_axes)[1:], name=name)
    seconds = time.perf_counter() - start
    manifest = {
        **_record(image, spec, model, plan),
        "diameter": diameter,
        "smallest": smallest,
        "objects": objects,
        "labels_hash": label_hash(labels),
    }
    return Segmentation(found, objects, diameter, seconds, manifest)


def _record(image: Image, spec: SegmentSpec, model: Model, plan: Plan) -> dict[str, Any]:
    """Return all that is needed to do the run again."""
    return {
        "program": f"napari-unet-suite {version('napari-unet-suite')}",
        "model": model.card.name,
        "sha256": model.card.sha256,
        "device": model.device,
        "precision": str(model.precision).removeprefix("torch."),
        "image": {"name": image.name, "shape": list(image.shape), "axes": image.axes, "dtype": str(image.data.dtype)},
        "settings": spec.model_dump(mode="json"),
        "statistics": plan.statistics.to_dict(),
        "magnification": list(plan.factor),
    }
