"""On a cluster: the same labels, byte by byte, also where workers die; and what is refused before it begins."""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_unet
from napari_unet import workflows
from napari_unet.core.axes import as_image
from napari_unet.core.errors import ClusterError, OutputError
from napari_unet.core.steps import finish

from .conftest import connected, counted, files


def bricks(image: Any, spec: Any) -> int:
    from napari_unet.models._bricks import begin
    from napari_unet.models.average import gather

    begun = begin(image, spec, gather(spec))
    return begun["tiles"] * begun["planes"]


def test_the_same_labels_as_without(client, field, spec, expected, tmp_path, log):
    image = napari_unet.read_image(field)
    (tmp_path / "alone").mkdir()
    (tmp_path / "there").mkdir()
    alone = napari_unet.segment(image, spec, output=tmp_path / "alone" / "a.ome.zarr")
    seen: list[Any] = []
    found = napari_unet.segment(image, spec, output=tmp_path / "there" / "a.ome.zarr", client=client, show=seen.append)
    assert found.hash == alone.hash == expected
    assert (found.objects, found.diameter, found.manifest) == (alone.objects, alone.diameter, alone.manifest)
    assert files(tmp_path / "there") == files(tmp_path / "alone")
    assert len(counted(log)) == len(set(counted(log))) == bricks(image, spec)
    assert seen[-1].done == 0
    assert max(step.done for step in seen) == max(step.total for step in seen)
    # Nothing of the run stays on the workers.
    assert not any(client.run(kept).values())


def kept() -> int:
    from napari_unet.cluster import remote

    return len(remote._kept)


def test_movies_whose_planes_are_joined(client, disks, spec, tmp_path):
    plane = disks[0]
    stack = np.stack([plane, plane, np.roll(plane, 3, 1), np.zeros_like(plane)])
    np.save(tmp_path / "stack.npy", stack)
    image = napari_unet.read_image(tmp_path / "stack.npy", "zyx")
    joined = spec.model_copy(update={"link_z": 0.3, "background": 0.01})
    expected = napari_unet.segment(image, joined)
    found = napari_unet.segment(image, joined, output=tmp_path / "a.ome.zarr", client=client)
    assert found.hash == expected.hash
    assert expected.objects < 3 * 42


def test_what_was_begun_alone_goes_on_there_and_back(client, field, spec, expected, tmp_path):
    image, output = napari_unet.read_image(field), tmp_path / "a.ome.zarr"

    def some(count: int, who: Any) -> None:
        steps = workflows.segment_steps(image, spec, (), preview=False, output=output, client=who)
        for progress in steps:
            if progress.done >= count:
                break
        steps.close()

    some(5, None)
    some(15, client)
    some(25, None)
    some(33, client)
    found = napari_unet.segment(image, spec, output=output)
    assert found.hash == expected
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ome.zarr"]


def test_workers_killed_at_any_moment(doomed, field, spec, expected, tmp_path, log, caplog):
    caplog.set_level(logging.CRITICAL, "distributed.scheduler")  # as in test_others
    with connected(doomed, log) as client:
        kill_three_times(client, field, spec, expected, tmp_path, log)


def kill_three_times(client, field, spec, expected, tmp_path, log):
    image, output = napari_unet.read_image(field), tmp_path / "a.ome.zarr"
    rng, killed, over = random.Random(0), [], threading.Event()

    def kill() -> None:
        for share in (0.15, 0.4, 0.7):
            while len(counted(log)) < share * 36 and not over.wait(0.01):
                pass
            pids: list[int] = []
            while not pids and not over.wait(0.05):  # both may be on their way back
                told = client.run(os.getpid, on_error="return").values()
                pids = [pid for pid in told if isinstance(pid, int)]
            if over.is_set():
                return  # it was done before they were all back
            os.kill(rng.choice(pids), signal.SIGKILL)
            killed.append(share)
            over.wait(1.0)

    killer = threading.Thread(target=kill)
    steps = workflows.segment_steps(image, spec, (), preview=False, output=output, client=client)
    killer.start()
    try:
        found = finish(steps)
    finally:
        over.set()
        killer.join()
    assert killed
    assert found.hash == expected
    again = {brick: count - 1 for brick, count in Counter(counted(log)).items() if count > 1}
    assert len(set(counted(log))) == bricks(image, spec)
    assert sum(again.values()) <= len(killed)  # one worker has one brick in flight
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.ome.zarr"]


def test_labels_that_are_there_are_verified_by_whoever_asks(client, field, spec, expected, tmp_path, log):
    image, output = napari_unet.read_image(field), tmp_path / "a.ome.zarr"
    napari_unet.segment(image, spec, output=output)
    log.write_text("")
    assert napari_unet.segment(image, spec, output=output, client=client).hash == expected
    assert not counted(log)
    with pytest.raises(OutputError, match="other settings"):
        napari_unet.segment(image, spec, output=output, client=client, threshold=0.7)


def test_what_workers_cannot_see_is_refused(client, field, spec, tmp_path):
    image = napari_unet.read_image(field)
    with pytest.raises(ClusterError, match="in the memory of this program"):
        napari_unet.segment(as_image(np.ones((99, 99))), spec, output=tmp_path / "a.ome.zarr", client=client)
    with pytest.raises(ClusterError, match=r"\.ome\.zarr"):
        napari_unet.segment(image, spec, output=tmp_path / "a.tif", client=client)
    with pytest.raises(ClusterError, match="output"):
        napari_unet.segment(image, spec, client=client)
    with pytest.raises(ClusterError, match=r"The workers? .* cannot take part: .*nonsense"):
        napari_unet.segment(image, spec, output=tmp_path / "a.ome.zarr", client=client, model="nonsense")
    assert not list(tmp_path.iterdir())


def test_nobody_answers(field, spec, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_unet.cluster.connect._TIMEOUT", 0.5)
    with pytest.raises(ClusterError, match=r"No scheduler answers at .tcp://127\.0\.0\.1:9"):
        napari_unet.segment(
            napari_unet.read_image(field), spec, output=tmp_path / "a.ome.zarr", client="tcp://127.0.0.1:9"
        )


def test_versions_that_differ_are_named():
    from napari_unet.cluster.checks import check_versions
    from napari_unet.cluster.remote import versions

    here = versions()
    check_versions({"tcp://a": here, "tcp://b": here}, here)
    with pytest.raises(ClusterError, match=r"worker tcp://b has dask 2020\.1"):
        check_versions({"tcp://a": here, "tcp://b": here | {"dask": "2020.1"}}, here)
    other = here | {"torch": "1.0"}
    with pytest.raises(ClusterError, match=r"workers tcp://b, tcp://c have torch 1\.0, other workers"):
        check_versions({"tcp://a": here, "tcp://b": other, "tcp://c": other}, here)


def test_a_disk_that_is_not_shared_is_noticed(tmp_path):
    from napari_unet.cluster.remote import see

    with pytest.raises(ClusterError, match="disk that all workers share"):
        see(str(tmp_path / "elsewhere"), "hello")
    (tmp_path / "hello").touch()
    assert (tmp_path / see(str(tmp_path), "hello")).exists()


def test_an_entry_that_comes_late_is_waited_for(tmp_path):
    from napari_unet.cluster.bench import Shared

    journal = Shared(tmp_path)

    def late() -> None:
        time.sleep(0.2)
        journal.put("forest", "0", a=np.ones(3))

    thread = threading.Thread(target=late)
    thread.start()
    np.testing.assert_array_equal(journal.await_entry("forest", "0")["a"], 1)
    thread.join()
    with pytest.raises(OutputError):
        journal.await_entry("forest", "1", patience=0.1)


def test_a_path_to_the_output_is_absolute_and_models_are_named(field, spec, tmp_path, monkeypatch, bright):
    from napari_unet.models.errand import errand_of

    monkeypatch.chdir(bright.parent)
    image = napari_unet.read_image(field)
    errand = errand_of(image, spec.model_copy(update={"model": "bright"}), Path("a.ome.zarr"))
    assert errand.output == os.path.realpath(bright.parent / "a.ome.zarr")
    assert errand.settings.models == (str(bright.resolve()),)
    assert errand.name == errand_of(image, spec, bright.parent / "a.ome.zarr").name
