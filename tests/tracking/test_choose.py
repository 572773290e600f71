"""The choice of events is the best of all, also with divisions and mergings."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_unet.tracking._choose import Events, choose
from napari_unet.workflows import relabel, track


def best(who: np.ndarray, gain: np.ndarray) -> float:
    """Try everything."""
    found = 0.0
    for size in range(1, 4):
        for rows in itertools.combinations(range(len(who)), size):
            nodes = [node for row in rows for node in who[row].tolist() if node >= 0]
            if len(set(nodes)) == len(nodes):
                found = max(found, float(gain[list(rows)].sum()))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_no_other_choice_is_better(seed):
    rng = np.random.default_rng(seed)
    links = [(p, 3 + c, -1) for p in range(3) for c in range(4) if rng.random() < 0.7]
    three = [(p, 3 + a, 3 + b) for p in range(3) for a, b in itertools.combinations(range(4), 2) if rng.random() < 0.4]
    merging = [(0, 3 + c, 1) for c in range(4) if rng.random() < 0.4]
    who = np.array(links + three + merging)
    costs = rng.uniform(0, 3, len(who))
    chosen, margins = choose(Events(who, costs), 3, 7, 1.0)
    gain = (who >= 0).sum(axis=1) - costs
    nodes = who[chosen][who[chosen] >= 0]
    assert len(set(nodes.tolist())) == len(nodes)
    assert gain[chosen].sum() == pytest.approx(best(who, gain))
    assert len(margins) == len(chosen)


def test_margins_say_what_the_next_best_would_cost():
    who = np.array([[0, 2, -1], [0, 3, -1], [1, 3, -1]])
    chosen, margins = choose(Events(who, np.array([0.1, 0.6, 0.2])), 2, 4, 1.0)
    assert chosen.tolist() == [0, 2]
    assert margins.tolist() == pytest.approx([0.5, 0.4])


def squares(*frames: dict[int, tuple[int, int]]) -> np.ndarray:
    labels = np.zeros((len(frames), 30, 70), np.int32)
    for t, frame in enumerate(frames):
        for label, (x, width) in frame.items():
            labels[t, 10:20, x : x + width] = label
        labels[t, 10:20, 55:69] = 9
    return labels


def test_two_objects_become_one_only_where_that_is_allowed():
    labels = squares(*[{1: (20, 9), 2: (30, 9)}] * 2, *[{3: (20, 19)}] * 2)
    found = track(labels, merging=True)
    assert list(found.graph.values()) == [[1, 2]]
    assert np.bincount(found.edges[:, 1]).max() == 2
    assert np.bincount(track(labels).edges[:, 1]).max() == 1
    families = np.asarray(relabel(labels, found, "lineage").data)[:, 10:20, :50]
    assert np.unique(families[families > 0]).tolist() == [1]


def test_daughters_whose_masks_were_missing_at_first_are_found():
    mother, both = {1: (20, 20)}, {1: (19, 10), 2: (31, 10)}
    late = track(squares(mother, mother, {1: (19, 10)}, both, both))
    assert late.counts["divisions"] == 1
    unseen = track(squares(mother, mother, {}, both, both))
    assert unseen.counts["divisions"] == 1


def test_every_link_knows_its_cost_and_what_was_given_does_not():
    labels = squares(*[{1: (20, 10), 2: (40, 10)}] * 3)
    found = track(labels, fixed=(((0, 1), (1, 1)),))
    assert len(found.costs) == len(found.margins) == len(found.edges)
    assert np.isnan(found.costs).sum() == 1
    assert (found.margins[~np.isnan(found.margins)] > 0).all()


def test_an_image_tells_apart_what_masks_cannot():
    labels = squares({1: (20, 8), 2: (30, 8)}, {1: (25, 8), 2: (35, 8)})
    image = np.where(labels == 1, 200, np.where(labels == 2, 30, 60))
    swapped = image.copy()
    swapped[1] = np.where(labels[1] == 1, 30, np.where(labels[1] == 2, 200, 60))
    looks = [track(labels, image=picture).costs.sum() for picture in (image, swapped)]
    assert looks[0] < looks[1]
