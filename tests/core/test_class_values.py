"""Masks whose values are not 1, 2 and so on."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.class_values import number_classes
from napari_unet.core.errors import SpecError, TrainingDataError
from napari_unet.core.specs import TargetSpec, TrainSpec


def test_values_become_the_numbers_of_classes():
    labels = np.array([[0, 6, 1], [255, 0, 6]], np.uint8)
    found = number_classes(labels, (6, 255, 1), "tile")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, [[0, 1, 3], [2, 0, 1]])
    np.testing.assert_array_equal(number_classes(np.array([0, 9]), (0, 9), "tile"), [1, 2])
    np.testing.assert_array_equal(number_classes(np.array([False, True]), (1,), "tile"), [0, 1])


def test_a_value_without_a_class_is_refused_and_named():
    with pytest.raises(TrainingDataError, match=r"'tile' hold the values 3, 7, which stand for no class; 1, 255 do"):
        number_classes(np.array([[0, 1], [3, 7]]), (1, 255), "tile")


def test_tables_that_make_no_sense_are_refused():
    with pytest.raises(SpecError, match="a value of its own"):
        TrainSpec.of(class_values=(1, 1))
    with pytest.raises(SpecError, match="a value of its own"):
        TrainSpec.of(class_values=(-1,))
    with pytest.raises(SpecError, match="a single class leaves a background"):
        TargetSpec.of(name="classes", classes=("roof",), background=False)
