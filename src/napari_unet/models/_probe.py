"""What a foreign network does is found out by letting it: its test, its channels, its halo and the sizes it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.axes import Image
from ..core.errors import ModelError
from ..core.foreign import StepSpec
from ..core.model_card import ModelCard
from ..core.registry import resolve
from ..samples.simulated import nuclei
from ..tiling.statistics import measure_statistics, normalize
from ._meaning import CLASSES, find_meaning, is_probability
from ._steps import apply_steps, turned
from .bioimage_reader import Check
from .foreign import ForeignModel

__all__ = ["completed", "run_check", "try_out"]

Floats = npt.NDArray[np.float32]

_EDGE: Final = {2: 96, 3: 32}  # pixels of an image to try a network on
_RIM: Final = {2: 64, 3: 16}  # pixels around it that a halo is looked for in
_SAME: Final = 0.02  # difference of scores that does not matter
_SHARED: Final = 0.5  # of the variance of raw scores: independent ones keep all of it when they are added


def try_out(model: ForeignModel) -> list[Floats]:
    """Run a network on a simulated image; return its outputs, each ``(1, k, *s)``."""
    shape = model.spec.fitting((_EDGE[model.card.net.ndim],) * model.card.net.ndim)
    planes = [nuclei(shape, 8, 12.0, seed)[0] for seed in range(model.card.net.inputs)]
    return [model.centered(array, shape) for array in model.run(_normalized(model, np.stack(planes)))]


def run_check(model: ForeignModel, check: Check) -> list[Floats]:
    """Run the test that a package comes with.

    Parameters
    ----------
    model : ForeignModel
        The network.
    check : Check
        Its test.

    Returns
    -------
    list of ndarray of float32
        Outputs for the test's first image, each ``(1, k, *s)``.

    Raises
    ------
    ModelError
        If anything else comes out than the package says.
    """
    images = turned(check.image, model.spec.axes, model.axes)
    first: list[Floats] = []
    for number, image in enumerate(images):
        found = model.run(_normalized(model, image))
        first = first or [model.centered(array, image.shape[1:]) for array in found]
        for got, said, axes in zip(found, check.outputs, model.spec.outputs, strict=False):
            wanted = turned(said, axes, model.axes)[number : number + 1].astype(np.float64)
            if got.shape != wanted.shape:
                raise ModelError(
                    f"The network of '{model.card.name}' puts out the shape {got.shape} for its own test, but its "
                    f"package says {wanted.shape}. It was damaged or does not work here, so it is not added."
                )
            off = np.abs(got - wanted) > check.absolute + check.relative * np.abs(wanted)
            if off.mean() > check.mismatched:
                raise ModelError(
                    f"The network of '{model.card.name}' does not reproduce its own test: {off.mean():.1%} of the "
                    f"values differ, by up to {np.abs(got - wanted).max():.3g}. It was damaged or does not work here, "
                    "so it is not added."
                )
    return first


def completed(model: ForeignModel, outputs: list[Floats], channels: Sequence[str], wanted: str | None) -> ModelCard:
    """Fill in a card with what a network's outputs show.

    Parameters
    ----------
    model : ForeignModel
        The network.
    outputs : list of ndarray of float32
        What it puts out for some image, each ``(1, k, *s)``.
    channels : sequence of str
        Names of all channels; empty ones where nothing is known.
    wanted : str, optional
        Entry of ``targets/`` that the user says it is.

    Returns
    -------
    ModelCard
        With its target and scores; a sigmoid where raw scores come out, or a softmax where they are those of classes;
        the halo, where none was stated; and how much tiles matter.

    Raises
    ------
    ModelError
        If it cannot be told what the channels mean.
    """
    spec, ndim = model.spec, model.card.net.ndim
    raw = [not is_probability(array) for array in outputs]
    shared = wanted is not None and resolve("targets", wanted) == CLASSES
    kinds = ["softmax" if shared or _are_classes(array, channels, wanted) else "sigmoid" for array in outputs]
    squash = [(StepSpec.of(kind=kind),) if open_ else () for kind, open_ in zip(kinds, raw, strict=True)]
    after = tuple((*steps, *more) for steps, more in zip(spec.after, squash, strict=True))
    bounded = [apply_steps(array, more) for array, more in zip(outputs, squash, strict=True)]
    values = np.concatenate(bounded, axis=1)[0]
    names = channels if len(channels) == len(values) else [""] * len(values)
    meaning = find_meaning(names, values, wanted)
    spec = spec.model_copy(update={"after": after, "scores": meaning.scores, "size": meaning.size})
    net = model.card.net.model_copy(update={"outputs": len(values)})
    card = model.card.model_copy(update={"net": net, "target": meaning.target, "foreign": spec})
    if not any(spec.halo):
        halo = _measured_halo(ForeignModel(card, model.runner, model.device))
        card = card.model_copy(update={"foreign": spec.model_copy(update={"halo": (halo,) * ndim})})
    mismatch = _tile_mismatch(ForeignModel(card, model.runner, model.device))
    return card.model_copy(update={"tile_mismatch": mismatch})


def _are_classes(raw: Floats, channels: Sequence[str], wanted: str | None) -> bool:
    """Tell raw scores of classes that exclude each other: where one rises the others fall.

    Foreground and boundary both are low in the background, so their sum varies more than each of them.
    """
    usual = None if any(channels) else {2: "foreground", 3: "border"}.get(raw.shape[1])
    spread = float(raw[0].var(axis=tuple(range(1, raw.ndim - 1))).sum())
    return usual is not None and wanted in (None, usual) and float(raw[0].sum(axis=0).var()) < _SHARED * spread


def _measured_halo(model: ForeignModel) -> int:
    """Find how far from the border of what it is given a network's scores are not what they are farther inside."""
    spec, ndim = model.spec, model.card.net.ndim
    edges = spec.fitting((_EDGE[ndim],) * ndim)
    if any(step == 0 for _, step in spec.sizes):
        return min(edges) // 8
    rims = [-(-_RIM[ndim] // step) * step for _, step in spec.sizes]
    shape = tuple(edge + 2 * rim for edge, rim in zip(edges, rims, strict=True))
    noise = np.random.default_rng(0).random((1, model.card.net.inputs, *shape), dtype=np.float32)
    inner = (slice(None), slice(None), *(slice(rim, -rim) for rim in rims))
    off = np.abs(np.subtract(model.predict(noise)[inner], model.predict(noise[inner]))).max(axis=(0, 1)) > _SAME
    grid = np.indices(off.shape)
    depth = np.min([np.minimum(at, n - 1 - at) for at, n in zip(grid, off.shape, strict=True)], axis=0)
    return int(min(depth[off].max(initial=-1) + 1, min(edges) // 4))


def _tile_mismatch(model: ForeignModel) -> float:
    """Return by how much a score changes at most when an image is cut in two, its halo kept: 0 to 1.

    One tile is full of objects, the other empty. A network that looks at the whole of a tile is taken in by that.
    """
    spec, ndim = model.spec, model.card.net.ndim
    rims = [-(-rim // step) * step for rim, step in zip(spec.halo, spec.multiple, strict=True)]
    cells = [-(-_EDGE[ndim] // step) * step for step in spec.multiple]
    shape = [cell + 2 * rim for cell, rim in zip(cells, rims, strict=True)]
    shape[-1] += cells[-1]
    planes = np.stack([nuclei(shape, 16, 12.0, seed)[0] for seed in range(model.card.net.inputs)])
    empty = np.stack([nuclei(shape, 0, 12.0, seed)[0] for seed in range(model.card.net.inputs)])
    planes[..., cells[-1] :] = empty[..., cells[-1] :]  # where the second tile begins to read
    image = _normalized(model, planes)
    inside: tuple[Any, ...] = (..., *(slice(rim, rim + cell) for rim, cell in zip(rims, cells, strict=True)))
    whole, worst = model.predict(image), 0.0
    for start in (0, cells[-1]):
        stop = start + cells[-1] + 2 * rims[-1]
        tile = model.predict(image[..., start:stop])
        off = np.abs(np.subtract(tile, whole[..., start:stop])[inside])[:, : model.outputs]
        worst = max(worst, float(off.max()))
    return round(worst, 4)


def _normalized(model: ForeignModel, image: npt.NDArray[Any]) -> Floats:
    """Measure an image ``(c, *s)`` as a run does, and normalize it to ``(1, c, *s)``."""
    planes = Image(image, model.axes[1:]).planes(model.card.net.ndim)
    return normalize(image, measure_statistics(planes, model.card.normalize))[None]
