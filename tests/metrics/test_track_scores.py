"""The scores of tracks are those of py-ctcmetrics, and errors have a place."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import tifffile

from napari_unet.core.axes import Image
from napari_unet.core.errors import ImageError
from napari_unet.core.graph import assemble, relink
from napari_unet.core.results import Tracks
from napari_unet.core.steps import finish
from napari_unet.metrics._track_scores import score_tracks
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate
from napari_unet.workflows import score_tracks as judge

SPEC = MovieSpec(shape=(110, 110), frames=9, count=16, diameter=15.0, cycle=6.0, seed=3)


def spoiled(tracks: Tracks, labels: np.ndarray, seed: int) -> tuple[Tracks, np.ndarray]:
    """Lose, add, merge and swap: every kind of mistake."""
    rng = np.random.default_rng(seed)
    labels = labels.copy()
    nodes, t = tracks.nodes, tracks.nodes["t"]
    keep = rng.random(len(t)) > 0.04
    for row in np.flatnonzero(~keep):
        labels[t[row]][labels[t[row]] == nodes["label"][row]] = 0
    for row in np.flatnonzero(keep)[::29]:
        # A neighbor takes over.
        other = row + 1
        if other < len(t) and t[other] == t[row] and keep[other]:
            labels[t[row]][labels[t[row]] == nodes["label"][other]] = nodes["label"][row]
            keep[other] = False
    new = np.cumsum(keep) - 1
    edges = tracks.edges[keep[tracks.edges].all(axis=1) & (rng.random(len(tracks.edges)) > 0.05)]
    swap = np.flatnonzero(np.diff(t[edges[:, 1]]) == 0)[::9]
    edges[swap, 0], edges[swap + 1, 0] = edges[swap + 1, 0], edges[swap, 0]
    edges = edges[t[edges[:, 1]] - t[edges[:, 0]] == 1]
    kept = Tracks({k: v[keep] for k, v in nodes.items()}, edges, tracks.axes, tracks.scale)
    return relink(kept, new[edges]), labels


def write(folder, tracks: Tracks, labels: np.ndarray, names: tuple[str, str]) -> None:
    """Write a folder of the challenge, by hand."""
    folder.mkdir(parents=True)
    nodes = tracks.nodes
    for t, frame in enumerate(labels):
        table = np.zeros(int(frame.max()) + 1, np.uint16)
        here = nodes["t"] == t
        table[nodes["label"][here]] = nodes["track"][here]
        tifffile.imwrite(folder / f"{names[0]}{t:03d}.tif", table[frame])
    rows = []
    for track in range(1, int(nodes["track"].max()) + 1):
        here = nodes["t"][nodes["track"] == track]
        rows.append(f"{track} {here.min()} {here.max()} {nodes['parent'][nodes['track'] == track][0]}")
    (folder / names[1]).write_text("\n".join(rows))


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_the_challenge(tmp_path, seed):
    from ctc_metrics.scripts import evaluate

    movie = simulate(SPEC.model_copy(update={"seed": seed}))
    labels, truth = np.asarray(movie.labels.data), movie.tracks()
    found, masks = spoiled(truth, labels, seed)
    write(tmp_path / "GT" / "TRA", truth, labels, ("man_track", "man_track.txt"))
    write(tmp_path / "GT" / "SEG", truth, labels, ("man_seg", "unused.txt"))
    write(tmp_path / "RES", found, masks, ("mask", "res_track.txt"))
    names = ["SEG", "DET", "TRA", "LNK", "CHOTA", "BC"]
    with contextlib.redirect_stdout(io.StringIO()):
        expected = evaluate.evaluate_sequence(str(tmp_path / "RES"), str(tmp_path / "GT"), list(names), threads=1)
    scores = judge(found, masks, truth, labels).scores
    for name in ("SEG", "DET", "TRA", "LNK", "CHOTA"):
        assert scores[name] == pytest.approx(expected[name], abs=1e-9), name
    for i in range(4):
        assert scores[f"BC({i})" if i else "BC"] == pytest.approx(expected[f"BC({i})"], abs=1e-4), i
    assert 0.3 < scores["LNK"] < 0.95
    assert 0 < scores["BC(1)"] < 1


def test_the_truth_is_perfect_whatever_its_numbers_and_axes():
    movie = simulate(SPEC)
    labels, truth = np.asarray(movie.labels.data), movie.tracks()
    turned = Image(labels.transpose(2, 0, 1), "xty")
    found = finish(score_tracks((truth, turned), (truth, movie.labels)))
    assert {name: round(value, 12) for name, value in found.scores.items()} == dict.fromkeys(found.scores, 1.0)
    assert all(len(column) == 0 for column in found.errors.values())


def squares(*frames: dict[int, int]) -> np.ndarray:
    """Draw squares of 6 pixels, by label and column."""
    labels = np.zeros((len(frames), 10, 60), np.int32)
    for t, frame in enumerate(frames):
        for label, x in frame.items():
            labels[t, 2:8, x : x + 6] = label
    return labels


def follow(labels: np.ndarray, mothers: dict[int, int] | None = None) -> Tracks:
    t, label = np.array(sorted({(t, int(i)) for t, frame in enumerate(labels) for i in np.unique(frame) if i})).T
    table = {"t": t, "label": label, "track": label, "y": t * 0.0, "x": t * 0.0}
    table["parent"] = np.array([(mothers or {}).get(int(i), 0) for i in label])
    return assemble(table, "x").tracks


def test_every_error_has_its_kind_and_place():
    labels = squares({1: 0, 2: 20}, {1: 0, 2: 20}, {1: 0, 3: 17, 4: 24}, {1: 0, 3: 17, 4: 24})
    truth = follow(labels, {3: 2, 4: 2})
    cases = {
        "missed object": (squares({1: 0, 2: 20}, {2: 20}, {1: 0, 3: 17, 4: 24}, {1: 0, 3: 17, 4: 24}), (1, 1)),
        "extra object": (squares({1: 0, 2: 20}, {1: 0, 2: 20, 9: 50}, *[{1: 0, 3: 17, 4: 24}] * 2), (1, 9)),
    }
    for kind, (masks, place) in cases.items():
        errors = judge(follow(masks, {3: 2, 4: 2}), masks, truth, labels).errors
        assert (errors["kind"] == kind).sum() == 1, kind
        row = int(np.flatnonzero(errors["kind"] == kind)[0])
        assert (errors["t"][row], errors["label"][row]) == place
    errors = judge(follow(labels), labels, truth, labels).errors
    assert errors["kind"].tolist() == ["missed division", "missed link", "missed link"]
    assert errors["label"].tolist() == [2, 3, 4]
    errors = judge(truth, labels, follow(labels), labels).errors
    assert errors["kind"].tolist() == ["false division", "false link", "false link"]
    joined = labels.copy()
    joined[3][joined[3] == 4] = 3
    assert "merged objects" in judge(follow(joined, {3: 2, 4: 2}), joined, truth, labels).errors["kind"]


def test_nothing_and_movies_that_do_not_fit():
    empty = np.zeros((2, 8, 8), np.int32)
    nothing = follow(squares({1: 0}, {1: 0}))
    none = Tracks({k: v[:0] for k, v in nothing.nodes.items()}, nothing.edges[:0], "tyx", (1, 1, 1))
    assert all(np.isnan(value) for value in judge(none, empty, none, empty).scores.values())
    labels = squares({1: 0}, {1: 0})
    assert judge(none, np.zeros_like(labels), nothing, labels).scores["DET"] == 0
    assert judge(nothing, labels, None, labels).scores["TRA"] == 1
    with pytest.raises(ImageError, match="same movie"):
        judge(nothing, labels, none, empty)


def test_true_tracks_of_other_masks_are_refused():
    movie = simulate(SPEC)
    labels, truth = np.asarray(movie.labels.data), movie.tracks()
    renamed = np.where(labels > 0, labels + 1000, 0)
    with pytest.raises(ImageError, match="do not belong together"):
        judge(truth, labels, truth, renamed)
    assert judge(truth, labels, None, renamed).scores["DET"] == 1


def test_a_large_movie_is_judged_in_seconds():
    rng = np.random.default_rng(0)
    count, frames = 2000, 5
    labels = np.arange(1, count + 1, dtype=np.int32).reshape(40, 50).repeat(6, 0).repeat(6, 1)
    movie = np.stack([labels] * frames)
    truth = judge_input(count, frames, np.arange(count))
    other = judge_input(count, frames, rng.permutation(count))
    scores = judge(other, movie, truth, movie).scores
    assert scores["DET"] == 1
    assert scores["LNK"] == 1


def judge_input(count: int, frames: int, order: np.ndarray) -> Tracks:
    t, label = np.repeat(np.arange(frames), count), np.tile(np.arange(1, count + 1), frames)
    track = np.tile(order + 1, frames)
    return assemble({"t": t, "label": label, "track": track, "y": t * 0.0, "x": t * 0.0}, "x").tracks
