"""A report of lesions: one page of HTML or PDF with its pictures inside, which needs no other file and no network."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError
from napari_unet.core.lesions import Growth, Lesions
from napari_unet.core.results import Table
from napari_unet.core.steps import Progress, Steps

from ._key_images import COLORS, LONG, SHORT, as_png, brightness, draw_lesion, draw_view
from ._report_page import draw_page
from ._report_words import RECIST, WARNING, Figure, caption, cell, columns, facts, grid_words, head, short, sums
from .atomic import atomic_file

__all__ = ["write_report_steps"]

_PICTURES: Final = 5
_ROWS: Final = 40
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
        File ending in ``.html`` or ``.pdf``, which is one page; an existing one is replaced.
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
    figures = yield from _figures(lesions, image)
    with atomic_file(path) as temporary:
        if path.suffix.lower() == ".pdf":
            temporary.write_bytes(draw_page(lesions, growth, title, figures))
        else:
            temporary.write_text("\n".join(_page(lesions, growth, title, figures)), "utf-8")


def _figures(lesions: Lesions, image: Image) -> Steps[list[Figure]]:
    """Draw the view of all and the largest lesions."""
    size = "volume" if "volume" in lesions.table else "area"
    shown = np.argsort(-np.asarray(lesions.table[size], np.float64), kind="stable")[:_PICTURES].tolist()
    unit = short(lesions.units.get("longest_diameter", ""))
    found, seen = [], brightness(lesions, image, shown)
    for done, row in enumerate(shown):
        yield Progress(done, len(shown) + 1, "Drawing the pictures")
        index = int(np.asarray(lesions.table["index"])[row])
        color = COLORS[(index - 1) % len(COLORS)]
        found.append(Figure(draw_lesion(lesions, image, row, unit, seen), caption(lesions, row, unit), color))
    yield Progress(len(shown), len(shown) + 1, "Drawing the pictures")
    deep = "z" in lesions.labels.label_axes
    words = "From the front, through the largest lesion; outlines of all. The last plane is on top."
    return [Figure(draw_view(lesions, image), words if deep else "The image."), *found]


def _page(lesions: Lesions, growth: Growth | None, title: str, figures: list[Figure]) -> Iterator[str]:
    heading = html.escape(title or "Lesions")
    yield f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{heading}</title>'
    yield f"<style>{_STYLE}</style></head><body><h1>{heading}</h1>"
    yield f'<p class="warning">{WARNING}</p>'
    yield _facts(facts(lesions))
    yield f'<div class="pictures">{"".join(map(_figure, figures))}</div>'
    yield f"<h2>Lesions</h2>{_table(lesions.table, columns(lesions), lesions)}"
    if len(lesions.totals["lesions"]) > 1:
        totals = [n for n in lesions.totals if not (n == "volume" and "volume_ml" in lesions.totals)]
        yield f"<h2>Totals</h2>{_table(lesions.totals, totals, lesions)}"
    if growth is not None:
        yield f"<h2>Change</h2>{_facts(sums(growth, lesions.units))}"
        if growth.response is not None:
            yield f"<p>In the manner of RECIST 1.1: <b>{html.escape(growth.response.words)}</b>. {RECIST}</p>"
        if growth.classes:
            yield f"<h3>Class by class</h3>{_table(growth.classes, list(growth.classes), lesions)}<h3>Lesions</h3>"
        yield _table(growth.changes, list(growth.changes), lesions)
    yield '<p class="small">'
    yield f"{_key(LONG)}Longest diameter in any axial plane, from border to border. "
    yield f"{_key(SHORT)}The longest at right angles to it, in the same plane. "
    yield "Slices count from 0. Sums of diameters are those of the five longest. "
    yield f"{html.escape(grid_words(lesions))}</p>"
    yield "</body></html>\n"


def _facts(told: Iterable[tuple[str, str]]) -> str:
    parts = [f"<span>{html.escape(name)}<b>{html.escape(value)}</b></span>" for name, value in told]
    return f'<div class="facts">{"".join(parts)}</div>'


def _key(color: str) -> str:
    return f'<span class="key" style="background:{color}"></span>' if color else ""


def _figure(figure: Figure) -> str:
    data = base64.b64encode(as_png(figure.picture)).decode("ascii")
    words = f"{_key(figure.color)}{html.escape(figure.caption)}"
    return f'<figure><img alt="" src="data:image/png;base64,{data}"><figcaption>{words}</figcaption></figure>'


def _table(table: Table, names: Sequence[str], lesions: Lesions) -> str:
    known: dict[str, Any] = dict(table)
    count = len(known[names[0]])
    heads = "".join(f"<th>{html.escape(head(n, lesions))}</th>" for n in names)
    rows = [[cell(known[n][row]) for n in names] for row in range(min(count, _ROWS))]
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(one)}</td>' for one in row)}</tr>" for row in rows)
    more = f"<p>{count - _ROWS} more are in the table that can be saved.</p>" if count > _ROWS else ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{more}"
