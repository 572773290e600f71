"""Images that show the same places in different ways, such as T1 and FLAIR of one patient: channels of one image."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from .anatomy import TOLERANCE, Anatomy, same_grid
from .axes import Image
from .errors import ImageError
from .lengths import sides_words
from .place import Band

__all__ = ["check_sequences", "name_sequences", "refusal", "shared_place"]

_PARTS: Final = re.compile(r"([_\-. ]+)")
_TURNED: Final = 0.01  # degrees from which on a difference is told


def check_sequences(images: Sequence[Image]) -> None:
    """Refuse images that cannot be the channels of one.

    Parameters
    ----------
    images : sequence of Image
        In the order of the channels.

    Raises
    ------
    ImageError
        If one has channels of its own, or time that others have not, or lies on another grid than the first: the
        message says in which way.
    """
    first = images[0]
    for image in images:
        timed = "t" in image.axes + first.axes
        if "c" in image.axes or (timed and image.axes != first.axes):
            own = f"{image.channels} channels" if image.channels > 1 else f"the axes {image.axes}"
            raise ImageError(
                f"'{image.name}' has {own} of its own, so it cannot be one channel of several. Give images without "
                "channels, one for each channel, and all with time or all without; or it alone."
            )
        if reason := _misfit(first, image):
            raise refusal(first, image, reason)


def refusal(first: Image, other: Image, reason: str) -> ImageError:
    """Return the error that an image lies on another grid than the first, for a reason."""
    return ImageError(
        f"'{other.name}' does not lie on the grid of '{first.name}': {reason}. Channels must show the same places. "
        f"Register and resample '{other.name}' onto '{first.name}' first, for example in 3D Slicer or with ANTs or "
        "elastix: nothing is interpolated here, and 'napari-unet regrid' moves labels only."
    )


def shared_place(images: Sequence[Image], names: Sequence[str]) -> dict[str, Any]:
    """Return where the channels of one image lie.

    Parameters
    ----------
    images : sequence of Image
        On one grid, see :func:`check_sequences`.
    names : sequence of str
        Of the channels; may be empty.

    Returns
    -------
    dict
        ``geo`` and ``anatomy`` of the first, with what is true of all, and what the reader has to say of each.
    """
    geo = images[0].geo and replace(images[0].geo, bands=tuple(map(Band, names)), tags=())
    found = [image.anatomy for image in images if image.anatomy is not None]
    if not found:
        return {"geo": geo}
    said = list(found[0].remarks)
    for number, anatomy in enumerate(found[1:], 1):
        said += [f"{names[number] if names else number}: {remark}" for remark in anatomy.remarks]
    alike = {key: {getattr(anatomy, key) for anatomy in found} for key in ("modality", "quantity")}
    told: dict[str, Any] = {key: values.pop() if len(values) == 1 else "" for key, values in alike.items()}
    return {"geo": geo, "anatomy": replace(found[0], remarks=tuple(said), **told)}


def _misfit(first: Image, other: Image) -> str:
    """Say in which way an image lies on another grid; empty if no voxel is further off than a hundredth of one."""
    if other.axes != first.axes:
        return f"it has the axes {other.axes}, not {first.axes}"
    shape = _shape_words(first, other)
    if first.anatomy is not None and other.anatomy is not None:
        if same_grid(first, other):
            return shape  # movies may differ in length
        return "; ".join(filter(None, (shape, *_anatomy_words(first.anatomy, other.anatomy))))
    if (first.anatomy is None) != (other.anatomy is None):
        return "one of them does not say where it lies in the patient, so that this cannot be compared"
    return "; ".join(filter(None, (shape, _scale_words(first, other), _place_words(first, other))))


def _shape_words(first: Image, other: Image) -> str:
    if first.shape == other.shape:
        return ""
    mine, theirs = (" x ".join(map(str, image.shape)) for image in (other, first))
    return f"it has {mine} pixels along {' '.join(other.axes)}, not {theirs}"


def _scale_words(first: Image, other: Image) -> str:
    off = max(abs(a - b) / a * n for a, b, n in zip(first.scale, other.scale, first.shape, strict=True))
    if off <= TOLERANCE and first.units == other.units:
        return ""
    mine, theirs = (sides_words(image.scale, image.units) for image in (other, first))
    return f"its pixels are {mine} large, not {theirs}"


def _place_words(first: Image, other: Image) -> str:
    if (first.geo is None) != (other.geo is None):
        return "one of them does not say where it lies on Earth, so that this cannot be compared"
    if first.geo is None or other.geo is None or first.geo.same_grid(other.geo):
        return ""
    mine, theirs = ((geo.title or "no reference system", geo.transform) for geo in (other.geo, first.geo))
    return f"it lies at {mine[1]} in {mine[0]}, not at {theirs[1]} in {theirs[0]}"


def _anatomy_words(first: Anatomy, other: Anatomy) -> list[str]:
    """Say how spacing, direction and place differ; one of them always does."""
    import numpy as np

    units, said = ("millimeter",) * 3, []
    if not np.allclose(first.scale, other.scale, rtol=1e-3, atol=0):
        said.append(f"its voxels are {sides_words(other.scale, units)} large, not {sides_words(first.scale, units)}")
    unit = [a.matrix[:3, :3] / np.linalg.norm(a.matrix[:3, :3], axis=0) for a in (first, other)]
    turned = math.degrees(math.acos(min(1.0, float((unit[0] * unit[1]).sum(0).min()))))
    if turned > _TURNED:
        said.append(f"its axes are turned by {turned:.2g} degrees")
    shared = [min(pair) for pair in zip(first.shape, other.shape, strict=True)]
    ends = np.array(list(itertools.product(*((0, n - 1) for n in shared))))
    away = float(np.linalg.norm(first.to_world(ends) - other.to_world(ends), axis=1).max())
    return [*said, f"its voxels lie up to {away:.3g} mm away"]


def name_sequences(names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Tell what images have in common by their names from what each of them shows.

    Parameters
    ----------
    names : sequence of str
        Of files without their ending, or of layers; several.

    Returns
    -------
    case : str
        What they have in common, such as ``"patient 3"`` of ``"patient 3_T1"`` and ``"patient 3_FLAIR"``; may be empty.
    channels : tuple of str
        What is left of each: ``"T1"`` and ``"FLAIR"``. A number stands behind the word channel, since numbers alone
        count channels from 0. Empty where names are equal.
    """
    if len(set(names)) < len(names):
        return names[0], ()
    parts = [_PARTS.split(name) for name in names]
    head = _alike(parts)
    tail = _alike([words[head:][::-1] for words in parts])
    rest = ["".join(words[head : len(words) - tail]).strip("_-. ") for words in parts]
    case = "".join(parts[0][:head]).strip("_-. ")
    if not all(rest):
        case, rest = "", list(names)
    return case, tuple(f"channel {word}" if word.isdecimal() else word for word in rest)


def _alike(parts: Sequence[Sequence[str]]) -> int:
    """Count the first words that all have in common."""
    columns = enumerate(zip(*parts, strict=False))
    return next((number for number, words in columns if len(set(words)) > 1), min(map(len, parts)))
