"""A model on an image: what is measured once, the plan of the run, its labels and its record."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import version
from operator import itemgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.amounts import LARGEST, Smallest
from ..core.axes import Image, Plane
from ..core.bands import choose_bands
from ..core.errors import ImageError, ModelError, SpecError
from ..core.model_card import ModelCard
from ..core.results import MAPS, MOST_UNCERTAIN, Segmentation, hash_labels
from ..core.sizes import decode_size
from ..core.specs import SegmentSpec
from ..core.steps import Progress, Steps
from ..core.windows import windows
from ..targets import anomaly, confidence, count_classes, count_frames
from ..tiling.care import Care, told
from ..tiling.chunks import cached
from ..tiling.fingerprint import fingerprint
from ..tiling.run import segment_planes
from ..tiling.scale import measure_diameter
from ..tiling.statistics import Statistics, measure_statistics
from ..tiling.stream import Plan
from ..tiling.unreadable import mended
from ..tiling.where import choose_where
from ._doubts import doubt_intensities
from ._foretold import Foretold
from ._pictures import check_colors, picture_channels
from ._scorer import Predict, Scorer, agreement_of, inner, runtime_of
from .average import gather
from .rules import decode_stored, object_rule, pixel_sizes, sizes_count, unused_settings
from .stacks import Stacked, stack_of

__all__ = [
    "careful", "draft_plan", "found_out", "plan_run", "record", "segment_image", "sized",
]  # fmt: skip

_SNAP: Final = 0.1  # a magnification this near to 1 is 1: no resampling, and exactly the stored pixels
_LARGEST_ZOOM: Final = 6.0
_BEYOND: Final = 1.5  # how far outside the card's range a measured object size is believed
_WORTH: Final = dict.fromkeys(MAPS, 1.0) | {"uncertainty": MOST_UNCERTAIN}  # what the highest stored value stands for
_SIGHT: Final = {"bands", "diameter", "diameter_range", "foreign", "grid", "normalize"}  # how a model sees an image
_AHEAD: Final = 2  # batches at a graphics card: one that it computes and one that is ready


def plan_run(image: Image, spec: SegmentSpec, model: Scorer) -> tuple[Plan, float]:
    """Measure what is measured once for an image: intensities and object size.

    Parameters
    ----------
    image : Image
        Any axes.
    spec : SegmentSpec
        Settings; an object size given there is not measured.
    model : Scorer
        Which network, or several as one.

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
    SpecError
        If an object size is given and the model does not ask for one.
    """
    card, plan = model.card, draft_plan(image, spec, model)
    if isinstance(model, Stacked):
        flat, diameter = plan_run(image, spec.model_copy(update={"min_size": None}), model.flat)
        return sized(replace(plan, statistics=flat.statistics), model, diameter), diameter
    object_rule(spec, model, card.diameter, image)  # what cannot be understood is said before anything is measured
    planes = [plan.select(plane) for plane in image.planes(card.net.ndim)]
    plan = replace(plan, statistics=measure_statistics(planes, card.normalize))
    if not card.grid.sized:
        return plan, round(card.diameter / plan.factor[-1], 2)
    diameter = round(spec.diameter or _measured(planes, plan, model), 2)
    # Nothing is seen of objects much wider than the image, but shrinking it to them takes memory without end.
    widest = max(2.0 * max(planes[0].shape), card.diameter)
    diameter = max(min(diameter, widest), card.diameter / _LARGEST_ZOOM)
    return sized(plan, model, diameter), diameter


def draft_plan(image: Image, spec: SegmentSpec, model: Scorer) -> Plan:
    """Return the plan of a run before anything is measured.

    Parameters
    ----------
    image, spec, model : Image, SegmentSpec, Scorer
        As for :func:`plan_run`.

    Returns
    -------
    Plan
        With a factor of 1 and intensities that mean nothing.
    """
    card, kinds = model.card, count_classes(model.card.target)
    channels = choose_bands(image, spec.channels, card.bands)
    if channels is None:
        channels = picture_channels(image, card.net.inputs)
    used = len(channels) if channels is not None else image.channels
    _check_alone(image, used, card)
    check_colors(image, channels, card)
    nothing = Statistics((0.0,) * used, (0.0,) * used)
    factor = _given(image, spec, card)
    plan = Plan(factor, nothing, model.halo, model.multiple, card.net.inputs, model.outputs, channels, spec.tiling)
    ahead = 0 if model.device == "cpu" else _AHEAD
    steps = model.steps(image) if isinstance(model, Stacked) else ()
    return replace(
        plan, link_z=0.0 if kinds else spec.link_z, classes=kinds > 0, ahead=ahead, bands=card.bands, steps=steps,
        closed=card.closed, slices=isinstance(model, Stacked) and model.kind == "sides",
    )  # fmt: skip


def _check_alone(image: Image, used: int, card: ModelCard) -> None:
    """Refuse one channel for a model whose channels show different things; gray pictures stand for colors."""
    if used > 1 or 1 in card.channels or card.foreign is not None:
        return
    if count_frames(card.target) > 1:
        raise ModelError(
            f"The model '{card.name}' foretells how objects move, from two frames at once. Choose one that finds "
            "objects, and give this one to the tracking of what was found: 'napari-unet track', the dock that tracks."
        )
    names = f" ({', '.join(card.bands)})" if card.bands else ""
    if "t" in image.axes and image.along("t")[0] == (card.net.inputs,):
        axes = image.axes.replace("t", "c")
        raise ImageError(
            f"The model '{card.name}' has learned from {card.net.inputs} channels{names}, and '{image.name}' has as "
            f"many time points (axes {image.axes}). If they are these channels, say so: --axes {axes} on the command "
            f"line, axes='{axes}' in Python, the row 'Axes' in the dock."
        )
    raise ImageError(
        f"The model '{card.name}' has learned from {card.net.inputs} channels{names}, but '{image.name}' gives one. "
        "Give the file of each other channel, too, in the order of the model: --channel on the command line, a list of "
        "files in Python, 'Channel 2' and so on in the dock."
    )


def _given(image: Image, spec: SegmentSpec, card: ModelCard) -> tuple[float, ...]:
    """Return the factor where the size of objects does not decide, else ones."""
    ones = (1.0,) * card.net.ndim
    if card.grid.sized:
        return ones
    if spec.diameter is not None:
        raise SpecError(
            f"'{card.name}' does not ask how wide objects are: {card.widths.removeprefix('not told: ')}. Leave the "
            "width open."
        )
    _, scale, units = image.along(image.planes(card.net.ndim)[0].axes)
    factor = card.grid.factor(scale, units) or ones
    return tuple(1.0 if abs(side - 1) < _SNAP else min(side, _LARGEST_ZOOM) for side in factor)


def sized(plan: Plan, model: Scorer, diameter: float) -> Plan:
    """Return a plan that brings objects to the size that the model knows.

    Parameters
    ----------
    plan : Plan
        Of any factor.
    model : Scorer
        Which network, or several as one.
    diameter : float
        Object size, image pixels.

    Returns
    -------
    Plan
        With the factor that follows from it; unchanged where the size of objects does not decide.
    """
    if not model.card.grid.sized:
        return plan
    factor = model.card.diameter / diameter
    factor = 1.0 if abs(factor - 1) < _SNAP else factor
    steps = plan.steps or (1.0,) * model.card.net.ndim
    return replace(plan, factor=tuple(factor * step if step else 1.0 for step in steps))


def _measured(planes: list[Plane], plan: Plan, model: Scorer) -> float:
    if model.card.foreign is not None and model.card.foreign.size is None:
        return model.card.diameter  # it tells no sizes: asking it is in vain
    found = measure_diameter(planes, plan, inner(model), model.card.diameter, decode_size)
    low, high = model.card.diameter_range
    return min(max(found, low / _BEYOND), high * _BEYOND) if found else model.card.diameter


def segment_image(image: Image, spec: SegmentSpec, model: Scorer, *, preview: bool = True) -> Steps[Segmentation]:
    """Find the objects of an image with a model.

    Parameters
    ----------
    image : Image
        Any axes.
    spec : SegmentSpec
        Settings.
    model : Scorer
        Which network, or several as one.
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
    start, image = time.perf_counter(), mended(cached(image), spec)
    yield Progress(0, 0, "Measuring intensities and object size")
    plan, diameter = plan_run(image, spec, model)
    if doubt := doubt_intensities(image, plan, model.card):
        yield Progress(0, 0, "Measuring intensities and object size", news=doubt)
    plan = replace(plan, where=choose_where(spec, image, plan), care=careful(spec, model))
    rule, smallest = object_rule(spec, model, diameter, image)
    decode = partial(decode_stored, rule, smallest)
    shape, scale, units = image.along(image.label_axes)
    beside = _beside(spec, model, shape)
    predict = plan.care.timed(inner(model))
    steps = segment_planes(image, plan, predict, decode, decode if preview else None, beside=[*beside.values()])
    labels, objects = yield from told(steps, plan.care, Foretold(plan.care, math.prod(shape)))
    names = {row.label: row.name for row in model.card.target.table}
    place: dict[str, Any] = {
        "geo": image.geo and image.geo.without_bands, "anatomy": image.anatomy and image.anatomy.named(names),
        "start": image.start_of(image.label_axes),
    }  # fmt: skip
    found = Image(labels, image.label_axes, scale, units, f"{image.name} {model.card.name}", **place)
    seen = _seen(image, plan) if beside else ()
    more: dict[str, Any] = {
        name: replace(found, data=values * np.float32(_WORTH[name] / 255), name=f"{image.name} {name}", valid=seen)
        for name, (values, _) in beside.items()
    }
    manifest = {
        **record(image, spec, model),
        **found_out(image, plan, diameter, smallest),
        **({"doubt": doubt} if doubt else {}),
        "objects": objects,
        "labels_hash": hash_labels(found),
    }
    return Segmentation(found, objects, diameter, time.perf_counter() - start, manifest, **more)


def _seen(image: Image, plan: Plan) -> tuple[npt.NDArray[np.bool_], ...]:
    """Return where a plane holds numbers, for what is told of its pixels; empty if it does everywhere."""
    if not plan.where.notes.not_a_number or len(planes := image.planes(2)) > 1:
        return ()
    plane = plan.select(planes[0])
    seen = np.zeros(plane.shape, bool)
    for window in windows(plane.shape):
        seen[window] = np.isfinite(plane.read(window)).all(axis=0)
    return (seen if image.label_axes == "yx" else seen.T,) if len(image.label_axes) == 2 else ()


def _beside(spec: SegmentSpec, model: Scorer, shape: tuple[int, ...]) -> dict[str, tuple[npt.NDArray[Any], Any]]:
    """Return what is told of every pixel beside its label: where it goes, and how it is made of the scores."""
    picks: dict[str, Any] = {}
    if getattr(model, "uncertainty", False):
        picks["uncertainty"] = itemgetter(-1)
    if spec.confidence:
        picks["confidence"] = partial(confidence, model.card.target)
    if spec.anomaly:
        picks["anomaly"] = partial(anomaly, model.card.target)
    return {name: (np.zeros(shape, np.uint8), pick) for name, pick in picks.items()}


def careful(
    spec: SegmentSpec,
    model: Scorer,
    retried: Mapping[str, int] | None = None,
    note: Callable[[dict[str, int]], None] | None = None,
) -> Care:
    """Say what a run does where memory is short.

    Parameters
    ----------
    spec : SegmentSpec
        Settings.
    model : Scorer
        Which network, or several as one.
    retried : mapping of str to int, optional
        What is known from before, of a run that goes on.
    note : callable, optional
        Called with what is to be known then.

    Returns
    -------
    Care
        For :class:`~napari_unet.tiling.stream.Plan`. Tiles that a graphics card cannot take are computed on the
        processor.
    """

    def elsewhere() -> Predict:
        return inner(gather(spec.model_copy(update={"device": "cpu", "stack": stack_of(model)})))

    return Care(None if model.device == "cpu" else elsewhere, retried, note)


def found_out(image: Image, plan: Plan, diameter: float, smallest: Smallest) -> dict[str, Any]:
    """Say what a run measured once, and what it came across.

    Parameters
    ----------
    image : Image
        Of the run.
    plan : Plan
        How it was done.
    diameter : float
        Object size, image pixels.
    smallest : float or tuple of float
        The fewest pixels of an object, or of the pieces of each class.

    Returns
    -------
    dict
        Plain values, for the record beside :func:`record`.
    """
    return {
        "statistics": plan.statistics.to_dict(),
        "magnification": list(plan.factor),
        "diameter": diameter,
        "smallest": [LARGEST if math.isinf(size) else size for size in smallest]
        if isinstance(smallest, tuple)
        else smallest,
        **plan.where.record(image),
        **plan.care.record,
    }


@cache
def _program() -> str:
    # It is looked up in a file, which takes as long as a small volume.
    return f"napari-unet-suite {version('napari-unet-suite')}"


def record(image: Image, spec: SegmentSpec, model: Scorer) -> dict[str, Any]:
    """Say what a run is: all that is needed to do it again, but for what is measured.

    Parameters
    ----------
    image, spec, model : Image, SegmentSpec, Scorer
        Of the run.

    Returns
    -------
    dict
        Plain values.
    """
    return {
        "program": _program(),
        "model": model.card.name,
        "sha256": model.card.sha256,
        # On the card beside the weights, where they may be changed.
        "rule": model.card.target.model_dump(mode="json"),
        "sight": model.card.model_dump(mode="json", include=_SIGHT),
        "device": model.device,
        "runtime": runtime_of(model),
        "precision": str(model.precision).removeprefix("torch."),
        **agreement_of(model),
        "grid": model.card.grid.kind,
        **({"classes": [row._asdict() for row in table]} if (table := model.card.target.table) else {}),
        "image": {
            "name": image.name,
            **fingerprint(image),
            **pixel_sizes(image, image.axes),
            **({"start": list(image.start)} if any(image.start) else {}),
            **({"channels": list(image.channel_names)} if image.channel_names else {}),
        },
        **({"pixels": pixel_sizes(image, image.spatial)} if sizes_count(spec, model) else {}),
        "settings": spec.model_dump(mode="json"),
        **({"unused": unused} if (unused := unused_settings(spec, model.card.target)) else {}),
        **({"averaged": averaged} if (averaged := getattr(model, "record", None)) else {}),
        **({"place": image.geo.without_bands.to_dict()} if image.geo else {}),
        **({"anatomy": image.anatomy.to_dict()} if image.anatomy else {}),
    }
