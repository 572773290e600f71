"""The promise through depth: linked objects come from tables that add up, in whatever pieces and order."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_unet.tiling.depth import Depth, areas, link, overlaps, summed

quick = settings(deadline=None, max_examples=100)
THRESHOLDS = st.sampled_from([0.01, 0.3, 0.5, 2 / 3, 1.0])


@st.composite
def stacks(draw):
    """Planes of labels; ids without gaps, in the order of first pixels, as planes are decoded."""
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=9))
    depth, most = draw(st.integers(1, 5)), draw(st.sampled_from([1, 3, 9]))
    planes = []
    for _ in range(depth):
        drawn = draw(arrays(np.int32, shape, elements=st.integers(0, most)))
        ids, first = np.unique(drawn, return_index=True)
        new = np.zeros(most + 1, np.int32)
        new[ids[ids > 0][np.argsort(first[ids > 0])]] = np.arange(1, np.count_nonzero(ids) + 1)
        planes.append(new[drawn])
    return planes


def sets(labels):
    return {k: set(np.flatnonzero(labels == k).tolist()) for k in range(1, int(labels.max(initial=0)) + 1)}


def partners(upper, lower, threshold):
    """Say the same in sets of pixels."""
    ups, lows = sets(upper), sets(lower)
    near = {
        (a, b): len(u & v) / len(u | v)
        for a, u in ups.items()
        for b, v in lows.items()
        if u & v and len(u & v) / min(len(u), len(v)) >= threshold
    }

    def best(pairs):
        return min(pairs, key=lambda pair: (-near[pair], pair), default=None)

    return {
        (a, b)
        for a, b in near
        if best([p for p in near if p[0] == a]) == (a, b) == best([p for p in near if p[1] == b])
    }


def linked(planes, threshold, cut=True):
    depth, out = Depth([None, *range(len(planes) - 1)]), []
    for k, labels in enumerate(planes):
        own = areas(labels, int(labels.max()))
        links = np.zeros(len(own), np.int32)
        if k:
            above = planes[k - 1]
            links = link(overlaps(above, labels), areas(above, int(above.max())), own, threshold)
        out.append(depth.number(k, depth.cut(k, links, own) if cut else links, own)[labels])
    return np.stack(out), depth.objects


@quick
@given(stacks(), THRESHOLDS)
def test_links_are_those_of_sets(planes, threshold):
    for upper, lower in itertools.pairwise(planes):
        sizes = (areas(labels, int(labels.max())) for labels in (upper, lower))
        found = link(overlaps(upper, lower), *sizes, threshold)
        assert {(a, b) for b, a in enumerate(found.tolist()) if a} == partners(upper, lower, threshold)


@quick
@given(st.data(), stacks())
def test_any_cutting_gives_the_same_table(data, planes):
    upper, lower = planes[0], planes[-1]
    cuts = [[0, *sorted(data.draw(st.sets(st.integers(0, n), max_size=3))), n] for n in upper.shape]
    windows = [
        (slice(a, b), slice(c, d)) for a, b in itertools.pairwise(cuts[0]) for c, d in itertools.pairwise(cuts[1])
    ]
    parts = data.draw(st.permutations([overlaps(upper[w], lower[w]) for w in windows]))
    np.testing.assert_array_equal(summed(parts), overlaps(upper, lower))
    top = int(upper.max())
    np.testing.assert_array_equal(sum(areas(upper[w], top) for w in windows), areas(upper, top))


@quick
@given(stacks(), THRESHOLDS)
def test_objects_are_chains_in_the_order_of_their_first_pixels(planes, threshold):
    labels, objects = linked(planes, threshold)
    firsts = list(dict.fromkeys(labels[labels > 0].tolist()))
    assert firsts == list(range(1, objects + 1))
    for k, plane in enumerate(planes):
        # No outline is cut or merged within its plane, and the background stays.
        pairs = set(zip(plane.ravel().tolist(), labels[k].ravel().tolist(), strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
        assert all((a == 0) == (b == 0) for a, b in pairs)
    for number in range(1, objects + 1):
        where = [k for k in range(len(planes)) if (labels[k] == number).any()]
        assert where == list(range(where[0], where[-1] + 1))


@quick
@given(stacks(), THRESHOLDS)
def test_upside_down_the_same_objects(planes, threshold):
    """Ties aside, which go by ids, links have no direction; where chains are cut is found on the way down."""
    unique = all(
        len({len(u & v) / len(u | v) for v in sets(b).values() if u & v}) == sum(bool(u & v) for v in sets(b).values())
        for a, b in [*itertools.pairwise(planes), *itertools.pairwise(planes[::-1])]
        for u in sets(a).values()
    )
    if not unique:
        return
    labels, objects = linked(planes, threshold, cut=False)
    other, count = linked(planes[::-1], threshold, cut=False)
    pairs = np.unique(np.stack([labels.ravel(), other[::-1].ravel()]), axis=1)
    assert objects == count == np.count_nonzero(pairs[0]) == np.count_nonzero(pairs[1])
