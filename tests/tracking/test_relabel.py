"""Labels by track and by lineage, as a new array."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.axes import Image
from napari_unet.core.errors import SpecError
from napari_unet.workflows import relabel, track


def test_objects_get_the_number_of_their_track_and_nothing_else_changes(movie):
    labels = movie().labels
    before = labels.copy()
    found = track(labels)
    for by in ("track", "lineage"):
        made = np.asarray(relabel(labels, found, by).data)
        assert made.dtype == np.int32
        assert np.array_equal(made > 0, labels > 0)
        rows = zip(*(found.nodes[key].tolist() for key in ("t", "label", by)), strict=True)
        assert all((made[t][labels[t] == label] == number).all() for t, label, number in rows)
    assert np.array_equal(labels, before)


def test_it_is_lazy_and_keeps_the_order_of_axes(movie):
    labels = movie().labels
    found = track(labels)
    turned = relabel(Image(labels.transpose(2, 0, 1), "xty"), found)
    assert turned.axes == "xty"
    assert turned.data.chunks[1] == (1,) * len(labels)
    assert np.array_equal(np.asarray(turned.data).transpose(1, 2, 0), np.asarray(relabel(labels, found).data))


def test_gaps_are_filled_by_choice_and_never_over_others():
    labels = np.zeros((4, 30, 60), np.uint8)
    labels[0, 10:20, 10:20], labels[1, 10:20, 12:22], labels[3, 8:22, 16:26] = 1, 1, 5
    labels[:, 10:20, 23:25] = 9
    found = track(labels)
    assert found.counts["tracks"] == 2
    assert not (np.asarray(relabel(labels, found).data)[2] == 1).any()
    made = np.asarray(relabel(labels, found, fill_gaps=True).data)
    y, _x = np.nonzero(made[2] == 1)
    assert abs(y.mean() - 14.5) < 1
    assert 80 < len(y) < 140
    assert ((made == 2) == (labels == 9)).all()
    assert np.array_equal(made[[0, 1, 3]], np.asarray(relabel(labels, found).data)[[0, 1, 3]])


def test_an_unknown_number():
    with pytest.raises(SpecError, match="track or lineage"):
        relabel(np.zeros((2, 8, 8), int), track(np.zeros((2, 8, 8), int)), by="cell")
