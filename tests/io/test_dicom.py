"""DICOM series: in the order in which planes lie, with the values and sizes that they have, or refused in words."""

from __future__ import annotations

import gzip
import logging
import math
from dataclasses import replace
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import generate_uid

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError, MissingExtraError, OutputError
from napari_unet.io import dicom
from napari_unet.io.contents import read_contents
from napari_unet.io.dicom import find_series, read_dicom
from napari_unet.io.images import read_image
from napari_unet.io.labels import read_labels, write_labels
from napari_unet.io.places import check_place

RNG = np.random.default_rng(0)
BODY = RNG.integers(0, 4000, (5, 6, 7)).astype(np.uint16)  # column, row, plane
AXIAL = np.array([[2.0, 0, 0, -10], [0, 2.5, 0, -20], [0, 0, 3.0, 30], [0, 0, 0, 1.0]])


def change(file, **fields):
    """Write a file again with other fields; None takes one away."""
    data = pydicom.dcmread(file)
    syntax = fields.pop("syntax", None)
    for name, value in fields.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    if syntax:
        data.file_meta.TransferSyntaxUID = syntax
        data["PixelData"].VR = "OB"
    data.save_as(file)


# What is expected


@pytest.mark.parametrize("kind", ["CT", "MR_T1", "PET"])
def test_the_geometry_and_values_of_a_reference(data, tmp_path, kind):
    folder = data / "tumour" / "dicom_samples" / "STS_025"
    found = read_image(folder / f"{kind}_image")
    expected = read_image(folder / "expected_nifti" / f"{kind}_image.nii.gz")
    # Its header has 32 bits: places up to 400 mm are known to 3e-5.
    np.testing.assert_allclose(found.anatomy.matrix, expected.anatomy.matrix, atol=1e-5)
    np.testing.assert_allclose(found.scale, expected.scale, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(found.data), np.asarray(expected.data), rtol=3e-7, atol=1e-6)
    assert found.anatomy.quantity == {"CT": "HU", "MR_T1": "", "PET": "SUV (body weight)"}[kind]
    labels = read_labels(folder / "expected_nifti" / f"{kind}_mask.nii.gz")
    write_labels(tmp_path / "a.nii.gz", Image(labels.data, "zyx", anatomy=found.anatomy))
    np.testing.assert_allclose(read_labels(tmp_path / "a.nii.gz").anatomy.matrix, expected.anatomy.matrix, atol=4e-5)


# Order and orientation


def test_planes_are_ordered_by_where_they_lie(tmp_path, dicom_series):
    files = dicom_series(tmp_path, BODY, AXIAL, RescaleIntercept=-1024)
    assert [f.name for f in sorted(files)] != [f.name for f in files]
    found = read_image(tmp_path)
    assert (found.axes, found.scale, found.units) == ("zyx", (3.0, 2.5, 2.0), ("millimeter",) * 3)
    assert found.data.dtype == np.int32  # 16 bits without sign, less 1024
    np.testing.assert_array_equal(found.data, BODY.T.astype(int) - 1024)
    assert found.anatomy.origin == (30, -20, -10)
    assert found.anatomy.files == tuple(map(str, files))
    assert found.name == "CT series 1"
    one = read_image(files[3])
    np.testing.assert_array_equal(one.data, found.data)
    assert one.anatomy == found.anatomy


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (0, 2, 1), (2, 0, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1)])
@pytest.mark.parametrize("lazy", [False, True])
def test_left_stays_left_in_every_orientation(tmp_path, dicom_series, monkeypatch, axes, signs, lazy):
    """Axial, coronal and sagittal, supine and prone, head or feet first: every voxel is at its place."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[list(axes)] * [2, 3, 4] * signs
    affine[:3, 3] = (5, -6, 7)
    dicom_series(tmp_path, BODY, affine)
    monkeypatch.setattr(dicom, "LAZY_BYTES", 10 if lazy else 1 << 20)
    found = read_image(tmp_path)
    index = np.stack(np.meshgrid(*map(range, BODY.shape), indexing="ij"), -1).reshape(-1, 3)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    there = np.rint(found.anatomy.to_index(world[:, ::-1])).astype(int)
    np.testing.assert_array_equal(np.asarray(found.data)[tuple(there.T)], BODY[tuple(index.T)])
    assert (np.diag(found.anatomy.matrix)[:3] > 0).all()
    assert isinstance(found.data, np.ndarray) is not lazy
    # Labels of it go back: a NIfTI of the same world.
    write_labels(tmp_path / "labels.nii.gz", Image(np.asarray(found.data) % 5, "zyx", anatomy=found.anatomy))
    back = read_labels(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(back.data, np.asarray(found.data) % 5)
    np.testing.assert_allclose(back.anatomy.matrix, found.anatomy.matrix, atol=1e-5)


def test_large_series_are_read_where_one_looks(tmp_path, dicom_series, monkeypatch):
    dicom_series(tmp_path, BODY, AXIAL)
    monkeypatch.setattr(dicom, "LAZY_BYTES", 10)
    found = read_image(tmp_path)
    assert found.data.chunks == (1, 6, 5)
    for window in ((2, slice(1, 3), 4), (slice(1, 6, 2),), (slice(3, 3), slice(0, 2)), ()):
        np.testing.assert_array_equal(found.data[window], BODY.T[window])


# Values


def test_values_take_as_few_bytes_as_they_can(tmp_path, dicom_series):
    fields = {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": -1024}
    dicom_series(tmp_path / "a", BODY, **fields)
    assert read_image(tmp_path / "a").data.dtype == np.int16
    dicom_series(tmp_path / "b", BODY, RescaleSlope=lambda k: 0.5 + k, Modality="MR")
    found = read_image(tmp_path / "b")
    assert found.data.dtype == np.float32
    np.testing.assert_allclose(found.data, BODY.T * (0.5 + np.arange(7))[:, None, None], rtol=1e-6)


PET = {
    "Modality": "PT", "Units": "BQML", "DecayCorrection": "START", "CorrectedImage": ["ATTN", "DECY"],
    "SeriesDate": "20200101", "SeriesTime": "130000", "AcquisitionDate": "20200101", "PatientWeight": 70,
    "AcquisitionTime": lambda k: f"13{k:02}00.5", "RescaleSlope": lambda k: 1 + k / 8,
}  # fmt: skip


def drug(**fields):
    item = pydicom.Dataset()
    for name, value in {
        "RadionuclideTotalDose": 3.5e8, "RadionuclideHalfLife": 6588, "RadiopharmaceuticalStartTime": "120000.00",
    }.items():  # fmt: skip
        setattr(item, name, value)
    for name, value in fields.items():
        setattr(item, name, value)
    return {"RadiopharmaceuticalInformationSequence": [item]}


ACTIVITY = BODY.T * (1 + np.arange(7) / 8)[:, None, None]
HOUR = 2 ** (3600 / 6588)


@pytest.mark.parametrize(
    ("fields", "factor"),
    [
        # 70 kg, 350 MBq: 1 Bq/ml is 0.0002; an hour later there was less of the dose.
        ({}, 0.0002 * HOUR),
        ({"DecayCorrection": "ADMIN"}, 0.0002),
        ({"SeriesTime": "150000"}, 0.0002 * HOUR * 2 ** (0.5 / 6588)),  # made later: the first plane's time counts
        (drug(RadiopharmaceuticalStartTime="230000"), 0.0002 * 2 ** (14 * 3600 / 6588)),  # the evening before
        (drug(RadiopharmaceuticalStartDateTime="20200101110000.0"), 0.0002 * HOUR**2),
        ({"Units": "GML", "PatientWeight": None}, 1.0),
    ],
)
def test_pet_becomes_suv(tmp_path, dicom_series, fields, factor):
    dicom_series(tmp_path, BODY, AXIAL, **(PET | drug() | fields))
    found = read_image(tmp_path)
    assert found.anatomy.quantity == "SUV (body weight)"
    assert not found.anatomy.remarks
    np.testing.assert_allclose(found.data, ACTIVITY * factor, rtol=1e-6)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"PatientWeight": None}, "weight of the patient is missing"),
        ({"PatientWeight": 0}, "weight of the patient is missing or zero"),
        (drug(RadionuclideTotalDose=0), "injected dose is missing or zero"),
        ({"RadiopharmaceuticalInformationSequence": None}, "injected dose is missing"),
        (drug(RadionuclideHalfLife=0), "half-life is missing or zero"),
        ({"DecayCorrection": "NONE"}, "DecayCorrection 'NONE'"),
        ({"CorrectedImage": ["ATTN"]}, "not corrected for DECY"),
        (drug(RadiopharmaceuticalStartTime=""), "time of the injection or of the scan is missing"),
        (drug(RadiopharmaceuticalStartDateTime="20200101140000"), "injection lies after the scan"),
    ],
)
def test_what_stands_between_pet_and_suv_is_said(tmp_path, dicom_series, fields, said):
    dicom_series(tmp_path, BODY, AXIAL, **(PET | drug() | fields))
    found = read_image(tmp_path)
    assert found.anatomy.quantity == "Bq/ml"
    (remark,) = found.anatomy.remarks
    assert said in remark
    assert remark.endswith("The values are Bq/ml.")
    np.testing.assert_allclose(found.data, ACTIVITY, rtol=1e-6)


def test_counts_of_philips(tmp_path, dicom_series):
    files = dicom_series(tmp_path, BODY, AXIAL, **(PET | drug() | {"Units": "CNTS"}))
    assert read_image(tmp_path).anatomy.quantity == "counts"
    for tag, factor in ((0x70531009, 3.0 * 0.0002 * HOUR), (0x70531000, 0.25)):
        for file in files:
            data = pydicom.dcmread(file)
            data.add_new(0x70530010, "LO", "Philips PET Private Group")
            data.add_new(tag, "DS", "3" if tag == 0x70531009 else "0.25")
            data.save_as(file)
        found = read_image(tmp_path)
        assert found.anatomy.quantity == "SUV (body weight)"
        np.testing.assert_allclose(found.data, ACTIVITY * factor, rtol=1e-6)


# Compression

JPEG = "1.2.840.10008.1.2.4."
PACKED = {
    f"{JPEG}70": lambda plane: imagecodecs.ljpeg_encode(plane, bitspersample=12),
    f"{JPEG}57": lambda plane: imagecodecs.ljpeg_encode(plane, bitspersample=12),
    f"{JPEG}80": imagecodecs.jpegls_encode,
    f"{JPEG}90": lambda plane: imagecodecs.jpeg2k_encode(plane, reversible=True, level=0, codecformat="j2k"),
}


@pytest.mark.parametrize("syntax", PACKED)
def test_compressed_planes_are_unpacked(tmp_path, dicom_series, syntax):
    files = dicom_series(tmp_path, BODY, AXIAL, BitsStored=12, HighBit=11)
    for number, file in enumerate(files):
        plane = np.ascontiguousarray(BODY[:, :, number].T)
        change(file, PixelData=encapsulate([PACKED[syntax](plane)]), syntax=syntax)
    np.testing.assert_array_equal(read_image(tmp_path).data, BODY.T)


def test_run_lengths_and_signs(tmp_path, dicom_series):
    signed = BODY.astype(np.int16) - 2000
    files = dicom_series(tmp_path, signed, AXIAL, PixelRepresentation=1, BitsStored=13, HighBit=12)
    for number, file in enumerate(files):
        plane = np.ascontiguousarray(signed[:, :, number].T)
        if number % 2:
            packed = imagecodecs.jpegls_encode((plane & 0x1FFF).astype(np.uint16))
            change(file, PixelData=encapsulate([packed]), syntax=f"{JPEG}80")
        else:
            data = pydicom.dcmread(file)
            data.compress(pydicom.uid.RLELossless)
            data.save_as(file)
    np.testing.assert_array_equal(read_image(tmp_path).data, signed.T)


def test_what_cannot_be_unpacked_is_refused_in_words(tmp_path, dicom_series):
    files = dicom_series(tmp_path, BODY, AXIAL)
    change(files[0], PixelData=encapsulate([b"film"]), syntax=f"{JPEG}102")
    with pytest.raises(ImageError, match=r"compressed as MPEG-4.*Decompress it first"):
        read_image(tmp_path)
    change(files[0], PixelData=encapsulate([b"no picture"]), syntax=f"{JPEG}90")
    with pytest.raises(ImageError, match=r"pixels of .* could not be read"):
        read_image(tmp_path)


# What is refused, and what is said


def test_missing_planes_are_noticed(tmp_path, dicom_series):
    files = dicom_series(tmp_path, BODY, AXIAL)
    files[3].unlink()
    with pytest.raises(ImageError, match=rf"missing \(1\).*between {files[2].name} and {files[4].name} \(6 mm apart"):
        read_image(tmp_path)
    files[4].unlink()
    with pytest.raises(ImageError, match=r"missing \(2\)"):
        read_image(tmp_path)


def test_uneven_planes_are_refused_and_a_little_is_said(tmp_path, dicom_series):
    for name, off in (("none", 0.02), ("little", 0.1), ("much", 1.2)):
        dicom_series(
            tmp_path / name,
            BODY,
            AXIAL,
            ImagePositionPatient=lambda k, off=off: [-10, -20, 30 + 3 * k + off * (k == 2)],
        )
    assert not read_image(tmp_path / "none").anatomy.remarks
    (said,) = read_image(tmp_path / "little").anatomy.remarks
    assert "not quite evenly spaced (2.9 to 3.1 mm" in said
    with pytest.raises(ImageError, match=r"not evenly spaced \(1\.8 to 4\.2 mm apart"):
        read_image(tmp_path / "much")
    dicom_series(tmp_path / "shifted", BODY, AXIAL, ImagePositionPatient=lambda k: [-10 + 2 * (k == 3), -20, 3 * k])
    with pytest.raises(ImageError, match="not evenly spaced"):
        read_image(tmp_path / "shifted")


def test_a_tilted_gantry_is_said_and_written(tmp_path, dicom_series):
    tilted = AXIAL.copy()
    tilted[1, 2] = 0.8
    dicom_series(tmp_path, BODY, AXIAL, ImagePositionPatient=lambda k: [-10, -20 + 0.8 * k, 30 + 3 * k])
    found = read_image(tmp_path)
    assert found.scale == pytest.approx((3, 2.5, 2))
    (said,) = found.anatomy.remarks
    assert "gantry was tilted" in said
    assert "14.9 degrees" in said
    np.testing.assert_allclose(found.anatomy.stored, tilted)
    write_labels(tmp_path / "a.nii.gz", Image(np.asarray(found.data) % 2, "zyx", anatomy=found.anatomy))
    np.testing.assert_allclose(read_labels(tmp_path / "a.nii.gz").anatomy.stored, tilted, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"PixelSpacing": [0, 2]}, r"pixel spacing 0 x 2"),
        ({"PixelSpacing": None}, r"pixel spacing none"),
        ({"ImageOrientationPatient": [1, 0, 0, 0.5, 0.866, 0]}, "not orthogonal"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "not orthogonal"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR pictures"),
        ({"PixelData": None}, "has no pixel data"),
    ],
)
def test_headers_that_make_no_volume(tmp_path, dicom_series, fields, said):
    dicom_series(tmp_path, np.tile(BODY, (9, 9, 1)), AXIAL, **fields)
    with pytest.raises(ImageError, match=said):
        read_image(tmp_path)


def test_copies_are_refused(tmp_path, dicom_series):
    files = dicom_series(tmp_path, BODY, AXIAL)
    (tmp_path / "copy.dcm").write_bytes(files[2].read_bytes())
    with pytest.raises(ImageError, match=r"several planes lie at one place.*nothing tells them apart"):
        read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x93encrypted" * 400, b"\0" * 128 + b"DICM" + b"\x02\x00rubbish"])
def test_damaged_and_encrypted_files(tmp_path, dicom_series, content):
    files = dicom_series(tmp_path, BODY, AXIAL)
    files[2].write_bytes(content)
    with pytest.raises(ImageError, match=rf"{files[2].name}.*(encrypted|incomplete)"):
        read_image(tmp_path)


def test_a_count_that_is_no_number_is_named(tmp_path, dicom_series):
    file = dicom_series(tmp_path, BODY, AXIAL, NumberOfFrames=1)[0]
    content = file.read_bytes()
    assert content.count(b"IS\x02\x001 ") >= 1
    file.write_bytes(content.replace(b"\x28\x00\x08\x00IS\x02\x001 ", b"\x28\x00\x08\x00IS\x02\x001A"))
    with pytest.raises(ImageError, match=rf"{file.name}' is damaged: its NumberOfFrames is no number"):
        read_image(tmp_path)


def test_truncated_files(tmp_path, dicom_series):
    files = dicom_series(tmp_path, np.tile(BODY, (20, 20, 1)), AXIAL)
    whole = files[2].read_bytes()
    for length, said in (
        (len(whole) - 500, "could not be read"),
        (9000, "has no pixel data, or not all"),
        (700, "ends before its pixels"),
    ):
        files[2].write_bytes(whole[:length])
        with pytest.raises(ImageError, match=said):
            read_image(tmp_path)


# Several series


def test_several_series_are_listed_and_chosen(tmp_path, dicom_series):
    dicom_series(tmp_path / "a", BODY, AXIAL, SeriesNumber=7, Modality="MR")
    dicom_series(tmp_path / "b" / "c", BODY[:, :, :3], AXIAL, SeriesNumber=2)
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ImageError) as refused:
        read_image(tmp_path)
    assert "--series" in str(refused.value)
    assert "1  CT series 2: 3 planes of 6 x 5, 3 x 2.5 x 2 mm" in str(refused.value)
    assert "2  MR series 7: 7 planes" in str(refused.value)
    assert read_image(tmp_path, series=1).shape == (3, 6, 5)
    assert read_image(tmp_path, series=2).anatomy.modality == "MR"
    with pytest.raises(ImageError, match="no image number 3"):
        read_image(tmp_path, series=3)
    images, _ = read_contents(tmp_path)
    assert [image.name for image in images] == ["CT series 2", "MR series 7"]


def test_a_bad_series_does_not_hide_a_good_one(tmp_path, dicom_series):
    dicom_series(tmp_path / "good", BODY, AXIAL, SeriesNumber=2)
    dicom_series(tmp_path / "bad", BODY, AXIAL, SeriesNumber=1)[3].unlink()
    images, _ = read_contents(tmp_path)
    assert [image.name for image in images] == ["CT series 2"]
    assert "planes are missing" in images[0].anatomy.remarks[-1]
    with pytest.raises(ImageError, match="planes are missing"):
        read_contents(tmp_path / "bad")


def test_a_scout_and_volumes_of_one_series_are_told_apart(tmp_path, dicom_series):
    uid = generate_uid()
    dicom_series(tmp_path / "a", BODY, AXIAL, SeriesInstanceUID=uid)
    coronal = np.array([[2.0, 0, 0, 0], [0, 0, 3, 0], [0, -2, 0, 0], [0, 0, 0, 1.0]])
    dicom_series(tmp_path / "b", BODY[:, :, :1], coronal, SeriesInstanceUID=uid)
    found = find_series(tmp_path)
    assert [s.name for s in found] == ["CT series 1 part 1", "CT series 1 part 2"]
    assert read_image(tmp_path, series=1).shape == (7, 6, 5)
    assert read_image(tmp_path, series=2).axes == "yx"
    for echo in (1, 2):
        dicom_series(
            tmp_path / "echoes" / str(echo),
            BODY + echo,
            AXIAL,
            SeriesInstanceUID=uid,
            EchoTime=10 * echo,
            Modality="MR",
        )
    for number in (1, 2):
        found = read_dicom(tmp_path / "echoes", series=number)
        np.testing.assert_array_equal(found.data, BODY.T + number)


def test_volumes_that_two_facts_tell_apart_together(tmp_path, dicom_series):
    uid = generate_uid()
    for number, (echo, part) in enumerate([(4.6, "M"), (4.6, "P"), (6.9, "M"), (6.9, "P")]):
        facts = {"EchoTime": echo, "ImageType": ["ORIGINAL", "PRIMARY", part], "Modality": "MR"}
        # The time of each plane is its own, and makes no volume of it.
        times = {"ContentTime": lambda plane, n=number: f"1200{n}{plane}"}
        dicom_series(tmp_path / str(number), BODY + number, AXIAL, SeriesInstanceUID=uid, **facts, **times)
    assert len(find_series(tmp_path)) == 4
    for number in range(4):
        np.testing.assert_array_equal(read_dicom(tmp_path, series=number + 1).data, BODY.T + number)


def test_a_series_that_was_stopped_is_listed_with_what_it_holds(tmp_path, dicom_series):
    uid = generate_uid()
    for number, planes in enumerate((7, 7, 3), start=1):
        dicom_series(
            tmp_path / str(number), BODY[:, :, :planes], AXIAL, SeriesInstanceUID=uid, AcquisitionNumber=number
        )
    assert [s.size.partition(" of")[0] for s in find_series(tmp_path)] == ["7 planes", "7 planes", "3 planes"]


@pytest.mark.parametrize("angle", [math.asin(0.0005), 0.3])
def test_planes_whose_headers_are_rounded_differently_are_one_volume(tmp_path, dicom_series, angle):
    def turned(plane):
        a = angle + (1e-6 if plane % 2 else -1e-6)
        return [math.cos(a), math.sin(a), 0, -math.sin(a), math.cos(a), 0]

    def spacing(plane):
        return [1.00005 + (1e-6 if plane % 2 else -1e-6)] * 2

    dicom_series(tmp_path, BODY, AXIAL, ImageOrientationPatient=turned, PixelSpacing=spacing)
    assert read_image(tmp_path).shape == BODY.T.shape


def test_a_file_with_all_planes(tmp_path, dicom_series):
    (file,) = dicom_series(tmp_path, BODY[:, :, :1], AXIAL, Modality="MR")
    shared, frames = pydicom.Dataset(), []
    shared.PixelMeasuresSequence = [pydicom.Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [2.5, 2]
    shared.PlaneOrientationSequence = [pydicom.Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    order = [3, 0, 6, 5, 1, 2, 4]
    for number in order:
        frame = pydicom.Dataset()
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = [pydicom.Dataset()], [pydicom.Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = [-10, -20, 30 + 3 * number]
        frame.PixelValueTransformationSequence[0].RescaleSlope = 2
        frame.PixelValueTransformationSequence[0].RescaleIntercept = number
        frames.append(frame)
    pixels = np.stack([BODY[:, :, number].T for number in order]).tobytes()
    change(
        file, PixelSpacing=None, ImageOrientationPatient=None, ImagePositionPatient=None, NumberOfFrames=7,
        PixelData=pixels, SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=frames,
    )  # fmt: skip
    found = read_image(file)
    np.testing.assert_array_equal(found.data, 2 * BODY.T.astype(int) + np.arange(7)[:, None, None])
    np.testing.assert_allclose(found.anatomy.stored, AXIAL)
    assert found.anatomy.files == (str(file),)


def test_single_pictures_and_films(tmp_path, dicom_series):
    gone = {"ImagePositionPatient": None, "ImageOrientationPatient": None, "PixelSpacing": None}
    (file,) = dicom_series(
        tmp_path / "x", BODY[:, :, :1], **gone, Modality="DX", ImagerPixelSpacing=[0.2, 0.1],
        PhotometricInterpretation="MONOCHROME1",
    )  # fmt: skip
    found = read_image(file)
    assert (found.axes, found.scale, found.units) == ("yx", (0.2, 0.1), ("millimeter",) * 2)
    assert len(found.anatomy.remarks) == 2
    colors = RNG.integers(0, 255, (4, 6, 5, 3)).astype(np.uint8)
    region = pydicom.Dataset()
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.01, 0.02
    (file,) = dicom_series(
        tmp_path / "us", BODY[:, :, :1], **gone, Modality="US", SamplesPerPixel=3, PlanarConfiguration=0,
        BitsAllocated=8, BitsStored=8, HighBit=7, PhotometricInterpretation="RGB", NumberOfFrames=4, FrameTime=40,
        PixelData=colors.tobytes(), SequenceOfUltrasoundRegions=[region],
    )  # fmt: skip
    found = read_image(file)
    assert (found.axes, found.scale) == ("tyxc", (0.04, 0.2, 0.1, 1))
    np.testing.assert_array_equal(found.data, colors)


def test_folders_without_images(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ImageError, match="without a zarr store, DICOM files or numbered frames"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="holds no DICOM files"):
        find_series(tmp_path)


def test_axes_are_checked_and_the_package_is_named(tmp_path, dicom_series, monkeypatch):
    dicom_series(tmp_path, BODY, AXIAL)
    with pytest.raises(AxesError, match="has the axes zyx, not 'tyx'"):
        read_image(tmp_path, axes="tyx")
    monkeypatch.setitem(__import__("sys").modules, "pydicom", None)
    with pytest.raises(MissingExtraError, match=r"napari-unet-suite\[medical\]"):
        read_image(tmp_path)


def test_no_plane_is_overwritten(tmp_path, dicom_series):
    files = dicom_series(tmp_path, BODY, AXIAL)
    image = read_image(files[0])
    with pytest.raises(OutputError, match="lies inside of the image"):
        check_place(tmp_path / "labels.nii.gz", read_image(tmp_path))
    odd = files[1].rename(tmp_path / "odd.nii.gz")
    image = replace(image, anatomy=replace(image.anatomy, files=(str(odd),)))
    with pytest.raises(OutputError, match="replace a plane of the image itself"):
        check_place(odd, image, overwrite=True)


# Nobody is named


def test_nothing_that_names_a_patient_is_kept_or_said(tmp_path, dicom_series, identity, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    files = dicom_series(tmp_path, BODY, AXIAL, Modality="PT", Units="XYZ")
    texts = []
    for spoil in (lambda: None, files[3].unlink, lambda: files[1].write_bytes(files[1].read_bytes()[:900])):
        spoil()
        try:
            image = read_image(tmp_path)
            texts += [repr(image.anatomy), image.name, str(find_series(tmp_path))]
            write_labels(tmp_path / "a.nii.gz", Image(np.asarray(image.data) > 9, "zyx", anatomy=image.anatomy))
            texts.append(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()).decode("latin1"))
        except ImageError as error:
            texts += [str(error), repr(error.__cause__)]
    said = "\n".join((*texts, caplog.text, *capsys.readouterr())).replace(str(Path(tmp_path)), "")
    assert not [word for word in identity if word in said]
