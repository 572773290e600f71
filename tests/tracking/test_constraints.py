"""What a person decided stays decided."""

from __future__ import annotations

import numpy as np
import pytest

from napari_unet.core.errors import SpecError
from napari_unet.core.linking import LinkSpec
from napari_unet.tracking.edits import Edits
from napari_unet.workflows import track


def two() -> np.ndarray:
    """Two squares that keep their places for three frames."""
    labels = np.zeros((3, 20, 40), np.int32)
    labels[:, 5:11, 5:11], labels[:, 5:11, 13:19] = 1, 2
    return labels


def links(tracks) -> set:
    names = list(zip(tracks.nodes["t"].tolist(), tracks.nodes["label"].tolist(), strict=True))
    return {(names[a], names[b]) for a, b in tracks.edges.tolist()}


STAY = {((t, i), (t + 1, i)) for t in range(2) for i in (1, 2)}


def test_a_fixed_link_is_made_against_all_costs():
    fixed = (((0, 1), (1, 2)),)
    assert links(track(two())) == STAY
    found = links(track(two(), fixed=fixed))
    assert fixed[0] in found
    assert ((0, 2), (1, 2)) not in found
    assert {((1, 1), (2, 1)), ((1, 2), (2, 2))} <= found


def test_two_fixed_links_are_a_division_and_one_may_close_a_gap():
    division = track(two(), fixed=(((0, 1), (1, 1)), ((0, 1), (1, 2))))
    assert division.counts["divisions"] == 1
    assert division.graph == {3: [1], 4: [1]}
    assert ((0, 1), (2, 2)) in links(track(two(), fixed=(((0, 1), (2, 2)),), max_gap=0))


def test_a_forbidden_link_is_not_made_and_not_found_again_as_gap_or_division():
    forbidden = (((0, 1), (1, 1)),)
    assert not set(forbidden) & links(track(two(), forbidden=forbidden))
    assert links(track(two(), forbidden=(((0, 9), (1, 9)),))) == STAY


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"fixed": (((1, 1), (0, 1)),)}, "earlier frame to a later"),
        ({"fixed": (((0, 1), (1, 1)),), "forbidden": (((0, 1), (1, 1)),)}, "fixed and forbidden"),
        ({"fixed": (((0, 1), (1, 1)), ((0, 2), (1, 1)))}, "one parent"),
        ({"fixed": (((0, 7), (1, 1)),)}, "label 7 in frame 0"),
    ],
)
def test_what_cannot_be_is_said(options, text):
    with pytest.raises(SpecError, match=text):
        track(two(), **options)


def test_links_survive_json():
    spec = LinkSpec(fixed=(((0, 1), (1, 2)),), forbidden=(((0, 2), (1, 1)),))
    assert LinkSpec.model_validate_json(spec.model_dump_json()) == spec


def test_what_was_taken_out_competes_with_nobody():
    labels = np.zeros((3, 60, 60), np.int32)
    labels[0, 20:30, 10:20], labels[1, 20:30, 17:27], labels[2, 20:30, 24:34] = 1, 1, 1
    labels[1, 22:32, 9:19][labels[1, 22:32, 9:19] == 0] = 7  # dirt, nearer than the cell
    edits = Edits(track(labels))
    assert edits.children((0, 1)) == [(1, 7)]
    edits.do("delete", (1, 7))
    edits.solve(track(labels, fixed=edits.fixed, forbidden=edits.forbidden, absent=edits.deleted))
    assert edits.children((0, 1)) == [(1, 1)]
    assert edits.tracks().counts == {"objects": 3, "tracks": 1, "lineages": 1, "divisions": 0}
    # Objects that are not there are no objects either.
    assert track(labels, absent=((9, 9),)).counts["objects"] == 4
