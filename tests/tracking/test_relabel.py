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


def _division() -> np.ndarray:
    """Make a rod of 40 pixels that is two of 20 from frame 2 on, and moves one pixel a frame."""
    labels = np.zeros((5, 40, 80), np.uint8)
    for t, frame in enumerate(labels):
        parts = [(20, 60, 1)] if t < 2 else [(20, 40, 2), (41, 61, 3)]
        for a, b, name in parts:
            frame[15:25, a + t : b + t] = name
    return labels


@pytest.mark.parametrize(("frame", "lost"), [(1, 1), (2, 3)])
def test_what_is_missing_around_a_division_is_filled_where_it_was(frame, lost):
    truth = _division()
    labels = truth.copy()
    labels[frame][labels[frame] == lost] = 0
    found = track(labels)
    assert found.counts["divisions"] == 1
    made = np.asarray(relabel(labels, found, fill_gaps=True).data)
    gone = truth[frame] == lost
    number = np.bincount(made[frame][gone]).argmax()
    # It is the mother's own number, or that of the daughter who is seen later.
    other = truth[0] == 1 if lost == 1 else truth[3] == 3
    assert number == made[0 if lost == 1 else 3][other][0]
    drawn = made[frame] == number
    assert (drawn & gone).sum() > 0.85 * (drawn | gone).sum()
    assert np.array_equal(np.delete(made, frame, 0) > 0, np.delete(truth, frame, 0) > 0)
