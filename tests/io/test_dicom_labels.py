"""DICOM-SEG both ways, outlines filled on their image, and labels on another grid."""

from __future__ import annotations

from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_unet.core.anatomy import same_grid, stand_up
from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.io._rtstruct import _filled, read_outlines
from napari_unet.io.contents import read_contents
from napari_unet.io.dicom_labels import read_dicom_labels
from napari_unet.io.images import read_image
from napari_unet.io.labels import read_labels, write_labels
from napari_unet.io.places import check_place
from napari_unet.io.regrid import regrid

RNG = np.random.default_rng(0)
BODY = RNG.integers(0, 4000, (20, 16, 9)).astype(np.uint16)  # column, row, plane
AXIAL = np.array([[2.0, 0, 0, -10], [0, 2.5, 0, -20], [0, 0, 3.0, 30], [0, 0, 0, 1.0]])
SAGITTAL = np.array([[0, 0, -3.0, 10], [2.0, 0, 0, -20], [0, -2.5, 0, 30], [0, 0, 0, 1.0]])


def some_labels(image):
    labels = np.zeros(image.shape, np.int32)
    labels[2:4, 3:6, 2:5], labels[5, 7:9, 1], labels[1, 1, 1] = 7, 300, 2
    return Image(labels, "zyx", image.scale, image.units, "found", anatomy=image.anatomy)


# DICOM-SEG


@pytest.mark.parametrize("affine", [AXIAL, SAGITTAL])
def test_labels_become_segments_of_the_series(tmp_path, dicom_series, affine):
    files = dicom_series(tmp_path / "scan", BODY, affine)
    image = read_image(tmp_path / "scan")
    labels = some_labels(image)
    labels = replace(labels, anatomy=image.anatomy.named({7: "mass"}))
    write_labels(tmp_path / "seg.dcm", labels, {"model": "tumor", "sha256": "12ab", "program": "napari-unet-suite 1"})
    # As another program reads it.
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    sources = [pydicom.dcmread(file) for file in files]
    assert [str(d.SegmentLabel) for d in seg.SegmentSequence] == ["label 2", "mass", "label 300"]
    assert {d.SegmentAlgorithmType for d in seg.SegmentSequence} == {"AUTOMATIC"}
    assert seg.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmName == "tumor"
    read = seg.get_pixels_by_source_instance([s.SOPInstanceUID for s in sources], combine_segments=True)
    stored = np.zeros(BODY.shape, np.int32)  # column, row, plane
    index = np.argwhere(labels.data)
    world = np.c_[image.anatomy.to_world(index)[:, ::-1], np.ones(len(index))]
    there = np.rint(world @ np.linalg.inv(affine).T)[:, :3].astype(int)
    stored[tuple(there.T)] = np.searchsorted([0, 2, 7, 300], labels.data[tuple(index.T)])
    np.testing.assert_array_equal(read, stored.transpose(2, 1, 0))
    assert seg.StudyInstanceUID == sources[0].StudyInstanceUID
    assert seg.FrameOfReferenceUID == sources[0].FrameOfReferenceUID
    # And as we do: on its own grid, and on that of the image.
    alone = read_labels(tmp_path / "seg.dcm")
    assert alone.anatomy.names == ((1, "label 2"), (2, "mass"), (3, "label 300"))
    assert alone.shape != image.shape
    back = read_labels(tmp_path / "seg.dcm", like=image)
    np.testing.assert_array_equal(back.data, np.searchsorted([0, 2, 7, 300], labels.data))
    assert same_grid(back, image)
    assert not back.anatomy.remarks


def test_one_plane_of_a_segment_finds_its_place(tmp_path, dicom_series):
    dicom_series(tmp_path / "scan", BODY, AXIAL)
    image = read_image(tmp_path / "scan")
    data = np.zeros(image.shape, np.int32)
    data[5, 2:4, 3:9] = 1
    write_labels(tmp_path / "seg.dcm", Image(data, "zyx", anatomy=image.anatomy))
    assert highdicom.seg.segread(tmp_path / "seg.dcm").SegmentSequence[0].SegmentAlgorithmType == "MANUAL"
    np.testing.assert_array_equal(read_labels(tmp_path / "seg.dcm", like=image).data, data)
    assert read_labels(tmp_path / "seg.dcm").shape == (1, 16, 20)


def test_segments_that_overlap_are_kept_apart(data):
    file = data / "tumour" / "dicom_samples" / "highdicom_seg" / "seg_image_ct_binary_overlap.dcm"
    with pytest.raises(ImageError, match=r"'first segment', 'second segment'.*read_contents"):
        read_labels(file)
    _, labels = read_contents(file)
    assert [each.name for each in labels] == ["first segment", "second segment"]
    volume = highdicom.seg.segread(file).get_volume()
    for number, each in enumerate(labels):
        same_places(each, volume, volume.array[..., number] > 0)
    for word in ("Second segment", "2"):
        np.testing.assert_array_equal(read_labels(file, only=word).data, labels[1].data)
    with pytest.raises(ImageError, match=r"called 'third'\. It holds: 'first segment', 'second segment'"):
        read_labels(file, only="third")


def same_places(labels, volume, expected):
    """Compare masks voxel by voxel, wherever the two programs begin to count."""
    index = np.argwhere(np.ones(expected.shape, bool))
    world = (np.c_[index, np.ones(len(index))] @ volume.affine.T)[:, 2::-1]
    there = labels.anatomy.to_index(world)
    np.testing.assert_allclose(there, np.rint(there), atol=1e-4)
    assert sorted(labels.shape) == sorted(expected.shape)
    np.testing.assert_array_equal(labels.data[tuple(np.rint(there).astype(int).T)] > 0, expected[tuple(index.T)])


@pytest.mark.parametrize("name", ["binary", "binary_fractional", "true_fractional", "binary_single_frame"])
def test_segments_are_those_that_highdicom_reads(data, name):
    file = data / "tumour" / "dicom_samples" / "highdicom_seg" / f"seg_image_ct_{name}.dcm"
    found = read_labels(file)
    volume = highdicom.seg.segread(file).get_volume()
    same_places(found, volume, volume.array[..., 0] >= 0.5)


def test_a_label_map_and_half_of_a_fraction(tmp_path, dicom_series):
    files = dicom_series(tmp_path / "scan", BODY, AXIAL)
    image = read_image(tmp_path / "scan")
    sources = [pydicom.dcmread(f) for f in files]
    labels = some_labels(image)
    numbers = np.searchsorted([0, 2, 7, 300], labels.data).astype(np.uint8)
    codes = pydicom.sr.codedict.codes
    described = [
        highdicom.seg.SegmentDescription(n, f"s{n}", codes.SCT.Tissue, codes.SCT.Lesion, "MANUAL") for n in (1, 2, 3)
    ]
    same = {
        "series_instance_uid": highdicom.UID(), "series_number": 2, "sop_instance_uid": highdicom.UID(),
        "instance_number": 1, "manufacturer": "a", "manufacturer_model_name": "b", "software_versions": "c",
        "device_serial_number": "d",
    }  # fmt: skip
    highdicom.seg.Segmentation(sources, numbers, "LABELMAP", described, **same).save_as(tmp_path / "map.dcm")
    np.testing.assert_array_equal(read_labels(tmp_path / "map.dcm", like=image).data, numbers)
    share = RNG.uniform(0, 1, numbers.shape).astype(np.float32)
    highdicom.seg.Segmentation(sources, share, "FRACTIONAL", described[:1], **same).save_as(tmp_path / "part.dcm")
    np.testing.assert_array_equal(read_labels(tmp_path / "part.dcm", like=image).data, np.rint(share * 255) >= 127.5)


def test_segments_that_cannot_be_written(tmp_path, dicom_series):
    files = dicom_series(tmp_path / "scan", BODY, AXIAL)
    image = read_image(tmp_path / "scan")
    for odd in (Image(BODY, "zyx"), Image(np.zeros((2, *image.shape)), "tzyx", anatomy=image.anatomy)):
        with pytest.raises(OutputError, match="is no volume of one"):
            check_place(tmp_path / "seg.dcm", odd)
    empty = Image(np.zeros(image.shape, np.int32), "zyx", anatomy=image.anatomy)
    with pytest.raises(OutputError, match="no objects"):
        write_labels(tmp_path / "seg.dcm", empty)
    check_place(tmp_path / "seg.dcm", image)
    bare = pydicom.dcmread(files[0])
    del bare.StudyInstanceUID
    bare.save_as(files[0])
    with pytest.raises(OutputError, match=r"cannot be made .* lack what it needs"):
        write_labels(tmp_path / "seg.dcm", some_labels(image))
    files[0].unlink()
    with pytest.raises(OutputError, match="is not there any more"):
        write_labels(tmp_path / "seg.dcm", some_labels(image))
    assert not (tmp_path / "seg.dcm").exists()


def test_damaged_segments(tmp_path, dicom_series):
    dicom_series(tmp_path / "scan", BODY, AXIAL)
    write_labels(tmp_path / "seg.dcm", some_labels(read_image(tmp_path / "scan")))
    data = pydicom.dcmread(tmp_path / "seg.dcm")
    data.PixelData = data.PixelData[:4]
    data.save_as(tmp_path / "cut.dcm")
    with pytest.raises(ImageError, match=r"segments of .* could not be read"):
        read_labels(tmp_path / "cut.dcm")
    with pytest.raises(ImageError, match="holds no images, but"):
        read_image(tmp_path / "seg.dcm")


# RTSTRUCT


def write_outlines(file, scan, structures):
    """Write structures: name to outlines, each (kind, points as x, y, z in mm)."""
    header = pydicom.dcmread(scan)
    data = pydicom.dataset.FileDataset(None, {}, preamble=b"\0" * 128)
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = pydicom.uid.RTStructureSetStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    data.Modality, data.SeriesInstanceUID, data.PatientName = "RTSTRUCT", pydicom.uid.generate_uid(), "Doe^Jane"

    def one(**fields):
        item = pydicom.Dataset()
        for name, value in fields.items():
            setattr(item, name, value)
        return item

    series = one(SeriesInstanceUID=header.SeriesInstanceUID)
    study = one(RTReferencedSeriesSequence=[series])
    data.ReferencedFrameOfReferenceSequence = [
        one(FrameOfReferenceUID=header.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    ]
    names = list(structures)
    data.StructureSetROISequence = [one(ROINumber=n + 4, ROIName=name) for n, name in enumerate(names)]
    data.ROIContourSequence = [
        one(
            ReferencedROINumber=n + 4,
            ContourSequence=[
                one(
                    ContourGeometricType=kind,
                    NumberOfContourPoints=len(p),
                    ContourData=[float(c) for q in p for c in q],
                )
                for kind, p in structures[name]
            ],
        )
        for n, name in enumerate(names)
    ]
    data.save_as(file, enforce_file_format=True)


def ring(affine, corners, plane):
    """Return an outline through stored places (column, row) of a plane."""
    return ("CLOSED_PLANAR", [tuple((affine @ [c, r, plane, 1])[:3]) for c, r in corners])


def square(affine, plane, low, high):
    return ring(affine, [(low, low), (high, low), (high, high), (low, high)], plane)


@pytest.mark.parametrize("affine", [AXIAL, SAGITTAL])
def test_outlines_are_filled_with_their_holes(tmp_path, dicom_series, affine):
    files = dicom_series(tmp_path / "scan", BODY, affine)
    mass = [
        square(affine, 4, 1.5, 9.5),
        square(affine, 4, 3.5, 7.5),
        square(affine, 4, 4.5, 5.5),
        square(affine, 6, 0.6, 2.4),
    ]
    write_outlines(tmp_path / "rs.dcm", files[0], {"GTV": mass, "node": [square(affine, 6, 9.5, 11.5)]})
    found = read_labels(tmp_path / "rs.dcm")  # its series lies in a folder beside it
    image = read_image(tmp_path / "scan")
    assert found.anatomy.names == ((4, "GTV"), (5, "node"))
    assert same_grid(found, image)
    stored = np.zeros(BODY.shape, np.int32)
    stored[2:10, 2:10, 4] = 4
    stored[4:8, 4:8, 4] = 0
    stored[5, 5, 4] = 4
    stored[1:3, 1:3, 6] = 4
    stored[10:12, 10:12, 6] = 5
    index = np.argwhere(stored)
    world = (np.c_[index, np.ones(len(index))] @ affine.T)[:, 2::-1]
    expected = np.zeros(image.shape, np.int32)
    expected[tuple(np.rint(image.anatomy.to_index(world)).astype(int).T)] = stored[tuple(index.T)]
    np.testing.assert_array_equal(found.data, expected)
    np.testing.assert_array_equal(read_labels(tmp_path / "rs.dcm", like=image).data, expected)
    _, labels = read_contents(tmp_path)
    np.testing.assert_array_equal(labels[0].data, expected)


@pytest.mark.parametrize("kind", ["CT", "MR_T1", "PET"])
def test_filled_outlines_are_the_masks_of_a_reference(data, kind):
    folder = data / "tumour" / "dicom_samples" / "STS_025"
    found = read_labels(folder / f"{kind}_mask" / "RS.dcm", like=read_image(folder / f"{kind}_image"))
    expected = read_labels(folder / "expected_nifti" / f"{kind}_mask.nii.gz")
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.anatomy.names == ((1, f"GTV_Mass_{kind.replace('PET', 'PET')}"),)


def test_outlines_that_belong_elsewhere(tmp_path, dicom_series):
    files = dicom_series(tmp_path / "scan", BODY, AXIAL)
    image = read_image(tmp_path / "scan")
    cases = {
        "between": ([square(AXIAL, 4.5, 1, 5)], "do not lie in the planes"),
        "oblique": ([("CLOSED_PLANAR", [(0, 0, 30), (9, 0, 33), (9, 9, 36)])], "do not lie in the planes"),
        "far": ([square(AXIAL, 4, 300, 305)], "lie outside of"),
        "points": ([("POINT", [(0, 0, 30)])], "no closed outlines"),
    }
    for name, (lines, said) in cases.items():
        write_outlines(tmp_path / f"{name}.dcm", files[0], {"GTV": lines})
        with pytest.raises(ImageError, match=said):
            read_labels(tmp_path / f"{name}.dcm", like=image)
    write_outlines(tmp_path / "good.dcm", files[0], {"GTV": [square(AXIAL, 4, 1, 5)], "iso": [("POINT", [(0, 0, 30)])]})
    (said,) = read_labels(tmp_path / "good.dcm", like=image).anatomy.remarks
    assert said == "No areas, and left out: iso."
    dicom_series(tmp_path / "other", BODY, AXIAL)
    with pytest.raises(ImageError, match="different frames of reference"):
        read_labels(tmp_path / "good.dcm", like=read_image(tmp_path / "other"))
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / "deep").mkdir()
    (tmp_path / "good.dcm").rename(tmp_path / "lost" / "deep" / "good.dcm")
    with pytest.raises(ImageError, match="need the image that they were drawn on"):
        read_labels(tmp_path / "lost" / "deep" / "good.dcm")
    with pytest.raises(ImageError, match="no volume of known place"):
        read_labels(tmp_path / "lost" / "deep" / "good.dcm", like=Image(BODY, "zyx"))


@given(st.lists(st.tuples(st.floats(-3, 8), st.floats(-3, 8)), min_size=3, max_size=9))
def test_filling_agrees_with_counting_edges(corners):
    """Even and odd: a center is inside if a ray from it to the right crosses an odd number of edges."""
    points = np.array(corners)
    found = _filled([points], (5, 6))
    for y, x in np.ndindex(found.shape):
        crossed = 0
        for (y0, x0), (y1, x1) in zip(points, np.roll(points, -1, axis=0), strict=True):
            if (y0 <= y) != (y1 <= y):
                crossed += x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x
        assert found[y, x] == crossed % 2


# Another grid


def grid(affine, shape, values=None, name="image"):
    anatomy = stand_up(affine, shape)
    return Image(np.zeros(anatomy.shape, np.int32) if values is None else values, "zyx", anatomy=anatomy, name=name)


def test_labels_of_a_part_are_put_where_they_were():
    image = grid(AXIAL, (20, 16, 9))
    part = AXIAL.copy()
    part[:3, 3] = (AXIAL @ [4, 3, 2, 1])[:3]
    labels = grid(part, (6, 5, 4), RNG.integers(0, 5, (4, 5, 6)).astype(np.int32))
    found = regrid(labels, image)
    np.testing.assert_array_equal(found.data[2:6, 3:8, 4:10], labels.data)
    assert np.count_nonzero(found.data) == np.count_nonzero(labels.data)
    assert same_grid(found, image)
    assert not found.anatomy.remarks
    (said,) = regrid(grid(AXIAL, (20, 16, 9), np.ones((9, 16, 20), np.int32)), labels).anatomy.remarks
    assert "lies outside of the image" in said
    np.testing.assert_array_equal(regrid(image, image).data, image.data)


def test_a_coarser_grid_is_another_even_where_centers_meet():
    coarse = AXIAL @ np.diag([2.0, 2, 1, 1])
    labels = grid(AXIAL, (20, 16, 9), np.ones((9, 16, 20), np.int32), "mask")
    with pytest.raises(ImageError, match="another grid"):
        regrid(labels, grid(coarse, (10, 8, 9)))
    mirrored = AXIAL @ [[-1, 0, 0, 19], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert regrid(labels, grid(mirrored, (20, 16, 9))).data.all()  # the same voxels, stored the other way round


def test_another_grid_is_never_guessed():
    fine = np.diag([1.0, 1.25, 1.5, 1])
    fine[:3, 3] = (-10.4, -20.6, 29)
    image, blob = grid(fine, (40, 32, 18)), np.zeros((9, 16, 20), np.int32)
    blob[3:6, 5:9, 6:12], blob[0, 0, 0] = 3, 9
    labels = grid(AXIAL, (20, 16, 9), blob, "mask")
    with pytest.raises(ImageError, match=r"'mask'.*lie on another grid than.*regrid"):
        regrid(labels, image)
    found = regrid(labels, image, resample=True)
    assert "to the nearest voxels" in found.anatomy.remarks[0]
    for index in np.ndindex(*image.shape):
        nearest = labels.anatomy.to_index(image.anatomy.to_world(index))
        sure = (np.abs(nearest - np.rint(nearest)) < 0.49).all()
        if sure and (nearest > -0.5).all() and (np.rint(nearest) < labels.shape).all():
            assert found.data[index] == labels.data[tuple(np.rint(nearest).astype(int))]
    moved = AXIAL.copy()
    moved[:3, 3] += (5, 6, 7)
    (_, said) = regrid(labels, grid(moved, (3, 3, 3)), resample=True).anatomy.remarks
    assert "labels have no voxel in the image any more" in said
    with pytest.raises(ImageError, match="Where 'plain' lies is not known"):
        regrid(Image(blob, "zyx", name="plain"), image, resample=True)


def test_only_the_segments_name_a_patient(tmp_path, dicom_series, identity):
    files = dicom_series(tmp_path / "scan", BODY, AXIAL)
    write_outlines(tmp_path / "rs.dcm", files[0], {"GTV": [square(AXIAL, 4, 1.5, 9.5)]})
    (found,) = read_dicom_labels(tmp_path / "rs.dcm")
    said = repr(found.anatomy) + found.name
    assert not [word for word in identity if word in said.replace(str(tmp_path), "")]


def test_one_structure_of_several_is_taken_by_name(data, tmp_path):
    (file,) = (data / "tumour" / "dicom_samples" / "STS_025" / "CT_mask").iterdir()
    every = read_outlines(file)
    (number, name), _ = next(iter(every.areas.items()))
    found = read_labels(file, like=read_image(file.parent.parent / "CT_image"), only=name)
    assert found.anatomy.names == ((number, name),)
    assert set(np.unique(found.data)) == {0, number}
    np.save(tmp_path / "a.npy", np.ones((9, 9), np.int32))
    with pytest.raises(ImageError, match="no named segments"):
        read_labels(tmp_path / "a.npy", only=name)
