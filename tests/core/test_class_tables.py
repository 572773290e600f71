"""Tables of classes: every class has a color, and always the same."""

from __future__ import annotations

import re

from napari_unet.core.classes import class_table
from napari_unet.core.specs import TargetSpec


def test_colors_are_those_given_or_differ():
    names = [f"class {number}" for number in range(60)]
    rows = class_table(names)
    assert [row.label for row in rows] == list(range(1, 61))
    assert all(re.fullmatch("#[0-9a-f]{6}", row.color) for row in rows)
    assert len({row.color for row in rows}) == len(rows)
    assert class_table(names[:5]) == rows[:5]
    assert class_table(["a", "b"], ["#000000", "#ffffff"])[1] == (2, "b", "#ffffff")


def test_only_labels_that_are_classes_have_a_table():
    assert [row.name for row in TargetSpec(name="classes", classes=("road", "roof")).table] == ["road", "roof"]
    assert len(TargetSpec(name="classes").table) == 1
    assert TargetSpec(name="foreground", classes=("tumor",)).table == ()
