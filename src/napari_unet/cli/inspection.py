"""``inspect``: defects one by one, and pass or fail as the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from .. import workflows
from .._terminal import say_json, tell, watch
from ..core.inspecting import InspectSpec
from ..core.specs import SegmentSpec
from . import _options as options
from .reading import channels_of, one_of

__all__ = ["EXAMPLES", "inspect"]

EXAMPLES: Final = (
    "napari-unet inspect tiles --model my-defects --output report.csv\n\n"
    "napari-unet inspect scan.tif --model my-defects --pixel-size 0.05 --fail-if 'area > 2 mm2' --output report.csv\n\n"
    "napari-unet inspect heights --channel glosses --model my-defects --output report.csv"
)
_SEGMENT: Final = SegmentSpec()


def inspect(  # noqa: PLR0913  # a command's options are its arguments
    images: Annotated[list[Path], typer.Argument(help="Images, or a folder of them.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Table of all defects to write, .csv.")],
    model: Annotated[list[str], typer.Option(help="Name of a model or its folder; given again, models are averaged.")],
    fail_if: Annotated[
        str,
        typer.Option(
            help="Rule by which an image fails: class, area, length, count and confidence, compared with numbers "
            "(pixels, or with a unit such as mm2), joined by and, or, not."
        ),
    ] = "count > 0",
    pixel_size: Annotated[
        float | None, typer.Option(help="Edge of a pixel in mm.", show_default="what images say")
    ] = None,
    unseen: Annotated[
        float, typer.Option(help="Share of an image, 0 to 1, that may hold no numbers; with more nobody knows.")
    ] = 0.0,
    labels: Annotated[Path | None, typer.Option(help="Folder for the labels, as OME-Zarr.")] = None,
    series: options.OneSeries = None,
    channel: options.Channel = None,
    channels: options.Channels = None,
    average: options.Average = _SEGMENT.average,
    device: Annotated[str, typer.Option(help="Where to compute: auto, cpu, cuda or mps.")] = _SEGMENT.device,
    workers: options.Workers = _SEGMENT.tiling.workers,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object for scripts, and nothing else.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Look for defects, and say by the exit code whether all images pass: 0 yes, 1 some fail, 2 of some nobody knows.

    Beside the table of defects lies that of images, with verdicts and reasons. Rows are written as they come; the same
    command goes on with the images that are left. Of a folder of images --channel takes a folder, too, whose files bear
    the same names.
    """
    spec = SegmentSpec.of(
        model=tuple(model) if len(model) > 1 else model[0], channels=options.chosen_channels(channels), average=average,
        uncertainty=average != "none" or len(model) > 1, device=device, tiling={"workers": workers},
    )  # fmt: skip
    how = InspectSpec.of(rule=fail_if, pixel_size=pixel_size, unseen=unseen)
    sources = channels_of(one_of(images, series), channel)
    found = watch(workflows.inspect_steps(sources, output, spec, how, labels=labels, overwrite=overwrite))
    if as_json:
        say_json({"passed": found.passed, "failed": found.failed, "errors": found.errors, "defects": found.defects})
    else:
        tell({
            "Passed": found.passed, "Failed": found.failed, "Not inspected": found.errors, "Defects": found.defects,
            "Report": output,
        })  # fmt: skip
    if found.code:
        raise typer.Exit(found.code)
