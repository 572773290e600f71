"""The pixels of DICOM planes: unpacked, and as values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ..core.errors import ImageError
from ._dicom_headers import BROKEN, Plane
from ._extras import need

__all__ = ["Planes", "check_syntax"]

_UNPACKED: Final = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
)  # fmt: skip
_JPEG: Final = "1.2.840.10008.1.2.4."
_CODECS: Final = {
    f"{_JPEG}50": "jpeg8", f"{_JPEG}51": "jpeg8", f"{_JPEG}57": "ljpeg", f"{_JPEG}70": "ljpeg", f"{_JPEG}80": "jpegls",
    f"{_JPEG}81": "jpegls", f"{_JPEG}90": "jpeg2k", f"{_JPEG}91": "jpeg2k", f"{_JPEG}201": "jpeg2k",
    f"{_JPEG}202": "jpeg2k", f"{_JPEG}203": "jpeg2k", f"{_JPEG}110": "jpegxl", f"{_JPEG}111": "jpegxl",
    f"{_JPEG}112": "jpegxl",
}  # fmt: skip
_INT16: Final = np.iinfo(np.int16)


class Planes:
    """A stack of planes that are read when they are looked at.

    Parameters
    ----------
    planes : sequence of Plane
        In order, of one size.
    factors : sequence of float
        What the values of each plane are multiplied with after its own slope and intercept, as for SUV.

    Attributes
    ----------
    shape, dtype, chunks : tuple, dtype, tuple
        Axes ``(plane, row, column)``, and 3 colors where there are colors; one plane is a chunk. int16 or int32 where
        all values are whole numbers, else float32.
    """

    def __init__(self, planes: Sequence[Plane], factors: Sequence[float] = ()) -> None:
        self.planes = list(planes)
        self.factors = list(factors) or [1.0] * len(self.planes)
        first = self.planes[0]
        color = (3,) if first.samples == 3 else ()
        self.shape = (len(self.planes), *first.size, *color)
        self.dtype = np.dtype(np.uint8) if color else self._type()
        self.chunks = (1, *self.shape[1:])
        self.ndim = len(self.shape)
        self.nbytes = int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, index: Any) -> npt.NDArray[np.generic]:
        """Read a window: integers and slices; axes at the end may be left out."""
        parts = index if isinstance(index, tuple) else (index,)
        which, rest = (parts[0] if parts else slice(None)), parts[1:]
        if not isinstance(which, slice):
            return self._plane(int(which))[rest]
        numbers = range(*which.indices(len(self.planes)))
        if not numbers:
            return np.zeros((0, *self.shape[1:]), self.dtype)[(slice(None), *rest)]
        return np.stack([self._plane(number)[rest] for number in numbers])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[np.generic]:
        """Load everything, as numpy asks for it."""
        return np.asarray(self[:], dtype=dtype)

    def _type(self) -> np.dtype[Any]:
        """Choose the smallest type that holds every value that there can be."""
        if any(f != 1 for f in self.factors):
            return np.dtype(np.float32)
        ends: list[float] = []
        for plane in self.planes:
            if plane.slope != round(plane.slope) or plane.intercept != round(plane.intercept):
                return np.dtype(np.float32)
            bits = int(plane.header.get("BitsStored", 0) or plane.header.get("BitsAllocated", 16) or 16)
            signed = int(plane.header.get("PixelRepresentation", 0) or 0)
            low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
            ends += [plane.slope * low + plane.intercept, plane.slope * high + plane.intercept]
        if min(ends) >= _INT16.min and max(ends) <= _INT16.max:
            return np.dtype(np.int16)
        whole = np.iinfo(np.int32)
        return np.dtype(np.int32 if min(ends) >= whole.min and max(ends) <= whole.max else np.float32)

    def _plane(self, number: int) -> npt.NDArray[np.generic]:
        plane, factor = self.planes[number], self.factors[number]
        stored = _stored(plane)
        if stored.shape != self.shape[1:]:
            raise ImageError(
                f"'{plane.file}' holds {stored.shape} pixels where its header says {self.shape[1:]}. It is damaged."
            )
        if self.dtype == np.uint8 or (plane.slope == 1 and plane.intercept == 0 and factor == 1):
            return stored.astype(self.dtype, copy=False)
        values: npt.NDArray[np.float64] = (stored * np.float64(plane.slope) + plane.intercept) * factor
        return values.astype(self.dtype)


def check_syntax(plane: Plane) -> None:
    """Refuse what cannot be unpacked, before anything is.

    Parameters
    ----------
    plane : Plane
        Of a file.

    Raises
    ------
    ImageError
        If its compression or its colors cannot be read.
    """
    if plane.syntax not in _UNPACKED and plane.syntax not in _CODECS:
        name = getattr(need("pydicom", "Reading DICOM").uid.UID(plane.syntax), "name", plane.syntax)
        raise ImageError(
            f"'{plane.file}' is compressed as {name}, which cannot be unpacked. Decompress it first, for example: "
            "dcmdjpeg, gdcmconv --raw, or dcmconv of DCMTK."
        )
    photometric = str(plane.header.get("PhotometricInterpretation", "MONOCHROME2"))
    if photometric == "PALETTE COLOR" or plane.samples not in (1, 3):
        raise ImageError(
            f"'{plane.file}' holds {photometric} pictures, which cannot be read. Export it as gray or RGB."
        )


def _stored(plane: Plane) -> npt.NDArray[Any]:
    """Return the numbers of a plane as they are stored."""
    pydicom = need("pydicom", "Reading DICOM")
    try:
        if plane.syntax in _UNPACKED:
            return np.asarray(pydicom.pixels.pixel_array(plane.file, index=plane.frame, raw=plane.samples == 1))
        return _unpacked(pydicom, plane)
    except ImageError:
        raise
    except BROKEN as error:
        # The text may repeat what stands in a header.
        raise ImageError(
            f"The pixels of '{plane.file}' could not be read ({type(error).__name__}): there are none, or the file is "
            "incomplete or damaged. Copy or export it again."
        ) from None


def _unpacked(pydicom: Any, plane: Plane) -> npt.NDArray[np.generic]:
    """Unpack a compressed plane."""
    import imagecodecs  # noqa: PLC0415  # large, and few files need it

    data = pydicom.dcmread(plane.file, specific_tags=["PixelData", "NumberOfFrames"])
    frames = int(data.get("NumberOfFrames", 1) or 1)
    packed = next(
        frame
        for number, frame in enumerate(pydicom.encaps.generate_frames(data.PixelData, number_of_frames=frames))
        if number == plane.frame
    )
    codec = _CODECS[plane.syntax]
    if codec == "jpeg8" and plane.samples == 3:
        return np.asarray(imagecodecs.jpeg8_decode(packed, outcolorspace="RGB"))
    values: npt.NDArray[Any] = np.asarray(getattr(imagecodecs, f"{codec}_decode")(packed))
    if int(plane.header.get("PixelRepresentation", 0) or 0) and values.dtype.kind == "u":
        # The codec knows no sign: the highest of the stored bits is one.
        bits = int(plane.header.get("BitsStored", 0) or 16)
        wide = values.astype(np.int32) & ((1 << bits) - 1)
        values = np.where(wide >= 1 << (bits - 1), wide - (1 << bits), wide).astype(np.int32)
    return values
