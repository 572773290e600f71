"""Lesions are found again, and their sums are those of RECIST 1.1."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_unet.core.anatomy import stand_up
from napari_unet.core.axes import Image
from napari_unet.core.errors import AxesError
from napari_unet.measures._growth import compare, sum_up_classes, sum_up_growth
from napari_unet.measures._response import respond
from napari_unet.measures._totals import sum_up
from napari_unet.measures.lesions import Beside, measure

SPACING = (2.0, 1.0, 1.0)


def volume(*balls, shape=(30, 60, 60), spacing=SPACING):
    """Return labels with balls of (id, center, radius) in millimeters, and their table."""
    found = np.zeros(shape, np.int32)
    places = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1) * spacing
    for index, center, radius in balls:
        found[np.linalg.norm(places - center, axis=-1) <= radius] = index
    image = Image(found, "zyx", spacing, ("millimeter",) * 3)
    return image, measure(image)


def rows(table):
    return [tuple(row) for row in zip(*(table[n].tolist() for n in ("before", "after", "status")), strict=True)]


def test_lesions_are_matched_by_overlap_then_by_place():
    before = volume((1, (20, 15, 15), 6), (2, (20, 40, 40), 5), (3, (40, 15, 40), 4), (4, (50, 50, 10), 4))
    after = volume((7, (20, 40, 42), 8), (1, (20, 15, 16), 3), (5, (40, 15, 47.5), 4), (9, (10, 50, 10), 4))
    found = compare(before, after)
    assert rows(found) == [(1, 1, "matched"), (2, 7, "matched"), (3, 5, "matched"), (4, 0, "vanished"), (0, 9, "new")]
    assert found["volume_change"][1] == pytest.approx(100 * (8**3 / 5**3 - 1), rel=0.15)
    assert found["diameter_change"][0] == pytest.approx(-50, abs=8)
    assert found["moved"][:3] == pytest.approx([1, 2, 7.5], abs=0.3)
    assert np.isnan(found["volume_change"][3:]).all()
    sums = sum_up_growth(found)
    assert [sums[name] for name in ("matched", "new", "vanished", "split", "merged")] == [3, 1, 1, 0, 0]
    tables = before[1], after[1]
    assert sums["volume_ml_before"] == pytest.approx(tables[0]["volume"].sum() / 1000)
    assert sums["volume_ml_after"] == pytest.approx(tables[1]["volume"].sum() / 1000)
    # The sum follows the lesions that were there at first: the vanished one counts 0, the new one not at all.
    assert sums["diameter_sum_before"] == pytest.approx(tables[0]["longest_diameter"].sum())
    later = tables[1]["longest_diameter"].sum() - tables[1]["longest_diameter"][tables[1]["index"] == 9][0]
    assert sums["diameter_sum_after"] == pytest.approx(later)


def test_pieces_are_not_new_and_what_has_merged_is_not_gone():
    two = volume((1, (20, 20, 15), 5), (2, (20, 20, 27), 4))
    one = volume((8, (20, 20, 20), 12))
    assert rows(compare(two, one)) == [(1, 8, "matched"), (2, 0, "merged")]
    assert rows(compare(one, two)) == [(8, 1, "matched"), (0, 2, "split")]


def test_time_turned_around_gives_the_reverse():
    before, after = volume((1, (20, 20, 20), 6)), volume((3, (22, 20, 21), 7), (4, (40, 40, 40), 3))
    there, back = compare(before, after), compare(after, before)
    assert rows(there) == [(1, 3, "matched"), (0, 4, "new")]
    assert rows(back) == [(3, 1, "matched"), (4, 0, "vanished")]
    assert there["volume_ml_before"][0] == back["volume_ml_after"][0]


def test_other_grids_are_compared_by_place():
    before = volume((1, (20, 20, 20), 6), (2, (40, 40, 40), 4))
    after = volume((5, (41, 40, 40), 4), (6, (20, 20, 21), 6), shape=(60, 30, 30), spacing=(1.0, 2.0, 2.0))
    assert rows(compare(before, after)) == [(1, 6, "matched"), (2, 5, "matched")]


def in_patient(values, spacing, turn=0.0):
    """Return labels that know where they lie, turned around the first voxel, and their table."""
    turned = np.eye(4)
    turned[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    anatomy = stand_up(turned @ np.diag([*spacing[::-1], 1.0]), values.shape[::-1])
    image = Image(values, "zyx", anatomy.scale, ("millimeter",) * 3, anatomy=anatomy)
    return image, measure(image)


def bars(shape, before):
    """Return a bar, or the same in two pieces."""
    found = np.zeros(shape, np.int32)
    z, y, x = (n // 10 for n in shape)
    found[2 * z : 6 * z, 3 * y : 6 * y, 2 * x : 9 * x] = 1
    if not before:
        found[:, :, 4 * x : 5 * x] = 0
        found[:, :, 5 * x :][found[:, :, 5 * x :] > 0] = 2
    return found


def test_pieces_are_no_new_lesions_where_headers_differ_in_the_last_digits():
    shape, rounded = (20, 40, 40), tuple(map(float, np.float32((3.27, 0.9765625, 0.9765625))))
    before, after = in_patient(bars(shape, True), (3.27, 0.9765625, 0.9765625)), in_patient(bars(shape, False), rounded)
    assert before[0].scale != after[0].scale
    assert rows(compare(before, after)) == [(1, 2, "matched"), (0, 1, "split")]
    plain = [(replace(image, anatomy=None), table) for image, table in (before, after)]
    assert rows(compare(*plain)) == [(1, 2, "matched"), (0, 1, "split")]


def test_pieces_are_no_new_lesions_on_another_grid_of_the_same_patient():
    before, after = (
        in_patient(bars((20, 40, 40), True), (3, 1, 1)),
        in_patient(bars((30, 80, 80), False), (2, 0.5, 0.5)),
    )
    assert rows(compare(before, after)) == [(1, 2, "matched"), (0, 1, "split")]
    assert rows(compare(after, before)) == [(2, 1, "matched"), (1, 0, "merged")]
    before = in_patient(bars((20, 40, 40), True), (3, 1, 1), 0.02)
    assert rows(compare(before, after)) == [(1, 2, "matched"), (0, 1, "split")]


def test_pieces_say_what_they_are_part_of():
    one, two = in_patient(bars((20, 40, 40), True), (3, 1, 1)), in_patient(bars((20, 40, 40), False), (3, 1, 1))
    found = compare(one, two)
    assert found["part_of"].tolist() == [0, 1]
    assert sum_up_growth(found)["diameter_sum_after"] == pytest.approx(two[1]["longest_diameter"].sum())
    assert compare(two, one)["part_of"].tolist() == [0, 1]


def test_lesions_are_matched_within_their_class():
    found, kinds = np.zeros((12, 20, 20), np.int32), {1: 2, 2: 1}
    found[2:10, 4:16, 4:16] = 1
    later = found.copy()
    found[4:8, 8:12, 8:12] = 2
    images = [Image(values, "zyx", SPACING, ("millimeter",) * 3) for values in (found, later)]
    before, after = ((image, measure(image, beside=Beside(classes=kinds))) for image in images)
    changes = compare(before, after)
    assert rows(changes) == [(1, 1, "matched"), (2, 0, "vanished")]
    assert changes["class"].tolist() == [2, 1]
    sums = sum_up_classes(changes)
    assert sums["class"].tolist() == [1, 2]
    assert (sums["matched"].tolist(), sums["vanished"].tolist()) == ([0, 1], [1, 0])
    assert sums["diameter_sum_change"].tolist() == [-100, 0]
    for name in ("diameter_sum_before", "diameter_sum_after", "volume_ml_before", "volume_ml_after"):
        assert sums[name].sum() == pytest.approx(sum_up_growth(changes)[name])
    assert sum_up_classes({**changes, "class": np.ones(2, np.int64)}) == {}, "of one class it is the sum of all"
    assert "1 target chosen among 2 classes, " in respond(changes, "millimeter").words


def test_pixels_have_no_millilitres():
    flat = Image(np.pad(np.ones((3, 4), np.int32), 2), "yx")
    solid = Image(np.asarray(flat.data)[None], "zyx")
    for image, size, value in ((flat, "area", 12), (solid, "volume", 12)):
        found = compare((image, measure(image)), (image, measure(image)))
        assert found[f"{size}_before"].tolist() == found[f"{size}_after"].tolist() == [value]
        assert sum_up_growth(found)[f"{size}_after"] == value


def test_nothing_before_or_after():
    empty, some = volume(), volume((2, (20, 20, 20), 5))
    assert rows(compare(empty, some)) == [(0, 2, "new")]
    assert rows(compare(some, empty)) == [(2, 0, "vanished")]
    sums = sum_up_growth(compare(some, empty))
    assert (sums["volume_change"], sums["diameter_sum_change"]) == (-100, -100)
    assert math.isnan(sum_up_growth(compare(empty, some))["volume_change"])
    assert rows(compare(empty, empty)) == []


def test_what_cannot_be_compared_is_refused():
    before = volume((1, (20, 20, 20), 6))
    image = before[0]
    for other in (
        Image(image.data, "zyx", image.scale, ("pixel",) * 3),
        Image(image.data[0], "yx", image.scale[1:], ("millimeter",) * 2),
        Image(image.data[None], "tzyx", (1.0, *image.scale), ("second", *image.units)),
    ):
        with pytest.raises(AxesError, match="cannot be compared"):
            compare(before, (other, before[1]))


def test_sums_of_classes():
    labels, _ = volume((1, (20, 15, 15), 6), (2, (20, 40, 40), 5), (3, (40, 15, 40), 4))
    table = measure(labels, None, Beside(classes={1: 2, 2: 1, 3: 2}))
    sums = sum_up(table)
    assert sums["class"].tolist() == [1, 2]
    assert sums["lesions"].tolist() == [1, 2]
    assert sums["volume_ml"] == pytest.approx([table["volume_ml"][1], table["volume_ml"][[0, 2]].sum()])
    assert sums["diameter_sum"] == pytest.approx(
        [table["longest_diameter"][1], table["longest_diameter"][[0, 2]].sum()]
    )
    assert sums["largest"].tolist() == [2, 1]


def test_the_sum_of_diameters_counts_five_lesions():
    _, table = volume(*((k + 1, (20, 5 + 8 * k, 5 + 8 * k), 1 + 0.4 * k) for k in range(7)))
    sums = sum_up(table)
    assert sums["lesions"].tolist() == [7]
    assert sums["diameter_sum"] == pytest.approx([np.sort(table["longest_diameter"])[-5:].sum()])


def test_sums_of_nothing_are_nothing():
    sums = sum_up(volume()[1])
    assert {name: column.tolist() for name, column in sums.items()} == {
        "lesions": [0], "volume": [0], "volume_ml": [0], "diameter_sum": [0], "largest": [0]
    }  # fmt: skip


def test_time_points_are_summed_apart():
    movie = np.zeros((2, 9, 9), np.int32)
    movie[0, 1:4, 1:4], movie[1, 1:6, 1:4], movie[1, 8, 8] = 1, 1, 2
    sums = sum_up(measure(Image(movie, "tyx")))
    assert sums["t"].tolist() == [0, 1]
    assert sums["lesions"].tolist() == [1, 2]
    assert sums["area"].tolist() == [9, 16]
