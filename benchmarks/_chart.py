"""Lines as a picture (SVG) for the manual, readable on light and dark pages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

import numpy as np

COLORS = ("#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e")
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 560, 300, 64, 48, 16, 150
INK = "#777777"
TICKS = 5  # steps of an axis at most
ROUND = (1, 2, 5, 10)

Points = Sequence[tuple[float, float]]


def ticks(low: float, high: float) -> list[float]:
    """Return round numbers, equally far apart, the first at most `low` and the last at least `high`."""
    wide = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(wide / TICKS))
    for step in (many * power for many in (*ROUND, 2 * ROUND[-1])):
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if last - first <= TICKS:
            break
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def draw_lines(file: Path, lines: Mapping[str, Points], titles: tuple[str, str], log: bool = False) -> None:
    """Draw named lines.

    Parameters
    ----------
    file : Path
        SVG to write.
    lines : mapping of points
        Points (x, y) by name, in the order of x.
    titles : (str, str)
        Of both axes.
    log : bool
        Whether x is drawn as its logarithm.
    """
    xs, ys = (np.array([point[i] for points in lines.values() for point in points], float) for i in (0, 1))
    marks = sorted(set(xs.tolist())) if log else ticks(xs.min(), xs.max()), ticks(min(0.0, ys.min()), ys.max())
    ends = [(some[0], some[-1]) for some in marks]

    def across(x: float) -> float:
        low, high, at = (np.log(v) if log else v for v in (*ends[0], x))
        return float(LEFT + (WIDTH - LEFT - RIGHT) * (at - low) / max(high - low, 1e-9))

    def up(y: float) -> float:
        low, high = ends[1]
        return float(HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * (y - low) / max(high - low, 1e-9))

    font = f'font-family="sans-serif" font-size="13" fill="{INK}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">']
    for y in marks[1]:
        parts.append(f'<path d="M{LEFT} {up(y):.1f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-opacity="0.3"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{up(y) + 4:.1f}" text-anchor="end" {font}>{y:g}</text>')
    for x in marks[0]:
        parts.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" {font}>{x:g}</text>')
    middle, half = (LEFT + WIDTH - RIGHT) / 2, (HEIGHT - BOTTOM + TOP) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle" {font}>{escape(titles[0])}</text>')
    turned = f'transform="rotate(-90 14 {half})" text-anchor="middle"'
    parts.append(f'<text x="14" y="{half}" {turned} {font}>{escape(titles[1])}</text>')
    for number, points in enumerate(lines.values()):
        color = COLORS[number % len(COLORS)]
        strokes = "".join(f"L{across(x):.1f} {up(y):.1f}" for x, y in points)
        parts.append(f'<path d="M{strokes[1:]}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="2.5" fill="{color}"/>' for x, y in points]
    places = _apart({name: up(points[-1][1]) for name, points in lines.items()})
    for name, place in places.items():
        color = COLORS[list(lines).index(name) % len(COLORS)]
        text = font.replace(INK, color)
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{place + 4:.1f}" {text}>{escape(name)}</text>')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([*parts, "</svg>\n"]), "utf-8")


def _apart(places: Mapping[str, float], least: float = 16) -> dict[str, float]:
    """Move names that would lie on each other."""
    made = dict(sorted(places.items(), key=lambda item: item[1]))
    for one, other in pairwise(list(made)):
        made[other] = max(made[other], made[one] + least)
    return made


def draw_bars(file: Path, groups: Mapping[str, Mapping[str, float]]) -> None:
    """Draw groups of bars, from 0 to 1.

    Parameters
    ----------
    file : Path
        SVG to write.
    groups : mapping of mappings
        Values by the name of the bar, by the name of the group; all groups have the same bars.
    """
    names = list(next(iter(groups.values())))
    wide = (WIDTH - LEFT - RIGHT) / len(groups)
    thick = wide * 0.8 / len(names)
    font = f'font-family="sans-serif" font-size="13" fill="{INK}"'
    low, high = HEIGHT - BOTTOM, TOP
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">']
    for y in ticks(0, 1):
        at = low - (low - high) * y
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="{INK}" stroke-opacity="0.3"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end" {font}>{y:g}</text>')
    for place, (group, values) in enumerate(groups.items()):
        left = LEFT + wide * (place + 0.1)
        parts.append(
            f'<text x="{left + 0.4 * wide:.1f}" y="{low + 18}" text-anchor="middle" {font}>{escape(group)}</text>'
        )
        for number, name in enumerate(names):
            tall, x = (low - high) * values[name], left + thick * number
            color = COLORS[number % len(COLORS)]
            parts.append(
                f'<rect x="{x:.1f}" y="{low - tall:.1f}" width="{thick - 2:.1f}" height="{tall:.1f}" fill="{color}"/>'
            )
    for number, name in enumerate(names):
        text = font.replace(INK, COLORS[number % len(COLORS)])
        parts.append(f'<text x="{WIDTH - RIGHT + 10}" y="{TOP + 20 * (number + 1)}" {text}>{escape(name)}</text>')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([*parts, "</svg>\n"]), "utf-8")
