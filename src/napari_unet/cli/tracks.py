"""Follow objects through time, and judge tracks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from .. import workflows
from .._terminal import say_json, tell, watch
from ..core.axes import Image
from ..core.errors import SpecError
from ..core.linking import LinkSpec
from ..core.results import Annotation, Tracks
from . import _options as options
from .reading import say

__all__ = ["evaluate", "track"]

_LINK: Final = LinkSpec()

_Axes = Annotated[
    str | None, typer.Option(help="What the dimensions are, one letter each: t time, c channel, z depth, y, x.")
]
_Output = Annotated[Path, typer.Option("--output", "-o", help="File or folder to write.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts, and nothing else.")]


def track(  # noqa: PLR0913  # a command's options are its arguments
    labels: Annotated[Path, typer.Argument(help="Labels of a movie, or a folder of masks.", show_default=False)],
    output: _Output,
    max_distance: Annotated[float, typer.Option(help="Farthest step, in object widths.")] = _LINK.max_distance,
    min_overlap: Annotated[float, typer.Option(help="Share of two masks in common, 0 to 1.")] = _LINK.min_overlap,
    max_gap: Annotated[int, typer.Option(help="Frames that an object may be missing.")] = _LINK.max_gap,
    division: Annotated[bool, typer.Option(help="Let an object become two.")] = _LINK.division,
    merging: Annotated[bool, typer.Option(help="Let two objects become one.")] = _LINK.merging,
    steady: Annotated[
        bool, typer.Option("--steady", help="Look for objects where their tracks lead: they keep their way.")
    ] = _LINK.steady,
    method: Annotated[
        str,
        typer.Option(help="How links are chosen: lap, two frames at a time; motile, many together (slow)."),
    ] = _LINK.method,
    image: Annotated[Path | None, typer.Option(help="What was segmented: brightness helps to tell who is who.")] = None,
    model: Annotated[
        str, typer.Option(help="Model that foretells motion (task motion); needs --image.", show_default="none")
    ] = "",
    fill_gaps: Annotated[
        bool, typer.Option(help="Draw masks where a track skips frames, in a folder of masks.")
    ] = False,
    table: Annotated[
        Path | None,
        typer.Option(help="File for a table with one line a track: lifetime, speed, size, family, in physical units."),
    ] = None,
    axes: _Axes = None,
    scheduler: options.Scheduler = "",
    local_workers: options.LocalWorkers = 0,
    slurm: options.Slurm = None,
    as_json: _Json = False,
    overwrite: _Overwrite = False,
) -> None:
    """Follow objects through time: which track each belongs to, which track that comes from, and its lineage.

    The ending of the output says how it is written: .csv is a table with a line for each object and frame, .geff a
    graph for other programs, .xml a file for TrackMate, and a name without ending a folder of the Cell Tracking
    Challenge (masks and res_track.txt).
    """
    spec = LinkSpec.of(
        max_distance=max_distance, min_overlap=min_overlap, max_gap=max_gap, division=division, merging=merging,
        steady=steady, method=method,
    )  # fmt: skip
    options.apart({"--output": output, "--table": table})
    workflows.check_tracks_place(output, None, overwrite)
    if fill_gaps and output.suffix:
        raise SpecError(f"--fill-gaps draws masks, and '{output}' holds none. Leave it out, or write a folder of them.")
    if table:
        workflows.check_place(table, overwrite=overwrite)
    movie = workflows.read_labels(labels, axes)
    workflows.check_tracks_place(output, movie, overwrite)
    picture = workflows.read_image(image, axes) if image else None
    for place, read in ((labels, movie), (image, picture)):
        if place and read:
            say(place, read)
    with workflows.open_cluster(scheduler, local_workers, slurm) as client:
        found = watch(workflows.track_steps(movie, spec, picture, model, client))
    workflows.write_tracks(output, found, workflows.relabel(movie, found, fill_gaps=fill_gaps), overwrite)
    if table:
        workflows.write_table(table, workflows.summarize_tracks(found))
    units = {"time": found.units[0], "length": found.units[-1]}
    if as_json:
        more = {"table": str(table), "units": units} if table else {}
        say_json({"labels": str(labels), "output": str(output)} | found.counts | more)
        return
    more = {"Table": f"{table} (in {units['length']} and {units['time']})"} if table else {}
    tell({name.capitalize(): number for name, number in found.counts.items()} | {"Written": output} | more)


def evaluate(places: tuple[Path, Path], errors: Path | None, axes: str | None, as_json: bool, overwrite: bool) -> None:
    """Score tracks and say how good they are.

    Parameters
    ----------
    places : tuple of Path
        The truth, and what is judged.
    errors : Path or None
        Where the list of errors goes.
    axes : str or None
        Of label files.
    as_json : bool
        Print one JSON object.
    overwrite : bool
        Replace a list that is there.
    """
    if errors:
        workflows.check_place(errors, overwrite=overwrite)
    annotations = workflows.read_annotations(places[0]) if places[0].is_dir() else ()
    on = {"SEG judged on": _parts(annotations)} if places[0].is_dir() else {}
    if annotations and not workflows.has_tracks(places[0]):
        if errors:
            raise SpecError(
                f"'{places[0]}' holds true masks and no tracks: no errors can be listed. Leave out --errors."
            )
        _score_masks(places[1], annotations, axes, as_json, on)
        return
    (true, truth), (found, labels) = (_tracked(place, axes) for place in places)
    judged = watch(workflows.score_tracks_steps(found, labels, true, truth, annotations))
    if errors:
        workflows.write_table(errors, judged.errors)
    scores = {name: None if math.isnan(value) else value for name, value in judged.scores.items()}
    if as_json:
        say_json(scores | {"errors": len(judged.errors["kind"]), "annotations": len(annotations)})
        return
    words = {name: "nothing to judge" if value is None else f"{value:.4f}" for name, value in scores.items()}
    tell(words | on | {"Errors": len(judged.errors["kind"])} | ({"List": errors} if errors else {}))


def _parts(annotations: Sequence[Annotation]) -> str:
    if not annotations:
        return "the masks of the true tracks"
    return f"{len(annotations)} annotated {'frames' if all(one.z is None for one in annotations) else 'planes'}"


def _score_masks(
    place: Path, annotations: Sequence[Annotation], axes: str | None, as_json: bool, on: Mapping[str, object]
) -> None:
    """Score masks by a truth that has no tracks."""
    labels = _tracked(place, axes)[1]
    score = watch(workflows.score_annotations_steps(labels, annotations))
    if as_json:
        say_json({"SEG": None if math.isnan(score) else score, "annotations": len(annotations)})
    else:
        tell({"SEG": "nothing to judge" if math.isnan(score) else f"{score:.4f}", **on})


def _tracked(place: Path, axes: str | None) -> tuple[Tracks, Image]:
    """Read tracks and their masks; what is wrong with the files is said."""
    if place.is_dir() and place.suffix.lower() != ".zarr":
        read = workflows.read_tracks(place)
        for problem in read.problems:
            typer.echo(f"{place}: {problem}", err=True)
        if read.labels is None:
            raise SpecError(f"'{place}' holds no masks, which the scores need. Give a folder with masks.")
        return read.tracks, read.labels
    labels = workflows.read_labels(place, axes)
    return watch(workflows.follow_ids_steps(labels)), labels
