"""The options of commands; what those of ``segment`` mean is said in :class:`~napari_unet.core.specs.SegmentSpec`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..core.runtimes import RUNTIMES
from ..core.specs import SegmentSpec

__all__ = [
    "Average", "Average over mirrored (flips) or also rotated views (rotations), or none.", "Average over so many
    networks with channels dropped; 0: off.", "Background", "Batch", "Binary", "Channels", "Channels to use, counted
    from 0, such as 0,2, or names of bands, such as red,nir; none: a missing band.", "Compare foreground with
    background only, whatever the numbers are.", "Compute in jobs of a queue (SLURM, PBS, ...) that this .toml
    describes.", "Compute in so many processes of this computer, one for each graphics card.", "Compute on a dask
    cluster: address of its scheduler, such as tcp://10.0.0.1:8786.", "Diameter", "Do only this part of --of, from
    1; 'finalize' completes them.", "DropoutSamples", "DryRun", "Edge of a tile, pixels; 0 chooses. Changes no
    label.", "How many parts there are.", "Image file: TIFF, GeoTIFF, OME-Zarr, NIfTI, PNG ...; or a DICOM folder.",
    "Labels", "Labels to write; the ending chooses: .ome.zarr, .tif, .nii.gz, .dcm (DICOM-SEG), .npy or .png.",
    "Labels to write; the ending chooses: .ome.zarr, .tif, .nii.gz, .npy, .png, .gpkg or .geojson.", "LinkZ",
    "LocalWorkers", "Look only inside: a file of shapes (.csv from napari, .geojson) or y,x of the corners: '0,0
    0,99 49,99'.", "Measure the objects too, and write a .csv here.", "Metrics", "MinScore", "MinSize", "Models",
    "Name of a model ('napari-unet models' lists them) or its folder; given again, models are averaged.", "Of a
    DICOM folder with several series: which. Without it they are listed.", "Of surfaces: how far off is still right,
    in mm (or the image's units).", "Only say what it would take: time, memory, disk.", "PartNumber", "Parts",
    "Polygons", "Region", "Runtime", "Scheduler", "Series", "Skip what is darker and not near anything brighter, on
    a scale where 0 is the background's intensity ", "Slurm", "Smallest object kept, in pixels.", "Source", "Stacks:
    overlap at which outlines in neighboring planes are one object, 0 to 1; 0 never.", "Table", "Threads; 0 uses all
    cores.", "Threshold", "Tile", "Tiles computed together.", "Tolerance", "Typical width of the objects in
    pixels.", "Uncertainty", "Unreadable", "What computes: auto, {', '.join(RUNTIMES)}.", "What to compare by, with
    commas between: matching, overlap, surfaces, lesions.", "Where the image file is damaged: stop, or skip that
    part as background and say where.", "Workers", "Write here where the averaged answers differ: .ome.zarr, .tif or
    .npy. Also a column of the table.", "Write the objects as polygons, too: .gpkg or .geojson; see 'napari-unet
    polygons'.", " ", "--binary", "--dry-run", "--of", "--output", "--part", "-o", "0 to 1; higher finds fewer and
    smaller objects.", "0 to 1; how sure the model must be of an object's middle.", "1", "all", "and 1 that of the
    brightest objects. Saves time; can change labels.", "everywhere", "look everywhere", "measured", "the model's",
    "the only",
]
