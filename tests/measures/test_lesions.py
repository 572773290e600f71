"""Lesions are measured as the formulas say, whatever their size, turn and spacing; tolerances stand with each."""

from __future__ import annotations

import itertools
import math

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError, ImageError, SpecError
from napari_unet.core.lengths import milliliters
from napari_unet.measures.lesions import Beside, measure, measure_steps, units

SPACINGS = [(1.0, 1.0, 1.0), (0.5, 0.5, 0.5), (3.27, 0.98, 0.98), (1.0, 0.7, 1.3)]
ENDS = [f"{line}_{a}{end}" for line in ("longest", "short") for end in (0, 1) for a in "yx"]


def one(table):
    """Return the only row."""
    assert all(len(column) == 1 for column in table.values())
    return {name: column[0] for name, column in table.items()}


def ends(row, line):
    return np.array([[row[f"{line}_{a}{end}"] for a in "yx"] for end in (0, 1)])


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("radius", [12.0, 25.0])
def test_a_ball(ellipsoid, radius, spacing):
    row = one(measure(ellipsoid(radius, spacing)))
    assert row["volume"] == pytest.approx(4 / 3 * math.pi * radius**3, rel=0.01)
    assert row["volume_ml"] == pytest.approx(row["volume"] / 1000)
    # Of a grid the diameter is known to a pixel.
    pixel = max(spacing[1:])
    assert row["longest_diameter"] == pytest.approx(2 * radius, abs=pixel)
    assert row["short_diameter"] == pytest.approx(2 * radius, abs=pixel)
    assert row["surface"] == pytest.approx(4 * math.pi * radius**2, rel=0.02)
    assert row["sphericity"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("angles", [(0.0, 0, 0), (0.4, 0, 0), (1.1, 0.6, 0.3), (2.0, -0.9, 0.8)])
def test_an_ellipsoid_however_it_is_turned(ellipsoid, angles, spacing):
    a, b, c = radii = (14.0, 20.0, 30.0)
    row = one(measure(ellipsoid(radii, spacing, angles)))
    assert row["volume"] == pytest.approx(4 / 3 * math.pi * a * b * c, rel=0.01)
    # Thomsen's formula is right to 1.2 %.
    p = 1.6075
    surface = 4 * math.pi * (((a * b) ** p + (a * c) ** p + (b * c) ** p) / 3) ** (1 / p)
    assert row["surface"] == pytest.approx(surface, rel=0.04)
    assert row["sphericity"] == pytest.approx((36 * math.pi * row["volume"] ** 2) ** (1 / 3) / surface, rel=0.04)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("angle", [0.0, 0.35, 0.8, 1.4, 2.2])
def test_diameters_of_an_ellipsoid_turned_in_the_axial_plane(ellipsoid, angle, spacing):
    row = one(measure(ellipsoid((10.0, 16.0, 28.0), spacing, (angle, 0, 0), shift=(0, 0.2, 0.1))))
    pixel = max(spacing[1:])
    assert row["longest_diameter"] == pytest.approx(56, abs=pixel)
    assert row["short_diameter"] == pytest.approx(32, abs=pixel)
    long, short = (np.diff(ends(row, line), axis=0)[0] for line in ("longest", "short"))
    assert np.hypot(*long) == pytest.approx(row["longest_diameter"])
    assert np.hypot(*short) == pytest.approx(row["short_diameter"])
    assert long @ short == pytest.approx(0, abs=1e-6)
    # The long axis lies along x, turned by the angle; of an ellipse the direction is known less well than the length.
    direction = abs(long @ (-math.sin(angle), math.cos(angle))) / np.hypot(*long)
    assert direction > math.cos(math.radians(8))
    # The middle plane is the largest one.
    middle = row["centroid_z"] / spacing[0]
    assert abs(row["slice"] - middle) <= 0.5 + 1e-9


def brute_force(mask, spacing):
    """Return the longest distance of two points of the border of one piece in any plane."""
    longest = 0.0
    pieces = [ndimage.label(plane, np.ones((3, 3))) for plane in mask]
    for plane in (labels == k + 1 for labels, count in pieces for k in range(count)):
        padded = np.pad(plane, 1)
        points = []
        for axis in (0, 1):
            first = [slice(None)] * 2
            second = [slice(None)] * 2
            first[axis], second[axis] = slice(None, -1), slice(1, None)
            changed = np.argwhere(padded[tuple(first)] != padded[tuple(second)]).astype(float) - 1
            changed[:, axis] += 0.5
            points.append(changed * spacing)
        points = np.concatenate(points)
        if len(points):
            apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
            longest = max(longest, apart.max())
    return longest


@settings(max_examples=60, deadline=None)
@given(
    cells=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=25),
    spacing=st.sampled_from([(1.0, 1.0, 1.0), (2.0, 0.5, 0.8)]),
)
def test_the_longest_diameter_is_that_of_every_pair_of_points(cells, spacing):
    values = np.zeros((3, 7, 6), np.uint8)
    values[tuple(np.transpose(cells))] = 1
    row = one(measure(Image(values, "zyx", spacing)))
    assert row["longest_diameter"] == pytest.approx(brute_force(values > 0, spacing[1:]))
    assert 0 < row["short_diameter"] <= row["longest_diameter"] + 1e-9
    # Ends lie on the border, which cuts the corner between two pixels: less than a pixel from one of them.
    plane = np.argwhere(values[row["slice"]]) * spacing[1:]
    for line, end in itertools.product(("longest", "short"), (0, 1)):
        gaps = np.abs(plane - ends(row, line)[end]) / spacing[1:]
        assert gaps.max(axis=1).min() < 1


def test_across_is_the_longest_line_at_right_angles():
    # A cross: the bar across is shorter where the long bar ends, and longest in its middle.
    values = np.zeros((1, 21, 41), np.uint8)
    values[0, 9:12, 1:40], values[0, 3:18, 25:28] = 1, 1
    row = one(measure(Image(values, "zyx", (1.0, 2.0, 2.0))))
    assert row["longest_diameter"] == pytest.approx(78, rel=0.01)
    assert row["short_diameter"] == pytest.approx(30, rel=0.06)
    assert np.all(np.abs(ends(row, "short")[:, 1] / 2 - 26) < 2)


def test_a_diameter_does_not_leave_a_piece_for_another():
    # A horseshoe that stands upright: in the middle planes its legs are apart.
    values = np.zeros((6, 12, 40), np.uint8)
    values[:, 4:9, 4:10], values[:, 4:9, 30:36] = 1, 1
    values[0, 6, 4:36] = 1
    row = one(measure(Image(values, "zyx")))
    assert row["slice"] == 0
    assert row["longest_diameter"] > 31
    apart = values.copy()
    apart[0, 6, 10:30] = 0
    row = one(measure(Image(apart, "zyx")))
    assert row["longest_diameter"] == pytest.approx(np.hypot(5, 6), abs=1)


def test_single_voxels_and_rows_have_the_size_of_their_pixels():
    values = np.zeros((3, 6, 8), np.int32)
    values[1, 2, 3], values[2, 4, 1:6] = 4, 9
    table = measure(Image(values, "zyx", (5.0, 2.0, 3.0), ("millimeter",) * 3))
    assert table["index"].tolist() == [4, 9]
    assert table["volume"].tolist() == [30, 150]
    assert table["volume_ml"] == pytest.approx([0.03, 0.15])
    assert table["longest_diameter"] == pytest.approx([3, 15])
    assert table["short_diameter"] == pytest.approx([2, 2])
    assert table["slice"].tolist() == [1, 2]
    assert [table[f"box_z{end}"].tolist() for end in (0, 1)] == [[2.5, 7.5], [7.5, 12.5]]
    assert [table[f"box_x{end}"].tolist() for end in (0, 1)] == [[7.5, 1.5], [10.5, 16.5]]
    assert table["centroid_y"].tolist() == [4, 8]


def test_the_surface_of_a_box_is_known_to_ten_percent():
    # Flat faces along the grid are the worst case of thirteen directions.
    values = np.zeros((24, 28, 34), np.uint8)
    values[4:20, 4:24, 4:30] = 1
    row = one(measure(Image(values, "zyx")))
    assert row["surface"] == pytest.approx(2 * (16 * 20 + 16 * 26 + 20 * 26), rel=0.1)


def test_a_mesh_would_make_a_ball_too_large(ellipsoid):
    from skimage.measure import marching_cubes, mesh_surface_area

    labels, true = ellipsoid(25.0), 4 * math.pi * 625
    mesh = mesh_surface_area(*marching_cubes(labels.data.astype(float), 0.5)[:2])
    assert abs(one(measure(labels))["surface"] - true) < 0.2 * abs(mesh - true)


def test_intensities_and_percentiles_of_each_channel():
    rng = np.random.default_rng(0)
    labels, image = np.zeros((4, 9, 9), np.int32), rng.random((2, 4, 9, 9)).astype(np.float32)
    labels[1:3, 2:8, 2:7] = 5
    table = measure(Image(labels, "zyx"), Image(image, "czyx"))
    for channel in (0, 1):
        inside = image[channel][labels == 5].astype(float)
        for p in (5, 25, 50, 75, 95):
            assert table[f"intensity_p{p}_c{channel}"][0] == pytest.approx(np.percentile(inside, p))
        assert table[f"intensity_mean_c{channel}"][0] == pytest.approx(inside.mean())
        assert table[f"intensity_std_c{channel}"][0] == pytest.approx(inside.std())
    image[0, 1, 3, 3] = np.nan
    assert np.isnan(measure(Image(labels, "zyx"), Image(image[0], "zyx"))["intensity_p50"]).all()


def test_named_channels_have_columns_of_their_own_side_by_side():
    labels, image = np.zeros((4, 9, 9), np.int32), np.random.default_rng(0).random((2, 4, 9, 9))
    labels[1:3, 2:8, 2:7] = 5
    both = Image(image, "czyx", channel_names=("T1", "post_T1"))
    table = measure(Image(labels, "zyx"), both)
    kinds = ("mean", "std", "min", "max", "sum", "p5", "p25", "p50", "p75", "p95")
    columns = [f"intensity_{kind}_{name}" for name in ("T1", "post_T1") for kind in kinds]
    assert [name for name in table if name.startswith("intensity")] == columns
    for name, channel in zip(("T1", "post_T1"), image, strict=True):
        assert table[f"intensity_p50_{name}"][0] == pytest.approx(np.median(channel[labels == 5]))
    told = units(Image(labels, "zyx"), "HU, SUV", both)
    assert (told["intensity_mean_T1"], told["intensity_p95_post_T1"]) == ("HU", "SUV")
    assert "intensity_sum_T1" not in told
    assert units(Image(labels, "zyx"), "SUV", both)["intensity_min_post_T1"] == "SUV"
    with pytest.raises(SpecError, match="the image has 2"):
        units(Image(labels, "zyx"), "HU,SUV,HU", both)


def test_confidence_classes_and_distances():
    labels = np.zeros((10, 20, 20), np.int32)
    labels[4:6, 8:12, 8:12], labels[1:3, 1:3, 5:7], labels[4:6, 2:4, 8:10] = 1, 2, 3
    organ = np.zeros(labels.shape, np.uint8)
    organ[2:9, 4:17, 4:17] = 1
    scores = np.where(labels == 2, 0.25, 0.75).astype(np.float32)
    scale = (3.0, 2.0, 1.0)
    beside = Beside(Image(scores, "zyx", scale), Image(organ, "zyx", scale), {1: 7, 2: 3})
    table = measure(Image(labels, "zyx", scale), None, beside)
    assert table["class"].tolist() == [7, 3, 0]
    assert table["confidence"] == pytest.approx([0.75, 0.25, 0.75])
    # From the faces: 8 - 4 pixels in y and x, 4 - 2 planes in z; the nearest is x with 4 pixels of 1.
    assert table["organ_distance"].tolist() == [4, 0, 0]
    assert table["border_distance"].tolist() == [8, 2, 4]
    assert table["touches_border"].tolist() == [False, False, False]


def test_an_organ_that_fills_the_image_has_no_border():
    labels = np.zeros((4, 9, 9), np.int32)
    labels[1:3, 3:5, 3:5] = 1
    table = measure(Image(labels, "zyx"), None, Beside(organ=Image(np.ones_like(labels), "zyx")))
    assert np.isnan(table["organ_distance"]).all()


def test_two_dimensions_have_areas():
    y, x = np.mgrid[-20:21, -20:21]
    labels = Image((np.hypot(y, x) <= 15.2).astype(np.int32), "yx", (0.2, 0.2), ("millimeter",) * 2)
    row = one(measure(labels))
    assert row["area"] == pytest.approx(math.pi * (15.2 * 0.2) ** 2, rel=0.01)
    assert row["longest_diameter"] == pytest.approx(2 * 15.2 * 0.2, abs=0.2)
    assert not {"volume", "volume_ml", "slice", "surface"} & row.keys()
    assert math.isnan(milliliters(labels))


def test_the_order_of_the_axes_does_not_matter(ellipsoid):
    labels = ellipsoid((6.0, 8.0, 11.0), (2.0, 1.0, 0.5), (0.3, 0.2, 0.1))
    turned = Image(labels.data.transpose(2, 0, 1), "xzy", (0.5, 2.0, 1.0), labels.units)
    expected, found = one(measure(labels)), one(measure(turned))
    assert expected == found


def test_time_points_are_measured_one_by_one():
    movie = np.zeros((2, 3, 12, 12), np.int32)
    movie[0, 1, 2:5, 2:5], movie[1, 1, 2:9, 2:5], movie[1, 2, 10, 10] = 1, 1, 4
    table = measure(Image(movie, "tzyx"), Image(movie * 2.0, "tzyx"))
    assert list(zip(table["t"], table["index"], strict=True)) == [(0, 1), (1, 1), (1, 4)]
    assert table["volume"].tolist() == [9, 21, 1]
    assert table["intensity_p50"].tolist() == [2, 2, 8]
    assert "volume_ml" not in table


def test_lesions_of_a_store_are_those_in_memory(ellipsoid, tmp_path):
    import zarr

    labels = ellipsoid((6.0, 8.0, 11.0), (2.0, 1.0, 0.5))
    stored = zarr.create_array(tmp_path / "a.zarr", shape=labels.shape, chunks=(4, 8, 8), dtype="int32")
    stored[...] = labels.data
    found = measure(Image(stored, labels.axes, labels.scale, labels.units))
    assert one(found) == one(measure(labels))


def test_units_name_columns_that_are_there(ellipsoid):
    labels = ellipsoid(6.0)
    image = Image(labels.data * 1.5, labels.axes, labels.scale, labels.units)
    table, named = measure(labels, image, Beside(organ=labels)), units(labels, "SUV")
    assert named["volume"] == "millimeter³"
    assert named["volume_ml"] == "ml"
    assert named["longest_diameter"] == named["centroid_z"] == named["longest_y0"] == "millimeter"
    assert named["intensity_p95"] == "SUV"
    counts = {"index", "slice", "sphericity", "touches_border", "intensity_sum"}
    assert set(table) - set(named) == counts | {name for name in table if name.startswith("bbox_")}


def test_progress_counts_lesions():
    labels = np.zeros((2, 9, 9), np.int32)
    labels[0, 1, 1], labels[0, 5, 5] = 1, 2
    notes = [(p.done, p.total, p.note) for p in measure_steps(Image(labels, "zyx"))]
    assert notes[-2:] == [(1, 2, "Measuring the lesions"), (2, 2, "Measuring the lesions")]


def test_what_does_not_fit_is_refused(ellipsoid):
    labels = ellipsoid(5.0)
    with pytest.raises(AxesError, match="do not cover the same pixels"):
        measure(labels, None, Beside(scores=Image(np.zeros((3, 4, 5)), "zyx")))
    with pytest.raises(ImageError, match="does not hold labels"):
        measure(Image(np.full((3, 4), 0.5), "yx"))


def test_millilitres_of_sarcomas_are_those_of_the_affine(data):
    masks = sorted((data / "tumour" / "sts_sarcoma_3d" / "masks").glob("*.nii.gz"))
    assert masks
    for mask in masks[::3]:
        volume = nibabel.load(mask)
        voxels = np.count_nonzero(np.asanyarray(volume.dataobj))
        expected = voxels * abs(np.linalg.det(volume.affine[:3, :3])) / 1000
        row = one(measure(_tumor(mask)))
        assert row["volume_ml"] == pytest.approx(expected, rel=1e-5)
        assert 17 <= row["volume_ml"] < 1530  # what the data's description says of all of them
        assert 0 < row["sphericity"] < 1


def test_one_tumor_has_one_volume_in_ct_pet_and_mr(data):
    masks = sorted((data / "tumour" / "dicom_samples" / "STS_025" / "expected_nifti").rglob("*mask*.nii*"))
    assert len(masks) >= 2
    volumes = [measure(_tumor(mask))["volume_ml"].sum() for mask in masks]
    # The same contours on grids of different spacing.
    assert max(volumes) == pytest.approx(min(volumes), rel=0.03)


def test_areas_are_those_of_the_table(data):
    from napari_unet.io.images import read_image
    from napari_unet.io.tables import read_table

    folder = data / "tumour" / "busi_breast_us"
    cases = read_table(folder / "cases.csv")
    known = dict(zip(cases["stem"].tolist(), cases["lesion_px"].tolist(), strict=True))
    masks = [path for path in sorted((folder / "masks").glob("*.png")) if path.stem in known][:12]
    assert masks
    for path in masks:
        mask = np.asarray(read_image(path).data)
        table = measure(Image((mask.reshape(*mask.shape[:2], -1)[..., 0] > 0).astype(np.int32), "yx"))
        assert table["area"].sum() == known[path.stem]


def _tumor(path):
    volume = nibabel.load(path)
    values = (np.asanyarray(volume.dataobj) > 0).astype(np.int32)
    scale = tuple(float(step) for step in volume.header.get_zooms()[:3])
    return Image(values.reshape(values.shape[:3]), "xyz", scale, ("millimeter",) * 3)
