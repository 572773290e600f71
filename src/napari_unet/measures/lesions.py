"""Lesions one by one, as radiology measures them: volume, diameters, surface, intensities, place.

All lengths are in the units of the image (see :func:`units`). Places count from the center of the first pixel. Planes
along z are taken for axial ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from napari_unet.core.axes import Image
from napari_unet.core.bands import channel_suffixes
from napari_unet.core.errors import SpecError
from napari_unet.core.lengths import milliliters
from napari_unet.core.results import Table
from napari_unet.core.steps import Progress, Steps, finish
from napari_unet.core.windows import Reader, Window

from . import objects
from ._diameters import find_diameters
from ._means import means
from ._organ import Organ
from ._source import Source, check_fit, spatial
from ._surface import surface_area

__all__ = ["PERCENTILES", "Beside", "measure", "measure_steps", "units"]

PERCENTILES: Final = (5, 25, 50, 75, 95)
_INTENSITIES: Final = ("mean", "std", "min", "max", "sum", *(f"p{p}" for p in PERCENTILES))
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Beside:
    """What may be known beside labels and intensities.

    Attributes
    ----------
    scores : Image, optional
        How sure somebody is of each pixel; its mean in a lesion is the confidence.
    organ : Image, optional
        Not 0 inside of the organ that the lesions lie in.
    classes : mapping of int to int, optional
        Class of each lesion.
    """

    scores: Image | None = None
    organ: Image | None = None
    classes: Mapping[int, int] | None = None


def measure(labels: Image, image: Image | None = None, beside: Beside | None = None) -> Table:
    """Measure all lesions; memory is needed for the table and the largest lesion, not for the image.

    Parameters
    ----------
    labels : Image
        Whole numbers from 0 with the axes ``yx`` or ``zyx``, in any order, and perhaps ``t``. All pixels of one value
        (at one time) are one lesion.
    image : Image, optional
        Of the same size along the axes of `labels`; its intensities are measured for each channel.
    beside : Beside, optional
        What else is known.

    Returns
    -------
    dict of str to ndarray
        One row for each lesion and time point, ordered by time and label:

        - ``index``: the label; ``t``: the time point (only where labels have time); ``class``, where it is known.
        - 3D: ``volume``, ``volume_ml`` (where the unit is a length); 2D: ``area``.
        - ``longest_diameter`` in any axial plane, ``short_diameter``, the longest at right angles to it in the same
          plane, and ``slice``, which plane that is (3D, counted from 0). Their ends are ``longest_y0``, ``longest_x0``,
          ``longest_y1``, ``longest_x1`` and ``short_y0`` and so on, in units of length.
        - ``centroid_z`` (3D), ``centroid_y``, ``centroid_x``; ``box_z0``, ``box_z1`` and so on: the faces of the box
          around it, in units of length; ``bbox_z0``, ``bbox_z1`` and so on: first pixel and the one after the last.
        - ``patient_z``, ``patient_y``, ``patient_x``: the centroid in the patient, mm toward head, back and left (LPS
          of DICOM), where the labels know it; ``patient_box_z0``, ``patient_box_z1`` and so on: what holds its box.
        - 3D: ``surface`` (Crofton's formula) and ``sphericity``, ``(36 pi volume**2)**(1/3) / surface``, at most 1; 2D:
          ``perimeter`` and ``circularity``, as in :mod:`~napari_unet.measures.objects`.
        - ``border_distance`` from the border of the image, 0 where ``touches_border``; ``organ_distance`` from the
          border of the organ, 0 where the lesion reaches it or lies outside.
        - ``intensity_mean``, ``_std``, ``_min``, ``_max``, ``_sum``, and percentiles ``_p5``, ``_p25``, ``_p50``,
          ``_p75``, ``_p95``; of channels as in :mod:`~napari_unet.measures.objects`.
        - ``confidence``: the mean of `scores` inside.

    Raises
    ------
    ImageError
        If the values are not labels.
    AxesError
        If an image does not fit `labels`, or labels have more than one channel.
    """
    return finish(measure_steps(labels, image, beside))


def measure_steps(labels: Image, image: Image | None = None, beside: Beside | None = None) -> Steps[Table]:
    """Measure all lesions, one by one; see :func:`measure`.

    Parameters
    ----------
    labels, image, beside : Any
        As for :func:`measure`.

    Returns
    -------
    dict of str to ndarray
        As :func:`measure` returns it.

    Yields
    ------
    Progress
        One for every window, then one for every lesion.

    Raises
    ------
    ImageError, AxesError
        As :func:`measure`.
    """
    beside = beside or Beside()
    for other in (beside.scores, beside.organ):
        if other is not None:
            check_fit(labels, other)
    known = yield from objects.measure_steps(labels, image)
    total = len(known["index"])
    one = _OneByOne(labels, image, beside.organ)
    rows = []
    for number in range(total):
        rows.append(one.measure(known, number))
        yield Progress(number + 1, total, "Measuring the lesions")
    own: Table = {name: np.array([row[name] for row in rows], dtype) for name, dtype in one.names.items()}
    if beside.scores is not None:
        own["confidence"] = means(labels, beside.scores, known["index"]) if total else np.zeros(0)
    columns = [f"intensity_{name}{suffix}" for suffix, _ in one.channels for name in _INTENSITIES]
    return _ordered(labels, known, own, beside.classes, columns)


def units(labels: Image, quantity: str = "", image: Image | None = None) -> dict[str, str]:
    """Say in which unit each column of :func:`measure` is.

    Parameters
    ----------
    labels : Image
        The labels that are measured.
    quantity : str
        What intensities are, such as ``"SUV"`` or ``"HU"``; of channels that differ with commas between.
    image : Image, optional
        That is measured too.

    Returns
    -------
    dict of str to str
        Unit of each column that has one; the others are counts or pure numbers.

    Raises
    ------
    SpecError
        If there are neither one quantity nor as many as channels.
    """
    found, axes = objects.units(labels), spatial(labels)
    named = labels.along(axes)[2]
    one = found["equivalent_diameter"]
    plane = named[-1] if named[-1] == named[-2] else "mixed"
    lengths = dict.fromkeys(("border_distance", "organ_distance"), one)
    lengths |= dict.fromkeys(("longest_diameter", "short_diameter"), plane)
    for a, unit in zip(axes, named, strict=True):
        lengths |= dict.fromkeys((f"box_{a}0", f"box_{a}1"), unit)
        if a != "z":
            lengths |= dict.fromkeys((f"{line}_{a}{end}" for line in ("longest", "short") for end in (0, 1)), unit)
    own = [f"patient_{a}" for a in "zyx"] + [f"patient_box_{a}{end}" for a in "zyx" for end in (0, 1)]
    lengths |= dict.fromkeys(own, "millimeter")
    if len(axes) == 3:
        lengths |= {"volume_ml": "ml", "surface": f"{one}²" if one != "mixed" else one}
    return found | lengths | _quantities(quantity, ("",) if image is None else channel_suffixes(image))


def _quantities(quantity: str, suffixes: Sequence[str]) -> dict[str, str]:
    """Return what intensities are, column by column."""
    said = [word.strip() for word in quantity.split(",")]
    if len(said) not in (1, len(suffixes)):
        raise SpecError(
            f"'{quantity}' says of {len(said)} channels what intensities are, but the image has {len(suffixes)}. Give "
            "one quantity, or one for each channel, such as HU,SUV."
        )
    told = zip(suffixes, said * len(suffixes) if len(said) == 1 else said, strict=True)
    names = [name for name in _INTENSITIES if name != "sum"]
    return {f"intensity_{name}{suffix}": word for suffix, word in told if word for name in names}


class _OneByOne:
    """Measures one lesion after the other, in a crop around it."""

    def __init__(self, labels: Image, image: Image | None, organ: Image | None) -> None:
        self.labels = Source(labels, Reader(labels.data, labels.name))
        self.axes, self.scale = self.labels.axes, self.labels.scale
        self.channels: list[tuple[str, Source]] = []
        if image is not None:
            reader = Reader(image.data, image.name)
            self.channels = [(suffix, Source(image, reader, k)) for k, suffix in enumerate(channel_suffixes(image))]
        self.organ = None if organ is None else Organ(organ)

    @property
    def names(self) -> dict[str, Any]:
        """The columns, also where there is no lesion."""
        whole, real = np.int64, np.float64
        found: dict[str, Any] = {"longest_diameter": real, "short_diameter": real}
        if len(self.axes) == 3:
            found |= {"slice": whole, "surface": real}
        found |= {f"{line}_{a}{end}": real for line in ("longest", "short") for end in (0, 1) for a in "yx"}
        if self.organ is not None:
            found["organ_distance"] = real
        return found | {f"intensity_p{p}{suffix}": real for suffix, _ in self.channels for p in PERCENTILES}

    def measure(self, known: Table, number: int) -> dict[str, float]:
        """Measure the lesion of a row."""
        t = int(known["t"][number]) if "t" in known else None
        window = tuple(slice(int(known[f"bbox_{a}0"][number]), int(known[f"bbox_{a}1"][number])) for a in self.axes)
        inside = self.labels.read(t, window) == known["index"][number]
        found = self._shape(inside if inside.ndim == 3 else inside[None], window)
        if self.organ is not None:
            found["organ_distance"] = self.organ.distance(t, inside, window)
        for suffix, source in self.channels:
            values = np.percentile(source.read(t, window)[inside].astype(np.float64), PERCENTILES)
            found |= {f"intensity_p{p}{suffix}": float(v) for p, v in zip(PERCENTILES, values, strict=True)}
        return found

    def _shape(self, solid: npt.NDArray[np.bool_], window: Window) -> dict[str, float]:
        spacing = (self.scale[-2], self.scale[-1])
        lines = find_diameters(solid, spacing)
        found: dict[str, float] = dict(zip(("longest_diameter", "short_diameter"), lines.lengths, strict=True))
        at = np.array([window[-2].start, window[-1].start]) * spacing
        for name, ends in (("longest", lines.longest + at), ("short", lines.across + at)):
            found |= {f"{name}_{a}{end}": float(ends[end, k]) for end in (0, 1) for k, a in enumerate("yx")}
        if len(self.axes) == 3:
            found["slice"] = window[0].start + lines.plane
            found["surface"] = surface_area(solid, (self.scale[0], *spacing))
        return found


def _ordered(
    labels: Image, known: dict[str, Any], own: Table, classes: Mapping[int, int] | None, intensities: Sequence[str]
) -> Table:
    """Put the columns together: what radiologists look for first comes first."""
    axes = spatial(labels)
    shape, scale, _ = labels.along(axes)
    table: dict[str, Any] = {name: known[name] for name in ("index", "t") if name in known}
    if classes is not None:
        table["class"] = np.array([classes.get(int(i), 0) for i in known["index"]], np.int64)
    size = "volume" if len(axes) == 3 else "area"
    table[size] = known[size]
    if not math.isnan(ml := milliliters(labels)):
        table["volume_ml"] = known["volume_px"] * ml
    first = ("longest_diameter", "short_diameter", "slice")
    table |= {name: own[name] for name in first if name in own}
    table |= {f"centroid_{a}": known[f"centroid_{a}"] for a in axes}
    if labels.anatomy is not None and axes == "zyx":
        index = np.stack([known[f"centroid_{a}"] / step for a, step in zip(axes, scale, strict=True)], axis=1)
        table |= {f"patient_{a}": c for a, c in zip(axes, labels.anatomy.to_world(index).T, strict=True)}
    if len(axes) == 3:
        table["surface"] = own["surface"]
        table["sphericity"] = np.minimum(1.0, np.cbrt(36 * math.pi * known["volume"] ** 2) / own["surface"])
    else:
        table |= {name: known[name] for name in ("perimeter", "circularity")}
    table |= {name: column for name, column in own.items() if name in ("organ_distance", "confidence")}
    table["border_distance"] = _border_distance(known, axes, shape, scale)
    table["touches_border"] = known["touches_border"]
    table |= {name: (known | own)[name] for name in intensities}
    ends = zip(axes, scale, strict=True)
    table |= {f"box_{a}{end}": (known[f"bbox_{a}{end}"] - 0.5) * step for a, step in ends for end in (0, 1)}
    if labels.anatomy is not None and axes == "zyx":
        sides = [(known[f"bbox_{a}0"] - 0.5, known[f"bbox_{a}1"] - 0.5) for a in axes]
        corners = np.stack([labels.anatomy.to_world(np.stack(c, axis=1)) for c in itertools.product(*sides)])
        for end, places in enumerate((corners.min(axis=0), corners.max(axis=0))):
            table |= {f"patient_box_{a}{end}": column for a, column in zip(axes, places.T, strict=True)}
    table |= {name: column for name, column in known.items() if name.startswith("bbox_")}
    return table | {name: column for name, column in own.items() if name not in table}


def _border_distance(known: dict[str, Any], axes: str, shape: tuple[int, ...], scale: tuple[float, ...]) -> Floats:
    gaps = [np.full(len(known["index"]), np.inf)]
    for a, n, step in zip(axes, shape, scale, strict=True):
        # A depth of one plane is no border in depth.
        if n > 1 or a in "yx":
            gaps += [known[f"bbox_{a}0"] * step, (n - known[f"bbox_{a}1"]) * step]
    return np.asarray(np.minimum.reduce(gaps), np.float64)
