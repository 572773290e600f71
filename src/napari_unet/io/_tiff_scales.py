"""Pixel sizes and channels as TIFF files name them: OME, ImageJ and slide scanners."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from typing import Any, Final

import numpy as np
import tifffile

from ..core.bands import told_names

__all__ = ["SYMBOLS", "read_channels", "read_scales", "tell_times"]

_MICRO: Final = {"um", "µm", "μm", "micron", "microns", "micrometre", "\\u00b5m"}
# OME's symbol of each unit that is written; the names are those of OME-Zarr.
SYMBOLS: Final = {
    "micrometer": "µm",
    "nanometer": "nm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "kilometer": "km",
    "picometer": "pm",
    "angstrom": "Å",
    "inch": "in",
    "pixel": "pixel",
    "second": "s",
    "millisecond": "ms",
    "microsecond": "µs",
    "minute": "min",
    "hour": "h",
    "day": "d",
}
_NAMES: Final = {symbol: name for name, symbol in SYMBOLS.items()} | {"μs": "microsecond"}
_TIMES: Final = {
    "second": ("s", "sec", "secs"), "millisecond": ("ms", "msec"), "microsecond": ("us", "µs", "μs", "usec"),
    "minute": ("min", "mins"), "hour": ("h", "hr", "hrs"), "day": ("d",),
}  # fmt: skip
Scales = dict[str, tuple[float, str]]
_UNEVEN: Final = 0.1  # of the usual time between frames


def read_scales(file: tifffile.TiffFile, series: int = 0) -> Scales:
    """Read pixel sizes of a series. A plain TIFF's resolution is for printing and is left alone."""
    if file.is_ome and file.ome_metadata:
        return _ome_scales(file.ome_metadata, series)
    if series:
        return {}  # what is said is said of the first
    if file.is_imagej and file.imagej_metadata:
        return _imagej_scales(file)
    if file.is_svs:
        return _svs_scales(str(file.pages.first.description))
    return _ndpi_scales(file) if file.is_ndpi else {}


def read_channels(file: tifffile.TiffFile, series: int = 0) -> tuple[str, ...]:
    """Read what OME calls the channels of a series; empty where that says nothing."""
    pixels = _ome_pixels(file.ome_metadata, series) if file.is_ome and file.ome_metadata else None
    channels = [] if pixels is None else [e for e in pixels if e.tag.rpartition("}")[2] == "Channel"]
    return told_names([str(channel.get("Name") or "") for channel in channels])


def tell_times(file: tifffile.TiffFile, series: int = 0) -> tuple[str, ...]:
    """Say in words that the frames of a series were taken at uneven times; empty where nobody knows."""
    pixels = _ome_pixels(file.ome_metadata, series) if file.is_ome and file.ome_metadata else None
    steps, unit = ([], "") if pixels is None else _ome_steps(pixels)
    if not steps or max(abs(step / float(np.median(steps)) - 1) for step in steps) <= _UNEVEN:
        return ()
    return (
        f"Frames were taken at uneven times, {min(steps):.4g} to {max(steps):.4g} {unit} apart. One time counts for "
        f"all: {float(np.median(steps)):.4g} {unit}.",
    )


def _ome_steps(pixels: ET.Element) -> tuple[list[float], str]:
    """Return the times from frame to frame, told plane by plane, and their unit; none where one is told for all."""
    times: dict[int, float] = {}
    unit = "s"
    for plane in (e for e in pixels if e.tag.rpartition("}")[2] == "Plane" and pixels.get("TimeIncrement") is None):
        try:
            t, taken = int(plane.get("TheT", "")), float(plane.get("DeltaT", ""))
        except ValueError:
            continue
        unit = plane.get("DeltaTUnit", "s")
        times[t] = min(times.get(t, math.inf), taken)
    there = sorted(times)
    steps = [(times[b] - times[a]) / (b - a) for a, b in pairwise(there)]
    return (steps, _unit(unit)) if all(step > 0 and math.isfinite(step) for step in steps) else ([], "")


def _ome_pixels(text: str, series: int) -> ET.Element | None:
    found = [e for e in ET.fromstring(text).iter() if e.tag.rpartition("}")[2] == "Pixels"]
    return found[series] if series < len(found) else None


def _ome_scales(text: str, series: int) -> Scales:
    pixels = _ome_pixels(text, series)
    if pixels is None:
        return {}
    found: Scales = {}
    fields = [(a, f"PhysicalSize{a.upper()}", "µm") for a in "zyx"] + [("t", "TimeIncrement", "s")]
    for axis, field, unit in fields:
        if (size := _positive(pixels.get(field))) is not None:
            found[axis] = (size, _unit(pixels.get(f"{field}Unit", unit)))
    steps, unit = _ome_steps(pixels)
    return found | ({"t": (float(np.median(steps)), unit)} if steps else {})


def _imagej_scales(file: tifffile.TiffFile) -> Scales:
    """Read what ImageJ says; it names units of y and z where they are not that of x, of time if it is not seconds."""
    metadata, tags = file.imagej_metadata or {}, file.pages.first.tags
    unit = str(metadata.get("unit", ""))
    sizes = {"z": metadata.get("spacing"), "t": metadata.get("finterval")}
    for axis, name in (("y", "YResolution"), ("x", "XResolution")):
        above, below = tags[name].value if name in tags else (0, 1)
        sizes[axis] = below / above if above else None
    units = {"x": unit, "y": metadata.get("yunit", unit), "z": metadata.get("zunit", unit)}
    named = {axis: _unit(str(word)) for axis, word in units.items()} | {"t": _time(str(metadata.get("tunit", "sec")))}
    known = {axis: size for axis, value in sizes.items() if (size := _positive(value)) is not None}
    return {axis: (size, named[axis]) for axis, size in known.items() if named[axis] != "pixel"}


def _svs_scales(text: str) -> Scales:
    """Read micrometers to a pixel from the description of an Aperio scanner."""
    said = re.search(r"\bMPP\s*=\s*([\d.]+)", text)
    size = _positive(said[1]) if said else None
    return dict.fromkeys("yx", (size, "micrometer")) if size else {}


def _ndpi_scales(file: tifffile.TiffFile) -> Scales:
    """Read the resolution that a Hamamatsu scanner gives in pixels to a centimeter."""
    tags = file.pages.first.tags
    found: Scales = {}
    for axis, name in (("y", "YResolution"), ("x", "XResolution")):
        above, below = tags[name].value if name in tags else (0, 1)
        if (size := _positive(1e4 * below / above if above else None)) is not None:
            found[axis] = (size, "micrometer")
    return found


def _positive(value: Any) -> float | None:
    try:
        size = float(value)
    except (TypeError, ValueError):
        return None
    return size if size > 0 and math.isfinite(size) else None


def _unit(text: str) -> str:
    word = re.sub(r"\s+", " ", text).strip()
    if not word or word.lower() in ("pixel", "pixels", "px"):
        return "pixel"
    return "micrometer" if word.lower() in _MICRO else _NAMES.get(word, word.lower())


def _time(text: str) -> str:
    """Return the unit of time that is meant; a word such as "frame" is none."""
    word = text.strip().lower()
    return next((name for name, short in _TIMES.items() if word in (name, f"{name}s", *short)), "pixel")
