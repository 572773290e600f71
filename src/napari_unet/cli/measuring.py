"""Measure objects, and compare them with the truth."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from .. import workflows
from .._terminal import say_json, tell, watch
from ..core.axes import Image
from ..core.errors import AxesError, SpecError
from . import _options as options
from . import lesions
from . import tracks as tracking
from .reading import open_image

__all__ = ["EVALUATE", "GROW", "MEASURE", "evaluate", "grow", "measure"]

EVALUATE: Final = "napari-unet evaluate true.tif found.tif\n\nnapari-unet evaluate true-labels found-labels --json"
GROW: Final = (
    "napari-unet grow nuclei.tif --by '5 um' --output cells.tif\n\n"
    "napari-unet grow nuclei.ome.zarr --by 12 --ring --output cytoplasm.ome.zarr"
)
MEASURE: Final = (
    "napari-unet measure labels.ome.zarr --image cells.tif --output cells.csv\n\n"
    "napari-unet measure nuclei.tif --image cells.tif --around '5 um' --output cells.csv\n\n"
    "napari-unet measure nuclei.tif --inside foci.tif --output nuclei.csv\n\n"
    "napari-unet measure tumors.tif --measure lesions --output tumors.csv\n\n"
    "napari-unet measure lesions.nii.gz --image T1.nii.gz --channel FLAIR.nii.gz --output lesions.csv"
)

_Output = Annotated[Path, typer.Option("--output", "-o", help="File to write.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts, and nothing else.")]


def evaluate(  # noqa: PLR0913  # a command's options are its arguments
    truth: Annotated[Path, typer.Argument(help="True labels: a file, or a folder of files.", show_default=False)],
    predicted: Annotated[
        Path, typer.Argument(help="Labels to judge; in a folder, of equal names.", show_default=False)
    ],
    tracks: Annotated[
        bool, typer.Option("--tracks", help="Compare tracks: two movies whose numbers are tracks.")
    ] = False,
    errors: Annotated[Path | None, typer.Option(help="CSV file for the list of errors of tracks.")] = None,
    axes: Annotated[str | None, typer.Option(help="What the dimensions of movies are, such as tyx.")] = None,
    metrics: options.Metrics = "matching",
    binary: options.Binary = False,
    nested: options.Nested = False,
    tolerance: options.Tolerance = None,
    scheduler: options.Scheduler = "",
    local_workers: options.LocalWorkers = 0,
    slurm: options.Slurm = None,
    as_json: _Json = False,
    overwrite: _Overwrite = False,
) -> None:
    """Compare labels with the truth; the objects of several images are counted together.

    AP50 is the share of objects that were found and right: matched / (matched + missed + invented), where a match
    overlaps by at least half. mAP is its mean over stricter and stricter matches. Of movies every time point is an
    image.

    For maps of classes, such as tumors: --metrics overlap (Dice, IoU, volume), surfaces (HD95, surface Dice), lesions
    (found, missed and invented ones, as in BraTS). Scores are means over images. Regions within each other (whole
    tumor 1, core 2, enhancing 3) are compared as such with --nested.

    With --tracks both are folders of the Cell Tracking Challenge, or labels in which every number is a track: SEG, DET,
    TRA, LNK, CHOTA and BC are its scores.
    """
    if tracks or errors:
        _not_of("tracks", {
            "--metrics": metrics != "matching", "--binary": binary, "--nested": nested, "--tolerance": tolerance,
            "--scheduler": scheduler, "--local-workers": local_workers, "--slurm": slurm,
        })  # fmt: skip
        tracking.evaluate((truth, predicted), errors, axes, as_json, overwrite)
        return
    pairs = workflows.match_labels(truth, predicted)
    names = tuple(filter(None, (name.strip() for name in metrics.split(","))))
    more = ({} if tolerance is None else {"tolerance": tolerance}) | ({"nested": True} if nested else {})
    with workflows.open_cluster(scheduler, local_workers, slurm) as client:
        true, found = [a for a, _ in pairs], [b for _, b in pairs]
        scores = watch(workflows.evaluate_steps(true, found, names, more, binary=binary, axes=axes, client=client))
    if as_json:
        # JSON has no NaN.
        say_json({"images": len(pairs)} | {name: None if math.isnan(v) else v for name, v in scores.items()})
        return
    tell({"Images": len(pairs)} | {name: f"{value:.3f}" for name, value in scores.items()})


def measure(  # noqa: PLR0913  # a command's options are its arguments
    labels: Annotated[Path, typer.Argument(help="Labels, as 'segment' writes them.", show_default=False)],
    output: _Output,
    image: Annotated[Path | None, typer.Option(help="Image whose intensities to measure.")] = None,
    channel: options.Channel = None,
    axes: Annotated[str | None, typer.Option(help="What the dimensions of the image are, such as tyx.")] = None,
    around: options.Around = "",
    inside: options.Inside = None,
    within: options.Within = None,
    measure: Annotated[str, typer.Option(help="What to measure: objects, or lesions (with diameters).")] = "objects",
    classes: lesions.Classes = False,
    organ: lesions.Organ = None,
    scores: lesions.Scores = None,
    before: lesions.Before = None,
    changes: lesions.Changes = None,
    series: options.Series = None,
    scheduler: options.Scheduler = "",
    local_workers: options.LocalWorkers = 0,
    slurm: options.Slurm = None,
    overwrite: _Overwrite = False,
) -> None:
    """Measure size, place, shape and intensity of every object, one line each; intensities channel by channel.

    With --inside: how many objects of other labels lie in each, such as foci in nuclei, and how much of it they cover.
    With --within: in which of other objects each lies, such as the cell of a nucleus.

    With --measure lesions: volume in milliliters, the two diameters of RECIST, surface, percentiles, and what has
    changed since an earlier time.
    """
    files = {"organ": organ, "scores": scores, "before": before, "changes": changes}
    options.apart({"--output": output, "--changes": changes})
    for place in filter(None, (output, changes)):
        workflows.check_place(place, overwrite=overwrite)
    if channel and not image:
        raise SpecError("--channel names the next channel of an image: give the file of the first with --image.")
    if series is not None and not image:
        raise SpecError("--series chooses among the images of the file that --image names: give that too.")
    source = open_image(image, axes, series, channel) if image else None
    axes = source.label_axes if source and axes else axes
    if measure == "lesions":
        _not_of(
            "lesions",
            {
                "--around": around, "--inside": inside, "--within": within, "--scheduler": scheduler,
                "--local-workers": local_workers, "--slurm": slurm,
            },
        )  # fmt: skip
        table, rows = lesions.measure(labels, source, axes, files, classes)
    elif classes or any(files.values()):
        raise SpecError("--classes, --organ, --scores, --before and --changes are for lesions: add --measure lesions.")
    else:
        given = workflows.read_labels(labels, axes, source)
        with workflows.open_cluster(scheduler, local_workers, slurm) as client:
            others = (_as_told(files or (), axes, given) for files in (inside, within))
            steps = workflows.measure_steps(given, source, (measure,), client, around, *others)
            table = watch(steps)
        rows = {"Objects": len(table["index"])}
    workflows.write_table(output, table)
    tell(rows | {"Table": output})


def grow(  # noqa: PLR0913  # a command's options are its arguments
    labels: Annotated[Path, typer.Argument(help="Labels, as 'segment' writes them.", show_default=False)],
    by: Annotated[str, typer.Option(help="How far: pixels, or with a unit: '5 um'.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Labels to write: .ome.zarr (any size), .tif, .nii.gz, .png ...")
    ],
    ring: Annotated[
        bool, typer.Option("--ring", help="Leave out the objects themselves: the ring around each, under its number.")
    ] = False,
    image: Annotated[Path | None, typer.Option(help="Image that knows how large the pixels are.")] = None,
    axes: Annotated[str | None, typer.Option(help="What the dimensions are, such as tyx.")] = None,
    as_json: _Json = False,
    overwrite: _Overwrite = False,
) -> None:
    """Let every object grow, where no other is nearer: cells from nuclei, or the ring around each.

    The numbers stay: a cell has that of its nucleus.
    """
    source = open_image(image, axes) if image else None
    given = workflows.read_labels(labels, source.label_axes if source and axes else axes, source)
    workflows.check_place(output, given, overwrite)
    workflows.write_labels(output, workflows.grow(given, by, ring, source), overwrite=overwrite)
    if as_json:
        say_json({"labels": str(labels), "by": by, "ring": ring, "output": str(output)})
        return
    tell({"Labels": output})


def _as_told(files: Iterable[Path], axes: str | None, labels: Image) -> list[Path | Image]:
    """Open other labels with the axes that were said, where they have as many; else they are opened by who measures."""
    if not axes:
        return [*files]
    found: list[Path | Image] = []
    for file in files:
        try:
            found.append(replace(workflows.read_labels(file, axes, labels), name=file.name))
        except AxesError:
            found.append(file)
    return found


def _not_of(kind: str, given: dict[str, object]) -> None:
    """Refuse options that would change nothing."""
    if named := [option for option, value in given.items() if value]:
        doing = {"tracks": "Tracks are compared", "lesions": "Lesions are measured"}[kind]
        raise SpecError(f"{doing} without {' and '.join(named)}. Leave that out.")
