"""Corrections: what each does, what is refused, and that undoing gives back what was there."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_unet.core.errors import EditError
from napari_unet.core.results import Tracks
from napari_unet.tracking._corrections import CORRECTIONS
from napari_unet.tracking.edits import Edits, digest


def tracks(edges, frames=5, cells=4):
    """Return `cells` cells in each frame, labeled from 1; an edge names them by (frame, label)."""
    t, label = np.repeat(np.arange(frames), cells), np.tile(np.arange(1, cells + 1), frames)
    rows = {cell: i for i, cell in enumerate(zip(t.tolist(), label.tolist(), strict=True))}
    pairs = sorted(((rows[a], rows[b]) for a, b in edges), key=lambda pair: pair[::-1])
    nodes = {"id": np.arange(len(t)), "label": label, "t": t, "y": 10.0 * label, "x": 5.0 * t, "area": 50 + label}
    nothing = np.zeros(len(t), np.int64)
    nodes |= {"track": nothing, "parent": nothing, "lineage": nothing}
    return Tracks(nodes, np.array(pairs, np.int64).reshape(-1, 2), "tyx", (1.0, 1.0, 1.0))


def links(found):
    cells = list(zip(found.nodes["t"].tolist(), found.nodes["label"].tolist(), strict=True))
    return {(cells[a], cells[b]) for a, b in found.edges.tolist()}


STRAIGHT = {((t, i), (t + 1, i)) for t in range(4) for i in (1, 2, 3)}
DIVIDED = {((0, 1), (1, 1)), ((1, 1), (2, 1)), ((1, 1), (2, 2)), ((2, 1), (3, 1)), ((2, 2), (3, 2))}


def after(edges, verb, *cells):
    edits = Edits(tracks(edges))
    edits.do(verb, *cells)
    return links(edits.tracks())


def test_link_lets_go_of_others():
    found = after(STRAIGHT, "link", (1, 1), (2, 2))
    assert found == STRAIGHT - {((1, 1), (2, 1)), ((1, 2), (2, 2))} | {((1, 1), (2, 2))}


def test_link_keeps_one_daughter():
    assert after(DIVIDED, "link", (1, 1), (2, 2)) == DIVIDED - {((1, 1), (2, 1))}


def test_link_over_a_gap():
    assert ((0, 4), (3, 4)) in after(STRAIGHT, "link", (0, 4), (3, 4))


def test_unlink():
    assert after(STRAIGHT, "unlink", (1, 1), (2, 1)) == STRAIGHT - {((1, 1), (2, 1))}


def test_swap_exchanges_pasts():
    crossed = {((1, 1), (2, 2)), ((1, 2), (2, 1))}
    assert after(STRAIGHT, "swap", (2, 1), (2, 2)) == STRAIGHT - {((1, i), (2, i)) for i in (1, 2)} | crossed
    assert after(STRAIGHT, "swap", (2, 1), (2, 4)) == STRAIGHT - {((1, 1), (2, 1))} | {((1, 1), (2, 4))}


def test_split_begins_a_track():
    edits = Edits(tracks(STRAIGHT))
    before = edits.tracks().counts["tracks"]
    edits.do("split", (2, 3))
    found = edits.tracks()
    assert found.counts["tracks"] == before + 1
    assert links(found) == STRAIGHT - {((1, 3), (2, 3))}


@pytest.mark.parametrize("cells", [((0, 1), (4, 2)), ((4, 2), (0, 1)), ((1, 1), (3, 2))])
def test_merge_joins_end_and_start(cells):
    edges = {((0, 1), (1, 1)), ((3, 2), (4, 2))}
    assert after(edges, "merge", *cells) == edges | {((1, 1), (3, 2))}


def test_delete_closes_the_gap():
    edits = Edits(tracks(STRAIGHT))
    edits.do("delete", (2, 1))
    found = edits.tracks()
    assert links(found) == STRAIGHT - {((1, 1), (2, 1)), ((2, 1), (3, 1))} | {((1, 1), (3, 1))}
    assert found.nodes["id"].tolist() == list(range(19))
    assert edits.deleted == ((2, 1),)
    edits.undo()
    assert edits.deleted == ()


def test_a_mother_that_is_deleted_leaves_daughters_alone():
    assert after(DIVIDED, "delete", (1, 1)) == {((2, 1), (3, 1)), ((2, 2), (3, 2))}


def test_divide():
    edits = Edits(tracks(STRAIGHT))
    edits.do("divide", (1, 1), (2, 1), (2, 2))
    found = edits.tracks()
    assert links(found) == STRAIGHT - {((1, 2), (2, 2))} | {((1, 1), (2, 2))}
    assert found.counts["divisions"] == 1
    assert edits.children((1, 1)) == [(2, 1), (2, 2)]
    assert edits.parents((2, 2)) == [(1, 1)]


def test_fuse_only_where_allowed():
    edits = Edits(tracks(STRAIGHT))
    with pytest.raises(EditError, match="Allow merging"):
        edits.do("fuse", (1, 1), (1, 2), (2, 1))
    edits = Edits(tracks(STRAIGHT), merging=True)
    edits.do("fuse", (1, 1), (1, 2), (2, 1))
    assert edits.parents((2, 1)) == [(1, 1), (1, 2)]
    assert links(edits.tracks()) == STRAIGHT - {((1, 2), (2, 2))} | {((1, 2), (2, 1))}


@pytest.mark.parametrize(
    ("verb", "cells", "text"),
    [
        ("link", [(1, 1), (1, 2)], "not later"),
        ("link", [(1, 1), (2, 1)], "linked already"),
        ("link", [(1, 1), (2, 9)], "cell 9 of frame 2 is not among"),
        ("link", [(1, 1), (77, 1)], "not among"),
        ("link", [(1, 1)], "takes 2 cells"),
        ("unlink", [(1, 1), (2, 2)], "not linked"),
        ("swap", [(2, 1), (2, 1)], "nothing to swap"),
        ("swap", [(1, 1), (4, 2)], "before its parent"),
        ("split", [(0, 1)], "begins with cell 1"),
        ("merge", [(1, 1), (2, 1)], "one track already"),
        ("merge", [(1, 1), (1, 2)], "Both tracks"),
        ("divide", [(1, 1), (2, 1), (2, 1)], "two different"),
        ("divide", [(3, 1), (2, 1), (4, 1)], "not later"),
        ("confirm", [(1, 1), (2, 2)], "not linked"),
        ("paint", [(1, 1)], "no correction"),
    ],
)
def test_what_is_refused_changes_nothing(verb, cells, text):
    edits = Edits(tracks(STRAIGHT))
    with pytest.raises(EditError, match=text):
        edits.do(verb, *cells)
    assert links(edits.tracks()) == STRAIGHT
    assert edits.done == []


def test_a_track_that_divides_is_not_joined_by_its_end():
    with pytest.raises(EditError, match="divides after"):
        after({((0, 1), (1, 1)), ((1, 1), (2, 1)), ((1, 1), (2, 2)), ((2, 3), (3, 3))}, "merge", (0, 1), (3, 3))


def test_undo_and_redo():
    edits = Edits(tracks(STRAIGHT))
    for verb in (edits.undo, edits.redo):
        with pytest.raises(EditError, match="nothing to"):
            verb()
    edits.do("unlink", (1, 1), (2, 1))
    edits.do("split", (2, 2))
    assert edits.undo() == "split cell 2 of frame 2"
    assert edits.undone == ["split cell 2 of frame 2"]
    edits.redo()
    assert edits.done == ["unlink cell 1 of frame 1, cell 1 of frame 2", "split cell 2 of frame 2"]
    edits.undo()
    edits.do("split", (3, 3))
    assert edits.undone == []


def test_corrections_bind_the_next_solve():
    edits = Edits(tracks(STRAIGHT))
    edits.do("swap", (2, 1), (2, 2))
    edits.do("unlink", (2, 3), (3, 3))
    edits.do("confirm", (3, 3), (4, 3))
    assert set(edits.fixed) == {((1, 2), (2, 1)), ((1, 1), (2, 2)), ((3, 3), (4, 3))}
    assert set(edits.forbidden) == {((1, 1), (2, 1)), ((1, 2), (2, 2)), ((2, 3), (3, 3))}
    edits.undo()
    edits.do("link", (2, 3), (3, 3))  # said last
    assert ((2, 3), (3, 3)) in edits.fixed
    assert ((2, 3), (3, 3)) not in edits.forbidden
    edits.do("delete", (1, 2))
    assert all((1, 2) not in link for link in (*edits.fixed, *edits.forbidden))


def test_a_new_solve_is_one_correction():
    edits = Edits(tracks(STRAIGHT))
    edits.do("delete", (2, 3))
    edits.do("unlink", (0, 1), (1, 1))
    before = links(edits.tracks())
    assert edits.solve(tracks(DIVIDED)) > 0
    assert links(edits.tracks()) == DIVIDED
    assert set(edits.forbidden) == {((0, 1), (1, 1))}  # the solver's own links are no constraints
    edits.undo()
    assert links(edits.tracks()) == before
    edits.redo()
    assert edits.solve(tracks(DIVIDED)) == 0
    with pytest.raises(EditError, match=r"cell 1 of frame 5 was not there \(4 such cells\)"):
        edits.solve(tracks(DIVIDED, frames=6))
    with pytest.raises(EditError, match="cell 4 of frame 0 is not there any more"):
        edits.solve(tracks(DIVIDED, cells=3))


def test_names_of_tracks():
    assert digest(tracks(STRAIGHT)) == digest(tracks(STRAIGHT))
    assert len({digest(tracks(STRAIGHT)), digest(tracks(DIVIDED)), digest(tracks(STRAIGHT, frames=6))}) == 3


def test_replay_tells_what_does_not_fit():
    edits = Edits(tracks(STRAIGHT))
    entries = [
        {"do": "split", "cells": [[2, 1]]}, {"do": "split", "cells": [[2, 1]]}, {"do": "fly"}, {}, {"do": "link"},
        {"do": "swap", "cells": [[1]]}, {"do": "undo", "cells": []}, {"do": "undo"}, {"do": "__init__", "cells": []},
    ]  # fmt: skip
    assert len(edits.replay(entries)) == 7
    assert links(edits.tracks()) == STRAIGHT


# Any sequence of corrections

CELL = st.tuples(st.integers(0, 5), st.integers(0, 5))
DO = st.one_of(
    st.just(("undo",)),
    st.just(("redo",)),
    *[st.tuples(st.just(verb), *[CELL] * count) for verb, (count, _) in CORRECTIONS.items()],
)
EDGES = st.sets(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(1, 4)), max_size=16)


def forest(chosen):
    """Keep of any links those that leave a forest."""
    edges, parents, children = set(), set(), {}
    for t, i, j in sorted(chosen):
        if (t, j) not in parents and children.get((t, i), 0) < 2:
            parents.add((t, j))
            children[t, i] = children.get((t, i), 0) + 1
            edges.add(((t, i), (t + 1, j)))
    return edges


def state(edits):
    found = edits.tracks()
    return links(found), {name: column.tolist() for name, column in found.nodes.items()}


@given(EDGES, st.lists(DO, max_size=30), st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_corrections_undone_give_the_tracks_before(chosen, things, merging):
    given_ = tracks(forest(chosen))
    kept = []
    edits = Edits(given_, merging, lambda entry: kept.append(json.loads(json.dumps(entry))))
    first = state(edits)
    for verb, *cells in things:
        try:
            getattr(edits, verb)() if verb in ("undo", "redo") else edits.do(verb, *cells)
        except EditError:
            continue
        found = edits.tracks()
        assert not len(found.edges) or np.bincount(found.edges[:, 1]).max() <= 1 + merging
        assert not len(found.edges) or np.bincount(found.edges[:, 0]).max() <= 2
        assert (found.nodes["t"][found.edges[:, 0]] < found.nodes["t"][found.edges[:, 1]]).all()
        assert len({tuple(edge) for edge in found.edges.tolist()}) == len(found.edges)
        assert not set(edits.fixed) & set(edits.forbidden)
        assert merging or set(edits.fixed) <= links(found)
        assert not set(edits.forbidden) & links(found)
    last = state(edits)
    again = Edits(given_, merging)
    assert again.replay(kept) == []
    assert state(again) == last
    assert (again.done, again.undone) == (edits.done, edits.undone)
    while edits.done:
        edits.undo()
    assert state(edits) == first
    while edits.undone:
        edits.redo()
    while again.undone:
        again.redo()
    assert state(edits) == state(again)


@given(EDGES, EDGES, st.lists(DO, max_size=20), st.booleans())
@settings(deadline=None, max_examples=50)
def test_what_was_corrected_holds_for_other_tracks(chosen, others, things, merging):
    before = Edits(tracks(forest(chosen)), merging)
    for verb, *cells in things:
        with suppress(EditError):
            getattr(before, verb)() if verb in ("undo", "redo") else before.do(verb, *cells)
    kept = []
    small = {link for link in forest(others) if max(link[0][1], link[1][1]) < 4}
    edits = Edits(tracks(small, cells=3), merging, lambda entry: kept.append(json.loads(json.dumps(entry))))
    first = state(edits)
    count, lost = edits.carry(before.fixed, before.forbidden, before.deleted)
    found = links(edits.tracks())
    known = {link for link in before.fixed if max(link[0][1], link[1][1]) < 4}
    assert known <= found or merging
    assert set(before.fixed) - known <= set(before.fixed) - set(edits.fixed)
    assert not found & set(before.forbidden)
    assert (lost == 0) == (all(cell[1] < 4 for cell in told(before)))
    assert {cell for cell in before.deleted if cell[1] < 4} == set(edits.deleted)
    assert edits.carry(before.fixed, before.forbidden, before.deleted)[0] == 0
    again = Edits(edits.base, merging)
    assert again.replay(kept) == []
    assert state(again) == state(edits)
    assert (again.fixed, again.forbidden) == (edits.fixed, edits.forbidden)
    if count:
        edits.undo()
    assert state(edits) == first


def told(edits):
    return [cell for link in edits.fixed + edits.forbidden for cell in link] + list(edits.deleted)


def test_costs_stay_with_their_links():
    base = tracks(STRAIGHT)
    numbers = np.arange(len(base.edges)) + 0.5
    edits = Edits(replace(base, costs=numbers, margins=2 * numbers))
    edits.do("swap", (2, 1), (2, 2))
    edits.do("delete", (0, 1))
    found = edits.tracks()
    known = dict(zip(sorted(STRAIGHT, key=lambda link: (link[1], link[0])), numbers.tolist(), strict=True))
    cells = list(zip(found.nodes["t"].tolist(), found.nodes["label"].tolist(), strict=True))
    expected = [known.get((cells[a], cells[b]), np.nan) for a, b in found.edges.tolist()]
    assert np.array_equal(found.costs, expected, equal_nan=True)
    assert np.array_equal(found.margins, 2 * np.array(expected), equal_nan=True)
