"""Random changes of training patches: what may be set."""

from __future__ import annotations

from pydantic import Field

from ._spec import Spec

__all__ = ["AugmentSpec"]


class AugmentSpec(Spec):
    """Random changes of training patches.

    Attributes
    ----------
    elastic : float
        Standard deviation of the displacements on the coarse grid, pixels (Ronneberger 2015, section 3.1: 10).
    elastic_grid : int
        Spacing of the coarse grid, pixels.
    scale_jitter : float
        Standard deviation of log2 of the scale around the canonical object size.
    wide_fraction : float
        Share of patches whose object size is drawn evenly (in log) from `wide_range` instead.
    wide_range : tuple of float
        Object sizes, pixels of the network's grid.
    rotate : bool
        Rotation in the plane, and mirroring.
    angle : float
        Largest angle of the rotation, degrees to either side; 180 is any.
    mirror : str
        Axes that may be mirrored, of ``zyx``: without ``x`` where left and right mean something.
    gamma, noise, blur : float
        Largest change of log2 gamma; largest noise (of the unit range); largest Gaussian sigma, pixels.
    low_resolution : float
        Probability that a patch is seen at a lower resolution, of down to a half.
    contrast : float
        Largest relative change of contrast and brightness.
    invert, gray, shuffle : float
        Probability to invert intensities, drop the color, permute the channels.
    drop_bands : float
        Probability of each channel to be missing, seen as all 0; one is always left. A model then bears images that
        lack some.
    """

    elastic: float = Field(6.0, ge=0)
    elastic_grid: int = Field(64, ge=8)
    scale_jitter: float = Field(0.35, ge=0)
    wide_fraction: float = Field(0.2, ge=0, le=1)
    wide_range: tuple[float, float] = (6.0, 160.0)
    rotate: bool = True
    angle: float = Field(180.0, ge=0, le=180)
    mirror: str = Field("zyx", pattern="^z?y?x?$")
    gamma: float = Field(0.8, ge=0)
    noise: float = Field(0.1, ge=0)
    blur: float = Field(1.5, ge=0)
    low_resolution: float = Field(0.0, ge=0, le=1)
    contrast: float = Field(0.3, ge=0, lt=1)
    invert: float = Field(0.1, ge=0, le=1)
    gray: float = Field(0.3, ge=0, le=1)
    shuffle: float = Field(0.2, ge=0, le=1)
    drop_bands: float = Field(0.0, ge=0, lt=1)
