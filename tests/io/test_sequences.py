"""Several files of one grid are the channels of one image; files of other grids are refused, with what differs."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import tifffile

from napari_unet.core.axes import as_image
from napari_unet.core.bands import band_names
from napari_unet.core.errors import ImageError, OutputError
from napari_unet.io import nifti
from napari_unet.io.addresses import origin_of
from napari_unet.io.images import read_image, write_image
from napari_unet.io.places import check_apart

SHAPE = (7, 6, 5)  # of the stored array: x, y, z
AFFINE = np.array([[-2.0, 0, 0, 30], [0, -1, 0, 20], [0, 0, 3, -9], [0, 0, 0, 1]])


def save(path, values=None, affine=AFFINE):
    values = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE) if values is None else values
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def test_files_become_channels_in_the_order_given(tmp_path):
    t1 = save(tmp_path / "p3_T1.nii.gz")
    flair = save(tmp_path / "p3_FLAIR.nii.gz", np.full(SHAPE, 9, np.int16))
    image, first = read_image([t1, flair]), read_image(t1)
    assert (image.axes, image.shape, image.name) == ("czyx", (2, 5, 6, 7), "p3")
    assert band_names(image) == image.channel_names == ("T1", "FLAIR")
    assert (image.scale[1:], image.units[1:], image.anatomy) == (first.scale, first.units, first.anatomy)
    assert image.origin == image.files == (str(t1), str(flair))
    assert image.source == str(t1)
    np.testing.assert_array_equal(image.data[0], first.data)
    assert (image.data[1] == 9).all()
    turned = read_image((str(flair), t1))
    assert turned.channel_names == ("FLAIR", "T1")
    np.testing.assert_array_equal(turned.data[1], first.data)
    assert read_image([t1]).axes == "zyx"
    assert read_image([t1, flair], "zycx").shape == (5, 6, 2, 7)
    np.testing.assert_array_equal(read_image([t1, flair], "zycx").data[:, :, 0], first.data)


def test_orientations_that_mean_the_same_voxels_fit(tmp_path):
    values = np.random.default_rng(0).integers(0, 99, SHAPE, np.int16)
    t1 = save(tmp_path / "T1.nii", values)
    turned = nib.as_closest_canonical(nib.Nifti1Image(values, AFFINE))
    nib.save(turned, tmp_path / "T2.nii")
    one, two = read_image([t1, tmp_path / "T2.nii"]).data
    np.testing.assert_array_equal(one, two)


def test_types_are_promoted_without_loss(tmp_path):
    t1 = save(tmp_path / "T1.nii", np.full(SHAPE, -5, np.int16))
    other = save(tmp_path / "T2.nii", np.full(SHAPE, 60000, np.uint16))
    image = read_image([t1, other])
    assert image.data.dtype == np.int32
    assert (image.data.min(), image.data.max()) == (-5, 60000)
    for name, kind in (("a", np.int64), ("b", np.uint64)):
        np.save(tmp_path / f"{name}.npy", np.full((8, 8), 7, kind))
    with pytest.raises(ImageError, match="no common type"):
        read_image([tmp_path / "a.npy", tmp_path / "b.npy"])


def test_large_files_stay_where_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(nifti, "LAZY_BYTES", 16)
    t1, t2 = save(tmp_path / "T1.nii"), save(tmp_path / "T2.nii", np.ones(SHAPE, np.int16))
    image = read_image([t1, t2])
    assert not isinstance(image.data, np.ndarray)
    np.testing.assert_array_equal(image.read((slice(None), 2, slice(1, 3), 3))[1], [1, 1])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a @ np.diag([1, 1, 1.1, 1]), "voxels are 3.3 x 1 x 2 mm large, not 3 x 1 x 2 mm"),
        (lambda a: np.add(a, [[0, 0, 0, 4], [0, 0, 0, 3], [0] * 4, [0] * 4]), "voxels lie up to 5 mm away"),
        (
            lambda a: np.array([[0.995, -0.0998, 0, 0], [0.0998, 0.995, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ a,
            "axes are turned by 5.7 degrees",
        ),
    ],
)
def test_another_place_is_refused_in_millimeters(tmp_path, change, words):
    t1, flair = save(tmp_path / "T1.nii"), save(tmp_path / "FLAIR.nii", affine=change(AFFINE))
    with pytest.raises(ImageError, match=words) as error:
        read_image([t1, flair])
    assert "'FLAIR' does not lie on the grid of 'T1'" in str(error.value)
    assert "Register and resample 'FLAIR' onto 'T1'" in str(error.value)


def test_rounding_of_a_header_is_no_difference(tmp_path):
    t1, flair = save(tmp_path / "T1.nii"), save(tmp_path / "FLAIR.nii", affine=AFFINE * (1 + 1e-6))
    assert read_image([t1, flair]).channels == 2


def test_another_size_is_refused(tmp_path):
    t1 = save(tmp_path / "T1.nii")
    cut = save(tmp_path / "FLAIR.nii", np.zeros((7, 6, 4), np.int16))
    with pytest.raises(ImageError, match=r"it has 4 x 6 x 7 pixels along z y x, not 5 x 6 x 7"):
        read_image([t1, cut])
    tifffile.imwrite(tmp_path / "other.tif", np.zeros((5, 6, 7), np.int16))
    with pytest.raises(ImageError, match="does not say where it lies in the patient"):
        read_image([t1, tmp_path / "other.tif"])


def test_files_with_channels_or_time_are_refused(tmp_path):
    t1 = save(tmp_path / "T1.nii")
    movie = save(tmp_path / "bold.nii", np.zeros((*SHAPE, 3), np.int16))
    with pytest.raises(ImageError, match="'bold' has the axes tzyx of its own"):
        read_image([t1, movie])
    both = save(tmp_path / "both.nii", np.zeros((*SHAPE, 1, 2), np.int16))
    with pytest.raises(ImageError, match="'both' has 2 channels of its own"):
        read_image([both, t1])


def test_movies_of_one_length_become_the_channels_of_one(tmp_path):
    frames = np.random.default_rng(0).integers(0, 99, (2, 4, 16, 20), np.uint16)
    for name, values in zip(("DAPI", "GFP", "short"), (*frames, frames[0][:3]), strict=True):
        tifffile.imwrite(tmp_path / f"cells_{name}.tif", values, imagej=True, metadata={"axes": "TYX"})
    image = read_image([tmp_path / "cells_DAPI.tif", tmp_path / "cells_GFP.tif"])
    assert (image.axes, image.label_axes, image.channel_names) == ("ctyx", "tyx", ("DAPI", "GFP"))
    np.testing.assert_array_equal(image.data, frames)
    np.testing.assert_array_equal(image.planes(2)[3].read((slice(0, 16), slice(0, 20))), frames[:, 3])
    with pytest.raises(ImageError, match=r"has 3 x 16 x 20 pixels along t y x, not 4 x 16 x 20"):
        read_image([tmp_path / "cells_DAPI.tif", tmp_path / "cells_short.tif"])
    long, short = (save(tmp_path / f"{n}.nii", np.zeros((*SHAPE, n), np.int16)) for n in (3, 2))
    with pytest.raises(ImageError, match="has 2 x 5 x 6 x 7 pixels along t z y x"):
        read_image([long, short])


def test_the_same_file_twice_nothing_and_a_series_are_refused(tmp_path):
    t1 = save(tmp_path / "T1.nii")
    with pytest.raises(ImageError, match="is given twice"):
        read_image([t1, t1])
    with pytest.raises(ImageError, match="No file was given"):
        read_image([])
    with pytest.raises(ImageError, match="one DICOM file of each series"):
        read_image([t1, save(tmp_path / "T2.nii")], series=1)
    with pytest.raises(ImageError, match="There is no file"):
        read_image([t1, tmp_path / "gone.nii"])


def test_dicom_series_of_one_grid_fit(tmp_path, dicom_series):
    stack = np.zeros((8, 9, 3), np.int16)
    lps = np.diag([0.7, 0.7, 2.5, 1.0])
    dicom_series(tmp_path / "study" / "a", stack + 1, lps, SeriesNumber=4, Modality="MR")
    files = dicom_series(tmp_path / "study" / "b", stack + 2, lps, SeriesNumber=9, Modality="MR")
    image = read_image([tmp_path / "study" / "a", files[0]])
    assert (image.channels, image.anatomy.modality) == (2, "MR")
    assert image.anatomy.files
    assert image.channel_names == ("channel 4", "channel 9")
    moved = lps.copy()
    moved[2, 3] = 1
    other = dicom_series(tmp_path / "other", stack, moved, SeriesNumber=5, Modality="PT")
    with pytest.raises(ImageError, match="voxels lie up to 1 mm away"):
        read_image([tmp_path / "study" / "a", other[0]])


def test_other_formats_compare_shape_and_scale(tmp_path):
    one, two = np.zeros((32, 32), np.uint8), np.ones((32, 32), np.uint8)
    for name, values, size in (("a", one, 0.5), ("b", two, 0.5), ("c", two, 0.6)):
        facts = {"axes": "YX", "PhysicalSizeX": size, "PhysicalSizeY": size}
        tifffile.imwrite(tmp_path / f"{name}.ome.tif", values, metadata=facts)
    image = read_image([tmp_path / "a.ome.tif", tmp_path / "b.ome.tif"])
    assert (image.axes, image.scale, image.units) == ("cyx", (1, 0.5, 0.5), ("pixel", "micrometer", "micrometer"))
    with pytest.raises(ImageError, match=r"its pixels are 0.6 x 0.6 µm large, not 0.5 x 0.5 µm"):
        read_image([tmp_path / "a.ome.tif", tmp_path / "c.ome.tif"])


def test_coarser_resolutions_come_along(tmp_path):
    for name in "ab":
        image = as_image(np.random.default_rng(ord(name)).random((1200, 1100), np.float32))
        write_image(tmp_path / f"{name}.ome.zarr", image)
    found = read_image([tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr"])
    assert [level.shape for level in found.levels] == [
        (2, *level.shape) for level in read_image(tmp_path / "a.ome.zarr").levels
    ]
    assert found.levels


def test_files_that_are_called_alike_are_named_after_their_folders(tmp_path):
    image = read_image([save(tmp_path / "T1" / "scan.nii"), save(tmp_path / "FLAIR" / "scan.nii")])
    assert image.channel_names == ("T1", "FLAIR")


def test_a_result_takes_the_place_of_none_of_the_files(tmp_path, monkeypatch):
    image = read_image([save(tmp_path / "T1.nii"), save(tmp_path / "FLAIR.nii")])
    for name in ("T1.nii", "FLAIR.nii"):
        with pytest.raises(OutputError, match="would replace the image itself"):
            check_apart(tmp_path / name, image)
    check_apart(tmp_path / "labels.nii", image)
    # Other processes find them, under the names that the channels have.
    (tmp_path / "link_FLAIR.nii").symlink_to(tmp_path / "FLAIR.nii")
    monkeypatch.chdir(tmp_path)
    assert origin_of(read_image(["T1.nii", "link_FLAIR.nii"])) == [
        str(tmp_path / n) for n in ("T1.nii", "link_FLAIR.nii")
    ]
    assert origin_of(read_image("T1.nii")) == str(tmp_path / "T1.nii")
