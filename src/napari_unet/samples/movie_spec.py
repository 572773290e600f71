"""What a simulated movie is like."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from napari_unet.core.specs import Spec

__all__ = ["MOVIES", "MovieSpec"]


class MovieSpec(Spec):
    """Settings of a simulated time-lapse. Lengths are in pixels, times in frames.

    Attributes
    ----------
    kind : {"nuclei", "bacteria"}
        Bright nuclei that divide into two halves, or dark rods in phase contrast that grow to twice their length.
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)`` of a frame.
    frames : int
        Number of time points.
    count : int
        Cells that are in the picture at first.
    diameter : float
        Width of a typical nucleus, or of a rod.
    cycle : float
        Mean time between divisions; 0 for cells that never divide.
    death : float
        Probability of a cell to die, for each frame.
    speed : float
        Typical step between two frames, in diameters.
    drift : float
        Common motion of all cells between two frames, in diameters.
    heading : float or None
        Direction of the drift, degrees from x toward y; None draws one for each seed.
    memory : float
        Share of a random step that goes on in the next, 0 (Brownian motion) to 1.
    roam : float
        Step of each cell along a direction of its own, which it keeps and its daughters take over, in diameters.
    noise : float
        0 for none, 1 for a good and 4 for a poor camera picture.
    blur : float
        Of the microscope, as the standard deviation of a Gaussian.
    bleaching : float
        Share of the light that is lost from the first frame to the last, 0 to 1.
    dropped : float
        Share of masks that a segmentation would miss: they are in the truth, but not in the labels to be tracked.
    seed : int
        The same seed and settings give the same movie.
    """

    kind: Literal["nuclei", "bacteria"] = "nuclei"
    shape: tuple[int, ...] = Field((256, 256), min_length=2, max_length=3)
    frames: int = Field(30, ge=1, le=100_000)
    count: int = Field(40, ge=0, le=100_000)
    diameter: float = Field(22.0, ge=4, le=200)
    cycle: float = Field(20.0, ge=0)
    death: float = Field(0.003, ge=0, le=1)
    speed: float = Field(0.15, ge=0, le=10)
    drift: float = Field(0.0, ge=0, le=10)
    heading: float | None = None
    memory: float = Field(0.7, ge=0, lt=1)
    roam: float = Field(0.0, ge=0, le=10)
    noise: float = Field(1.0, ge=0, le=20)
    blur: float = Field(1.0, ge=0, le=20)
    bleaching: float = Field(0.2, ge=0, lt=1)
    dropped: float = Field(0.0, ge=0, lt=1)
    seed: int = 0


MOVIES: Final = {
    "nuclei-movie": MovieSpec(),
    "bacteria-movie": MovieSpec(kind="bacteria", count=12, diameter=9.0, cycle=9.0, speed=0.1, death=0.0),
    "nuclei-movie-3d": MovieSpec(shape=(24, 128, 128), frames=12, count=30, diameter=16.0, cycle=12.0),
}
