"""The report of lesions as one page of PDF: what does not fit is in the table that can be saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from napari_unet.core.lesions import Growth, Lesions
from napari_unet.core.results import Table

from ._key_images import LONG, SHORT
from ._pdf import HEIGHT, WIDTH, Page, measure, wrap
from ._report_words import RECIST, WARNING, Figure, cell, columns, facts, grid_words, head, sums

__all__ = ["draw_page"]

_RIM: Final = 40.0  # points
_INSIDE: Final = WIDTH - 2 * _RIM
_GRAY: Final = "#555555"
_ACROSS: Final = 3  # pictures in a row
_PICTURE: Final = (160.0, 120.0)
_LINE: Final = 1.3  # from line to line, in parts of the size
_CHANGES: Final = 8  # rows of the table of changes
_ROOM: Final = 60.0  # for the small print


def draw_page(lesions: Lesions, growth: Growth | None, title: str, figures: Sequence[Figure]) -> bytes:
    """Draw the report.

    Parameters
    ----------
    lesions : Lesions
        What is reported.
    growth : Growth or None
        What has changed since an earlier time.
    title : str
        Heading; empty for a plain one.
    figures : sequence of Figure
        Six at most.

    Returns
    -------
    bytes
        A file of one page.
    """
    page = Page()
    page.write(title or "Lesions", _RIM, _RIM + 14, 17, bold=True)
    page.bar((_RIM, _RIM + 24, _INSIDE, 18), "#8c1d18")
    page.write(WARNING, _RIM + 8, _RIM + 36, 9, "#ffffff", bold=True)
    y = _facts(page, facts(lesions), _RIM + 52)
    y = _pictures(page, figures, y)
    own = 0.0 if growth is None else _change_height(growth)
    y = _table(page, lesions.table, columns(lesions), lesions, (y, HEIGHT - _RIM - _ROOM - own))
    if growth is not None:
        _change(page, growth, lesions, y)
    _small_print(page, lesions)
    return page.to_bytes()


def _facts(page: Page, told: Iterable[tuple[str, str]], y: float) -> float:
    x = _RIM
    for name, value in told:
        wide = max(measure(name, 8), measure(value, 12)) + 18
        if x + wide > WIDTH - _RIM:
            x, y = _RIM, y + 28
        page.write(name, x, y + 8, 8, _GRAY)
        page.write(value, x, y + 21, 12)
        x += wide
    return y + 32


def _pictures(page: Page, figures: Sequence[Figure], y: float) -> float:
    step = _INSIDE / _ACROSS
    for start in range(0, len(figures), _ACROSS):
        row, lines = figures[start : start + _ACROSS], 0
        for k, figure in enumerate(row):
            size = figure.picture.size
            zoom = min(_PICTURE[0] / size[0], _PICTURE[1] / size[1])
            x = _RIM + k * step
            page.show(figure.picture, (x, y, size[0] * zoom, size[1] * zoom))
            words = wrap(figure.caption, 7.5, step - 22)
            lines = max(lines, len(words))
            if figure.color:
                page.bar((x, y + _PICTURE[1] + 4, 6, 6), figure.color)
            for n, line in enumerate(words):
                page.write(line, x + (9 if figure.color else 0), y + _PICTURE[1] + 10 + n * 9, 7.5, _GRAY)
        y += _PICTURE[1] + 10 + 9 * lines + 6
    return y


def _table(
    page: Page, table: Table, names: Sequence[str], lesions: Lesions, room: tuple[float, float], most: int = 10**6
) -> float:
    """Draw as many rows as there is room for; return where it ends."""
    known: dict[str, Any] = dict(table)
    y, bottom, size, count = room[0], room[1], 7.5, len(known[names[0]])
    heads = [head(name, lesions).split() for name in names]
    rows = [[cell(known[name][row]) for name in names] for row in range(min(count, most))]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    texts = [[*words, *column] for words, column in zip(heads, columns, strict=True)]
    widths = [max(measure(text, size) for text in column) + 7 for column in texts]
    size *= min(1.0, _INSIDE / sum(widths))  # many columns are written smaller
    widths = [wide * _INSIDE / max(sum(widths), _INSIDE) for wide in widths]
    step, deep = size * _LINE, max(len(words) for words in heads)
    ends = [_RIM + sum(widths[: k + 1]) for k in range(len(widths))]
    for words, end in zip(heads, ends, strict=True):
        for n, word in enumerate(words):
            _right(page, word, end - 4, y + (deep - len(words) + n + 1) * step, size, _GRAY)
    y += deep * step + 3
    page.bar((_RIM, y, ends[-1] - _RIM, 0.6), "#888888")
    fit = max(0, min(len(rows), int((bottom - y) / step) - 1))
    for number, row in enumerate(rows[:fit]):
        if number % 2:
            page.bar((_RIM, y + 2, ends[-1] - _RIM, step), "#f0f0f0")
        y += step
        for text, end in zip(row, ends, strict=True):
            _right(page, text, end - 4, y, size, "#1c1c1c")
    if fit < count:
        page.write(f"{count - fit} more are in the table that can be saved.", _RIM, y + step + 1, 7.5, _GRAY)
        y += step
    return y + 14


def _right(page: Page, text: str, end: float, y: float, size: float, color: str) -> None:
    page.write(text, end - measure(text, size), y, size, color)


def _change_height(growth: Growth) -> float:
    rows = min(_CHANGES, len(growth.changes["status"])) + (4 + len(growth.classes["class"]) if growth.classes else 0)
    return 122.0 + 10 * rows + (40 if growth.response else 0)


def _change(page: Page, growth: Growth, lesions: Lesions, y: float) -> None:
    page.write("Change", _RIM, y + 6, 11, bold=True)
    y = _facts(page, sums(growth, lesions.units), y + 12)
    if growth.response is not None:
        page.write(f"In the manner of RECIST 1.1: {growth.response.words}.", _RIM, y + 4, 8, bold=True)
        for line in wrap(RECIST, 7, _INSIDE):
            y += 9
            page.write(line, _RIM, y + 4, 7, _GRAY)
        y += 12
    if growth.classes:
        y = _table(page, growth.classes, list(growth.classes), lesions, (y, HEIGHT - _RIM - _ROOM + 24), _CHANGES)
    _table(page, growth.changes, list(growth.changes), lesions, (y, HEIGHT - _RIM - _ROOM + 24), _CHANGES)


def _small_print(page: Page, lesions: Lesions) -> None:
    y = HEIGHT - _RIM - 18
    x = _RIM
    for color, text in ((LONG, "longest diameter in any axial plane, from border to border"),
                        (SHORT, "the longest at right angles to it, in the same plane")):  # fmt: skip
        page.bar((x, y - 6, 6, 6), color)
        page.write(text, x + 9, y, 7, _GRAY)
        x += measure(text, 7) + 24
    more = "Slices count from 0. Sums of diameters are those of the five longest."
    for line in wrap(f"{more} {grid_words(lesions)}", 7, _INSIDE):
        y += 9
        page.write(line, _RIM, y, 7, _GRAY)
