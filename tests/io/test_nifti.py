"""NIfTI: what is read, what is said of it, and what is written back."""

from __future__ import annotations

import gzip
import itertools
import tempfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError, MissingExtraError, OutputError
from napari_unet.io import nifti
from napari_unet.io.images import read_image, write_image
from napari_unet.io.labels import read_labels, write_labels

RNG = np.random.default_rng(0)
AFFINE = np.array([[-0.9, 0.1, 0.02, 80.0], [0.1, 0.88, -0.3, -60.0], [0.01, 0.2, 3.2, 15.0], [0, 0, 0, 1.0]])


def save(path, data, affine=AFFINE, unit="mm", **fields):
    made = nib.Nifti1Image(data, affine)
    made.header.set_xyzt_units(unit, "sec")
    for name, value in fields.items():
        made.header[name] = value
    made._affine = made.header.get_best_affine()
    nib.save(made, path)
    return path


def volume(*shape, dtype=np.int16):
    return RNG.integers(0, 1000, shape).astype(dtype)


@pytest.mark.parametrize("codes", list(itertools.permutations("RAS")))
@pytest.mark.parametrize("mirrored", list(itertools.product([False, True], repeat=3)))
def test_left_stays_left_in_every_orientation(tmp_path, codes, mirrored):
    """One body, stored in each of the 48 orientations, opens as the same image; labels go back where they were."""
    opposite = dict(zip("RASLPI", "LPIRAS", strict=True))
    codes = "".join(opposite[c] if m else c for c, m in zip(codes, mirrored, strict=True))
    body = volume(6, 5, 4)
    ras = nib.Nifti1Image(body, np.diag([2.0, 3.0, 4.0, 1.0]))
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(tuple(codes))
    )
    nib.save(ras.as_reoriented(turn), tmp_path / "scan.nii.gz")
    found = read_image(tmp_path / "scan.nii.gz")
    # RAS to z, y to the back, x to the left.
    np.testing.assert_array_equal(found.data, body[::-1, ::-1].transpose(2, 1, 0))
    assert found.axes == "zyx"
    assert found.scale == (4.0, 3.0, 2.0)
    assert found.units == ("millimeter",) * 3
    assert found.name == "scan"
    left = np.zeros(found.shape, np.int32)
    left[3, 1, 4] = 7  # near the head, the front and the left
    write_labels(tmp_path / "mask.nii.gz", Image(left, "zyx", anatomy=found.anatomy))
    back = nib.load(tmp_path / "mask.nii.gz")
    (place,) = np.argwhere(np.asarray(back.dataobj) == 7)
    np.testing.assert_allclose(
        nib.affines.apply_affine(back.affine, place), nib.affines.apply_affine(ras.affine, (1, 3, 3))
    )
    assert nib.aff2axcodes(back.affine) == tuple(codes)


GEOMETRY = ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
ROWS = ("srow_x", "srow_y", "srow_z", "xyzt_units")


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 0), (0, 1), (0, 0), (4, 2)])
def test_labels_are_written_with_the_sources_header_bit_by_bit(tmp_path, kind, sform, qform):
    made = kind(volume(5, 6, 7), np.diag([-1.1, 2.2, 3.3, 1]) + 0)
    made.set_qform(AFFINE, qform, strip_shears=True)
    made.set_sform(AFFINE, sform)
    made.header["descrip"] = b"Jane Doe"
    made._affine = made.header.get_best_affine()
    nib.save(made, tmp_path / "scan.nii")
    source = nib.load(tmp_path / "scan.nii")
    image = read_image(tmp_path / "scan.nii")
    labels = Image((np.asarray(image.data) > 500).astype(np.int32), "zyx", anatomy=image.anatomy)
    write_labels(tmp_path / "labels.nii.gz", labels)
    written = nib.load(tmp_path / "labels.nii.gz")
    assert isinstance(written, kind)
    for field in (*GEOMETRY, *ROWS):
        np.testing.assert_array_equal(written.header[field], source.header[field], field)
    np.testing.assert_array_equal(written.header["pixdim"][:4], source.header["pixdim"][:4])
    np.testing.assert_array_equal(written.affine, source.affine)
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(source.dataobj) > 500)
    assert written.get_data_dtype() == np.uint8
    assert b"Jane" not in gzip.decompress((tmp_path / "labels.nii.gz").read_bytes())
    again = read_labels(tmp_path / "labels.nii.gz")
    np.testing.assert_array_equal(again.data, labels.data)
    assert again.anatomy.affine == image.anatomy.affine


def test_labels_need_as_few_bytes_as_they_can(tmp_path):
    for top, dtype in ((255, np.uint8), (256, np.uint16), (70000, np.int32)):
        data = np.zeros((2, 3, 4), np.int64)
        data[1, 2, 3] = top
        write_labels(tmp_path / "a.nii.gz", Image(data, "zyx"))
        assert nib.load(tmp_path / "a.nii.gz").get_data_dtype() == dtype
        np.testing.assert_array_equal(read_labels(tmp_path / "a.nii.gz").data, data)


def test_scaled_values_and_other_byte_orders(tmp_path):
    data = volume(3, 4, 5)
    save(tmp_path / "a.nii", data, np.diag([1.0, 1, 1, 1]))
    made = nib.load(tmp_path / "a.nii")
    big = nib.Nifti1Image(data, np.eye(4), nib.Nifti1Header(endianness=">"))
    big.header.set_data_dtype(">i2")
    big.header.set_slope_inter(0.5, -7)
    nib.save(nib.Nifti1Image(big.get_fdata() * 0.5 - 7, np.eye(4), big.header), tmp_path / "big.nii")
    found = read_image(tmp_path / "big.nii")
    assert found.data.dtype == np.float32
    np.testing.assert_allclose(found.data, (data * 0.5 - 7)[::-1, ::-1].T, atol=0.5)
    assert read_image(tmp_path / "a.nii").data.dtype == np.asarray(made.dataobj).dtype


def test_large_files_are_not_loaded(tmp_path, monkeypatch):
    data = volume(9, 8, 7)
    save(tmp_path / "a.nii", data)
    save(tmp_path / "a.nii.gz", data)
    scaled = nib.Nifti1Image(data, AFFINE)
    scaled.header.set_slope_inter(2.0, 1.0)
    nib.save(scaled, tmp_path / "scaled.nii.gz")
    raw = np.asarray(nib.load(tmp_path / "scaled.nii.gz").dataobj, np.float32)
    whole = read_image(tmp_path / "a.nii")
    monkeypatch.setattr(nifti, "LAZY_BYTES", 100)
    for name in ("a.nii", "a.nii.gz"):
        found = read_image(tmp_path / name)
        assert isinstance(found.data, np.memmap)
        np.testing.assert_array_equal(found.data, whole.data)
        assert found.anatomy == whole.anatomy
    found = read_image(tmp_path / "scaled.nii.gz")
    assert hasattr(found.data, "dask")
    turned = raw.transpose(found.anatomy.order)[
        tuple(slice(None, None, -1 if m else 1) for m in found.anatomy.mirrored)
    ]
    np.testing.assert_array_equal(np.asarray(found.data), turned)


def test_what_was_unpacked_goes_with_the_image_whether_or_not_open_files_can_be_removed(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    save(tmp_path / "a.nii.gz", volume(9, 8, 7))
    monkeypatch.setattr(nifti, "LAZY_BYTES", 100)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "in use")

    monkeypatch.setattr(Path, "unlink", refuse)
    found = read_image(tmp_path / "a.nii.gz")
    assert isinstance(found.data, np.memmap)
    del found
    assert not [*(tmp_path / "temporary").iterdir()]


def test_four_dimensions_are_time_unless_said_otherwise(tmp_path):
    data = volume(3, 4, 5, 2)
    save(tmp_path / "a.nii.gz", data, np.diag([-1.0, -1, 2, 1]), pixdim=[1, 1, 1, 2, 1.5, 1, 1, 1])
    found = read_image(tmp_path / "a.nii.gz")
    assert found.axes == "tzyx"
    assert found.scale == (1.5, 2, 1, 1)
    assert found.units[0] == "second"
    np.testing.assert_array_equal(found.data, data.T)
    channels = read_image(tmp_path / "a.nii.gz", axes="czyx")
    assert channels.channels == 2
    assert channels.scale[0] == 1
    with pytest.raises(AxesError, match="cannot be called 'zyx'"):
        read_image(tmp_path / "a.nii.gz", axes="zyx")
    labels = Image(np.asarray(found.data) % 3, "tzyx", found.scale, found.units, anatomy=found.anatomy)
    write_labels(tmp_path / "b.nii.gz", labels)
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "b.nii.gz").dataobj), data % 3)
    np.testing.assert_array_equal(read_labels(tmp_path / "b.nii.gz").data, labels.data)


def test_the_time_between_volumes_is_written_in_the_unit_of_the_source(tmp_path):
    image = nib.Nifti1Image(np.zeros((6, 5, 4, 3), np.int16), np.diag([2.0, 2, 3, 1]))
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 2500
    nib.save(image, tmp_path / "a.nii")
    scan = read_image(tmp_path / "a.nii")
    assert (scan.scale[0], scan.units[0]) == (2.5, "second")
    write_labels(tmp_path / "b.nii", replace(scan, data=np.ones(scan.shape, np.int32)))
    assert nib.load(tmp_path / "b.nii").header["pixdim"][4] == 2500
    assert read_labels(tmp_path / "b.nii").scale == scan.scale


def test_a_fourth_dimension_of_one_is_none(tmp_path):
    found = read_image(save(tmp_path / "a.nii.gz", volume(3, 4, 5, 1), np.diag([-1.0, -1, 2, 1])))
    assert (found.axes, found.shape) == ("zyx", (5, 4, 3))


def test_five_dimensions_and_colors(tmp_path):
    data = volume(3, 4, 5, 1, 2)
    found = read_image(save(tmp_path / "a.nii.gz", data, np.diag([-1.0, -1, 2, 1])))
    assert (found.axes, found.shape) == ("czyx", (2, 5, 4, 3))
    np.testing.assert_array_equal(found.data, data[:, :, :, 0].T)
    colors = volume(3, 4, 5, 3, dtype=np.uint8)
    rgb = colors.view(np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])).reshape(3, 4, 5)
    found = read_image(save(tmp_path / "rgb.nii.gz", rgb, np.diag([-1.0, -1, 2, 1])))
    assert found.axes == "zyxc"
    np.testing.assert_array_equal(found.data, colors.transpose(2, 1, 0, 3))


def test_a_single_plane_stays_as_it_was_taken(tmp_path):
    sagittal = np.array([[0, 0, 3.0, 1], [2.0, 0, 0, 2], [0, -1.0, 0, 3], [0, 0, 0, 1]])
    data = volume(6, 5, 1)
    found = read_image(save(tmp_path / "a.nii.gz", data, sagittal))
    assert (found.axes, found.scale) == ("yx", (1.0, 2.0))
    np.testing.assert_array_equal(found.data, data[:, :, 0].T)
    write_labels(tmp_path / "b.nii.gz", Image(found.data % 2, "yx", anatomy=found.anatomy))
    written = nib.load(tmp_path / "b.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), data % 2)
    np.testing.assert_array_equal(written.affine, sagittal)


def test_what_the_file_leaves_open_is_said(tmp_path):
    data = volume(3, 4, 5)
    nowhere = nib.Nifti1Image(data, None)
    nowhere.header.set_zooms((1, 2, 3))
    nib.save(nowhere, tmp_path / "nowhere.nii.gz")
    found = read_image(tmp_path / "nowhere.nii.gz")
    np.testing.assert_array_equal(found.data, data.T)
    assert found.scale == (3, 2, 1)
    assert any("left and right cannot be told" in r for r in found.anatomy.remarks)
    two = nib.Nifti1Image(data, AFFINE)
    two.set_qform(np.diag([1.0, 1, 1, 1]), 1)
    two.set_sform(AFFINE, 2)
    two.header.set_xyzt_units("mm")
    nib.save(two, tmp_path / "two.nii.gz")
    (said,) = [r for r in read_image(tmp_path / "two.nii.gz").anatomy.remarks if "differ" in r]
    assert "sform is taken" in said
    skewed = np.diag([-1.0, -1, 2, 1])
    skewed[0, 1] = 0.2
    (said,) = read_image(save(tmp_path / "skewed.nii.gz", data, skewed)).anatomy.remarks
    assert "not orthogonal (up to 11.3 degrees" in said
    assert not read_image(save(tmp_path / "good.nii.gz", data, np.diag([-1.0, -1, 2, 1]))).anatomy.remarks


def test_units_become_millimeters(tmp_path):
    found = read_image(save(tmp_path / "a.nii.gz", volume(3, 4, 5), np.diag([-100.0, -50, 200, 1]), unit="micron"))
    assert found.scale == pytest.approx((0.2, 0.05, 0.1))
    assert found.units == ("millimeter",) * 3


def test_damaged_files_are_refused_in_words(tmp_path):
    good = save(tmp_path / "good.nii", volume(9, 8, 7)).read_bytes()
    packed = save(tmp_path / "good.nii.gz", volume(9, 8, 7)).read_bytes()
    cases = {
        "cut.nii": (good[:700], "incomplete"),
        "cut.nii.gz": (packed[:-200], "could not be read as NIfTI"),
        "text.nii": (b"no image at all" * 99, "could not be read as NIfTI"),
        "text.nii.gz": (b"no image at all" * 99, "could not be read as NIfTI"),
        "empty.nii": (b"", "could not be read as NIfTI"),
    }
    for name, (content, said) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=said):
            read_image(tmp_path / name)
    header = bytearray(good)
    header[42:48] = np.array([3000, 3000, 3000], "<i2").tobytes()
    (tmp_path / "lies.nii").write_bytes(header)
    with pytest.raises(ImageError, match="incomplete: it promises"):
        read_image(tmp_path / "lies.nii")


def test_voxels_without_size_and_values_that_are_no_numbers(tmp_path):
    flat = np.diag([1.0, 1, 0, 1])
    made = nib.Nifti1Image(volume(3, 4, 5), np.eye(4))
    made.header["sform_code"], made.header["qform_code"] = 1, 0
    for i, row in enumerate(("srow_x", "srow_y", "srow_z")):
        made.header[row] = flat[i]
    made._affine = made.header.get_best_affine()
    nib.save(made, tmp_path / "flat.nii")
    with pytest.raises(ImageError, match=r"voxel sizes are 1, 1, 0 mm.*Export it again"):
        read_image(tmp_path / "flat.nii")
    save(tmp_path / "complex.nii", volume(3, 4, 5).astype(np.complex64))
    with pytest.raises(ImageError, match="complex64 values"):
        read_image(tmp_path / "complex.nii")


def test_labels_of_other_images_get_their_pixel_sizes(tmp_path):
    data = np.arange(24).reshape(2, 3, 4)
    write_labels(tmp_path / "a.nii.gz", Image(data, "zyx", (2.0, 0.5, 0.25), ("micrometer",) * 3))
    found = read_labels(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(found.data, data)
    assert found.scale == pytest.approx((0.002, 0.0005, 0.00025))


def test_images_are_written_too(tmp_path):
    source = read_image(save(tmp_path / "a.nii.gz", volume(3, 4, 5)))
    write_image(tmp_path / "b.nii.gz", Image(np.asarray(source.data) / 2, "zyx", anatomy=source.anatomy))
    found = read_image(tmp_path / "b.nii.gz")
    assert found.data.dtype == np.float32
    np.testing.assert_array_equal(found.data, np.asarray(source.data) / 2)
    assert found.anatomy.affine == source.anatomy.affine
    with pytest.raises(OutputError, match="2 channels"):
        write_image(tmp_path / "c.nii.gz", Image(np.zeros((2, 3, 4, 5)), "czyx"))
    assert not (tmp_path / "c.nii.gz").exists()


def test_the_missing_package_is_named(tmp_path, monkeypatch):
    save(tmp_path / "a.nii.gz", volume(3, 4, 5))
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(MissingExtraError, match=r"napari-unet-suite\[medical\]"):
        read_image(tmp_path / "a.nii.gz")
