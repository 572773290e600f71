"""The command line: the same verbs, settings and labels as in the viewer and in Python."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from .. import __version__, workflows
from .._terminal import Commands, InWords, plain, say_anything, say_json, tell, watch
from ..core.axes import Image
from ..core.errors import MissingExtraError, OutputError
from ..core.polygons import Meaning
from ..core.results import MAPS, Segmentation
from ..core.specs import SegmentSpec
from ..core.steps import Steps
from . import _options as options
from . import batch as many
from . import change, checks, driving, inspection, lesions, measuring, models, planning, reading, training
from . import polygons as mapping
from . import tracks as tracking
from .reading import open_image

__all__ = ["app", "main"]

_SEGMENT: Final = SegmentSpec()
_SCORES: Final = ("AP50", "AP75", "mAP", "F1_50", "PQ")


app = Commands(
    cls=InWords, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Find, measure, track and compare cells, tumors, land cover and defects in images.",
    epilog="Try it: napari-unet demo\n\nYour own image: napari-unet segment cells.tif --output labels.tif",
)  # fmt: skip
app.add_typer(models.app, name="models")
app.command(epilog="napari-unet track labels.ome.zarr --output tracks.csv --axes tyx")(tracking.track)
app.command(epilog="napari-unet audit labels.ome.zarr cells.tif")(checks.audit)
app.command(epilog="napari-unet report scan.tif lesions.tif --output report.html")(lesions.report)
app.command(epilog=reading.EXAMPLES)(reading.regrid)
app.command(epilog="napari-unet series dicom-folder")(reading.series)
app.command(epilog="napari-unet plan my-images --validation 0.2")(planning.plan)
app.command(epilog=training.EXAMPLES)(training.train)
app.command(epilog="napari-unet polygons labels.tif --output buildings.gpkg --simplify 1 --min-area 5")(
    mapping.polygons
)
app.command(epilog=many.EXAMPLES)(many.batch)
app.command(epilog=inspection.EXAMPLES)(inspection.inspect)
app.command(epilog=change.EXAMPLES)(change.change)
app.command(epilog=measuring.EVALUATE)(measuring.evaluate)
app.command(epilog=measuring.MEASURE)(measuring.measure)
app.command(epilog=measuring.GROW)(measuring.grow)
app.command(hidden=True)(driving.drive)

_Model = Annotated[str, typer.Option(help="Name of a model ('napari-unet models' lists them) or its folder.")]
_Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda (NVIDIA) or mps (Apple).")]
_Axes = Annotated[
    str | None, typer.Option(help="What the dimensions are, one letter each: t time, c channel, z depth, y, x.")
]
_Output = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts, and nothing else.")]


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"napari-unet-suite {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(
    epilog="napari-unet segment cells.tif --output labels.ome.zarr --table cells.csv\n\n"
    "napari-unet segment movie.tif --output labels.tif --axes tyx --diameter 25\n\n"
    "napari-unet segment T1.nii.gz --channel FLAIR.nii.gz --model my-tumors --output lesions.nii.gz"
)
def segment(  # noqa: PLR0913  # a command's options are its arguments
    image: options.Source,
    output: options.Labels,
    model: options.Models = None,
    diameter: options.Diameter = None,
    channel: options.Channel = None,
    channels: options.Channels = None,
    threshold: options.Threshold = None,
    min_size: options.MinSize = None,
    min_score: options.MinScore = None,
    link_z: options.LinkZ = _SEGMENT.link_z,
    stack: options.Stack = _SEGMENT.stack,
    average: options.Average = _SEGMENT.average,
    dropout_samples: options.DropoutSamples = _SEGMENT.dropout_samples,
    uncertainty: options.Uncertainty = None,
    confidence: options.Confidence = None,
    anomaly: options.Anomaly = None,
    device: _Device = _SEGMENT.device,
    runtime: options.Runtime = _SEGMENT.runtime,
    region: options.Region = None,
    background: options.Background = None,
    unreadable: options.Unreadable = _SEGMENT.unreadable,
    tile: options.Tile = _SEGMENT.tiling.tile,
    batch: options.Batch = _SEGMENT.tiling.batch,
    workers: options.Workers = _SEGMENT.tiling.workers,
    axes: _Axes = None,
    series: options.Series = None,
    table: options.Table = None,
    polygons: options.Polygons = None,
    scheduler: options.Scheduler = "",
    local_workers: options.LocalWorkers = 0,
    slurm: options.Slurm = None,
    part: options.PartNumber = 0,
    of: options.Parts = 0,
    work: options.Work = None,
    dry_run: options.DryRun = False,
    as_json: _Json = False,
    overwrite: _Overwrite = False,
) -> None:
    """Find the objects of an image and write one number for each: its label.

    Tile, batch and workers change time and memory, never the labels. With an output that ends in .ome.zarr the image
    may be of any size, and a run that was stopped goes on where it was when the same command is given again.
    """
    spec = SegmentSpec.of(
        model=model or _SEGMENT.model, diameter=diameter, channels=options.chosen_channels(channels),
        threshold=threshold, min_size=min_size or None, min_score=min_score, link_z=link_z, stack=stack,
        average=average, dropout_samples=dropout_samples, uncertainty=uncertainty is not None,
        anomaly=anomaly is not None, device=device, runtime=runtime,
        confidence=bool(confidence or (polygons and output.suffix != ".zarr")),  # which may be too large to keep
        background=background, unreadable=unreadable,
        tiling={"tile": tile, "batch": batch, "workers": workers},
    )  # fmt: skip
    if work:
        workflows.keep_runs_in(work, output)
    source = open_image(image, axes, series, channel)
    if region:
        spec = SegmentSpec.of(**(spec.model_dump() | {"region": workflows.read_region(region, source)}))
    pictures = {"uncertainty": uncertainty, "confidence": confidence, "anomaly": anomaly}
    named = {"output": output, **pictures, "table": table, "polygons": polygons}
    _check_places(image, source, {f"--{name}": place for name, place in named.items()}, overwrite)
    if dry_run:
        checks.look_ahead(workflows.preflight_steps(source, spec, output), as_json)
        return
    if part or of:
        cluster = {"--scheduler": scheduler, "--local-workers": local_workers, "--slurm": slurm}
        options.check_part(part, of, {"--table": table, "--polygons": polygons} | cluster)
        _do_part(source, spec, output, (part, of), as_json)
        return
    with workflows.open_cluster(scheduler, local_workers, slurm) as client:
        found = _segmented(
            workflows.segment_steps(
                source, spec, None if table else (), preview=False, output=output, overwrite=overwrite, client=client
            ),
            output,
        )
    if table:
        workflows.write_table(table, found.table)
    for name, place in pictures.items():
        if place and (picture := getattr(found, name)):
            workflows.write_image(place, picture, found.manifest, overwrite=overwrite)
    if polygons:
        meaning, sure = Meaning.told_by(found.manifest, str(image)), found.confidence
        watch(workflows.write_polygons_steps(found.labels, polygons, None, meaning, sure, overwrite=overwrite))
    show = _say_segmented if as_json else _tell_segmented
    show(found, {name: workflows.shown(place) for name, place in ({"image": image} | named).items() if place})


def _do_part(source: Image, spec: SegmentSpec, output: Path, part: tuple[int, int], as_json: bool) -> None:
    found = watch(workflows.segment_part_steps(source, spec, output, *part))
    facts = {"part": found.number, "of": found.of, "bricks": found.bricks, "scored": found.scored}
    if as_json:
        say_json(facts)
        return
    tell({name.capitalize(): value for name, value in facts.items()})
    typer.echo(f"When all parts are done: napari-unet finalize {workflows.shown(output)}", err=True)


@app.command(epilog="napari-unet finalize labels.ome.zarr")
def finalize(
    output: Annotated[Path, typer.Argument(help="Where the labels are to be: .ome.zarr.", show_default=False)],
    workers: options.Workers = 0,
    scheduler: options.Scheduler = "",
    local_workers: options.LocalWorkers = 0,
    work: options.Work = None,
    as_json: _Json = False,
) -> None:
    """Complete a segmentation that was begun in parts (segment --part), or that was stopped.

    What no part has done is done now. Image and settings are those that it was begun with.
    """
    if work:
        workflows.keep_runs_in(work, output)
    with workflows.open_cluster(scheduler, local_workers) as client:
        found = _segmented(workflows.finalize_steps(output, client, workers), output)
    (_say_segmented if as_json else _tell_segmented)(found, {"output": workflows.shown(output)})


def _segmented(steps: Steps[Segmentation], output: Path) -> Segmentation:
    try:
        return watch(steps)
    except KeyboardInterrupt:
        if workflows.is_unfinished(output):
            typer.echo("Give the same command again to go on where it was.", err=True)
        raise


def _say_segmented(found: Segmentation, places: dict[str, str]) -> None:
    say_json({name: places.get(name) for name in ("image", "output", "table")} | places | _facts(found))


def _tell_segmented(found: Segmentation, places: dict[str, str]) -> None:
    files = {"Labels": "output"} | {name.title(): name for name in ("table", *MAPS, "polygons")}
    written = {title: places[name] for title, name in files.items() if name in places}
    tell(_summary(_facts(found)) | _remarks(found) | written)
    if not found.objects and not found.flat:
        width = ", or give the width of the objects: --diameter" if found.sized else ""
        advice = "Is it of the kind that the model knows?" if found.classes else f"Try a lower --threshold{width}."
        typer.echo(f"Nothing was found. {advice}", err=True)


@app.command()
def info(as_json: _Json = False) -> None:
    """Show versions, device and models: what a report of a problem needs."""
    found = workflows.info()
    say_json(found) if as_json else tell({key: plain(value) for key, value in found.items()})


@app.command(epilog="napari-unet demo --output my-first-labels")
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("demo_output"),
    model: _Model = _SEGMENT.models[0],
    device: _Device = _SEGMENT.device,
    viewer: Annotated[bool, typer.Option(help="Open the viewer, where there is a screen.")] = True,
) -> None:
    """Segment two pictures that need no download, and show what comes out."""
    spec = SegmentSpec.of(model=model, device=device)
    # Before the clock runs, and before anything is written.
    workflows.load_model(model, spec.device)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"'{output}' cannot be made: {error.strerror or error}. Choose another --output.") from error
    shown = []
    for name in workflows.SAMPLES:
        image, truth = workflows.sample(name)
        labels, table, overlay = (output / f"{name}{ending}" for ending in (".ome.zarr", ".csv", ".png"))
        workflows.check_place(labels, image, overwrite=True)
        found = watch(workflows.segment_steps(image, spec, preview=False))
        workflows.write_labels(labels, found.labels, found.manifest, overwrite=True)
        workflows.write_table(table, found.table)
        workflows.write_overlay(overlay, image, found.labels)
        scores = {} if truth is None else workflows.evaluate(truth, found.labels)
        right = {name: f"{scores[name]:.3f}" for name in _SCORES if name in scores}
        tell({"Image": name} | _summary(_facts(found)) | right | {"Labels": labels, "Table": table, "Picture": overlay})
        typer.echo()
        shown.append((image, found.labels, found.table))
    if viewer and _has_screen():
        try:
            workflows.show(shown)
        except MissingExtraError as error:
            typer.echo(str(error), err=True)


def _facts(found: Segmentation) -> dict[str, Any]:
    speed = math.prod(found.labels.shape) / 1e6 / max(found.seconds, 1e-9)
    keys = ("device", "precision", "model", "sha256", "labels_hash")
    return {
        "objects": found.objects, "diameter": found.diameter, "seconds": round(found.seconds, 3),
        "megapixels_per_second": round(speed, 3), **{key: found.manifest[key] for key in keys},
        "sized": found.sized, "classes": [row.name for row in found.classes],
        "shares": {name: round(share, 6) for name, share in found.shares.items()},
        "not_a_number": found.manifest.get("not_a_number", 0), "unreadable": found.manifest.get("unreadable", []),
        **{key: found.manifest[key] for key in ("agreement_percent",) if key in found.manifest},
        **{key: found.manifest["image"][key] for key in ("channels",) if key in found.manifest.get("image", {})},
    }  # fmt: skip


def _summary(facts: dict[str, Any]) -> dict[str, Any]:
    shares = ", ".join(f"{name} {share:.1%}" for name, share in facts["shares"].items())
    classes = {"Classes": shares or f"of {len(facts['classes'])}: {', '.join(facts['classes'])}"}
    return {
        **(classes if facts["classes"] else {"Objects": facts["objects"]}),
        **({"Object width": f"{facts['diameter']:.1f} pixels"} if facts["sized"] else {}),
        "Time": f"{facts['seconds']:.2f} s ({facts['megapixels_per_second']:.2f} Mpx/s)",
        "Device": f"{facts['device']} ({facts['precision']})",
        "Model": f"{facts['model']} (sha256 {facts['sha256'][:12]})",
    }


def _remarks(found: Segmentation) -> dict[str, str]:
    remarks = {"Agreement": found.agreement, "Not seen": found.unseen, "Not used": found.unused}
    return {name: text for name, text in remarks.items() if text}


def _check_places(image: Path, source: Image, places: dict[str, Path | None], overwrite: bool) -> None:
    options.apart(places)
    for option, path in places.items():
        if path is None:
            continue
        if path.resolve() in {Path(file).resolve() for file in (str(image), *source.files)}:
            raise OutputError(f"{option} would replace the image '{path}' itself. Choose another name.")
        if option == "--table":
            workflows.check_place(path, overwrite=overwrite)
        else:
            noun = {"--output": "labels", "--polygons": "polygons"}.get(option, "an image")
            # Whether labels in OME-Zarr may stay, because they are those asked for, is seen when the run begins.
            allowed = overwrite or (option == "--output" and path.suffix.lower() == ".zarr")
            if note := workflows.check_place(path, source, allowed, noun):
                typer.echo(note, err=True)


def _has_screen() -> bool:
    """Say whether somebody is there to look at a window."""
    drawn = sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(drawn) and not os.environ.get("CI") and sys.stdin is not None and sys.stdin.isatty()


def main() -> None:
    """Run the command line of this process; the entry point of ``napari-unet``."""
    say_anything()
    app(prog_name="napari-unet")
