"""What is needed of the headers of DICOM files, and no more: nothing that names a patient is ever read."""

from __future__ import annotations

import logging
import struct
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..core.errors import ImageError
from ._extras import need

__all__ = ["BROKEN", "ENDINGS", "Plane", "dicom_files", "is_dicom", "quiet", "read_header", "read_planes"]

ENDINGS: Final = (".dcm", ".dicom", ".ima")
_MAGIC: Final = (128, b"DICM")
_GEOMETRY: Final = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")
_SPLIT: Final = (
    "TemporalPositionIdentifier", "TemporalPositionIndex", "EchoNumbers", "EchoTime", "EffectiveEchoTime",
    "InversionTime", "DiffusionBValue", "DiffusionGradientOrientation", "ImageType", "AcquisitionNumber",
    "NominalCardiacTriggerDelayTime", "ConvolutionKernel", "ContentTime", "AcquisitionTime",
)  # fmt: skip
TAGS: Final = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "FrameOfReferenceUID", *_GEOMETRY,
    *_SPLIT, "SpacingBetweenSlices", "SliceThickness", "ImagerPixelSpacing", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames",
    "RescaleSlope", "RescaleIntercept", "Units", "SUVType", "DecayCorrection", "CorrectedImage", "SeriesDate",
    "SeriesTime", "AcquisitionDate", "PatientWeight", "RadiopharmaceuticalInformationSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "EncryptedAttributesSequence",
    "SequenceOfUltrasoundRegions", "FrameTime",
)  # fmt: skip
_PRIVATE: Final = (0x0009100D, 0x70531000, 0x70531009)  # of GE and Philips, for PET
_NATIVE: Final = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
BROKEN: Final = (
    OSError, ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError,
    RuntimeError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip
_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
# CR, DX, CT, US, MR, NM, PET and secondary captures: what must have pixels.
_PICTURES: Final = ("1", "1.1", "2", "2.1", "3.1", "4", "4.1", "6.1", "6.2", "7", "20", "128", "128.1", "130")
_ADVICE: Final = "Copy or export it again."


@dataclass(frozen=True)
class Plane:
    """One plane of a series.

    Attributes
    ----------
    file : Path
        Where it is.
    frame : int
        Its number in the file, from 0.
    header : Dataset
        Of the file: what :data:`TAGS` names.
    syntax : str
        How the pixels are packed (Transfer Syntax UID).
    position, orientation, spacing : tuple of float
        Where the first pixel's center lies (x, y, z in mm, LPS); directions of a row and of a column; mm between rows
        and between columns. Empty where the file does not say it.
    slope, intercept : float
        From stored numbers to values.
    facts : tuple of str
        What tells volumes of one series apart: times, echoes, diffusion weights ...
    """

    file: Path
    frame: int
    header: Any = field(repr=False)
    syntax: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    slope: float
    intercept: float
    facts: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return int(self.header.Rows), int(self.header.Columns)

    @property
    def samples(self) -> int:
        """1, or 3 for colors."""
        return int(self.header.get("SamplesPerPixel", 1) or 1)

    @property
    def apart(self) -> float:
        """Distance between planes in mm as the file says it; 0 where it does not."""
        shared = _first(self.header.get("SharedFunctionalGroupsSequence"))
        measures = _first(shared.get("PixelMeasuresSequence")) if shared is not None else None
        for holder in (h for h in (measures, self.header) if h is not None):
            for name in ("SpacingBetweenSlices", "SliceThickness"):
                if holder.get(name):
                    return abs(float(holder.get(name)))
        return 0.0

    @property
    def spaced(self) -> bool:
        """Whether it has a place in the patient."""
        return len(self.position) == 3 and len(self.orientation) == 6


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM by its first bytes, or claims to be by its name."""
    if path.suffix.lower() in ENDINGS:
        return True
    try:
        with path.open("rb") as stream:
            stream.seek(_MAGIC[0])
            return stream.read(4) == _MAGIC[1]
    except OSError:
        return False


def dicom_files(folder: Path, below: bool = True) -> list[Path]:
    """List the DICOM files of a folder, and of those below it if asked; sorted by name, without hidden ones."""
    found = (p for p in sorted(folder.rglob("*") if below else folder.iterdir()) if p.name != "DICOMDIR")
    shown = (p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    return [p for p in shown if p.is_file() and is_dicom(p)]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from repeating what stands in a header: it may be a name."""
    logger = logging.getLogger("pydicom")
    before, logger.disabled = logger.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = before


def read_header(file: Path, tags: Sequence[Any] = (*TAGS, *_PRIVATE)) -> Any:
    """Read the header of a DICOM file.

    Parameters
    ----------
    file : Path
        The file.
    tags : sequence
        What is read of it.

    Returns
    -------
    Dataset
        Without pixels.

    Raises
    ------
    ImageError
        If it is no DICOM file, or the header is incomplete.
    MissingExtraError
        If pydicom is not installed.
    """
    pydicom = need("pydicom", "Reading DICOM")
    try:
        with quiet():
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(tags))
            for element in header:  # values are decoded when they are asked for
                _ = element.value
    except pydicom.errors.InvalidDicomError:
        raise ImageError(
            f"'{file}' is no DICOM file: it is damaged, encrypted as a whole, or something else. {_ADVICE}"
        ) from None
    except BROKEN as error:
        # pydicom raises what Python raises on bytes that are cut off; its text may repeat what stands in the header.
        raise ImageError(
            f"'{file}' could not be read as DICOM ({type(error).__name__}): it is incomplete or damaged. {_ADVICE}"
        ) from None
    return header


def read_planes(file: Path) -> list[Plane]:
    """Read what a file says of its planes.

    Parameters
    ----------
    file : Path
        The file.

    Returns
    -------
    list of Plane
        One a frame; none where the file holds no picture.

    Raises
    ------
    ImageError
        If the file is damaged, or too short for its pixels.
    """
    header = read_header(file)
    if not all(_count(file, header, name, 0) for name in ("Rows", "Columns")):
        kind = str(header.get("SOPClassUID", ""))
        if not kind or kind.removeprefix(_STORAGE) in _PICTURES:
            raise ImageError(f"'{file}' ends before its pixels, or has none: it is incomplete or damaged. {_ADVICE}")
        return []
    syntax = str(header.file_meta.get("TransferSyntaxUID", _NATIVE[0]))
    frames = _count(file, header, "NumberOfFrames")
    pixels = _count(file, header, "Rows") * _count(file, header, "Columns") * frames
    needed = pixels * _count(file, header, "SamplesPerPixel") * _count(file, header, "BitsAllocated", 8) // 8
    if syntax in _NATIVE and file.stat().st_size < needed and header.get("Modality") != "SEG":
        raise ImageError(
            f"'{file}' has no pixel data, or not all of it: {file.stat().st_size:,} bytes where its pixels alone take "
            f"{needed:,}. {_ADVICE}"
        )
    shared = _first(header.get("SharedFunctionalGroupsSequence"))
    each = header.get("PerFrameFunctionalGroupsSequence") or []
    return [
        _plane(file, number, header, syntax, [g for g in (*each[number : number + 1], shared) if g is not None])
        for number in range(frames)
    ]


def _count(file: Path, header: Any, name: str, missing: int = 1) -> int:
    """Return a whole number of a header."""
    try:
        return int(header.get(name, missing) or missing)
    except BROKEN:
        raise ImageError(f"'{file}' is damaged: its {name} is no number. {_ADVICE}") from None


def _plane(file: Path, number: int, header: Any, syntax: str, groups: list[Any]) -> Plane:
    def look(name: str, sequence: str = "") -> Any:
        """Return a value of the frame, of what all frames share, or of the file."""
        for group in groups:
            inner = _first(group.get(sequence)) if sequence else None
            if inner is not None and inner.get(name) not in (None, ""):
                return inner.get(name)
        return header.get(name)

    spacing = look("PixelSpacing", "PixelMeasuresSequence") or header.get("ImagerPixelSpacing")
    try:
        return Plane(
            file,
            number,
            header,
            syntax,
            _numbers(look("ImagePositionPatient", "PlanePositionSequence")),
            _numbers(look("ImageOrientationPatient", "PlaneOrientationSequence")),
            _numbers(spacing),
            float(look("RescaleSlope", "PixelValueTransformationSequence") or 1.0),
            float(look("RescaleIntercept", "PixelValueTransformationSequence") or 0.0),
            tuple(str(_fact(header, groups, name)) for name in _SPLIT),
        )
    except (TypeError, ValueError):
        raise ImageError(f"'{file}' has a place or a spacing that is no number. {_ADVICE}") from None


_GROUPS: Final = {
    "TemporalPositionIndex": "FrameContentSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
}


def _fact(header: Any, groups: list[Any], name: str) -> Any:
    for group in groups:
        inner = _first(group.get(_GROUPS.get(name, "")))
        if inner is not None and inner.get(name) is not None:
            return inner.get(name)
    return header.get(name, "")


def _first(sequence: Any) -> Any:
    return sequence[0] if sequence else None


def _numbers(value: Any) -> tuple[float, ...]:
    return () if value in (None, "") else tuple(float(n) for n in value)
