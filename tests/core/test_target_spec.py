"""How many pixels an object needs, by the height of its peak."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from napari_unet.core.specs import TargetSpec


def test_without_more_said_all_objects_need_the_same():
    assert set(TargetSpec(min_fraction=0.1).least(7.5)) == {7.5}


def test_peaks_below_the_least_score_are_dropped_whatever_their_size():
    least = TargetSpec(min_score=0.2).least(4.0)
    assert least[50] == math.inf
    assert set(least[51:]) == {4.0}


def test_small_objects_need_a_higher_peak_evenly_with_the_logarithm_of_their_size():
    spec = TargetSpec(min_score=0.2, min_fraction=0.04, small_fraction=0.64, small_score=0.6)
    least = spec.least(40.0)  # the disk has 1000 pixels
    assert least[50] == math.inf
    assert least[51] == pytest.approx(640)
    assert least[102] == pytest.approx(160)  # half way: a score of 0.4
    assert least[153] == 40.0
    assert least[255] == 40.0
    assert list(least) == sorted(least, reverse=True)


def test_without_a_smallest_size_there_is_no_size_to_measure_by():
    assert set(TargetSpec(min_fraction=0.0, small_fraction=0.5, small_score=0.5).least(0.0)) == {0.0}


@pytest.mark.parametrize(
    "wrong", [{"small_fraction": 0.05, "small_score": 0.5}, {"small_fraction": 0.5, "min_score": 0.3}]
)
def test_rules_that_contradict_themselves_are_refused(wrong):
    with pytest.raises(ValidationError, match="small_fraction lies above min_fraction"):
        TargetSpec(min_fraction=0.05, **wrong)
