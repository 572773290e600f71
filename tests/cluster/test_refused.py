"""What workers cannot do is said before the run begins, with who cannot and why; nothing is computed or left behind."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_unet
from napari_unet.core.errors import ClusterError, OutputError

from .conftest import connected, counted

SOON = "napari_unet.cluster.checks._SEEN"


def change(where: str, name: str, make: Any, *words: Any) -> None:
    """Put something else in the place of a function of this process; made there, for not all can be sent."""
    import importlib

    module = importlib.import_module(where)
    kept = module.__dict__.setdefault("_as_they_were", {})
    setattr(module, name, make(kept.setdefault(name, getattr(module, name)), *words))


def restore() -> None:
    import sys

    for name, module in list(sys.modules.items()):
        if name == "os" or name.startswith("napari_unet."):
            for each, real in vars(module).pop("_as_they_were", {}).items():
                setattr(module, each, real)


@pytest.fixture
def workers(client: Any) -> Iterator[Any]:
    """Workers that are as they were afterwards."""
    yield client
    client.run(restore)


@pytest.fixture
def segment(workers: Any, field: Path, spec: Any, tmp_path: Path, log: Path) -> Any:
    """Try to segment, and see that nothing was computed and nothing is left."""

    def run(says: str, kind: type[Exception] = ClusterError, **more: Any) -> None:
        folder = tmp_path / "out"
        folder.mkdir(exist_ok=True)
        with pytest.raises(kind, match=says):
            napari_unet.segment(
                napari_unet.read_image(field), spec, output=folder / "a.ome.zarr", client=workers, **more
            )
        assert list(folder.iterdir()) == []
        assert counted(log) == []

    return run


def address(client: Any, number: int = 0) -> str:
    return sorted(client.scheduler_info(n_workers=-1)["workers"])[number]


def having(_: Any, **counts: int) -> Any:
    return lambda: counts


def no_card(real: Any) -> Any:
    return having(real, cpu=1, cuda=0, mps=0)


def card(real: Any) -> Any:
    return having(real, cpu=1, cuda=1, mps=0)


def test_a_card_that_no_worker_has(workers, segment):
    workers.run(change, "napari_unet.models.devices", "count_devices", no_card)
    one, two = address(workers), address(workers, 1)
    for device in ("cuda", "cuda:1", "mps"):
        segment(rf"No worker has the device '{device}'.*{one}, {two} have only cpu\..*--device cpu", device=device)


def test_a_card_that_some_workers_have(workers, segment):
    workers.run(change, "napari_unet.models.devices", "count_devices", no_card)
    workers.run(change, "napari_unet.models.devices", "count_devices", card, workers=[address(workers)])
    segment(
        rf"The worker {address(workers, 1)} has no device 'cuda'.*; 1 of 2 workers have it.*--resources GPU=1",
        device="cuda",
    )
    segment(r"No worker has the device 'cuda:1'", device="cuda:1")


async def say_card(dask_worker: Any) -> None:
    await dask_worker.set_resources(GPU=1)


def broken(_: Any) -> Any:
    def fail(*_: Any) -> None:
        raise RuntimeError("This worker was to be left alone.")

    return fail


def test_workers_with_cards_do_it_alone_and_must_have_them(doomed, log, field, spec, expected, tmp_path):
    image = napari_unet.read_image(field)
    with connected(doomed, log) as client:
        one, two = address(client), address(client, 1)
        client.run(say_card, workers=[one])
        client.run(change, "napari_unet.models.devices", "count_devices", no_card)
        with pytest.raises(ClusterError, match=rf"The worker {one} has a GPU by its resources.*torch finds none there"):
            napari_unet.segment(image, spec, output=tmp_path / "a.ome.zarr", client=client, device="auto")
        assert list(tmp_path.iterdir()) == []
        # The other one is asked nothing, and given nothing that needs the model.
        for name in ("describe", "see", "Bench"):
            client.run(change, "napari_unet.cluster.remote", name, broken, workers=[two])
        found = napari_unet.segment(image, spec, output=tmp_path / "a.ome.zarr", client=client, device="cpu")
        assert found.hash == expected


def lose_models(folder: str) -> None:
    os.environ["NAPARI_UNET_MODELS"] = folder


def test_a_model_that_some_workers_lack(workers, segment, bright, tmp_path, monkeypatch):
    shutil.copytree(bright, tmp_path / "models" / "only-here")
    before = os.environ.get("NAPARI_UNET_MODELS", "")
    monkeypatch.setenv("NAPARI_UNET_MODELS", str(tmp_path / "models"))
    try:
        workers.run(lose_models, str(tmp_path / "models"), workers=[address(workers)])
        workers.run(lose_models, str(tmp_path / "none"), workers=[address(workers, 1)])
        segment(
            rf"The worker {address(workers, 1)} \(1 of 2\) cannot take part: There is no model called 'only-here'.*"
            "install it where workers run too",
            model="only-here",
        )
    finally:
        workers.run(lose_models, before)


def older(real: Any) -> Any:
    return lambda: real() | {"dask": "2020.1"}


def test_versions_are_asked_for(workers, segment):
    workers.run(change, "napari_unet.cluster.remote", "versions", older, workers=[address(workers, 1)])
    segment(rf"The worker {address(workers, 1)} has dask 2020\.1, this program 20")


def test_a_cluster_without_workers(workers, segment, monkeypatch):
    monkeypatch.setattr(type(workers), "scheduler_info", lambda *_, **__: {"address": "tcp://here", "workers": {}})
    segment(r"The cluster at tcp://here has no workers\. Start some, for example: dask worker tcp://here")


def other_disk(real: Any, folder: str) -> Any:
    return lambda _, name: real(folder, name)


def same_name_on_another_disk(_: Any) -> Any:
    return lambda folder, name: f"{name}.elsewhere"


def test_a_disk_that_is_not_shared(workers, segment, monkeypatch, tmp_path):
    monkeypatch.setattr(SOON, 0.3)
    one = [address(workers)]
    workers.run(change, "napari_unet.cluster.remote", "see", other_disk, str(tmp_path), workers=one)
    segment(rf"The worker {one[0]} \(1 of 2\) cannot take part: the folder .* is not the one of this program")
    workers.run(change, "napari_unet.cluster.remote", "see", same_name_on_another_disk, workers=one)
    segment(rf"What the worker {one[0]} writes to .* cannot be seen here\. Labels and journal must lie on a disk")


def test_an_image_that_is_another_one_there(workers, field, spec, tmp_path):
    np.save(tmp_path / "image.npy", np.load(field))
    image = napari_unet.read_image(tmp_path / "image.npy")
    (tmp_path / "image.npy").unlink()
    np.save(tmp_path / "image.npy", np.load(field)[:200])
    with pytest.raises(ClusterError, match=r"cannot take part: .*is another image here than where the run was begun"):
        napari_unet.segment(image, spec, output=tmp_path / "a.ome.zarr", client=workers)
    (tmp_path / "image.npy").unlink()
    with pytest.raises(ClusterError, match=r"cannot take part: .*image\.npy"):
        napari_unet.segment(image, spec, output=tmp_path / "a.ome.zarr", client=workers)
    assert [file.name for file in tmp_path.iterdir()] == []


def used_up(_: Any, number: int) -> Any:
    def fail(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.ENOSPC])
def test_a_quota_that_is_used_up_is_noticed_before_the_run(workers, segment, monkeypatch, number):
    one = [address(workers)]
    workers.run(change, "os", "fsync", used_up, number, workers=one)
    segment(rf"The worker {one[0]} \(1 of 2\) cannot take part: the disk of .* is full, or your quota of it is used up")
    monkeypatch.setattr(os, "fsync", used_up(None, number))
    segment(r"The disk of .* is full, or your quota of it is used up \(.*\)\. Free space", OutputError)


def test_a_quota_that_is_used_up_later_ends_the_run_which_goes_on(workers, field, spec, expected, tmp_path, log):
    image, output = napari_unet.read_image(field), tmp_path / "a.ome.zarr"
    steps = napari_unet.workflows.segment_steps(image, spec, (), preview=False, output=output, client=workers)
    for progress in steps:
        if progress.done >= 5:
            break
    workers.run(change, "os", "fsync", used_up, errno.EDQUOT)
    with pytest.raises(OutputError, match=r"Disk quota exceeded.*free space"):
        for _ in steps:
            pass
    workers.run(restore)
    assert napari_unet.segment(image, spec, output=output, client=workers).hash == expected


@pytest.mark.parametrize(
    "where", ["tcp://127.0.0.1:9", "tcp://unknown.invalid:8786", "http://127.0.0.1:9", "no-file.json"]
)
def test_a_scheduler_that_cannot_be_reached(field, spec, tmp_path, monkeypatch, where):
    monkeypatch.setattr("napari_unet.cluster.connect._TIMEOUT", 0.5)
    with pytest.raises(ClusterError, match=rf"No scheduler answers at '{where}' \(.+\)\. Check the address"):
        napari_unet.segment(napari_unet.read_image(field), spec, output=tmp_path / "a.ome.zarr", client=where)
    assert list(tmp_path.iterdir()) == []
