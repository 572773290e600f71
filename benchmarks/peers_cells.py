"""How fast an image becomes labels: napari-unet beside StarDist 0.9.2 and Cellpose 3.1, on the same CPU cores.

One fluorescence field of 2048 x 2048 pixels with about 2000 nuclei, the same for all three; the median of several runs
after one that is not counted, the contenders taking turns so that a disturbance of the machine hits all of them.

What is timed:

- napari-unet: ``napari_unet.segment(image, model="nuclei")`` from the array to the labels, everything included:
  intensity statistics, the estimate of the object size, tiles, decoding, measurements if it makes any. Bundled weights.
- StarDist and Cellpose: three parts. *prepare* is the normalization their manuals ask for, *network* their default
  network with their default tiling, *postprocess* their way from predictions to labels at default settings.

What differs from everyday use, because pretrained weights may not be at hand: the peers' networks carry random
weights, which takes the same time; and since the predictions of such a network mean nothing, their post-processing is
given what a perfect network would say, computed from the true labels outside the clock. That flatters the peers
slightly: clean predictions make fewer candidates to sort out. Cellpose is told the object size; its estimate of it,
which would run the network again, is left out.

Each peer runs in an environment of its own under ``.benchmark-envs/`` (about 4 GB in all), installed by this program on
first use, and stays alive in a subprocess while the runs take turns. Only a quiet machine tells the truth: the peers'
threads wait for each other, and beside another busy program StarDist's post-processing was seen to take 20 times as
long. So what other programs use meanwhile is measured, reported, and a busy machine is called one.

Usage: ``python benchmarks/peers_cells.py``, about five minutes after the installation.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import queue
import subprocess
import sys
import threading
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import IO, Any

import numpy as np
from machine import machine, others_seconds
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE.parent / ".benchmark-envs"
RESULTS = HERE / "results" / "peers_cells.json"
SHAPE = (2048, 2048)
COUNT = 2000
DIAMETER = 24.0
SEED = 0
OURS = "napari-unet"
PARTS = ("prepare", "network", "postprocess")
GOALS = {"stardist": 2.0, "cellpose": 20.0}
PAUSE = 1.0  # seconds after a turn until idle threads stop spinning
QUIET = 0.1  # cores that other programs may use
NOTE = (
    "Peers: random weights (same time), post-processing of perfect predictions made from the true labels outside the "
    "clock; Cellpose is told the object size. napari-unet: bundled weights, everything included, no size given."
)
REQUIREMENTS = {
    "stardist": (
        "stardist==0.9.2",
        "csbdeep==0.8.2",
        "tensorflow-cpu==2.21.0; sys_platform != 'darwin' and platform_machine in 'x86_64 AMD64'",
        "tensorflow==2.21.0; sys_platform == 'darwin' or platform_machine not in 'x86_64 AMD64'",
        "keras==3.15.1",
        "numpy==2.4.6",
        "numba==0.68.1",
        "scipy==1.17.1",
        "scikit-image==0.26.0",
    ),
    "cellpose": (
        "cellpose==3.1.1.3",
        "torch==2.13.0",  # the CPU build where one is at hand
        "numpy==2.0.2",
        "numba==0.68.1",
        "scipy==1.17.1",
        "opencv-python-headless==5.0.0.93",
    ),
}

Answer = dict[str, float]


class PeerError(RuntimeError):
    """A contender could not be installed, started or timed."""


@dataclass
class Contender:
    """One program in the race; ``run`` takes the seconds left, ``about`` and ``error`` are for the record."""

    name: str
    about: dict[str, Any]
    run: Callable[[float], Answer]
    close: Callable[[], None] = lambda: None
    pid: int = 0
    answers: list[Answer] = field(default_factory=list)
    error: str = ""

    def medians(self) -> Answer:
        """Return the median of each column over the counted runs."""
        return {key: median(answer[key] for answer in self.answers) for key in self.answers[0]} if self.answers else {}


class Server:
    """A peer in a subprocess: a line asks, a line of JSON answers; the script is ``_peer_<name>.py``."""

    def __init__(self, name: str, python: Path, folder: Path, *words: str) -> None:
        self.name = name
        self.log = ENVIRONMENTS / f"{name}-run.log"
        environment = os.environ | {
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "CELLPOSE_LOCAL_MODELS_PATH": str(ENVIRONMENTS / "cellpose-models"),
            "PYTHONNOUSERSITE": "1",
        }
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(python), str(HERE / f"_peer_{name}.py"), str(folder), *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._pump, args=(self.process.stdout,), daemon=True).start()

    def _pump(self, stream: IO[str]) -> None:
        for line in stream:
            self.lines.put(line)
        self.lines.put("")

    def read(self, limit: float) -> dict[str, Any]:
        """Wait for the next answer, at most `limit` seconds."""
        try:
            line = self.lines.get(timeout=max(limit, 0.1))
        except queue.Empty as error:
            raise PeerError(f"{self.name} did not answer within {limit:.0f} s; raise --time-limit") from error
        if not line:
            raise PeerError(f"{self.name} ended early; the end of {self.log}:\n{_tail(self.log)}")
        return dict(json.loads(line))

    def run(self, limit: float) -> Answer:
        """Segment once in the peer."""
        if self.process.stdin is not None and self.process.poll() is None:
            self.process.stdin.write("run\n")
            self.process.stdin.flush()
        answer: Answer = self.read(limit)
        return {"total": sum(answer[part] for part in PARTS), **answer}

    def close(self) -> None:
        """End the peer."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def install(name: str, limit: float, requirements: tuple[str, ...] = ()) -> Path:
    """Make the peer's environment unless it stands already; return its interpreter."""
    wanted = requirements or REQUIREMENTS[name]
    folder = ENVIRONMENTS / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    marker = folder / "installed"
    recipe = hashlib.sha256("\n".join((platform.python_version(), *wanted)).encode()).hexdigest()
    if marker.exists() and marker.read_text() == recipe:
        return python
    venv.create(folder, clear=True, with_pip=True)
    log = ENVIRONMENTS / f"{name}-install.log"
    command = [str(python), "-m", "pip", "install", "--quiet", *wanted]
    with log.open("w") as stream:
        try:
            subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=True, timeout=limit)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise PeerError(f"{name} could not be installed; the end of {log}:\n{_tail(log)}") from error
    # Written last: an installation that was cut short is made again.
    marker.write_text(recipe)
    return python


def make_field(folder: Path) -> None:
    """Write the simulated field as ``image.npy`` and ``labels.npy`` into `folder`."""
    from napari_unet.samples.simulated import nuclei

    image, labels = nuclei(shape=SHAPE, count=COUNT, diameter=DIAMETER, seed=SEED)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "image.npy", image)
    np.save(folder / "labels.npy", labels)


def start_ours(folder: Path) -> Contender:
    """Prepare napari-unet, in this process."""
    from napari_unet import segment
    from napari_unet.models.cards import find_model, read_card

    image = np.load(folder / "image.npy")
    versions = {name: _version(name) for name in ("napari-unet-suite", "torch", "numpy", "numba")}
    told: dict[str, Any] = {"model": read_card(find_model("nuclei")).sha256, "versions": versions}

    def run(limit: float) -> Answer:
        start = time.perf_counter()
        result = segment(image, model="nuclei")
        labels = np.asarray(result.labels.data)
        total = time.perf_counter() - start
        told["precision"] = result.manifest.get("precision", "")
        return {"total": total, "objects": int(np.count_nonzero(np.unique(labels)))}

    return Contender(OURS, told, run)


def start_peer(name: str, folder: Path, limit: float) -> Contender:
    """Install and start a peer; wait until its network and its perfect predictions stand."""
    server = Server(name, install(name, limit), folder)
    try:
        about = server.read(limit)
    except PeerError:
        server.close()
        raise
    return Contender(name, about, server.run, server.close, server.process.pid)


def race(contenders: list[Contender], runs: int, limit: float, say: Callable[[str], None]) -> float:
    """Take turns, one round uncounted and then `runs`, for `limit` seconds; return the cores that others used."""
    end = time.monotonic() + limit
    for turn in range(runs + 1):
        if turn <= 1:
            start, others = time.monotonic(), others_seconds([each.pid for each in contenders if each.pid])
        for contender in contenders:
            if contender.error or time.monotonic() > end:
                continue
            say(f"{contender.name}: {'warming up' if turn == 0 else f'run {turn} of {runs}'}")
            time.sleep(PAUSE)
            try:
                answer = contender.run(end - time.monotonic())
            except PeerError as error:
                contender.error = str(error)
                contender.close()
                continue
            if turn > 0:
                contender.answers.append(answer)
    return max(0.0, others_seconds([each.pid for each in contenders if each.pid]) - others) / (time.monotonic() - start)


def ratios(contenders: list[Contender]) -> dict[str, float]:
    """Say how many times faster napari-unet was than each peer, image to labels."""
    totals = {contender.name: contender.medians()["total"] for contender in contenders if contender.answers}
    ours = totals.pop(OURS, 0.0)
    return {name: total / ours for name, total in totals.items()} if ours else {}


def table(contenders: list[Contender], nuclei: int) -> Table:
    """Lay out one line a contender."""
    compared = ratios(contenders)
    shown = Table(title=f"Image to labels, {nuclei} nuclei: median seconds", box=SIMPLE_HEAD, collapse_padding=True)
    for column in ("", *PARTS, "total", "objects", "ratio", "goal"):
        shown.add_column(column, justify="right" if column else "left", no_wrap=True)
    for contender in contenders:
        found = contender.medians()
        seconds = [f"{found[part]:.2f}" if part in found else "" for part in (*PARTS, "total")]
        objects = f"{found['objects']:.0f}" if found else "none"
        ratio = f"{compared[contender.name]:.1f} x" if contender.name in compared else ""
        goal = f"{GOALS[contender.name]:.0f} x" if contender.name in GOALS else ""
        shown.add_row(contender.name, *seconds, objects, ratio, goal)
    return shown


def report(console: Console, contenders: list[Contender], found: dict[str, Any], options: argparse.Namespace) -> None:
    """Show the table and keep everything as JSON; `found` describes machine and field."""
    console.print(table(contenders, found["field"]["nuclei"]))
    console.print(NOTE)
    others = found["machine"]["cores_busy_with_others"] or 0.0
    if others > QUIET:
        console.print(f"NOT A QUIET MACHINE: other programs used {others:.1f} cores; these figures do not count.")
    for contender in contenders:
        if contender.error:
            console.print(f"{contender.name} dropped out: {contender.error}", markup=False)
    entries = {
        c.name: {"median": c.medians(), "runs": c.answers, **c.about, **({"error": c.error} if c.error else {})}
        for c in contenders
    }
    content = {"note": NOTE, "unit": "seconds", **found, "times_faster": ratios(contenders), "contenders": entries}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    part = options.output.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2) + "\n")
    part.replace(options.output)
    console.print(f"Written: {options.output}", markup=False)


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each contender (default 5)")
    parser.add_argument("--cores", type=int, default=2, help="CPU cores to use, where they can be limited (default 2)")
    parser.add_argument("--time-limit", type=float, default=1800, help="seconds for an installation and for the race")
    parser.add_argument("--field", type=Path, help="folder with your own image.npy and labels.npy (y, x)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON to write")
    for name in ("ours", *REQUIREMENTS):
        parser.add_argument(f"--skip-{name}", action="store_true", help=f"leave {name} out")
    return parser.parse_args()


def main() -> int:
    """Install, race, report; 0 where every contender that was asked for has a result."""
    options = arguments()
    console = Console()
    # Before anything that counts cores is imported or started: all of them inherit these.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    ENVIRONMENTS.mkdir(exist_ok=True)
    folder: Path = options.field or ENVIRONMENTS / "field"
    described = machine()
    contenders: list[Contender] = []
    with console.status("the field") as status:
        if not options.field:
            make_field(folder)
        labels = np.load(folder / "labels.npy")
        nuclei = int(np.count_nonzero(np.unique(labels)))
        try:
            if not options.skip_ours:
                contenders.append(start_ours(folder))
            for name in REQUIREMENTS:
                if getattr(options, f"skip_{name}"):
                    continue
                status.update(f"{name}: installing and starting")
                try:
                    contenders.append(start_peer(name, folder, options.time_limit))
                except PeerError as error:
                    contenders.append(Contender(name, {}, lambda limit: {}, error=str(error)))
            others = race(contenders, options.runs, options.time_limit, status.update)
        finally:
            for contender in contenders:
                contender.close()
    described["cores_busy_with_others"] = round(others, 2) if Path("/proc/stat").exists() else None
    found = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": described,
        "field": {"shape": labels.shape, "nuclei": nuclei, "source": str(options.field or "simulated")},
    }
    report(console, contenders, found, options)
    return 0 if all(len(contender.answers) == options.runs for contender in contenders) else 1


if __name__ == "__main__":
    sys.exit(main())
