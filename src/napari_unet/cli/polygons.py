"""Labels as polygons: on the map, for QuPath and for ImageJ."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from .. import workflows
from .._terminal import say_json, tell, watch
from ..core.errors import OutputError, SpecError
from ..core.polygons import Meaning, Polygons, PolygonSpec

__all__ = ["facts_of", "polygons", "remarks"]

_SPEC: Final = PolygonSpec()


def polygons(  # noqa: PLR0913  # a command's options are its arguments
    labels: Annotated[Path, typer.Argument(help="Labels, as 'segment' writes them.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: .gpkg, .geojson or .zip.")],
    simplify: Annotated[
        float, typer.Option(help="Detail to leave out, pixels; shared borders stay shared. 0: exact.")
    ] = _SPEC.simplify,
    right_angles: Annotated[bool, typer.Option(help="Give polygons right angles, as buildings have.")] = False,
    min_area: Annotated[
        float, typer.Option(help="Leave out what is smaller: square meters; pixels where there is no map.")
    ] = _SPEC.min_area,
    fill_holes: Annotated[bool, typer.Option(help="Fill holes in objects.")] = False,
    parts: Annotated[
        bool | None,
        typer.Option(
            "--parts/--whole", help="A polygon for each part of a label; else one. Without it parts of classes only."
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help="What labels mean, where their file does not say: '1=building,2=water'.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="How sure the model was, on the same grid; the mean is an object's confidence.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for scripts, and nothing else.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Turn labels into polygons that open on a map, in QuPath or in ImageJ: one for each label.

    A GeoPackage (.gpkg) keeps the coordinates of the labels. GeoJSON is in longitude and latitude, or in pixels for
    QuPath where the labels lie on no map. A .zip is for the ROI Manager of ImageJ and Fiji; stacks and movies have
    polygons on each plane. On a map each polygon has its label, class, area in square meters, number of pixels,
    centroid, confidence and source.
    """
    spec = PolygonSpec.of(
        simplify=simplify, right_angles=right_angles, min_area=min_area, holes="fill" if fill_holes else "keep",
        each="auto" if parts is None else "part" if parts else "object",
    )  # fmt: skip
    if output.resolve() == labels.resolve():
        raise OutputError(f"--output would replace the labels '{labels}' themselves. Choose another name.")
    meaning = Meaning(_names(classes), source=str(labels))
    found = watch(workflows.write_polygons_steps(labels, output, spec, meaning, scores, overwrite=overwrite))
    if as_json:
        say_json({"labels": str(labels), "output": str(output)} | facts_of(found))
    else:
        tell({"Polygons": len(found)} | remarks(found) | {"File": output})


def facts_of(found: Polygons) -> dict[str, Any]:
    """Return what a script wants to know of polygons."""
    return {"polygons": len(found), "repaired": found.repaired, "uneven": found.uneven, "small": found.small}


def remarks(found: Polygons) -> dict[str, str]:
    """Return in words what was done to some of the polygons."""
    said = {
        "Repaired": (found.repaired, "crossed themselves"),
        "Not right-angled": (found.uneven, "have no right angles that would be like them"),
        "Left out": (found.small, "were smaller than asked for"),
    }
    return {title: f"{count} that {words}" for title, (count, words) in said.items() if count}


def _names(text: str | None) -> dict[int, str]:
    try:
        pairs = [part.split("=", 1) for part in (text or "").split(",") if part.strip()]
        return {int(number): name.strip() for number, name in pairs}
    except ValueError:
        raise SpecError(f"--classes takes numbers and names, such as 1=building,2=water; not '{text}'.") from None
