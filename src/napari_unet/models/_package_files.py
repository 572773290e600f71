"""What lies in a bioimage.io package beside the weights: a test, a picture and a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Picture

from ..core.axes import Image
from ..core.model_card import ModelCard
from ..nets import halo
from ..samples.simulated import nuclei
from ..targets import target
from ..tiling.grid import per_axis
from ..tiling.statistics import measure_statistics, normalize
from .portable import Scores

__all__ = ["EPS", "Example", "lengths", "make_example", "readme", "write_cover"]

EPS: Final = 1e-6  # what is added to a divisor: at bioimage.io it cannot be 0
_EDGE: Final = 64  # pixels of the test image, at least
_COVER: Final = 256  # pixels of each half of the picture
_DENSITY: Final = 0.3


@dataclass(frozen=True)
class Example:
    """A test image and what the network makes of it.

    Attributes
    ----------
    image : ndarray of float32
        Raw intensities, ``(1, c, *s)``.
    scores : ndarray of float32
        ``(1, k, *s)``.
    """

    image: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


def lengths(scores: Scores) -> list[tuple[int, int]]:
    """Return the smallest length and the step along each spatial axis: a halo on both sides must leave something."""
    halos = per_axis(halo(scores.card.net), scores.card.net.ndim)
    return [((2 * rim) // step * step + step, step) for rim, step in zip(halos, scores.steps, strict=True)]


def make_example(scores: Scores) -> Example:
    """Simulate a test image, the same every time, and compute its scores."""
    card, axes = scores.card, "zyx"[3 - scores.card.net.ndim :]
    shape = [least + step * max(0, -(-(_EDGE - least) // step)) for least, step in lengths(scores)]
    width = max(4.0, card.diameter)
    count = max(4, int(_DENSITY * np.prod(shape) / width**card.net.ndim))
    raw = np.stack([nuclei(shape, count, width, seed)[0] for seed in range(card.net.inputs)]).astype(np.float32)
    rule = card.normalize.model_copy(update={"eps": card.normalize.eps or EPS})
    found = measure_statistics(Image(raw, "c" + axes).planes(card.net.ndim), rule)
    with torch.inference_mode():
        result = scores(torch.from_numpy(normalize(raw, found))[None]).numpy()
    return Example(raw[None], result)


def write_cover(file: Path, example: Example) -> None:
    """Draw the test image and its foreground side by side."""
    cover = Picture.new("L", (2 * _COVER, _COVER))
    cover.paste(_drawn(example.image[0, 0]), (0, 0))
    cover.paste(_drawn(example.scores[0, 0]), (_COVER, 0))
    cover.save(file)


def _drawn(plane: npt.NDArray[np.float32]) -> Picture.Image:
    plane = plane if plane.ndim == 2 else plane[len(plane) // 2]
    low, high = (float(value) for value in np.percentile(plane, [1, 99.8]))
    gray = np.clip((plane - low) / max(high - low, EPS), 0, 1) * 255
    return Picture.fromarray(gray.astype(np.uint8)).resize((_COVER, _COVER))


def readme(card: ModelCard) -> str:
    """Return a package's page: what it is, how it is used, and how it is checked."""
    channels = ", ".join([*target(card.target).CHANNELS, "size"])
    rows = "".join(
        f"| {kind} | {', '.join(f'{name} {value:g}' for name, value in found.items())} |\n"
        for kind, found in card.metrics.items()
    )
    measured = f"| images | scores |\n| --- | --- |\n{rows}" if rows else "No scores were recorded with this model.\n"
    return (
        f"# {card.title or card.name}\n\n{card.description}\n\n"
        f"A U-Net whose scores do not depend on how an image is cut into tiles. Its channels are {channels}, all in 0 "
        "to 1; the object size is on a logarithmic scale from 4 to 256 pixels. It was trained on objects "
        f"{card.diameter:g} pixels wide: scale images to that.\n\n"
        f"Objects are found in the scores by napari-unet (target '{card.target.name}'), which also opens this package: "
        "`napari-unet models add PACKAGE.zip`.\n\n"
        f"- Data: {card.data or 'not stated'}\n- License: {card.license or 'not stated'}\n- Made by: "
        f"{card.recipe or 'not stated'}\n- sha256 of the original weights: {card.sha256}\n\n"
        f"## Validation\n\n{measured}\n"
        "Segment annotated images of your own and compare: `napari-unet segment`, then count matches at an overlap of "
        "one half, as napari-unet's manual describes.\n"
    )
