"""Runs in a process of their own: whoever looks on may leave and come back, and only being told to stops them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import napari_unet
from napari_unet import workflows
from napari_unet.core.errors import ClusterError, ImageError, OutputError
from napari_unet.core.steps import Progress, finish
from napari_unet.io.choosing import WORK
from napari_unet.io.images import read_image
from napari_unet.workflows import driving

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are killed by signals")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, forked):
    forked(driving)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(WORK, raising=False)
    yield
    for run in workflows.list_runs():
        run.stop()
    for child in driving._children:
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@pytest.fixture
def slow(spec):
    """Have runs take some seconds, by many small tiles, which change no label."""
    return spec.model_copy(update={"tiling": spec.tiling.model_copy(update={"tile": 32})})


def wait(ready, seconds=90.0):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_is_left_and_found_again(field, slow, expected, tmp_path):
    image = read_image(field)
    run = workflows.start_run(image, slow, tmp_path / "a.ome.zarr")
    with pytest.raises(OutputError, match="Reattach"):
        workflows.start_run(image, slow, tmp_path / "a.ome.zarr")
    looking = workflows.follow_run_steps(run, image)
    seen = next(step for step in looking if step.payload is not None)
    looking.close()  # the viewer is closed
    assert seen.payload.labels.any()
    assert seen.then == "measuring"
    assert run.state == "running"
    (found,) = workflows.list_runs()
    assert (found.output, found.state) == (str(tmp_path / "a.ome.zarr"), "running")
    assert found.words.startswith("a.ome.zarr: ")
    shown, totals = np.zeros(image.shape, np.int32), []
    steps = workflows.follow_run_steps(found)
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            result = end.value
            break
        totals.append((step.done, step.total))
        if step.payload is not None:
            shown[step.payload.index] = step.payload.labels.reshape(shown[step.payload.index].shape)
    assert result.hash == expected
    assert result.seconds > 0
    np.testing.assert_array_equal(shown, np.asarray(result.labels.data))  # the last pieces are final
    assert len(result.table["index"]) == result.objects
    assert len({*totals}) > 5
    assert found.state == "finished"
    assert "finished" in found.words
    assert finish(workflows.follow_run_steps(found)).hash == expected


def test_a_run_minds_what_the_viewer_knows_of_a_file(field, spec, tmp_path, monkeypatch):
    monkeypatch.setattr(driving.subprocess, "Popen", lambda *_, **__: SimpleNamespace(poll=lambda: 0, wait=lambda _: 0))
    monkeypatch.setattr(driving, "_watch", lambda run: None)  # it would end this process
    spec = spec.model_copy(update={"min_size": "40 um2"})
    image = replace(read_image(field), scale=(0.5, 0.5), units=("micrometer", "micrometer"))
    run = workflows.start_run(image, spec, tmp_path / "a.ome.zarr")
    workflows.drive_run(run.folder)
    found = finish(workflows.follow_run_steps(run, image))
    assert (found.hash, found.labels.scale) == (napari_unet.segment(image, spec).hash, image.scale)
    run = workflows.start_run(replace(image, data=image.data + 1), spec, tmp_path / "b.ome.zarr")
    with pytest.raises(ClusterError, match="changed in the viewer must be saved first"):
        workflows.drive_run(run.folder)


def test_cancel_ends_the_process_and_a_later_run_goes_on(field, slow, expected, tmp_path):
    image, output = read_image(field), tmp_path / "a.ome.zarr"
    run = workflows.start_run(image, slow, output)
    wait(lambda: run.progress.get("done", 0) > 3)
    run.stop()
    wait(lambda: not run.alive, 8)
    assert run.state == "stopped"
    with pytest.raises(ClusterError, match="Run goes on"):
        finish(workflows.follow_run_steps(run, image))
    assert workflows.is_unfinished(output)
    assert napari_unet.segment(image, slow, output=output).hash == expected


def test_a_killed_process_is_noticed(field, slow, tmp_path):
    image = read_image(field)
    run = workflows.start_run(image, slow, tmp_path / "a.ome.zarr")
    wait(lambda: run.progress.get("done", 0) > 3)
    driving._children[-1].send_signal(signal.SIGKILL)
    with pytest.raises(ClusterError, match="without a word"):
        finish(workflows.follow_run_steps(run, image))
    assert run.state == "failed"


def test_what_goes_wrong_there_is_said_here(field, spec, tmp_path):
    image, output = read_image(field), tmp_path / "a.ome.zarr"
    run = workflows.start_run(image, spec, output, cluster=("pigeon://127.0.0.1:9", 0))
    with pytest.raises(ClusterError, match="No scheduler answers"):
        finish(workflows.follow_run_steps(run, image))
    assert "No scheduler answers" in run.last_words
    with pytest.raises(ImageError, match="in memory"):
        workflows.start_run(napari_unet.core.axes.Image(np.zeros((30, 30)), "yx"), spec, output)
    with pytest.raises(OutputError, match="is no run"):
        workflows.drive_run(tmp_path)


def test_on_local_workers_who_is_at_work_is_told(field, spec, expected, tmp_path):
    image, seen = read_image(field), []
    run = workflows.start_run(image, spec, tmp_path / "a.ome.zarr", cluster=("", 2))
    assert finish(workflows.follow_run_steps(run, image, seen.append)).hash == expected
    assert {each.count for each in seen} == {2}
    assert "2 workers, 2 threads" in seen[-1].words
    assert "memory" in seen[-1].words
    assert seen[-1].dashboard.startswith("http")


def test_who_is_at_work_on_a_cluster(client):
    found = finish(workflows.look_at_cluster_steps(client.scheduler.address))
    assert (found.count, found.threads, found.memory) == (2, 2, 0)
    assert found.used > 0


def test_bricks_a_second_are_told_whatever_the_words(monkeypatch):
    from napari_unet.workflows import clusters

    pace, now = clusters._Pace(), [100.0]
    monkeypatch.setattr(clusters.time, "monotonic", lambda: now[0])
    rates = []
    for done, total, note in (
        (0, 20, "Finding objects"), (4, 20, "Finding objects (0.5 Mpx/s)"), (8, 20, "Waiting for 2 workers"),
        (0, 3, "Writing"), (3, 3, "Writing"),
    ):  # fmt: skip
        pace.add(Progress(done, total, note))
        assert pace.due
        rates.append(pace.rate)
        now[0] += 4.0
    assert rates == [0.0, 1.0, 1.0, 0.0, 0.75]


def test_old_runs_are_forgotten(field, tmp_path):
    from napari_unet.io.driven import new_driven

    for number in range(25):
        new_driven({"output": f"{number}"}).over("finished")
    assert len(workflows.list_runs()) == 21
    assert Path(workflows.list_runs()[0].folder).is_dir()


def test_how_far_a_run_is_in_words(home):
    from napari_unet.io.driven import new_driven

    run = new_driven({"output": "s3://bucket/some/a.ome.zarr"})
    with run.living():
        assert run.words.startswith("a.ome.zarr: Starting, begun 2")
        run.note(done=3, total=12, note="Finding objects")
        assert run.words.startswith("a.ome.zarr: 25 %, begun 2")
        run.note(done=0, total=0, note="Writing the overviews")
        assert run.words.startswith("a.ome.zarr: Writing the overviews, begun 2")
    assert run.words.startswith("a.ome.zarr: failed, begun 2")


def test_a_run_that_cannot_be_held_says_why(home):
    from napari_unet.io.driven import new_driven

    run = new_driven({"output": "a.ome.zarr"})
    (run.folder / "alive").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"), run.living():
        pass
    assert not run.alive
    (run.folder / "alive").unlink()
    with run.living():
        assert run.alive
