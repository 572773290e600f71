"""Before and after a run: what it will take, and whether it comes out the same when it is done again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from .. import workflows
from .._terminal import say_json, tell, watch
from ..core.audit import Audit
from ..core.preflight import Preflight
from ..core.steps import Steps
from ._options import Channel, Series

__all__ = ["audit", "look_ahead"]

_DIFFERENT: Final = 1
_LISTED: Final = 20


def audit(  # noqa: PLR0913  # a command's options are its arguments
    labels: Annotated[Path, typer.Argument(help="Labels that 'segment' wrote: .ome.zarr or .tif.", show_default=False)],
    image: Annotated[Path, typer.Argument(help="The image they are of.", show_default=False)],
    series: Series = None,
    channel: Channel = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Folder of the model, if it was moved; again for several.", show_default="as then"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="Where to compute.", show_default="as then")] = None,
    workers: Annotated[int, typer.Option(help="Threads; 0 uses all cores.")] = 0,
    table: Annotated[Path | None, typer.Option(help="Write every object that differs to this .csv.")] = None,
    scratch: Annotated[
        Path | None, typer.Option(help="Folder for what is needed meanwhile.", show_default="the system's")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for scripts, and nothing else.")
    ] = False,
) -> None:
    """Segment an image again with other tiles, and list every object that differs from its labels.

    Settings, intensities and object width are those that the labels name. The exit code is 0 if every pixel belongs to
    the same object, and 1 if not.
    """
    if table:
        workflows.check_place(table, overwrite=True)
    files = [image if series is None else workflows.choose_series(image, series), *(channel or ())]
    steps = workflows.audit_steps(
        labels, files, model=tuple(model) if model else None, device=device, workers=workers, scratch=scratch
    )
    found = watch(steps)
    if table:
        workflows.write_table(table, found.table)
    if as_json:
        say_json({"labels": str(labels), "image": str(image)} | found.to_dict())
    else:
        _say(found, table)
    if not found.equal:
        raise typer.Exit(_DIFFERENT)


def look_ahead(steps: Steps[Preflight], as_json: bool) -> None:
    """Say what a run will take, and do nothing else.

    Parameters
    ----------
    steps : generator of Progress
        From :func:`~napari_unet.workflows.preflight_steps`.
    as_json : bool
        Print for scripts.
    """
    found = watch(steps)
    if as_json:
        say_json(found.to_dict())
        return
    tell(found.rows)
    for warning in found.warnings:
        typer.echo(warning, err=True)


def _say(found: Audit, table: Path | None) -> None:
    cut, share = found.cut, found.pixels_differing / found.pixels
    rows = {
        "Objects": f"{found.objects} in the labels, {found.found} now",
        "Tiles": f"{_edges(cut.get('edges_then'))} then, {_edges(cut.get('edges'))} now",
        "Objects that differ": found.differing,
        "Pixels that differ": f"{found.pixels_differing} ({share:.3%})",
    }
    tell(rows | ({"Table": table} if table else {}))
    places = [name for name in found.table if name not in ("label", "pixels", "pixels_again", "overlap")]
    for row in list(zip(*found.table.values(), strict=True))[:_LISTED]:
        one = dict(zip(found.table, row, strict=True))
        at = ", ".join(f"{axis} {one[axis]}" for axis in places)
        sizes = f"{one['pixels']} pixels then, {one['pixels_again']} now"
        typer.echo(f"  label {one['label']} at {at}: {sizes}")
    if found.differing > _LISTED:
        typer.echo(f"  and {found.differing - _LISTED} more: --table lists all")
    for note in (
        *found.notes,
        *(["The objects are the same, but some have other numbers."] if found.renumbered else []),
    ):
        typer.echo(note, err=True)


def _edges(edges: list[int] | None) -> str:
    return " x ".join(map(str, edges)) if edges else "others"
