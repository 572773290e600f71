"""Intensity statistics: measured once over the whole image, then the same for every tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..core.errors import SpecError

if TYPE_CHECKING:
    import numpy.typing as npt

    from ..core.axes import Plane
    from ..core.specs import NormalizeSpec

__all__ = ["Statistics", "lookup", "measure_statistics", "normalize", "sample_windows", "spread"]

_EXACT: Final = 4 * 2**20  # pixels up to which everything is read, and values kept of a channel above
_READ: Final = 16 * 2**20  # pixels read of larger images
_EDGE: Final = {1: 2**18, 2: 512, 3: 64}  # of a window
_RANGE: Final = (-1.0, 4.0)  # of normalized values: hot pixels must not drown what is near them
_OBJECTS: Final = 8.0  # times farther above the median than dark pixels are below it; of noise it is about as far
_FREE: Final = (-3e38, 3e38)  # what float32 can hold
_HUGE: Final = 1e290
_ALWAYS: Final = ("low", "high")  # in a manifest


@dataclass(frozen=True)
class Statistics:
    """Intensities that become 0 and 1.

    Attributes
    ----------
    low, high : tuple of float
        One for each channel, in the unit of the image; equal where a channel is constant.
    limits : tuple of (float, float)
        Between what normalized values are clipped, one pair for each channel; empty: -1 and 4.
    isolated : tuple of float
        By how much a pixel may differ from those around it, one for each channel in the unit of the image; empty: by
        any number. See :func:`~napari_unet.tiling.isolated.steady`.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    limits: tuple[tuple[float, float], ...] = ()
    isolated: tuple[float, ...] = ()

    @property
    def flat(self) -> bool:
        """Whether no channel has any contrast."""
        return self.low == self.high

    def to_dict(self) -> dict[str, list[Any]]:
        """Return plain lists, for a manifest."""
        return {name: [*map(_plain, values)] for name, values in asdict(self).items() if values or name in _ALWAYS}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Statistics:
        """Build from :meth:`to_dict`'s result."""
        limits = tuple((float(least), float(most)) for least, most in values.get("limits", ()))
        low, high, isolated = (tuple(map(float, values.get(name, ()))) for name in ("low", "high", "isolated"))
        return cls(low, high, limits, isolated)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def normalize(block: npt.NDArray[Any], statistics: Statistics) -> npt.NDArray[np.float32]:
    """Map intensities linearly so that `low` becomes 0 and `high` becomes 1.

    Parameters
    ----------
    block : ndarray, shape (c, *s)
        Any real dtype; values that are not finite count as `low`.
    statistics : Statistics
        Of the whole image.

    Returns
    -------
    ndarray of float32, shape (c, *s)
        Clipped to the limits; zeros where a channel is constant. A value depends on nothing but its own pixel.
    """
    if block.dtype in (np.uint8, np.uint16) and block.size > np.iinfo(block.dtype).max:
        # Every value that can occur is mapped once: the same numbers as below, many times faster.
        table = lookup(block.dtype, statistics)
        return np.stack([row.take(channel) for row, channel in zip(table, block, strict=True)])
    out = np.zeros(block.shape, np.float32)
    limits = statistics.limits or (_RANGE,) * len(block)
    for channel, low, high, (least, most), target in zip(
        block, statistics.low, statistics.high, limits, out, strict=True
    ):
        shrink = _shrink(low, high)
        zero, span = low * shrink, high * shrink - low * shrink
        if not span > 0:
            continue
        # Slabs bound the float64 copies: a window of a strongly shrunk image can be very large.
        rows = max(1, 2**20 // max(1, channel[:1].size))
        for start in range(0, len(channel), rows):
            values = _as_float64(channel[start : start + rows])
            values = np.where(np.isfinite(values), values, low) * shrink
            np.clip(values, zero + least * span, zero + most * span, out=values)
            target[start : start + rows] = np.clip((values - zero) / span, least, most)
    return out


def lookup(dtype: npt.DTypeLike, statistics: Statistics) -> npt.NDArray[np.float32]:
    """Tell what each value becomes that an image of whole numbers can hold.

    Parameters
    ----------
    dtype : dtype
        uint8 or uint16.
    statistics : Statistics
        Of the whole image.

    Returns
    -------
    ndarray of float32, shape (c, 256) or (c, 65536)
        The same as :func:`normalize`, for each channel.
    """
    whole = np.arange(np.iinfo(dtype).max + 1, dtype=np.float32)
    return normalize(np.broadcast_to(whole, (len(statistics.low), whole.size)), statistics)


def measure_statistics(planes: Sequence[Plane], spec: NormalizeSpec) -> Statistics:
    """Estimate the percentiles (or mean and spread) of an image from all its planes together.

    Up to 4 megapixels they are exact. Larger images are sampled: windows of about 16 megapixels in all,
    spread over planes and space always in the same way, however the data are stored.

    Parameters
    ----------
    planes : sequence of Plane
        All planes of the image, with the channels that the network sees (:meth:`Plane.pick`).
    spec : NormalizeSpec
        What to measure, and whether the channels share one pair.

    Returns
    -------
    Statistics
        One pair for each channel. Where the two percentiles are equal (a few bright objects on an even ground) the
        extremes are taken instead; specks that saturate the camera do not count where all else is far darker, and has
        bright objects; without finite values all are 0.

    Raises
    ------
    SpecError
        If intensities are fixed, but not known for these channels.
    """
    channels = planes[0].channels or tuple(range(planes[0].image.channels))
    if (known := _known(len(channels), spec)) is not None:
        return _limited(_without_missing(known, channels), spec)
    samples: list[npt.NDArray[np.generic]] = []
    windows = list(sample_windows(planes))
    pixels = sum(math.prod(s.stop - s.start for s in window) for _, window in windows)
    step = -(-pixels // _EXACT)
    step += step > 1 and step % 2 == 0  # an even step would keep to one column of most windows
    for plane, window in windows:
        block = plane.read(window)
        samples.append(block.reshape(len(block), -1)[:, ::step])
    values = np.concatenate(samples, axis=1)
    there = [row for row, channel in enumerate(channels) if channel >= 0]
    groups = [(values if len(there) == len(values) else values[there]).ravel()] if spec.joint else list(values)
    pairs = [_measured(group, spec) for group in groups]
    return _limited(_without_missing(pairs * len(values) if spec.joint else pairs, channels), spec)


def _known(channels: int, spec: NormalizeSpec) -> list[tuple[float, float]] | None:
    """Return what becomes 0 and 1 where that is the same for all images."""
    if spec.open:
        raise SpecError("It is not said which intensities become 0 and 1: give an offset and a divisor.")
    try:
        return spec.pairs(channels)
    except ValueError as error:
        raise SpecError(str(error)) from error


def _without_missing(pairs: list[tuple[float, float]], channels: Sequence[int]) -> list[tuple[float, float]]:
    """Return pairs under which a band that is not there is 0, as where it was dropped in training."""
    return [(0.0, 0.0) if channel < 0 else pair for channel, pair in zip(channels, pairs, strict=True)]


def _limited(pairs: Sequence[tuple[float, float]], spec: NormalizeSpec) -> Statistics:
    """Return the statistics with what the spec clips: intensities before, or values after they are normalized."""
    pairs = [(low, high + spec.eps) for low, high in pairs]
    lows, highs = tuple(low for low, _ in pairs), tuple(high for _, high in pairs)
    isolated = tuple(spec.isolated * (high - low) for low, high in pairs) if spec.isolated else ()
    if spec.limits == _RANGE and spec.floor is spec.ceiling is None:
        return Statistics(lows, highs, isolated=isolated)
    limits = []
    for low, high in pairs:
        least, most = spec.limits or _FREE
        if high > low:
            least = least if spec.floor is None else max(least, (spec.floor - low) / (high - low))
            most = most if spec.ceiling is None else min(most, (spec.ceiling - low) / (high - low))
        limits.append((least, most))
    return Statistics(lows, highs, tuple(limits), isolated)


def _measured(values: npt.NDArray[Any], spec: NormalizeSpec) -> tuple[float, float]:
    """Return what becomes 0 and 1."""
    if spec.floor is not None or spec.ceiling is not None:
        values = np.clip(_as_float64(values), spec.floor, spec.ceiling)
    if spec.kind == "percentile":
        return _percentiles(values, spec)
    values = _as_float64(values)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0
    shrink = _shrink(float(values.min()), float(values.max()))
    mean = float((values * shrink).mean()) / shrink
    return mean, mean + float((values * shrink).std()) / shrink


def _percentiles(values: npt.NDArray[Any], spec: NormalizeSpec) -> tuple[float, float]:
    if values.dtype in (np.uint8, np.uint16):
        return _counted(np.bincount(values), spec)
    values = _as_float64(values)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0
    least, most = float(values.min()), float(values.max())
    shrink = _shrink(least, most)
    low, high = (float(v) / shrink for v in np.percentile(values * shrink, [spec.low, spec.high]))
    if high == most > low and spec.limits == _RANGE:
        rest = values[values < most] * shrink
        low, high = _without(most, low, (float(v) / shrink for v in np.percentile(rest, [spec.low, 50, spec.high])))
    return (low, high) if high > low else (least, most)


def _counted(counts: npt.NDArray[np.int64], spec: NormalizeSpec) -> tuple[float, float]:
    """Return the same percentiles from a histogram of whole numbers, many times faster than by sorting."""
    present = np.flatnonzero(counts)
    least, most = float(present[0]), float(present[-1])
    low, high = _ranked(counts, spec.low, spec.high)
    if high == most > low and spec.limits == _RANGE:
        low, high = _without(most, low, _ranked(counts[: present[-1]], spec.low, 50.0, spec.high))
    return (low, high) if high > low else (least, most)


def _ranked(counts: npt.NDArray[np.int64], *shares: float) -> Iterator[float]:
    below = np.cumsum(counts)
    place = np.array(shares) / 100 * (below[-1] - 1)
    first = np.floor(place)
    left, right = np.searchsorted(below, first, "right"), np.searchsorted(below, np.ceil(place), "right")
    return (float(value) for value in left + (right - left) * (place - first))


def _without(most: float, low: float, rest: Iterator[float]) -> tuple[float, float]:
    """Return what becomes 0 and 1 where many pixels have the highest value, such as specks that saturate the camera.

    If that value is beyond what is clipped on the scale of the other pixels, and these show bright objects of their
    own, it says nothing of them: the scale is theirs. `rest` are their percentiles, and their median between.
    """
    dark, middle, bright = rest
    beyond = most > dark + _RANGE[1] * (bright - dark)
    objects = bright - middle > _OBJECTS * (middle - dark) > 0
    return (dark, bright) if beyond and objects else (low, most)


def _shrink(low: float, high: float) -> float:
    """Return a power of two that keeps differences of huge values finite; exact."""
    return 2.0**-8 if max(abs(low), abs(high)) > _HUGE else 1.0


def _as_float64(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float64)


def sample_windows(planes: Sequence[Plane]) -> Iterator[tuple[Plane, tuple[slice, ...]]]:
    """Choose what of an image is looked at to learn of its intensities: all, or about 16 megapixels spread over it.

    Parameters
    ----------
    planes : sequence of Plane
        All planes of the image.

    Yields
    ------
    (Plane, tuple of slice)
        The same for the same image, however it is stored.
    """
    shape = planes[0].shape
    if len(planes) * math.prod(shape) <= _EXACT:
        for plane in planes:
            yield plane, tuple(slice(0, n) for n in shape)
        return
    # Not along the chunks of the data: how an image is stored must not change its labels.
    edges = [min(n, _EDGE[len(shape)]) for n in shape]
    full = [len(planes), *(-(-n // edge) for n, edge in zip(shape, edges, strict=True))]
    for number, *at in spread(full, max(1, _READ // math.prod(edges))):
        starts = [i * edge for i, edge in zip(at, edges, strict=True)]
        spans = zip(starts, edges, shape, strict=True)
        yield planes[number], tuple(slice(start, min(start + edge, n)) for start, edge, n in spans)


def spread(full: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Pick cells of a lattice, evenly along every axis at once and off any rhythm.

    The additive recurrence of Roberts (2018), "The unreasonable effectiveness of quasirandom sequences": the shares are
    the powers of the root of ``x ** (d + 1) = x + 1``.

    Parameters
    ----------
    full : sequence of int
        Cells along each axis.
    count : int
        How many to pick, about; all where there are no more.

    Returns
    -------
    list of tuple of int
        In order; the same for the same lattice.
    """
    if math.prod(full) <= count:
        return list(product(*map(range, full)))
    root = 1.5
    for _ in range(50):
        root = (1 + root) ** (1 / (len(full) + 1))
    shares = [root ** -(axis + 1) for axis in range(len(full))]
    picked = (tuple(int((0.5 + k * a) % 1.0 * n) for a, n in zip(shares, full, strict=True)) for k in range(count))
    return sorted(set(picked))
