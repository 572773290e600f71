"""Several processes that train together: one that is lost costs the steps since the last safe point, and no more."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tifffile import imwrite
from torch import distributed
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from napari_unet import workflows
from napari_unet.core.errors import Cancelled, TrainingError
from napari_unet.core.specs import NetSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.samples.simulated import nuclei
from napari_unet.training import ranks
from napari_unet.training.ranks import Ranks
from napari_unet.training.runs import run_folder
from napari_unet.training.state import Run
from napari_unet.training.wishes import Wishes

from .. import forked as processes
from . import noting

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="torch shares no work there")

Drawn = dict[tuple[int, int], str]
STEPS, EVERY, BATCH = 6, 2, 4
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def _threads(forked: Any) -> Iterator[None]:
    forked(ranks)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two annotated images, in files that all processes read."""
    folder = tmp_path_factory.mktemp("images")
    for seed in (0, 1):
        pixels, labels = nuclei((64, 72), count=6, diameter=16, seed=seed)
        for room, values in (("images", pixels), ("labels", labels.astype(np.uint16))):
            (folder / room).mkdir(exist_ok=True)
            imwrite(folder / room / f"cells-{seed}.tif", values)
    return folder


def spec(**more: Any) -> TrainSpec:
    """Settings that are the same however the work is shared."""
    values = {
        "name": "tiny", "net": NetSpec(widths=(4, 8)), "steps": STEPS, "every": EVERY, "batch": BATCH, "patch": 32,
        "threads": 1, "device": "cpu",
    }  # fmt: skip
    return TrainSpec(**(values | more))


def stopped(images: Path, folder: Path, step: int, **more: Any) -> Path:
    """Begin a run, and stop it after a step."""
    wishes = Wishes()
    steps = workflows.train_steps(images, spec(**more), folder, wishes)
    real = Run.advance

    def advance(run: Run, *given: Any) -> None:
        real(run, *given)
        if run.step == step:
            wishes.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "advance", advance)
        with pytest.raises(Cancelled):
            finish(steps)
    return run_folder(folder, "tiny")


def command(run: Path, notes: Path, killed: str = "-") -> list[str]:
    return [str(notes), killed, "5", "train", str(run)]


def torchrun(run: Path, notes: Path) -> Any:
    """Go on with a run in two processes, as `torchrun` starts them, to its end."""
    start = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*start, noting.__file__, *command(run, notes)]
    return subprocess.run(words, env=ENVIRONMENT, check=False, capture_output=True, text=True, timeout=280)


def agent(restarts: int) -> None:
    """Be `torchrun`, with processes that are forked from one that has loaded everything."""
    config = LaunchConfig(
        1, 1, 2, rdzv_backend="c10d", rdzv_endpoint="localhost:0", run_id=str(os.getpid()), max_restarts=restarts,
        start_method="fork" if processes.THERE else "spawn",
    )  # fmt: skip
    elastic_launch(config, noting.main)()


def launched(said: Path, run: Path, notes: Path, killed: str = "-", restarts: int = 0) -> processes.Popen:
    """Go on with a run in two processes; what they say goes into a file."""
    words = [sys.executable, "-m", "napari_unet", *command(run, notes, killed)]
    with said.open("wb") as file:
        return processes.Popen(words, env=ENVIRONMENT, stderr=file, what=partial(agent, restarts))


def drawn(notes: Path, life: int = 0) -> Drawn:
    """Return which patches all processes of a start have learned from, by step and number."""
    lines = [line.split() for file in notes.glob(f"{life}-*") for line in file.read_text().splitlines()]
    found = {(int(step), int(number)): patch for step, number, patch in lines}
    assert len(found) == len(lines)  # nothing twice
    return found


def since(whole: Drawn, step: int) -> Drawn:
    """Return those from a step on."""
    return {place: patch for place, patch in whole.items() if place[0] >= step}


def curve(model: Path) -> list[float]:
    with (model / "training" / "log.csv").open(newline="") as stream:
        return [float(row["loss"]) for row in csv.DictReader(stream)]


@pytest.fixture(scope="module")
def alone(images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Drawn, list[float]]:
    """Patches and losses of one process that nothing stopped."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "advance", noting.noted(Run.advance, folder / "notes"))
        workflows.train(images, spec(), folder / "tiny")
    found = drawn(folder / "notes")
    assert sorted(found) == [(step, number) for step in range(STEPS) for number in range(BATCH)]
    return found, curve(folder / "tiny")


@pytest.fixture(scope="module")
def both(images: Path, alone: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Weights of two processes that go on after the first two steps of one, and that nothing stopped."""
    folder = tmp_path_factory.mktemp("both")
    run = stopped(images, folder / "tiny", 2)
    said = torchrun(run, folder / "notes")
    assert said.returncode == 0, said.stderr
    # From one process to two: the same patches, in the same steps, half of them each.
    assert drawn(folder / "notes") == since(alone[0], 2)
    assert sorted(file.name for file in (folder / "notes").iterdir()) == ["0-0-2", "0-1-2"]
    assert len({len(file.read_text()) for file in (folder / "notes").iterdir()}) == 1
    # Nearly: normalizations look at the two patches of a process, and not at all four.
    assert curve(folder / "tiny") == pytest.approx(alone[1], rel=0.15)
    assert json.loads((folder / "tiny" / "card.json").read_text())["training"]["processes"] == 2
    return load_file(folder / "tiny" / "weights.safetensors")


def test_killed_under_torchrun_all_go_on_from_the_last_safe_point(images, alone, both, tmp_path):
    run = stopped(images, tmp_path / "tiny", 2)
    said = tmp_path / "said"
    assert launched(said, run, tmp_path / "notes", "1,0", restarts=2).wait(280) == 0, said.read_text()
    # Steps 2 to 4 before; the last safe point is of step 4, and from there on once more, and once more.
    assert [{step for step, _ in drawn(tmp_path / "notes", life)} - {5} for life in (0, 1)] == [{2, 3, 4}, {4}]
    assert drawn(tmp_path / "notes", 2) == since(alone[0], 4)
    found = load_file(tmp_path / "tiny" / "weights.safetensors")
    assert found.keys() == both.keys()
    assert all(torch.equal(value, both[name]) for name, value in found.items())
    assert not run.exists()


def test_killed_without_a_restart_it_ends_in_words_and_one_process_goes_on(images, alone, tmp_path, monkeypatch):
    run = stopped(images, tmp_path / "tiny", 2)
    assert launched(tmp_path / "said", run, tmp_path / "notes", "1").wait(280) != 0
    said = (tmp_path / "said").read_text()
    assert "Another process of this training is gone" in said
    assert "Traceback" not in said.partition("Error: Another process")[0]
    assert json.loads((run / "state.json").read_text())["state"] == "failed"
    monkeypatch.setattr(Run, "advance", noting.noted(Run.advance, tmp_path / "one"))
    workflows.train(images, spec(), tmp_path / "tiny")
    assert drawn(tmp_path / "one") == since(alone[0], 4)
    assert curve(tmp_path / "tiny") == pytest.approx(alone[1], rel=0.1)


def test_the_signal_that_the_time_is_over_keeps_a_safe_point(images, tmp_path):
    run = stopped(images, tmp_path / "tiny", 2, steps=100_000, every=100_000)
    noted = tmp_path / "notes" / "0-0-2"
    both = launched(tmp_path / "said", run, noted.parent)
    try:
        end = time.monotonic() + 240
        while not (noted.exists() and len(noted.read_text().splitlines()) > 10) and both.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.05)
        both.terminate()
        both.wait(60)
    finally:
        both.kill()
    said = (tmp_path / "said").read_text()
    assert "goes on from here" in said or "go on from the last safe point" in said
    last = int(noted.read_text().split()[-3])
    assert torch.load(run / "last.pt", weights_only=True)["step"] == last + 1 > 4
    assert json.loads((run / "state.json").read_text())["state"] == "stopped"


def test_a_child_that_is_lost_ends_the_training_in_words_and_it_goes_on(images, tmp_path, monkeypatch):
    children: list[Any] = []
    start, real = ranks._start_others, Run.advance

    def started(*given: Any) -> list[Any]:
        children.extend(new := start(*given))
        return new

    monkeypatch.setattr(ranks, "_start_others", started)

    def advance(run: Run, *given: Any) -> None:
        if run.step == 3 and len(children) == 1:
            children[0].kill()
            children[0].wait()
        real(run, *given)

    monkeypatch.setattr(Run, "advance", advance)
    with pytest.raises(TrainingError, match=r"is gone: process 1 ended with the status -9\..*same command again"):
        workflows.train(images, spec(devices=2), tmp_path / "tiny")
    assert "RANK" not in os.environ
    shown: list[Any] = []
    workflows.train(images, spec(devices=2), tmp_path / "tiny", shown.append)
    assert next(p.done for p in shown if p.note == "going on") == 2
    assert len(children) == 2
    assert all(child.poll() is not None for child in children)


def test_a_child_that_ends_before_the_others_meet_it_is_not_waited_for(images, tmp_path, monkeypatch):
    start = ranks.again
    monkeypatch.setattr(ranks, "again", lambda words, env: start(["train", "nowhere"], env=env))
    with pytest.raises(TrainingError, match=r"is gone: .*There is no 'nowhere'"):
        workflows.train(images, spec(devices=2), tmp_path / "tiny")


def test_a_run_that_stands_between_two_reports_is_finished_by_two(images, tmp_path):
    run = stopped(images, tmp_path / "tiny", 3)
    workflows.finish_training(run)
    workflows.train(images, spec(devices=2), tmp_path / "tiny")
    assert json.loads((tmp_path / "tiny" / "card.json").read_text())["training"]["steps"] == 3


def test_those_who_meet_again_do_not_look_for_the_dead(monkeypatch):
    monkeypatch.setattr(ranks, "_LOOK", 0.001)
    port = int(ranks._free_port())
    stores = [distributed.TCPStore("127.0.0.1", port, None, not n, timedelta(seconds=60)) for n in range(3)]
    names: list[str] = []
    for world in (3, 3, 2, 3):  # each time with all that was left in the store before
        with ThreadPoolExecutor(world) as pool:
            late = [pool.submit(ranks._name_meeting, stores[rank], rank, world) for rank in range(world - 1)]
            time.sleep(0.1)
            assert not any(each.done() for each in late)  # nobody goes ahead with the word of one who is gone
            late.append(pool.submit(ranks._name_meeting, stores[world - 1], world - 1, world))
            found = {each.result(30) for each in late}
        assert len(found) == 1
        names += found
    assert len({*names}) == 4


def test_processes_that_learn_other_things_are_refused():
    marks: list[float] = []

    def share(rank: int = 0, said: tuple[float, ...] = (), seen: str = "images", **how: Any) -> None:
        class Other(Ranks):
            def agree(self, values: Any, device: str) -> list[float]:
                marks.append(values[0])
                return list(said or values)

            def follow(self, tensors: Any) -> None:
                assert len(tensors) > 0

        Run(spec(**how), NetSpec(widths=(4, 8)), "cpu", "", Other(rank, 2)).share(seen)

    for how in ({}, {"threads": 2, "devices": 2}, {"batch": 8}, {"patch": 64}, {"seen": "others"}):
        share(**how)
    assert marks[0] == marks[1]  # where it runs may be another
    assert len({*marks}) == 4
    share(1, (marks[0], 0, 0))
    with pytest.raises(TrainingError, match=r"Process 1 learns from other images.*--batch and --patch"):
        share(1, (marks[2], 0, 0))
