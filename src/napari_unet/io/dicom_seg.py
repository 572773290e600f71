"""Labels as DICOM-SEG: one segment for each number, referencing the planes of the series that was segmented."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..core.anatomy import Anatomy
from ..core.axes import Image
from ..core.errors import OutputError
from ._dicom_headers import BROKEN, quiet
from ._extras import need
from ._standing import lay

__all__ = ["check_segmentation", "write_segmentation"]

_MOST: Final = 65535
_PURPOSE: Final = "Writing DICOM-SEG"


def check_segmentation(path: Path, image: Image) -> None:
    """Check that labels of an image can be written as DICOM-SEG.

    Parameters
    ----------
    path : Path
        Where to, for messages.
    image : Image
        What is segmented, or its labels.

    Raises
    ------
    OutputError
        If it is no volume of a DICOM series that is still there.
    MissingExtraError
        If highdicom is not installed.
    """
    need("highdicom", _PURPOSE)
    if image.anatomy is None or not image.anatomy.files or "t" in image.axes:
        raise OutputError(
            f"'{path}': DICOM-SEG refers to the planes of a DICOM series, and '{image.name}' is no volume of one. "
            "Choose a name that ends in .nii.gz, .tif or .ome.zarr."
        )
    if gone := [file for file in image.anatomy.files if not Path(file).is_file()]:
        raise OutputError(
            f"'{path}': DICOM-SEG needs the series that was segmented, and '{gone[0]}' is not there any more. Bring it "
            "back, or choose a name that ends in .nii.gz."
        )


def write_segmentation(path: Path, labels: Image, manifest: Mapping[str, Any]) -> None:
    """Write labels as a binary DICOM-SEG.

    What names the patient is copied from the series by necessity: the file belongs to it. Segments are numbered 1, 2, 3
    in the order of the labels; a label without a name is called by its number.

    Parameters
    ----------
    path : Path
        Of a file that may be replaced.
    labels : Image
        Of whole numbers, with the anatomy of a DICOM series.
    manifest : mapping
        How they were made; the model is named in the file.

    Raises
    ------
    OutputError
        If there are no labels or too many, or the series cannot be used.
    MissingExtraError
        If highdicom is not installed.
    """
    check_segmentation(path, labels)
    highdicom, pydicom = need("highdicom", _PURPOSE), need("pydicom", _PURPOSE)
    values, anatomy = lay(labels)
    numbers = [int(n) for n in np.unique(values) if n > 0]
    if not 0 < len(numbers) <= _MOST:
        said = "no objects, and an empty DICOM-SEG is not allowed" if not numbers else f"{len(numbers)} objects"
        raise OutputError(f"'{path}': there are {said} (at most {_MOST}). Choose a name that ends in .nii.gz.")
    segments = np.searchsorted([0, *numbers], values.transpose(2, 1, 0)).astype(
        np.uint16 if len(numbers) > 255 else np.uint8
    )
    try:
        with quiet():
            sources = [pydicom.dcmread(file, stop_before_pixels=True) for file in anatomy.files]
            made = highdicom.seg.Segmentation(
                source_images=sources,
                pixel_array=segments,
                segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                segment_descriptions=_descriptions(highdicom, numbers, _names(anatomy, manifest), manifest),
                series_instance_uid=highdicom.UID(),
                series_number=9000,
                sop_instance_uid=highdicom.UID(),
                instance_number=1,
                manufacturer="napari-unet",
                manufacturer_model_name="napari-unet-suite",
                software_versions=str(manifest.get("program") or "napari-unet-suite"),
                device_serial_number="0",
                content_label="LABELS",
                series_description="Segmentation (not for clinical use)",
            )
            made.save_as(path)
    except BROKEN as error:
        if isinstance(error, OSError):
            raise
        raise OutputError(
            f"'{path}': a DICOM-SEG of this series cannot be made ({type(error).__name__}): its headers lack what it "
            "needs, such as the ids of patient and study. Choose a name that ends in .nii.gz."
        ) from None


def _names(anatomy: Anatomy, manifest: Mapping[str, Any]) -> dict[int, str]:
    """Return the names of labels: those of the model's classes, and those that they were given."""
    classes = manifest.get("classes")
    rows = [row for row in classes if isinstance(row, Mapping)] if isinstance(classes, list | tuple) else []
    return {int(row["label"]): str(row["name"]) for row in rows if {"label", "name"} <= set(row)} | dict(anatomy.names)


def _descriptions(highdicom: Any, numbers: list[int], names: dict[int, str], manifest: Mapping[str, Any]) -> list[Any]:
    """Describe each segment; what kind of thing it is stays open: an abnormal structure, a lesion."""
    codes = need("pydicom.sr.codedict", _PURPOSE).codes
    model = str(manifest.get("model") or "")
    how: dict[str, Any] = {"algorithm_type": highdicom.seg.SegmentAlgorithmTypeValues.MANUAL}
    if model:
        how = {
            "algorithm_type": highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
            "algorithm_identification": highdicom.AlgorithmIdentificationSequence(
                name=model[:64], version=str(manifest.get("sha256") or "1")[:64],
                family=codes.DCM.ArtificialIntelligence,
            ),
        }  # fmt: skip
    return [
        highdicom.seg.SegmentDescription(
            segment_number=index,
            segment_label=(names.get(number) or f"label {number}")[:64],
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Lesion,
            tracking_id=f"label {number}",
            tracking_uid=highdicom.UID(),
            **how,
        )
        for index, number in enumerate(numbers, 1)
    ]
