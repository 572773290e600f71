"""From planes to a volume: in the order in which they lie, refused where they do not make one."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.anatomy import Anatomy, stand_up
from ..core.errors import ImageError
from ._dicom_headers import Plane

__all__ = ["arrange", "part"]

_TURNED: Final = 1e-3  # between the cosines of two planes of one direction
_WIDER: Final = 1e-4  # mm, between the pixels of two planes of one spacing
_FACTS: Final = 3  # that tell volumes apart together
_SAME: Final = 1e-3  # mm, between planes at one place
_EVEN: Final = 0.01  # of the distance between planes, that they may be off
_UNEVEN: Final = 0.1  # the same, with a remark; beyond, they are refused
_TILT: Final = 0.05  # degrees
_SQUARE: Final = 1e-3  # cosine


def part(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Part the planes of a series into volumes.

    Planes of different sizes, spacings or directions are apart, such as a scout. Where several planes lie at one place,
    whatever tells them apart (time, echo, diffusion weight ..., or up to three of them together) parts them.

    Parameters
    ----------
    planes : sequence of Plane
        Of one series.

    Returns
    -------
    list of list of Plane
        In the order of the first plane of each.
    """
    groups: dict[Any, list[list[Plane]]] = defaultdict(list)
    for plane in planes:
        alone = () if plane.spaced else (str(plane.file),)
        there = groups[plane.size, plane.samples, len(plane.orientation), len(plane.spacing), alone]
        alike = next((group for group in there if _alike(group[0], plane)), None)
        if alike is None:
            there.append([plane])
        else:
            alike.append(plane)
    return [volume for there in groups.values() for group in there for volume in _apart(group)]


def _alike(one: Plane, other: Plane) -> bool:
    """Say whether two planes have the same directions and spacing, but for rounding."""
    turned, wider = ((one.orientation, other.orientation, _TURNED), (one.spacing, other.spacing, _WIDER))
    return all(abs(a - b) <= off for mine, theirs, off in (turned, wider) for a, b in zip(mine, theirs, strict=True))


def _apart(group: list[Plane]) -> list[list[Plane]]:
    """Part planes where several lie at one place, by as few facts as it takes.

    Each volume has one plane at every place; or else, such as the last of a series that was stopped, at several.
    """
    if not group[0].spaced or _copies(group) == 1:
        return [group]
    places = len({_place(plane) for plane in group})
    numbers = [n for n in range(len(group[0].facts)) if len({plane.facts[n] for plane in group}) > 1]
    sets = [some for count in range(1, _FACTS + 1) for some in itertools.combinations(numbers, count)]
    for least, facts in itertools.product((places, min(2, places)), sets):
        by: dict[tuple[str, ...], list[Plane]] = defaultdict(list)
        for plane in group:
            by[tuple(plane.facts[n] for n in facts)].append(plane)
        if all(len(volume) >= least and _copies(volume) == 1 for volume in by.values()):
            return list(by.values())
    return [group]


def _copies(group: list[Plane]) -> int:
    """Return how many planes lie at one place, at most."""
    return max(Counter(map(_place, group)).values())


def _place(plane: Plane) -> tuple[float, ...]:
    return tuple(round(n, 2) for n in plane.position)


def arrange(planes: Sequence[Plane], sparse: bool = False, like: Anatomy | None = None) -> tuple[list[Plane], Anatomy]:
    """Bring planes into order by where they lie, never by their names or numbers.

    Parameters
    ----------
    planes : sequence of Plane
        Of one volume.
    sparse : bool
        Planes may be missing, as in segmentations: the anatomy has a place for them.
    like : Anatomy, optional
        Of the image that sparse planes belong to: it knows how far planes are apart.

    Returns
    -------
    planes : list of Plane
        From foot to head (from back to front, from left to right, as they lie).
    anatomy : Anatomy
        Of the stored array ``(column, row, plane)``.

    Raises
    ------
    ImageError
        If planes are missing, doubled or shifted, or have no sizes.
    """
    first = planes[0]
    if not first.spaced:
        return list(planes), _nowhere(planes)
    across, down = np.array(first.orientation[:3]), np.array(first.orientation[3:])
    _check_plane(first, across, down)
    normal = np.cross(across, down)
    normal *= -1 if normal[np.abs(normal).argmax()] < 0 else 1
    positions = np.array([plane.position for plane in planes])
    order = np.argsort(positions @ normal, kind="stable")
    ordered, positions = [planes[i] for i in order], positions[order]
    count = len(planes)
    if sparse:
        step = _sparse_step(ordered, positions, normal, like)
        remarks: list[str] = []
        count = round(float((positions[-1] - positions[0]) @ step / (step @ step))) + 1
    else:
        step, remarks = _step(ordered, positions, normal)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = across * first.spacing[1], down * first.spacing[0]
    affine[:3, 2], affine[:3, 3] = step, positions[0]
    rows, columns = first.size
    try:
        anatomy = stand_up(affine, (columns, rows, count), single=count == 1 and not sparse)
    except ImageError as error:
        raise ImageError(f"{_named(first)} has no usable geometry: {error}. Export it again.") from None
    return ordered, replace(anatomy, remarks=tuple(remarks))


def _check_plane(plane: Plane, across: npt.NDArray[Any], down: npt.NDArray[Any]) -> None:
    if len(plane.spacing) != 2 or not all(0 < n < math.inf for n in plane.spacing):
        said = " x ".join(f"{n:g}" for n in plane.spacing) or "none"
        raise ImageError(
            f"{_named(plane)} has the pixel spacing {said}; it must be more than zero. Without it nothing can be "
            "measured in mm: export it again with its spacing."
        )
    lengths = [float(np.linalg.norm(n)) for n in (across, down)]
    if any(abs(n - 1) > _UNEVEN for n in lengths) or abs(float(across @ down)) > _SQUARE:
        raise ImageError(
            f"{_named(plane)} has rows and columns that are not orthogonal (ImageOrientationPatient), which DICOM does "
            "not allow. Export it again."
        )


def _step(
    planes: list[Plane], positions: npt.NDArray[Any], normal: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], list[str]]:
    """Return the way from one plane to the next, and what is odd about it."""
    if len(planes) == 1:
        thick = planes[0].apart
        return normal * (thick or 1.0), [] if thick else ["A single plane without a thickness: 1 mm is taken."]
    heights = positions @ normal
    steps = np.diff(heights)
    if (doubled := np.flatnonzero(steps < _SAME)).size:
        raise ImageError(
            f"{_named(planes[0])}: several planes lie at one place ({_where(planes, doubled[0])}), and nothing tells "
            "them apart: the folder holds several volumes or copies. Keep one of them in it."
        )
    usual = float(np.median(steps))
    if (gaps := np.flatnonzero(steps > 1.5 * usual)).size:
        lost = sum(round(float(n)) - 1 for n in steps[gaps] / usual)
        raise ImageError(
            f"{_named(planes[0])}: planes are missing ({max(lost, 1)}), the first between {_where(planes, gaps[0])} "
            f"({steps[gaps[0]]:.4g} mm apart, others {usual:.4g} mm). Add the missing files: volumes and distances "
            "would be wrong without them."
        )
    step = (positions[-1] - positions[0]) / (len(planes) - 1)
    off = positions - positions[0] - np.arange(len(planes))[:, None] * step
    worst = float(np.linalg.norm(off, axis=1).max()) / usual
    if worst > _UNEVEN:
        raise ImageError(
            f"{_named(planes[0])}: the planes are not evenly spaced ({steps.min():.4g} to {steps.max():.4g} mm apart, "
            f"up to {worst * usual:.3g} mm from where they should be), so they make no volume. Reconstruct it with "
            "even planes."
        )
    remarks = []
    if worst > _EVEN:
        remarks.append(
            f"The planes are not quite evenly spaced ({steps.min():.4g} to {steps.max():.4g} mm apart): their mean, "
            f"{float(step @ normal):.4g} mm, is taken."
        )
    tilt = math.degrees(math.acos(min(1.0, float(step @ normal) / float(np.linalg.norm(step)))))
    if tilt > _TILT:
        remarks.append(
            f"The gantry was tilted: each plane is shifted against the one before ({tilt:.1f} degrees). Sizes and "
            "files that are written are right; the viewer shows the planes without the shift."
        )
    return step, remarks


def _sparse_step(
    planes: list[Plane], positions: npt.NDArray[Any], normal: npt.NDArray[Any], like: Anatomy | None
) -> npt.NDArray[Any]:
    """Return the way from one plane to the next where some are left out."""
    steps = np.diff(positions @ normal)
    known: list[float] = []
    if like is not None:
        axes = like.matrix[:3, :3][::-1]  # rows x, y, z; columns z, y, x
        lengths = np.linalg.norm(axes, axis=0)
        known += [float(n) for n, c in zip(lengths, normal @ axes / lengths, strict=True) if abs(c) > 1 - _SQUARE]
    known += [planes[0].apart] * (planes[0].apart > 0) + ([float(steps.min())] if steps.size else [])
    for each in known:
        if not steps.size:
            return normal * each
        counts = np.rint((positions - positions[0]) @ normal / each)
        # To the last bit as far as it goes: what is written in a file is rounded.
        exact = (positions[-1] - positions[0]) / max(counts[-1], 1)
        off = np.linalg.norm(positions - positions[0] - counts[:, None] * exact, axis=1).max()
        if counts[-1] >= len(planes) - 1 and off <= _UNEVEN * each and (np.diff(counts) > 0).all():
            return np.asarray(exact)
    if not steps.size:
        return normal
    raise ImageError(
        f"{_named(planes[0])}: the frames lie {steps.min():.4g} to {steps.max():.4g} mm apart, which is no grid. Give "
        "the image that they belong to, or export them again."
    )


def _nowhere(planes: Sequence[Plane]) -> Anatomy:
    """Return the sizes of a picture that has no place in the patient, such as a projection or ultrasound."""
    first = planes[0]
    spacing, said = first.spacing, "The file does not say where in the patient it lies."
    regions = first.header.get("SequenceOfUltrasoundRegions")
    if not spacing and regions and regions[0].get("PhysicalUnitsXDirection") == 3:  # centimeters
        spacing = tuple(10 * abs(float(regions[0].get(f"PhysicalDelta{a}", 0))) for a in "YX")
    if len(spacing) != 2 or not all(n > 0 for n in spacing):
        spacing, said = (1.0, 1.0), f"{said} Nor does it say how large its pixels are."
    rows, columns = first.size
    found = stand_up(np.diag([spacing[1], spacing[0], 1.0, 1.0]), (columns, rows, 1), single=True)
    return replace(found, remarks=(said,))


def _where(planes: list[Plane], number: int) -> str:
    names = [plane.file.name if plane.frame == 0 else f"{plane.file.name} frame {plane.frame}" for plane in planes]
    return f"{names[number]} and {names[number + 1]}"


def _named(plane: Plane) -> str:
    return f"'{plane.file.parent}', series {plane.header.get('SeriesNumber', '') or '?'}"
