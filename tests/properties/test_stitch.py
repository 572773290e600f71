"""The promise for images larger than memory: brick by brick, in any order, gives the labels of the whole plane."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from napari_unet.core.registry import names
from napari_unet.core.specs import TargetSpec
from napari_unet.targets import explorer, target
from napari_unet.targets._basins import basins, descend_offsets
from napari_unet.targets._forest import explore, explore_parts
from napari_unet.tiling.bricks import Bricks
from napari_unet.tiling.stitch import Stitch, relabel

# Few levels make plateaus, which lie across borders of bricks more often than not.
HEIGHTS = st.sampled_from(
    [st.just(7), st.integers(0, 1), st.integers(0, 3), st.integers(250, 255), st.integers(0, 255)]
)
PERSISTENCE = st.sampled_from([0, 1, 2, 5, 40, 255])
SMALLEST = st.sampled_from([0, 1, 2, 3.5, 9])
quick = settings(deadline=None)


@st.composite
def potentials(draw, sides=(12, 6)):
    rank = draw(st.sampled_from([2, 3]))
    shape = draw(array_shapes(min_dims=rank, max_dims=rank, max_side=sides[rank - 2]))
    potential = draw(arrays(np.uint8, shape, elements=draw(HEIGHTS), fill=st.nothing()))
    density = draw(st.sampled_from([0.3, 0.7, 0.95, 1.0]))
    return potential, np.random.default_rng(draw(st.integers(0, 2**16))).random(shape) < density


@st.composite
def cuttings(draw, shape):
    """A cutting of a plane, and an order of its bricks."""
    borders = tuple((0, *sorted(draw(st.sets(st.integers(1, max(1, n - 1)), max_size=3)) - {n}), n) for n in shape)
    bricks = Bricks(shape, borders)
    return bricks, draw(st.permutations(list(bricks)))


def stitched(potential, mask, bricks, order, persistence, smallest, offsets=None):
    stitch = Stitch(bricks)

    def trees_of(position):
        read = bricks.widened(position)
        vectors = None if offsets is None else offsets[(slice(None), slice(None), *read)]
        return explore(potential[read], mask[read], bricks.window(position), bricks.shape, vectors)

    for position in order:
        stitch.add(position, trees_of(position)[1])
    objects = stitch.finish(persistence, smallest)
    labels = np.full(potential.shape, -1, np.int32)
    # Nothing of the first pass is kept but the tables.
    for position in reversed(order):
        relabel(trees_of(position)[0], objects.numbers[position], labels[bricks.window(position)])
    return labels, objects


@settings(quick, max_examples=150)
@given(st.data(), potentials(), PERSISTENCE, SMALLEST)
def test_no_pixel_differs_from_the_whole(data, image, persistence, smallest):
    potential, mask = image
    bricks, order = data.draw(cuttings(mask.shape))
    expected = basins(potential, mask, persistence, smallest)
    labels, objects = stitched(potential, mask, bricks, order, persistence, smallest)
    np.testing.assert_array_equal(labels, expected)
    sizes = objects.table["area_px" if mask.ndim == 2 else "volume_px"]
    np.testing.assert_array_equal(np.concatenate([[0], sizes])[1:], np.bincount(expected.ravel())[1:])


@settings(quick, max_examples=25)
@given(potentials(sides=(7, 4)), PERSISTENCE)
def test_every_pixel_may_be_a_brick(image, persistence):
    potential, mask = image
    bricks = Bricks.cut(mask.shape, (1,) * mask.ndim)
    labels, _ = stitched(potential, mask, bricks, list(bricks), persistence, 0)
    np.testing.assert_array_equal(labels, basins(potential, mask, persistence, 0))


@settings(quick, max_examples=25)
@given(st.data(), st.integers(0, 2**16), st.integers(0, 60), st.sampled_from([0, 12]))
def test_rough_fields_with_many_basins(data, seed, persistence, smallest):
    rng = np.random.default_rng(seed)
    shape = data.draw(st.sampled_from([(60, 70), (1, 40, 50), (12, 20, 20)]))
    potential = rng.integers(0, rng.choice([3, 30, 255]), shape).astype(np.uint8)
    mask = rng.random(shape) < 0.8
    bricks, order = data.draw(cuttings(shape))
    labels, _ = stitched(potential, mask, bricks, order, persistence, smallest)
    np.testing.assert_array_equal(labels, basins(potential, mask, persistence, smallest))


@settings(quick, max_examples=40)
@given(st.data(), array_shapes(min_dims=2, max_dims=2, max_side=14), PERSISTENCE, SMALLEST)
def test_offsets_are_followed_over_borders(data, shape, persistence, smallest):
    # Short offsets have many equals among their neighbors; no offset is 128.
    length = data.draw(st.sampled_from([1, 2, 10, 127]))
    scores = data.draw(
        arrays(np.uint8, (3, *shape), elements=st.integers(128 - length, 128 + length), fill=st.nothing())
    )
    bricks, order = data.draw(cuttings(shape))
    threshold = data.draw(st.sampled_from([0.4, 0.5]))
    spec = TargetSpec(name="offsets", threshold=threshold, persistence=persistence / 255)
    flat = np.zeros((3, 1, *shape), np.int16)
    flat[1:, 0] = scores[1:].astype(np.int16) - 128
    mask = scores[0] > round(255 * spec.threshold)
    potential = descend_offsets(flat, mask[None])[1][0]
    labels, _ = stitched(potential, mask, bricks, order, persistence, smallest, flat)
    np.testing.assert_array_equal(labels, target("offsets").decode(scores, spec, smallest))


@settings(quick, max_examples=60)
@given(st.data(), potentials(), SMALLEST)
def test_parts_of_a_mask_hang_together_over_borders(data, image, smallest):
    _, mask = image
    bricks, order = data.draw(cuttings(mask.shape))
    stitch, trees = Stitch(bricks), {}
    for position in order:
        window = bricks.window(position)
        trees[position], forest = explore_parts(mask[window], window, bricks.shape)
        stitch.add(position, forest)
    objects = stitch.finish(0, smallest)
    expected, count = ndimage.label(mask)
    kept = (np.bincount(expected.ravel(), minlength=count + 1) >= smallest) & (np.arange(count + 1) > 0)
    assert len(objects) == kept.sum()
    for position in order:
        found = relabel(trees[position], objects.numbers[position])
        np.testing.assert_array_equal(found, (np.cumsum(kept) * kept)[expected[bricks.window(position)]])


@settings(quick, max_examples=150)
@given(st.data(), st.sampled_from(names("targets")), PERSISTENCE, SMALLEST)
def test_every_target_is_found_brick_by_brick(data, name, persistence, smallest):
    lowest, highest = sorted(data.draw(st.sampled_from([(0, 0), (0, 0), (100, 100), (254, 0), (20, 200), (0, 255)])))
    kind, rank = target(name), 2 if name == "offsets" else data.draw(st.sampled_from([2, 3]))
    shape = data.draw(array_shapes(min_dims=rank, max_dims=rank, max_side={2: 10, 3: 5}[rank]))
    scores = data.draw(arrays(np.uint8, (len(kind.CHANNELS), *shape), elements=data.draw(HEIGHTS), fill=st.nothing()))
    spec = TargetSpec(
        name=name, threshold=0.4, persistence=persistence / 255, touch_weight=0.5, min_score=lowest / 255,
        small_fraction=0.5 if highest > lowest else 0.0, small_score=highest / 255,
    )  # fmt: skip
    bricks, order = data.draw(cuttings(shape))
    stitch, trees, labels = Stitch(bricks), {}, np.full(shape, -1, np.int32)
    for position in order:
        read = (slice(None), *bricks.widened(position))
        trees[position], forest = explorer(name)(scores[read], spec, bricks.window(position), shape)
        stitch.add(position, forest)
    objects = stitch.finish(persistence, smallest, spec.least(smallest))
    for position in order:
        relabel(trees[position], objects.numbers[position], labels[bricks.window(position)])
    np.testing.assert_array_equal(labels, kind.decode(scores, spec, smallest))
