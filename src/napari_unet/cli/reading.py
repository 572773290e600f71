"""Open images for a command, say what is to be known of them, and bring labels onto their grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from .. import workflows
from .._terminal import say_json, tell
from ..core.axes import Image
from ..core.errors import SpecError

__all__ = ["EXAMPLES", "channels_of", "one_of", "open_image", "regrid", "say", "series"]

EXAMPLES: Final = (
    "napari-unet regrid outlines.dcm --like ct-folder --output mask.nii.gz\n\n"
    "napari-unet regrid mask.nii.gz --like scan.nii.gz --output mask-on-scan.nii.gz --resample"
)
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for scripts, and nothing else.")]


def open_image(
    path: Path, axes: str | None = None, series: int | None = None, further: Sequence[Path] | None = None
) -> Image:
    """Open an image; what its reader has to say goes to the terminal.

    Parameters
    ----------
    path : Path
        Of a file or a folder.
    axes : str, optional
        What its dimensions are.
    series : int, optional
        Of a DICOM folder or a TIFF file that holds several.
    further : sequence of Path, optional
        Of the other channels, where each is a file of its own.

    Returns
    -------
    Image
        The image.

    Raises
    ------
    UNetError
        If it cannot be opened.
    """
    image = workflows.read_image([path, *(further or ())], axes, series)
    say(path, image)
    return image


def regrid(  # noqa: PLR0913  # a command's options are its arguments
    labels: Annotated[
        Path,
        typer.Argument(
            help="Labels: any file of labels, DICOM-SEG, RTSTRUCT, .geojson, .gpkg, .shp, .roi or .zip of ImageJ.",
            show_default=False,
        ),
    ],
    like: Annotated[Path, typer.Option(help="Image on whose grid they are to lie.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Labels to write: .nii.gz, .dcm, .ome.zarr or .tif.")],
    number: Annotated[
        int | None,
        typer.Option("--series", help="Of a DICOM folder with several series: which.", show_default="the only"),
    ] = None,
    resample: Annotated[
        bool,
        typer.Option("--resample", help="Take the nearest label where the grids differ: sizes change a little."),
    ] = False,
    only: Annotated[
        str,
        typer.Option(
            help="Of a DICOM-SEG or RTSTRUCT: the one that has this name or number; of shapes: the class.",
            show_default="all",
        ),
    ] = "",
    as_json: _Json = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Put labels onto the grid of their image, and into another kind of file: medical ones, and shapes that are drawn.

    Voxels that coincide are copied. Where the grids differ nothing is guessed: it is refused without --resample.
    Structures that overlap are taken one after the other, by name (--only). Shapes of a map, of QuPath or of ImageJ
    become pixels.
    """
    image = open_image(like, None, number)
    workflows.check_place(output, image, overwrite)
    found = workflows.regrid(workflows.read_labels(labels, None, image, only, resample=resample), image, resample)
    say(labels, found)
    workflows.write_labels(output, found, overwrite=overwrite)
    names = dict(found.anatomy.names) if found.anatomy else {}
    if as_json:
        say_json({"labels": str(labels), "like": str(like), "output": str(output), "names": names})
        return
    tell({"Labels": output} | {f"Label {number}": name for number, name in names.items()})


def series(
    place: Annotated[
        Path, typer.Argument(help="Folder of DICOM files, or one of them; or a TIFF file.", show_default=False)
    ],
    as_json: _Json = False,
) -> None:
    """List the images in a TIFF file or a DICOM folder: the number is what --series takes.

    Of a DICOM folder nothing is shown that names a patient.
    """
    found = workflows.list_series(place)
    if as_json:
        say_json(
            [{"series": s.choice, "kind": s.kind, "name": s.name, "size": s.size, "problem": s.problem} for s in found]
        )
        return
    for each in found:
        typer.echo(f"{each.choice:>3}  {each.name}: {each.problem or each.size}")


def channels_of(images: list[Path], further: Sequence[Path] | None) -> Sequence[Path | tuple[Path, ...]]:
    """Return images as the engine takes them, where each channel may be a file of its own.

    Parameters
    ----------
    images : list of Path
        Images or folders.
    further : sequence of Path, optional
        Files or folders of the other channels.

    Returns
    -------
    sequence of Path or tuple of Path
        A tuple for each image whose channels are files.

    Raises
    ------
    SpecError
        If it is not clear which files belong together.
    """
    if not further:
        return images
    if len(images) > 1:
        raise SpecError(
            f"--channel is for one image, or for one folder of images, but {len(images)} are given. Put the files of "
            "each channel into a folder of their own, under the same names, and give the folders."
        )
    return workflows.match_channels([*images, *further])


def one_of(images: list[Path], series: int | None) -> list[Path]:
    """Return images, or of a file that holds several the one that was chosen.

    Parameters
    ----------
    images : list of Path
        Images or folders.
    series : int, optional
        Which of a single TIFF file or DICOM folder; without it all.

    Returns
    -------
    list of Path
        One, where one was chosen.

    Raises
    ------
    SpecError
        If several files are given.
    """
    if series is None:
        return images
    if len(images) > 1:
        raise SpecError(
            f"--series is for one file that holds several images, but {len(images)} are given. Without it all images "
            "of all files are taken."
        )
    return [workflows.choose_series(images[0], series)]


def say(path: Path, image: Image) -> None:
    """Say what the reader of an image has to say."""
    for remark in image.said:
        typer.echo(f"{path.name}: {remark}", err=True)
