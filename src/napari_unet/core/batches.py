"""What is said of many images that are segmented one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FORMATS", "Batch", "Found", "in_words", "read_words"]

FORMATS = (".ome.zarr", ".tif", ".nii.gz", ".png", ".npy")  # of the labels
_SHARE = re.compile(r"(.+?) (\d+\.\d\d)%(?:; |$)")


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
        How many were found; 0 where the model knows classes.
    shares : tuple of (str, float)
        Of a model of classes: the names of those that are there, and which share of the image each takes, 0 to 1.
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
    shares: tuple[tuple[str, float], ...] = ()

    @property
    def classes(self) -> str:
        """The classes and their shares in words; empty where the model knows objects."""
        return in_words(self.shares)


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

    @property
    def shares(self) -> tuple[tuple[str, float], ...]:
        """Which share of an image each class takes, 0 to 1: the mean of all images that are segmented."""
        sums: dict[str, float] = {}
        for name, share in (pair for one in self.images for pair in one.shares):
            sums[name] = sums.get(name, 0.0) + share
        return tuple((name, total / self.done) for name, total in sums.items())


def in_words(shares: Iterable[tuple[str, float]]) -> str:
    """Say which share each class takes: ``"land 40.10%; water 3.20%"``."""
    return "; ".join(f"{name} {share:.2%}" for name, share in shares)


def read_words(text: str) -> tuple[tuple[str, float], ...]:
    """Read what :func:`in_words` says; what is none of it is left out."""
    return tuple((name, round(float(share) / 100, 6)) for name, share in _SHARE.findall(text))
