"""A report of lesions: one page of HTML with its pictures inside, which needs no other file and no network."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError
from napari_unet.core.lesions import Growth, Lesions
from napari_unet.core.results import Table
from napari_unet.core.steps import Progress, Steps

from ._key_images import COLORS, LONG, SHORT, as_png, draw_lesion, draw_view
from .atomic import atomic_file

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["write_report_steps"]

_PICTURES: Final = 5
_ROWS: Final = 40
_SHORT_UNITS: Final = {"millimeter": "mm", "micrometer": "µm", "centimeter": "cm", "pixel": "px"}
_HEADS: Final = {
    "index": "Lesion", "t": "Time", "class": "Class", "volume_ml": "Volume", "volume": "Volume", "area": "Area",
    "longest_diameter": "Longest diameter", "short_diameter": "Across", "slice": "Slice", "sphericity": "Sphericity",
    "circularity": "Circularity", "border_distance": "From border", "organ_distance": "From organ's border",
    "confidence": "Confidence", "lesions": "Lesions", "diameter_sum": "Sum of diameters", "largest": "Largest lesion",
    "before": "Before", "after": "After", "status": "What", "volume_before": "Volume before",
    "volume_after": "Volume after", "volume_change": "Volume, change", "volume_ml_before": "Volume before",
    "volume_ml_after": "Volume after", "area_before": "Area before",
    "area_after": "Area after", "area_change": "Area, change", "diameter_before": "Diameter before",
    "diameter_after": "Diameter after", "diameter_change": "Diameter, change", "moved": "Moved",
    "diameter_sum_before": "Sum of diameters before", "diameter_sum_after": "Sum of diameters after",
    "diameter_sum_change": "Sum of diameters, change", "matched": "Found again", "new": "New", "vanished": "Vanished",
    "split": "Split off", "merged": "Merged",
}  # fmt: skip
_STYLE: Final = """
body { font: 13px/1.4 system-ui, sans-serif; color: #1c1c1c; max-width: 980px; margin: 24px auto; padding: 0 16px }
h1 { font-size: 22px; margin: 0 0 8px } h2 { font-size: 15px; margin: 18px 0 6px }
.warning { background: #8c1d18; color: #fff; font-weight: 600; padding: 6px 12px; border-radius: 4px }
.facts { display: flex; flex-wrap: wrap; gap: 4px 28px; margin: 12px 0 } .facts b { display: block; font-size: 17px }
.pictures { display: flex; flex-wrap: wrap; gap: 12px } figure { margin: 0; max-width: 300px }
figure img { display: block; max-width: 100%; background: #000 } figcaption { color: #444; margin-top: 3px }
table { border-collapse: collapse; width: 100% } th, td { text-align: right; padding: 2px 8px; white-space: nowrap }
th { border-bottom: 1px solid #888; vertical-align: bottom; white-space: normal }
tr:nth-child(even) td { background: #f3f3f3 } .small { color: #555; font-size: 11px; margin-top: 16px }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px }
@media print { body { margin: 0; max-width: none } figure { break-inside: avoid } }
"""


def write_report_steps(path: Path, lesions: Lesions, image: Image, growth: Growth | None, title: str) -> Steps[None]:
    """Write a report of lesions, step by step.

    Neither names of files nor anything else that could name a patient is written, only `title`.

    Parameters
    ----------
    path : Path
        File ending in ``.html``; an existing one is replaced.
    lesions : Lesions
        What is reported.
    image : Image
        On the grid of the labels.
    growth : Growth or None
        What has changed since an earlier time.
    title : str
        Heading; empty for a plain one.

    Yields
    ------
    Progress
        One a picture.

    Raises
    ------
    AxesError
        If the image does not fit the labels.
    ImageError
        If there is no table of lesions.
    OutputError
        If the file cannot be written.
    """
    labels = lesions.labels
    own = labels.label_axes
    if set(own) != set(image.label_axes) or labels.along(own)[0] != image.along(own)[0]:
        raise AxesError(
            f"The labels ({labels.axes} {labels.shape}) and the image ({image.axes} {image.shape}) do not cover the "
            "same pixels. Choose the image that was segmented."
        )
    if "longest_diameter" not in lesions.table:
        raise ImageError("There are no measurements of lesions to report. Measure the lesions first.")
    size = "volume" if "volume" in lesions.table else "area"
    shown = np.argsort(-np.asarray(lesions.table[size], np.float64), kind="stable")[:_PICTURES].tolist()
    unit = _short(lesions.units.get("longest_diameter", ""))
    pictures = []
    for done, row in enumerate(shown):
        yield Progress(done, len(shown) + 1, "Drawing the pictures")
        pictures.append(_figure(draw_lesion(lesions, image, row, unit), _caption(lesions, row, unit)))
    yield Progress(len(shown), len(shown) + 1, "Drawing the pictures")
    seen = "From the front, through the largest lesion; outlines of all. The last plane is on top."
    pictures.insert(0, _figure(draw_view(lesions, image), seen if "z" in own else "The image."))
    text = "\n".join(_page(lesions, growth, title, pictures))
    with atomic_file(path) as temporary:
        temporary.write_text(text, "utf-8")


def _page(lesions: Lesions, growth: Growth | None, title: str, pictures: list[str]) -> Iterator[str]:
    heading = html.escape(title or "Lesions")
    yield f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
    yield f"<style>{_STYLE}</style></head><body><h1>{heading}</h1>"
    yield '<p class="warning">Not for clinical use. Measured by a program; nobody has checked it.</p>'
    yield f'<div class="facts">{"".join(_facts(lesions))}</div>'
    yield f'<div class="pictures">{"".join(pictures)}</div>'
    columns = [n for n in lesions.table if n in _HEADS and not (n == "volume" and "volume_ml" in lesions.table)]
    columns += [n for n in lesions.table if n.startswith(("intensity_mean", "intensity_std", "intensity_p95"))]
    yield f"<h2>Lesions</h2>{_table(lesions.table, columns, lesions.units)}"
    if len(lesions.totals["lesions"]) > 1:
        totals = [n for n in lesions.totals if not (n == "volume" and "volume_ml" in lesions.totals)]
        yield f"<h2>Totals</h2>{_table(lesions.totals, totals, lesions.units)}"
    if growth is not None:
        sums = "".join(_fact(_HEADS[n], _sum(n, v) + _unit(n, lesions.units)) for n, v in growth.summary.items())
        yield f'<h2>Change</h2><div class="facts">{sums}</div>'
        yield _table(growth.changes, list(growth.changes), lesions.units)
    yield '<p class="small">'
    yield f"{_key(LONG)}Longest diameter in any axial plane, from border to border. "
    yield f"{_key(SHORT)}The longest at right angles to it, in the same plane. "
    yield f"Slices count from 0. Sums of diameters are those of the five longest. {_grid(lesions.labels)}</p>"
    yield "</body></html>\n"


def _facts(lesions: Lesions) -> Iterator[str]:
    known: dict[str, Any] = dict(lesions.table)
    yield _fact("Lesions", str(len(known["index"])))
    size = next(name for name in ("volume_ml", "volume", "area") if name in known)
    yield _fact(f"Total {_HEADS[size].lower()}", _number(float(known[size].sum())) + _unit(size, lesions.units))
    sums = float(np.sum(lesions.totals["diameter_sum"])) if len(lesions.totals["lesions"]) == 1 else math.nan
    if not math.isnan(sums):
        yield _fact("Sum of diameters", _number(sums) + _unit("longest_diameter", lesions.units))
    if len(known["index"]):
        longest = float(known["longest_diameter"].max())
        yield _fact("Longest diameter", _number(longest) + _unit("longest_diameter", lesions.units))


def _fact(name: str, value: str) -> str:
    return f"<span>{html.escape(name)}<b>{html.escape(value)}</b></span>"


def _key(color: str) -> str:
    return f'<span class="key" style="background:{color}"></span>'


def _grid(labels: Image) -> str:
    axes = "".join(a for a in "zyx" if a in labels.axes)
    shape, scale, units = labels.along(axes)
    size = " × ".join(f"{step:.4g} {_short(unit)}" for step, unit in zip(scale, units, strict=True))
    return f"Image of {' × '.join(map(str, shape))} voxels ({', '.join(axes)}), each {html.escape(size)}."


def _caption(lesions: Lesions, row: int, unit: str) -> str:
    known: dict[str, Any] = dict(lesions.table)
    index = int(known["index"][row])
    size = next(name for name in ("volume_ml", "volume", "area") if name in known)
    place = f", slice {int(known['slice'][row])}" if "slice" in known else ""
    lines = " × ".join(_number(float(known[f"{name}_diameter"][row])) for name in ("longest", "short"))
    key = _key(COLORS[(index - 1) % len(COLORS)])
    value = _number(float(known[size][row])) + _unit(size, lesions.units)
    return f"{key}Lesion {index}{place}: {html.escape(f'{lines} {unit}, {value}')}"


def _figure(picture: PIL.Image.Image, caption: str) -> str:
    data = base64.b64encode(as_png(picture)).decode("ascii")
    return f'<figure><img alt="" src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>'


def _table(table: Table, columns: Sequence[str], units: Mapping[str, str]) -> str:
    known: dict[str, Any] = dict(table)
    count = len(known[columns[0]])
    heads = "".join(f"<th>{html.escape(_head(n) + _in_brackets(_unit(n, units)))}</th>" for n in columns)
    rows = [[_cell(known[n][row]) for n in columns] for row in range(min(count, _ROWS))]
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    more = f"<p>{count - _ROWS} more are in the table that can be saved.</p>" if count > _ROWS else ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{more}"


def _head(name: str) -> str:
    if name in _HEADS:
        return _HEADS[name]
    _, kind, *channel = name.split("_")
    words = {"mean": "Mean", "std": "SD", "p95": "95th percentile"}[kind]
    return f"{words}, channel {channel[0][1:]}" if channel else words


def _cell(value: Any) -> str:
    if isinstance(value, np.bool_):
        return "yes" if value else "no"
    return _number(float(value)) if isinstance(value, np.floating) else str(value)


def _number(value: float) -> str:
    """Write a number with three digits, or all before the point."""
    if math.isnan(value):
        return "–"
    digits = 0 if not value else min(4, max(0, 2 - math.floor(math.log10(abs(value)))))
    return f"{value:.{digits}f}"


def _sum(name: str, value: float) -> str:
    return _number(value) if "_" in name else f"{value:.0f}"


def _unit(name: str, units: Mapping[str, str]) -> str:
    if name.endswith("_change"):
        return " %"
    plain = "longest_diameter" if name.startswith("diameter") or name == "moved" else name
    unit = _short(units.get(plain.removesuffix("_before").removesuffix("_after"), ""))
    return f" {unit}" if unit else ""


def _in_brackets(unit: str) -> str:
    return f" ({unit.strip()})" if unit else ""


def _short(unit: str) -> str:
    for name, short in _SHORT_UNITS.items():
        unit = unit.replace(name, short)
    return unit
