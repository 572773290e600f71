"""Measures, tracks and scores on a cluster: bit by bit the same as without one, also where a worker dies."""

from __future__ import annotations

import logging
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from typer.testing import CliRunner

import napari_unet
from napari_unet import cli, workflows
from napari_unet.core.axes import Image
from napari_unet.core.errors import ClusterError, ImageError, SpecError
from napari_unet.core.specs import NetSpec
from napari_unet.core.steps import finish
from napari_unet.samples.movie_spec import MovieSpec
from napari_unet.samples.movies import simulate

from .conftest import connected


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert list(one) == list(other)
    for name, column in one.items():
        assert column.dtype == other[name].dtype, name
        assert column.tobytes() == other[name].tobytes(), name


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Labels and an image of three strips, with objects on their borders."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("wide")
    labels = np.zeros((300, 9000), np.int32)
    for number in range(1, 200):
        y, x = rng.integers(0, (270, 8900))
        labels[y : y + 30, x : x + rng.integers(20, 90)] = number
    labels[100:130, 4000:8300] = 500
    labels[140:170, 4090:4100] = 501
    places = folder / "labels.zarr", folder / "image.zarr"
    zarr.create_array(places[0], data=labels, chunks=(100, 2000))
    zarr.create_array(places[1], data=rng.normal(1000, 50, labels.shape).astype(np.float32), chunks=(100, 2000))
    return places


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Labels of dividing cells, and what they were seen in."""
    folder = tmp_path_factory.mktemp("movie")
    cells = simulate(MovieSpec(shape=(120, 120), frames=9, count=12, diameter=16.0, cycle=5.0, seed=1))
    places = folder / "labels.npy", folder / "image.npy"
    np.save(places[0], np.asarray(cells.given.data).astype(np.int32))
    np.save(places[1], np.asarray(cells.image.data))
    return places


def opened(places: tuple[Path, Path], axes: str) -> tuple[Image, Image]:
    return workflows.read_labels(places[0], axes), workflows.read_image(places[1], axes)


def test_the_same_measures(client, wide):
    labels, image = opened(wide, "yx")
    expected = workflows.measure(labels, image)
    same(workflows.measure(labels, image, client=client), expected)
    crossing = expected["index"].tolist().index(500)
    assert expected["area_px"][crossing] == int((np.asarray(labels.data) == 500).sum())
    assert expected["solidity"][crossing] <= 1


def test_the_same_measures_of_a_movie(client, movie):
    labels, image = opened(movie, "tyx")
    same(workflows.measure(labels, image, client=client), workflows.measure(labels, image))


def test_the_same_rings(client, wide, movie):
    for places, axes in ((wide, "yx"), (movie, "tyx")):
        labels, image = opened(places, axes)
        expected = workflows.measure(labels, image, around=7)
        assert expected["ring_area"].max() > 0
        same(workflows.measure(labels, image, client=client, around=7), expected)


def test_the_same_objects_within_objects(client, wide, movie, tmp_path):
    for places, axes in ((wide, "yx"), (movie, "tyx")):
        labels, _ = opened(places, axes)
        shifted = np.roll(np.asarray(labels.data), 9, axis=-1)
        zarr.create_array(tmp_path / f"{axes}.zarr", data=shifted, chunks=(100,) * len(axes))
        other = replace(workflows.read_labels(tmp_path / f"{axes}.zarr", axes), name="others")
        expected = workflows.measure(labels, inside=other, within=other)
        assert expected["others_count"].max() > 0
        assert 0 < expected["in_others_share"].max() <= 1
        same(workflows.measure(labels, client=client, inside=other, within=other), expected)
    with pytest.raises(ClusterError, match="in the memory of this program"):
        workflows.measure(labels, client=client, inside=shifted)


def test_the_same_tracks(client, movie):
    labels, image = opened(movie, "tyx")
    for picture in (None, image):
        expected = workflows.track(labels, image=picture)
        found = workflows.track(labels, image=picture, client=client)
        same(found.nodes, expected.nodes)
        assert found.edges.tobytes() == expected.edges.tobytes()
        assert found.costs.tobytes() == expected.costs.tobytes()
        assert expected.counts["divisions"]


def test_the_same_tracks_where_motion_is_foretold(client, movie, tmp_path):
    labels, image = opened(movie, "tyx")
    truth = simulate(MovieSpec(shape=(120, 120), frames=9, count=12, diameter=16.0, cycle=5.0, seed=1))
    workflows.write_image(tmp_path / "image.tif", Image(np.asarray(truth.image.data), "tyx"))
    workflows.write_labels(tmp_path / "labels.tif", Image(np.asarray(truth.labels.data), "tyx"))
    workflows.write_tracks(tmp_path / "tracks.csv", truth.tracks())
    (tmp_path / "table.csv").write_text("image,labels,tracks\nimage.tif,labels.tif,tracks.csv\n")
    workflows.train(
        tmp_path / "table.csv", name="small", task="motion", net=NetSpec(inputs=2, outputs=5, widths=(4, 6)), steps=2,
        patch=32, batch=1, threads=1, device="cpu", folder=tmp_path / "small",
    )  # fmt: skip
    expected = workflows.track(labels, image=image, model=str(tmp_path / "small"))
    notes: list[str] = []
    found = workflows.track(
        labels, None, lambda step: notes.append(step.note), image=image, model=str(tmp_path / "small"), client=client
    )
    same(found.nodes, expected.nodes)
    assert found.edges.tobytes() == expected.edges.tobytes()
    assert found.costs.tobytes() == expected.costs.tobytes()
    assert notes.count("Foretelling motion") == 9
    with pytest.raises(ClusterError, match=r"The workers .* cannot take part: .*nothing"):
        workflows.track(labels, image=image, model="nothing", client=client)


def test_the_same_scores(client, movie, wide, tmp_path):
    labels = np.load(movie[0])
    truth, found = [], []
    for number, frame in enumerate(labels[:4]):
        for name, values, places in (("a", frame, truth), ("b", np.roll(frame, 2, 1), found)):
            np.save(tmp_path / f"{name}{number}.npy", values)
            places.append(tmp_path / f"{name}{number}.npy")
    metrics = ("matching", "overlap")
    expected = workflows.evaluate(truth, found, metrics, binary=True)
    seen: list[Any] = []
    assert workflows.evaluate(truth, found, metrics, binary=True, client=client, show=seen.append) == expected
    assert seen[-1].done == 4
    assert 0 < expected["AP50"] < 1 or 0 < expected["dice"] < 1
    with pytest.raises(SpecError, match="do not know nonsense"):
        workflows.evaluate(truth, found, client=client, nonsense=1)
    np.save(tmp_path / "b3.npy", labels[3][:50])
    with pytest.raises(ImageError, match="shape"):
        workflows.evaluate(truth, found, client=client)


def test_a_worker_that_dies_changes_nothing(doomed, log, movie, wide, caplog):
    # Where results are fetched from a worker that dies, distributed logs a message whose arguments do not fit it:
    # elsewhere a line on the screen, an exception under pytest.
    caplog.set_level(logging.CRITICAL, "distributed.scheduler")
    labels, image = opened(movie, "tyx")
    expected = workflows.track(labels, image=image)
    with connected(doomed, log) as client:
        steps, killed = workflows.track_steps(labels, None, image, "", client), 0
        for progress in _through(steps):
            if progress.note == "Reading frames" and progress.done >= 2 and not killed:
                killed = next(iter(client.run(os.getpid).values()))
                os.kill(killed, signal.SIGKILL)
        assert killed
        same(_through.found.nodes, expected.nodes)
        labels, image = opened(wide, "yx")
        client.wait_for_workers(2, timeout=120)
        same(workflows.measure(labels, image, client=client), workflows.measure(labels, image))


def _through(steps: Any) -> Any:
    """Yield steps, and keep what they return."""
    _through.found = yield from steps


def test_what_others_cannot_see_is_refused(client, movie, wide, tmp_path):
    labels, _ = opened(movie, "tyx")
    inside = Image(np.ones((9, 9), np.int32), "yx")
    with pytest.raises(ClusterError, match="in the memory of this program"):
        workflows.measure(inside, client=client)
    with pytest.raises(ClusterError, match="memory of this program"):
        workflows.evaluate(inside.data, inside.data, client=client)
    with pytest.raises(ClusterError, match=r"The workers .* cannot take part: .*nothing\.npy"):
        workflows.evaluate(tmp_path / "nothing.npy", tmp_path / "nothing.npy", client=client)
    np.save(tmp_path / "labels.npy", np.ones((5, 5), np.int32))
    changed = workflows.read_labels(tmp_path / "labels.npy", "yx")
    np.save(tmp_path / "labels.npy", np.zeros((5, 5), np.int32))
    with pytest.raises(ClusterError, match="another file here"):
        workflows.measure(changed, client=client)
    with pytest.raises(ImageError, match="give it too"):
        workflows.track(labels, model="nuclei", client=client)


def test_by_commands(cluster, movie, tmp_path):
    address = cluster.scheduler_address
    labels, image = map(str, movie)
    for words, name in (
        (["measure", labels, "--image", image, "--axes", "tyx", "-o"], "cells.csv"),
        (["track", labels, "--image", image, "--axes", "tyx", "-o"], "tracks.csv"),
    ):
        for where, more in (("alone", []), ("there", ["--scheduler", address])):
            (tmp_path / where).mkdir(exist_ok=True)
            found = CliRunner().invoke(cli.commands.app, [*words, str(tmp_path / where / name), *more])
            assert found.exit_code == 0, found.output
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
    told = [
        CliRunner().invoke(cli.commands.app, ["evaluate", labels, labels, "--json", *more]).stdout
        for more in ([], ["--scheduler", address])
    ]
    assert told[0] == told[1]
    assert '"AP50": 1.0' in told[0]


def test_nobody_answers(movie, monkeypatch):
    monkeypatch.setattr("napari_unet.cluster.connect._TIMEOUT", 0.5)
    labels, _ = opened(movie, "tyx")
    with pytest.raises(ClusterError, match="No scheduler answers"):
        workflows.measure(labels, client="tcp://127.0.0.1:9")


def test_steps_come_to_the_same_end(movie):
    labels, _ = opened(movie, "tyx")
    same(finish(workflows.measure_steps(labels)), napari_unet.measure(labels))
