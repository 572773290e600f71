"""Where the voxels of a medical image lie in the patient, and how they were stored.

One world for all formats: millimeters, x to the patient's left, y to the back, z to the head (LPS, as in DICOM). Images
are opened so that their axes z, y and x run along these directions as nearly as turning and mirroring allow, so that
left is left in every file; what was turned and mirrored is known, so that labels go back onto the grid of the source.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from .errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from .axes import Image

    Matrix = npt.NDArray[np.float64]

__all__ = ["TOLERANCE", "Anatomy", "check_grid", "describe_grid", "extent", "same_grid", "stand_up"]

Rows = tuple[tuple[float, ...], ...]

TOLERANCE: Final = 1e-2  # of a voxel, between two grids that are one; 32-bit headers are good to a thousandth
_SKEW: Final = 1e-3  # cosine between two axes from which on they are not called orthogonal
_SPATIAL: Final = "zyx"


@dataclass(frozen=True)
class Anatomy:
    """Where the voxels of an image lie.

    Attributes
    ----------
    affine : tuple of tuple of float
        4 x 4: takes the index ``(z, y, x, 1)`` of a voxel's center to its place ``(z, y, x, 1)`` in mm, LPS.
    shape : tuple of int
        Voxels along z, y and x.
    order : tuple of int
        Which axis of the stored array became z, y and x.
    mirrored : tuple of bool
        Whether z, y and x run against the stored axis.
    header : bytes
        The geometry of a NIfTI header, as it was stored and without any text; empty where there was none.
    files : tuple of str
        DICOM files, one a plane, in the order of the stored array.
    modality : str
        DICOM's word, such as ``CT``, ``MR`` or ``PT``; empty where it is not known.
    quantity : str
        What the values are, such as ``HU`` or ``SUV (body weight)``.
    names : tuple of (int, str)
        Of labels: what each number stands for.
    remarks : tuple of str
        What the reader has to say about the file.
    """

    affine: Rows
    shape: tuple[int, int, int]
    order: tuple[int, int, int] = (2, 1, 0)
    mirrored: tuple[bool, bool, bool] = (False, False, False)
    header: bytes = b""
    files: tuple[str, ...] = ()
    modality: str = ""
    quantity: str = ""
    names: tuple[tuple[int, str], ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def matrix(self) -> Matrix:
        """The affine as an array, 4 x 4."""
        import numpy as np

        return np.array(self.affine, np.float64)

    @property
    def scale(self) -> tuple[float, float, float]:
        """Spacing along z, y and x in mm, with the product that is the volume of a voxel.

        Where planes are shifted against each other (a tilted gantry), z is the distance between planes.
        """
        import numpy as np

        linear = self.matrix[:3, :3]
        z, y, x = (float(n) for n in np.linalg.norm(linear, axis=0))
        # To the last bit, orthogonal axes keep the numbers of their file.
        return (z if self.skew < _SKEW else abs(float(np.linalg.det(linear))) / (y * x), y, x)

    @property
    def skew(self) -> float:
        """Largest cosine between two axes: 0 where they are orthogonal."""
        import numpy as np

        unit = self.matrix[:3, :3] / np.linalg.norm(self.matrix[:3, :3], axis=0)
        return float(np.abs(unit.T @ unit - np.eye(3)).max())

    @property
    def tilt(self) -> float:
        """Degrees between the axes of the image and those of the patient, at most."""
        import numpy as np

        unit = self.matrix[:3, :3] / np.linalg.norm(self.matrix[:3, :3], axis=0)
        return math.degrees(math.acos(min(1.0, float(np.abs(np.diag(unit)).min()))))

    @property
    def origin(self) -> tuple[float, float, float]:
        """Place (z, y, x) of the first voxel in mm."""
        return (self.affine[0][3], self.affine[1][3], self.affine[2][3])

    def to_world(self, index: Any) -> Matrix:
        """Return the places in mm of indices.

        Parameters
        ----------
        index : array-like of float, shape (..., 3)
            z, y and x; centers of voxels are whole numbers.

        Returns
        -------
        ndarray of float64, shape (..., 3)
            z, y and x in mm, LPS.
        """
        import numpy as np

        return np.asarray(index, np.float64) @ self.matrix[:3, :3].T + self.matrix[:3, 3]

    def to_index(self, world: Any) -> Matrix:
        """Return the indices of places in mm; the opposite of :meth:`to_world`."""
        import numpy as np

        return (np.asarray(world, np.float64) - self.matrix[:3, 3]) @ np.linalg.inv(self.matrix[:3, :3]).T

    @property
    def stored(self) -> Matrix:
        """Takes an index ``(i, j, k, 1)`` of the stored array to its place ``(x, y, z, 1)`` in mm, LPS; 4 x 4."""
        import numpy as np

        turn = np.zeros((4, 4))
        turn[3, 3] = 1
        for row, (axis, mirrored, n) in enumerate(zip(self.order, self.mirrored, self.shape, strict=True)):
            turn[row, axis], turn[row, 3] = (-1, n - 1) if mirrored else (1, 0)
        world = np.eye(4)[[2, 1, 0, 3]]
        return np.asarray(world @ self.matrix @ turn)

    def to_dict(self) -> dict[str, Any]:
        """Return what can be kept as JSON: not the files, whose names may be those of patients, nor the remarks."""
        return {
            "affine": [list(row) for row in self.affine], "shape": list(self.shape), "order": list(self.order),
            "mirrored": list(self.mirrored), "header": self.header.hex(), "modality": self.modality,
            "quantity": self.quantity, "names": [list(pair) for pair in self.names],
        }  # fmt: skip

    @classmethod
    def from_dict(cls, kept: Any) -> Anatomy | None:
        """Return what :meth:`to_dict` has kept; None for anything else."""
        try:
            rows = tuple(tuple(float(n) for n in row) for row in kept["affine"])
            if [len(row) for row in rows] != [4] * 4 or sorted(kept["order"]) != [0, 1, 2]:
                return None
            shape, order, mirrored = (tuple(map(int, kept[name])) for name in ("shape", "order", "mirrored"))
            (z, y, x), (a, b, c), (i, j, k) = shape, order, mirrored
            names = tuple((int(number), str(name)) for number, name in kept.get("names", ()))
            return cls(
                rows, (z, y, x), (a, b, c), (bool(i), bool(j), bool(k)), bytes.fromhex(str(kept.get("header", ""))),
                modality=str(kept.get("modality", "")), quantity=str(kept.get("quantity", "")), names=names,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            return None

    def named(self, names: dict[int, str]) -> Anatomy:
        """Return the same place for labels that have names."""
        return replace(self, names=tuple(sorted(names.items())), quantity="", modality="", remarks=())


def stand_up(affine: Any, shape: tuple[int, ...], single: bool = False) -> Anatomy:
    """Say how a stored array has to be turned and mirrored to stand as all images do.

    Parameters
    ----------
    affine : array-like of float, shape (4, 4)
        From an index ``(i, j, k, 1)`` of the stored array to ``(x, y, z, 1)`` in mm, LPS.
    shape : tuple of int
        Of the stored array, three axes.
    single : bool
        Leave it as it was stored, rows down and columns to the right: a single picture stays as it was taken.

    Returns
    -------
    Anatomy
        Turned by the order of axes and mirrored only: no value changes.

    Raises
    ------
    ImageError
        If the affine has no inverse: a spacing is zero, or not a number.
    """
    import numpy as np

    stored = np.asarray(affine, np.float64)
    lengths = np.linalg.norm(stored[:3, :3], axis=0)
    if not np.isfinite(stored).all() or not (lengths > 0).all():
        raise ImageError(
            f"the voxel sizes are {', '.join(f'{n:g}' for n in lengths)} mm, and each must be more than zero"
        )
    unit = stored[:3, :3] / lengths
    if abs(np.linalg.det(unit)) < _SKEW:
        raise ImageError("two of its axes point in the same direction, so its voxels have no volume")
    # The axis that runs most nearly along x, that for y, that for z: the best of all six choices.
    best = max(itertools.permutations(range(3)), key=lambda p: sum(abs(unit[row, axis]) for row, axis in enumerate(p)))
    x, y, z = (0, 1, 2) if single else best
    mirrored = [not single and bool(stored[row, axis] < 0) for row, axis in ((2, z), (1, y), (0, x))]
    turn = np.zeros((4, 4))
    turn[3, 3] = 1
    for column, (axis, flip) in enumerate(zip((z, y, x), mirrored, strict=True)):
        turn[axis, column] = -1 if flip else 1
        turn[axis, 3] = shape[axis] - 1 if flip else 0
    standing = np.eye(4)[[2, 1, 0, 3]] @ stored @ turn
    rows = tuple(tuple(float(n) for n in row) for row in standing + 0.0)
    size = (int(shape[z]), int(shape[y]), int(shape[x]))
    return Anatomy(rows, size, (z, y, x), (mirrored[0], mirrored[1], mirrored[2]))


def same_grid(one: Image, other: Image) -> bool:
    """Say whether two images have their voxels at the same places.

    Parameters
    ----------
    one, other : Image
        With or without an anatomy: where one has none, only their spatial shapes are compared.

    Returns
    -------
    bool
        True if no corner is further off than a hundredth of a voxel.
    """
    import numpy as np

    shape = extent(one)
    if shape != extent(other):
        return False
    if one.anatomy is None or other.anatomy is None:
        return True
    corners = np.array(list(itertools.product(*((0, n - 1) for n in shape))))
    off = other.anatomy.to_index(one.anatomy.to_world(corners)) - corners
    return bool(np.abs(off).max() <= TOLERANCE)


def check_grid(labels: Image, image: Image) -> None:
    """Refuse labels that lie on another grid than an image.

    Parameters
    ----------
    labels, image : Image
        Nothing is asked where one of them has neither anatomy nor a place on Earth: others compare their shapes. On
        Earth a pixel is no matter: some programs mean its middle, others its corner.

    Raises
    ------
    ImageError
        If they do; it says how to bring them onto the image's grid.
    """
    if labels.geo and image.geo and labels.geo.transform and image.geo.transform and labels.geo.crs and image.geo.crs:
        if not labels.geo.same_grid(image.geo, 1.0):
            raise ImageError(
                f"The labels '{labels.name}' lie at another place on Earth than the image '{image.name}': at "
                f"{labels.geo.transform} in {labels.geo.title}, not at {image.geo.transform} in {image.geo.title}. "
                "Choose the image that they were made of, or bring them onto its grid, for example with gdalwarp."
            )
        return
    if labels.anatomy is None or image.anatomy is None or same_grid(labels, image):
        return
    raise ImageError(
        f"The labels '{labels.name}' ({describe_grid(labels)}) lie on another grid than the image '{image.name}' "
        f"({describe_grid(image)}). Choose the image that they were made of, or bring them onto its grid: "
        "napari-unet regrid LABELS --like IMAGE --resample, or workflows.regrid(labels, image, resample=True)."
    )


def describe_grid(image: Image) -> str:
    """Return shape, spacing and place of an image in words."""
    size = " x ".join(map(str, extent(image)))
    if image.anatomy is None:
        return f"{size} voxels"
    spacing = " x ".join(f"{n:.4g}" for n in image.anatomy.scale)
    start = ", ".join(f"{n:.4g}" for n in image.anatomy.origin)
    return f"z y x: {size} voxels of {spacing} mm from {start} mm"


def extent(image: Image) -> tuple[int, ...]:
    """Return the voxels of an image along z, y and x; 1 where it has no such axis."""
    return tuple(image.along(a)[0][0] if a in image.axes else 1 for a in _SPATIAL)
