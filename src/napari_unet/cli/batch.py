"""``batch``: many images, one after the other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from .. import workflows
from .._terminal import say_json, tell, watch
from ..core.batches import FORMATS, in_words
from ..core.specs import SegmentSpec
from . import _options as options
from .reading import channels_of, one_of

__all__ = ["EXAMPLES", "batch"]

EXAMPLES: Final = (
    "napari-unet batch my-images --output results\n\n"
    "napari-unet batch plate.ome.zarr --output results --diameter 22 --into-plate nuclei\n\n"
    "napari-unet batch dapi --channel actin --model my-cells --output results --format .tif\n\n"
    "napari-unet batch my-images --output nuclei --inside foci"
)
_SEGMENT: Final = SegmentSpec()


def batch(  # noqa: PLR0913  # a command's options are its arguments
    images: Annotated[
        list[Path], typer.Argument(help="Images, folders of them, or a plate (OME-Zarr).", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")],
    model: options.Models = None,
    diameter: options.Diameter = None,
    series: options.OneSeries = None,
    channel: options.Channel = None,
    channels: options.Channels = None,
    threshold: options.Threshold = None,
    min_size: options.MinSize = None,
    min_score: options.MinScore = None,
    link_z: options.LinkZ = _SEGMENT.link_z,
    stack: options.Stack = _SEGMENT.stack,
    average: options.Average = _SEGMENT.average,
    dropout_samples: options.DropoutSamples = _SEGMENT.dropout_samples,
    around: options.Around = "",
    inside: options.InsideMany = None,
    within: options.WithinMany = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="A column that says where averaged answers differ.")
    ] = False,
    confidence: Annotated[
        bool, typer.Option("--confidence", help="A column that says how sure the model is; labels are kept in memory.")
    ] = False,
    background: options.Background = None,
    unreadable: options.Unreadable = _SEGMENT.unreadable,
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda or mps.")] = _SEGMENT.device,
    runtime: options.Runtime = _SEGMENT.runtime,
    tile: options.Tile = _SEGMENT.tiling.tile,
    at_once: options.Batch = _SEGMENT.tiling.batch,
    workers: options.Workers = _SEGMENT.tiling.workers,
    axes: Annotated[
        str | None, typer.Option(help="What the dimensions are where images do not say it, such as tyx.")
    ] = None,
    kind: Annotated[str, typer.Option("--format", help=f"How files of labels end: {', '.join(FORMATS)}.")] = FORMATS[0],
    into_plate: Annotated[
        str,
        typer.Option(
            help="Write the labels into the images, too, under this name: all are OME-Zarr then, such as a plate.",
            show_default="beside them only",
        ),
    ] = "",
    scheduler: options.Scheduler = "",
    local_workers: options.LocalWorkers = 0,
    slurm: options.Slurm = None,
    part: Annotated[
        int, typer.Option(help="Do only this part of --of, from 1; the same without both completes them.")
    ] = 0,
    of: options.Parts = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for scripts, and nothing else.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Segment many images, one after the other, and measure all objects: labels, a table of objects, one of images.

    A file that holds several images, such as positions of a stage or the wells of a plate, counts as so many. An image
    that cannot be segmented is named, and the others go on; the exit code is then 1. The same command goes on where it
    was stopped, does what is new, and measures again what was corrected by hand. Of a folder of images --channel takes
    a folder, too, whose files bear the same names.
    """
    spec = SegmentSpec.of(
        model=model or _SEGMENT.model, diameter=diameter, channels=options.chosen_channels(channels),
        threshold=threshold, min_size=min_size or None, min_score=min_score, link_z=link_z, stack=stack,
        average=average, dropout_samples=dropout_samples, uncertainty=uncertainty, confidence=confidence,
        background=background, unreadable=unreadable, device=device, runtime=runtime,
        tiling={"tile": tile, "batch": at_once, "workers": workers},
    )  # fmt: skip
    if part or of:
        options.check_both(part, of)
    with workflows.open_cluster(scheduler, local_workers, slurm) as client:
        found = watch(
            workflows.batch_steps(
                channels_of(one_of(images, series), channel),
                output,
                spec,
                kind=kind,
                axes=axes,
                overwrite=overwrite,
                client=client,
                part=(part, of) if of else None,
                around=around,
                inside=inside,
                within=within,
                into_plate=into_plate,
            )
        )
    if as_json:
        counts: dict[str, Any] = {"done": found.done, "failed": found.failed, "objects": found.objects}
        counts |= {"classes": dict(found.shares)} if found.shares else {}
        say_json(counts | {"output": str(output), "images": [asdict(one) for one in found.images]})
    else:
        tables = f"{output / 'objects.csv'}, {output / 'images.csv'}"
        failed = {"Not segmented": found.failed} if found.failed else {}
        mean = f"{in_words(found.shares)} (mean of {found.done} image{'s' * (found.done != 1)})"
        said = {"Classes": mean} if found.shares else {"Objects": found.objects}
        tell({
            "Images": found.done, **failed, **said, "Labels": output / "labels",
            **({} if part else {"Tables": tables}),
        })  # fmt: skip
        if part:
            typer.echo("When all parts are done, give the same command without --part and --of.", err=True)
    if found.failed:
        raise typer.Exit(1)
