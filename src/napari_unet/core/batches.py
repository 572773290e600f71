"""What is said of many images that are segmented one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["FORMATS", "Batch", "Found"]

FORMATS = (".ome.zarr", ".tif", ".nii.gz", ".png", ".npy")  # of the labels


@dataclass(frozen=True)
class Found:
    """What came of one image.

    Attributes
    ----------
    image : str
        What it is called: its file as seen from the folder.
    failed : str
        Why it could not be segmented; empty if it could.
    objects : int
        How many were found.
    width : float
        Of a typical object, pixels; 0 where the model knows no width.
    seconds : float
        How long it took.
    labels : str
        Where they are, as seen from the results.
    note : str
        What should be known of the result, such as parts that could not be read.
    well : str
        Of a plate, such as ``"B3"``.
    """

    image: str
    failed: str = ""
    objects: int = 0
    width: float = 0.0
    seconds: float = 0.0
    labels: str = ""
    note: str = ""
    well: str = ""


@dataclass(frozen=True)
class Batch:
    """What came of many images.

    Attributes
    ----------
    folder : Path
        Of the results.
    images : tuple of Found
        In the order of their names, those of an earlier run included.
    """

    folder: Path
    images: tuple[Found, ...] = ()

    @property
    def failed(self) -> int:
        """How many could not be segmented."""
        return sum(bool(one.failed) for one in self.images)

    @property
    def done(self) -> int:
        """How many are segmented."""
        return len(self.images) - self.failed

    @property
    def objects(self) -> int:
        """How many objects there are in all of them."""
        return sum(one.objects for one in self.images)
