"""The options of commands; what those of ``segment`` mean is said in :class:`~napari_unet.core.specs.SegmentSpec`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import OutputError, SpecError
from ..core.runtimes import RUNTIMES
from ..core.specs import SegmentSpec

__all__ = [
    "Anomaly", "Around", "Average", "Background", "Batch", "Binary", "Channel", "Channels", "Confidence", "Diameter",
    "DropoutSamples", "DryRun", "InsideMany", "Labels", "LinkZ", "LocalWorkers", "Metrics", "MinScore", "MinSize",
    "Models", "OneSeries", "PartNumber", "Parts", "Polygons", "Region", "Runtime", "Scheduler", "Series", "Slurm",
    "Source", "Stack", "Table", "Threshold", "Tile", "Tolerance", "Uncertainty", "Unreadable", "WithinMany", "Work",
    "Workers", "apart", "check_both", "check_part", "chosen_channels",
]  # fmt: skip

Source = Annotated[
    Path,
    typer.Argument(
        help="Image file (TIFF, OME-Zarr, NIfTI, PNG ...), DICOM folder, or folder of numbered frames.",
        show_default=False,
    ),
]
Series = Annotated[
    int | None,
    typer.Option(
        help="Which image of a DICOM folder or a TIFF file with several; 'napari-unet series' lists them.",
        show_default="the only, of TIFF the first",
    ),
]
OneSeries = Annotated[
    int | None,
    typer.Option(
        "--series",
        help="Only this image of a DICOM folder or a TIFF file with several; 'napari-unet series' lists them.",
        show_default="all of them",
    ),
]
Labels = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Labels to write; the ending chooses: .ome.zarr (also s3://bucket/x.ome.zarr), .tif, .nii.gz, .dcm "
        "(DICOM-SEG), .npy, .png, .gpkg, .geojson (QuPath) or .zip (ImageJ ROIs).",
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        help="Name of a model ('napari-unet models' lists them) or its folder; given again, models are averaged.",
        show_default=" ".join(SegmentSpec().models),
    ),
]
Diameter = Annotated[
    float | None, typer.Option(help="Typical width of the objects in pixels.", show_default="measured")
]
Inside = Annotated[
    list[Path] | None,
    typer.Option(
        help="Other labels, such as foci: how many lie in each object, and how much of it they cover. Can be repeated.",
        show_default="nothing",
    ),
]
Within = Annotated[
    list[Path] | None,
    typer.Option(
        help="Other labels, such as cells: in which of them each object lies. Can be repeated.", show_default="nothing"
    ),
]
InsideMany = Annotated[
    list[Path] | None,
    typer.Option(
        "--inside",
        help="Folder with labels of other objects on the same images, such as foci (results of another run, or files "
        "of the same names): how many lie in each object, and how much of it they cover. Can be repeated.",
        show_default="nothing",
    ),
]
WithinMany = Annotated[
    list[Path] | None,
    typer.Option(
        "--within",
        help="Folder with labels of other objects, such as cells: in which of them each object lies. Can be repeated.",
        show_default="nothing",
    ),
]
Around = Annotated[
    str,
    typer.Option(
        help="Measure the ring around each object, too, such as the cytoplasm around a nucleus: how far it reaches, in "
        "pixels or with a unit: '5 um'.",
        show_default="nothing",
    ),
]
Channel = Annotated[
    list[Path] | None,
    typer.Option(
        "--channel",
        help="Where each channel is a file of its own (T1, FLAIR ...): the file of the next one, on the same grid. "
        "Give it again for more, in the order of the model.",
        show_default=False,
    ),
]
Channels = Annotated[
    str | None,
    typer.Option(
        help="Channels to use, counted from 0, such as 0,2, or names of bands, such as red,nir; none: a missing band.",
        show_default="all",
    ),
]
Threshold = Annotated[
    float | None, typer.Option(help="0 to 1; higher finds fewer and smaller objects.", show_default="the model's")
]
MinSize = Annotated[
    str | None,
    typer.Option(
        help="Smallest object kept, or piece of a class: pixels, or with a unit, such as '50 mm3', '0.5 ml' or "
        "'20 m2'; class by class: 'whole=1 ml, core=50 mm3'.",
        show_default="the model's",
    ),
]
MinScore = Annotated[
    float | None,
    typer.Option(help="0 to 1; how sure the model must be of an object's middle.", show_default="the model's"),
]
LinkZ = Annotated[
    float,
    typer.Option(help="Stacks: overlap at which outlines in neighboring planes are one object, 0 to 1; 0 never."),
]
Stack = Annotated[
    str,
    typer.Option(
        help="Stacks, with a 2D model: outline plane by plane and join (planes), find objects in 3D (volume), or look "
        "from three sides, too (sides). auto: sides where planes are known to lie about as near as pixels, else volume."
    ),
]
Average = Annotated[str, typer.Option(help="Average over mirrored (flips) or also rotated views (rotations), or none.")]
DropoutSamples = Annotated[int, typer.Option(help="Average over so many networks with channels dropped; 0: off.")]
Uncertainty = Annotated[
    Path | None,
    typer.Option(
        help="Write here where the averaged answers differ: .ome.zarr, .tif or .npy. Also a column of the table."
    ),
]
Confidence = Annotated[
    Path | None,
    typer.Option(
        help="Write here how sure the model is of each pixel, 0 to 1: .ome.zarr, .tif or .npy. Also a column of the "
        "table. Labels are then kept in memory."
    ),
]
Anomaly = Annotated[
    Path | None,
    typer.Option(
        help="Write here what is unlike the background, 0 to 1, also where nothing was found: .ome.zarr, .tif or .npy. "
        "Labels are then kept in memory."
    ),
]
Runtime = Annotated[str, typer.Option(help=f"What computes: auto, {', '.join(RUNTIMES)}.")]
Region = Annotated[
    str | None,
    typer.Option(
        help="Look only inside: a file of shapes (.csv from napari, .geojson, .gpkg, .roi) or y,x of the corners in "
        "pixels: '0,0 0,99 49,99'.",
        show_default="everywhere",
    ),
]
Background = Annotated[
    float | None,
    typer.Option(
        help="Skip what is darker and not near anything brighter, on a scale where 0 is the background's intensity "
        "and 1 that of the brightest objects. Saves time; can change labels.",
        show_default="look everywhere",
    ),
]
Unreadable = Annotated[
    str, typer.Option(help="Where the image file is damaged: stop, or skip that part as background and say where.")
]
Tile = Annotated[int, typer.Option(help="Edge of a tile, pixels; 0 chooses. Changes no label.")]
Batch = Annotated[int, typer.Option("--batch", help="Tiles computed together.")]
Workers = Annotated[int, typer.Option(help="Threads; 0 uses all cores.")]
Table = Annotated[Path | None, typer.Option(help="Measure the objects too, and write a .csv here.")]
Polygons = Annotated[
    Path | None,
    typer.Option(help="Write the objects as polygons, too: .gpkg, .geojson or .zip; see 'napari-unet polygons'."),
]
Scheduler = Annotated[
    str, typer.Option(help="Compute on a dask cluster: address of its scheduler, such as tcp://10.0.0.1:8786.")
]
LocalWorkers = Annotated[
    int, typer.Option(help="Compute in so many processes of this computer, one for each graphics card.")
]
Slurm = Annotated[
    Path | None, typer.Option(help="Compute in jobs of a queue (SLURM, PBS, ...) that this .toml describes.")
]
PartNumber = Annotated[
    int,
    typer.Option("--part", help="Do only this part of --of, from 1; 'finalize' completes them."),
]
Parts = Annotated[int, typer.Option("--of", help="How many parts there are.")]
Work = Annotated[
    Path | None,
    typer.Option(
        help="Folder for what a run needs to go on, where labels go to an object store (s3://...). Jobs of several "
        "computers must share it.",
        show_default="the user's data",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it would take: time, memory, disk.")]
Metrics = Annotated[
    str, typer.Option(help="What to compare by, with commas between: matching, overlap, surfaces, lesions.")
]
Binary = Annotated[
    bool, typer.Option("--binary", help="Compare foreground with background only, whatever the numbers are.")
]
Nested = Annotated[
    bool,
    typer.Option("--nested", help="Classes lie within each other: each counts with all that have higher numbers."),
]
Tolerance = Annotated[
    float | None,
    typer.Option(help="Of surfaces: how far off is still right, in mm (or the image's units).", show_default="1"),
]


def chosen_channels(text: str | None) -> tuple[int | str, ...] | None:
    """Return what ``--channels`` says.

    Parameters
    ----------
    text : str or None
        Numbers and names with commas between.

    Returns
    -------
    tuple of int or str, or None
        Names are known by the image only.

    Raises
    ------
    SpecError
        If there is nothing between two commas.
    """
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise SpecError(
            f"--channels takes numbers from 0, or names of bands, with commas between, such as 0,2; not '{text}'."
        )
    return tuple(int(word) if word.isdecimal() else word for word in words)


def apart(places: Mapping[str, Path | None]) -> None:
    """Refuse to write two things to one place.

    Parameters
    ----------
    places : mapping of str to Path or None
        By option.

    Raises
    ------
    OutputError
        If two are the same file.
    """
    taken: dict[Path, str] = {}
    for option, path in places.items():
        if path is None:
            continue
        if other := taken.get(path.resolve()):
            raise OutputError(f"{option} would replace what {other} writes to '{path}'. Choose another name.")
        taken[path.resolve()] = option


def check_both(part: int, of: int) -> None:
    """Refuse one of ``--part`` and ``--of`` without the other."""
    if not part or not of:
        given, missing = ("--part", "--of") if part else ("--of", "--part")
        raise SpecError(f"{given} needs {missing} too: --part 1 --of 4 does the first of four parts.")


def check_part(part: int, of: int, others: Mapping[str, object]) -> None:
    """Refuse what one part of a run cannot do; `others` are the options that were given, by name."""
    check_both(part, of)
    if named := [name for name, value in others.items() if value]:
        raise SpecError(
            f"{' and '.join(named)} cannot be given with --part: a part does some of the bricks, here, and no labels "
            "are complete yet. Leave it out. When all parts are done, 'finalize' completes the labels (it takes "
            "--scheduler and --local-workers), 'measure' makes tables of them and 'polygons' polygons."
        )
