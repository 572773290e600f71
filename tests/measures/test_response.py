"""Categories of response are those of RECIST 1.1 (Eisenhauer et al. 2009), on made-up diameters at their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_unet.measures._response import respond


def changes(*rows):
    """Return the changes of lesions: diameters before and after, NaN where there is none, and the status."""
    first, later, status = zip(*rows, strict=True)
    number, after = ([0 if math.isnan(d) else k for k, d in enumerate(ds, start=1)] for ds in (first, later))
    return {
        "before": np.array(number), "after": np.array(after), "status": np.array(status, np.str_),
        "part_of": np.array([1 if what in ("split", "merged") else 0 for what in status]),
        "diameter_before": np.array(first, float), "diameter_after": np.array(later, float),
    }  # fmt: skip


def matched(*pairs):
    return [(*pair, "matched") for pair in pairs]


NONE = math.nan
GONE, NEW = (lambda d: (d, NONE, "vanished")), (lambda d: (NONE, d, "new"))


@pytest.mark.parametrize(
    ("rows", "category"),
    [
        (matched((50, 35), (30, 21), (20, 14)), "PR"),  # 100 to 70 mm: at least 30 % smaller
        (matched((50, 36), (30, 21), (20, 14)), "SD"),  # to 71 mm
        (matched((50, 70), (50, 50)), "PD"),  # 100 to 120 mm: at least 20 % larger
        (matched((50, 69.9), (50, 50)), "SD"),
        (matched((20, 24.9)), "SD"),  # 24.5 %, but less than 5 mm
        (matched((20, 25)), "PD"),
        (matched((100, 106)), "SD"),  # 6 mm, but only 6 %
        ([GONE(40), GONE(12)], "CR"),
        ([GONE(40), GONE(12), NEW(6)], "PD"),  # a new lesion is progression, whatever the targets do
        ([*matched((50, 20)), NEW(6)], "PD"),
        ([GONE(40), *matched((8, 8))], "PR"),  # targets gone, others not: table 1 of the paper
        ([GONE(40), *matched((50, 45))], "PR"),  # 90 to 45 mm
        (matched((8, 16)), "NN"),  # nothing was large enough for a target
        ([GONE(8)], "CR"),
        ([(30, 45, "matched"), (20, NONE, "merged")], "SD"),  # of what has merged one diameter counts: 50 to 45 mm
        ([(40, 15, "matched"), (NONE, 14, "split")], "SD"),  # pieces are added: 40 to 29 mm
        ([(40, 15, "matched"), (NONE, 13, "split")], "PR"),
        (matched((9.9, 30), (40, 40)), "SD"),  # less than 10 mm is no target
    ],
)
def test_categories_have_the_limits_of_the_paper(rows, category):
    assert respond(changes(*rows), "millimeter").category == category


def test_pieces_of_lesions_that_are_no_targets_are_not_added():
    rows = changes((30, 30, "matched"), (9, 9, "matched"), (NONE, 9, "split"))
    assert respond(rows, "millimeter").after == 39
    rows["part_of"][2] = 2
    assert respond(rows, "millimeter").category == "SD"
    assert respond(rows, "millimeter").after == 30


def test_a_target_that_merged_into_another_lesion_is_followed():
    rows = changes((12, NONE, "merged"), (9, 15, "matched"))
    rows["part_of"][0] = 2
    found = respond(rows, "millimeter")
    assert (found.before, found.after) == (12, 15)
    assert "1 target, sum" in found.words


def test_five_targets_at_most_and_in_millimeters():
    found = respond(changes(*matched(*[(k, k) for k in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)])), "centimeter")
    assert (found.targets, found.before, found.after, found.new) == (5, 200.0, 200.0, 0)
    assert found.words == "SD (stable disease; 5 targets, sum of diameters 200.0 to 200.0 mm). Not a diagnosis"


def test_pixels_have_no_category():
    assert respond(changes(*matched((20, 40))), "pixel") is None
