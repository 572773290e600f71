"""``change``: what a map of classes becomes over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import workflows
from .._terminal import say_json, tell, watch
from . import _options as options
from .reading import say

__all__ = ["EXAMPLES", "change"]

EXAMPLES = (
    "napari-unet change cover.ome.zarr --classes building,land,water --unit ha --output change.csv\n\n"
    "napari-unet change 2019.tif 2024.tif --output change.csv --areas areas.csv"
)


def change(  # noqa: PLR0913  # a command's options are its arguments
    labels: Annotated[
        list[Path], typer.Argument(help="Maps of classes: one with time, or one for each date.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table of what turned into what, .csv.")],
    areas: Annotated[Path | None, typer.Option(help="Table of the area of each class at each date, .csv.")] = None,
    classes: Annotated[str, typer.Option(help="Names of the classes 1, 2 and so on: building,land.")] = "",
    unit: Annotated[str, typer.Option(help="Of areas: m2, ha, km2, mm2 or pixels.", show_default="m2 if known")] = "",
    unknown: Annotated[bool, typer.Option("--unknown", help="0 means that nothing is known there.")] = False,
    axes: Annotated[
        str | None, typer.Option(help="What the dimensions of a file are: tyx, or yx where each date is a file.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for scripts, and nothing else.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Compare maps of classes of the same place at several dates: areas, and what turned into what."""
    options.apart({"--output": output, "--areas": areas})
    for place in (output, areas):
        if place is not None:
            workflows.check_place(place, overwrite=overwrite)
    names = [word.strip() for word in classes.split(",")] if classes else []
    maps = [workflows.read_labels(file, axes) for file in labels]
    for file, one in zip(labels, maps, strict=True):
        say(file, one)
    sizes, changes = watch(workflows.change_steps(maps, names, unit, empty=not unknown))
    workflows.write_table(output, changes)
    if areas is not None:
        workflows.write_table(areas, sizes)
    first, last = min(sizes["t"]), max(sizes["t"])
    per = {(t, n): a for t, n, a in zip(sizes["t"], sizes["name"], sizes["area"], strict=True)}
    known = list(dict.fromkeys(sizes["name"].tolist()))
    dates = list(dict.fromkeys(sizes["date"].tolist())) if "date" in sizes else []
    if as_json:
        rows = {name: {"first": float(per[first, name]), "last": float(per[last, name])} for name in known}
        named = {"named": dates} if dates else {}
        facts = {"unit": str(sizes["unit"][0]), "dates": int(last) + 1, **named, "classes": rows}
        say_json(facts | {"output": str(output)})
        return
    tell(
        ({"Dates": f"{dates[0]} to {dates[-1]}"} if dates else {})
        | {n: f"{per[first, n]:,.6g} to {per[last, n]:,.6g} {sizes['unit'][0]}" for n in known}
        | {"Table": output} | ({"Areas": areas} if areas else {})
    )  # fmt: skip
