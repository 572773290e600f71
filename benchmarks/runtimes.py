"""How long a network takes on one core: torch as it comes, what is done to it here, and the other runtimes.

One tile of a simulated field, with its halo; all contenders in one process, one thread each, taking turns, so that a
disturbance of the machine hits all of them; the median of several runs after one that is not counted. Only a quiet
machine tells the truth, so what other programs used meanwhile is written down too.

The first contender is the network as it was trained: float32, normalizations on their own, torch's own layout. Then one
thing after the other is done to it. Scores of the others are compared with those of the first.

Usage: ``python benchmarks/runtimes.py``, about two minutes; then ``python benchmarks/figures.py``.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from machine import machine, others_seconds
from rich.console import Console
from rich.table import Table

from napari_unet.models.cards import find_model, read_card
from napari_unet.models.devices import bfloat16_is_fast
from napari_unet.models.model import Model
from napari_unet.models.runtimes._agreement import agreement
from napari_unet.models.runtimes._scores import activated
from napari_unet.models.store import read_network
from napari_unet.nets._norm import fold
from napari_unet.samples.simulated import nuclei
from napari_unet.targets import target
from napari_unet.tiling.grid import per_axis

RESULTS = Path(__file__).resolve().parent / "results" / "runtimes.json"
FIRST = "trained"
CAPTIONS = {
    FIRST: "torch, float32, as trained",
    "folded": "torch, float32, normalizations folded, channels last",
    "bfloat16": "the same in bfloat16",
    "torch": "the same, without the halo in the expansive path: what runs",
    "openvino": "OpenVINO, bfloat16 where the processor has it",
    "openvino-int8": "OpenVINO, 8 bits",
}


@dataclass
class Contender:
    """One way to compute scores."""

    name: str
    run: Callable[[np.ndarray], np.ndarray]
    load: float
    seconds: list[float] = field(default_factory=list)


def plain(folder: Path, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the network by torch alone, in one of three ways."""
    card = read_card(folder)
    network, activate = read_network(folder, card), target(card.target.name).activate
    layout, precision = torch.contiguous_format, torch.bfloat16 if name == "bfloat16" else torch.float32
    if name != FIRST:
        layout = torch.channels_last if card.net.ndim == 2 else torch.channels_last_3d
        network = fold(network)
    network = network.to(precision).to(memory_format=layout)

    @torch.inference_mode()
    def run(batch: np.ndarray) -> np.ndarray:
        return activated(network(torch.from_numpy(batch).to(precision).contiguous(memory_format=layout)), activate)

    return run


def contenders(folder: Path) -> list[Contender]:
    """Make all that this machine can run."""
    made = []
    for name in CAPTIONS:
        if (name == "bfloat16" and not bfloat16_is_fast("cpu")) or ("vino" in name and not find_spec("openvino")):
            continue
        start = time.perf_counter()
        if name in ("torch", "openvino", "openvino-int8"):
            card = read_card(folder)
            run = Model(card, read_network(folder, card), "cpu", name).predict_inner
        else:
            run = plain(folder, name)
        made.append(Contender(name, run, time.perf_counter() - start))
    return made


def tile(folder: Path, edge: int, seed: int) -> np.ndarray:
    """Simulate one tile with its halo, as a model sees it."""
    net, diameter = read_card(folder).net, read_card(folder).diameter
    model = Model(read_card(folder), read_network(folder, read_card(folder)), "cpu")
    sides = zip(per_axis(model.halo, net.ndim), per_axis(model.multiple, net.ndim), strict=True)
    shape = [-(-(edge + 2 * halo) // step) * step for halo, step in sides]
    picture, _ = nuclei(shape, round(0.35 * np.prod(np.array(shape) / diameter)), diameter, seed=seed)
    low, high = np.percentile(picture, [1.0, 99.8])
    image = np.clip((picture - low) / (high - low), -1, 4).astype(np.float32)
    return np.repeat(image[None, None], net.inputs, axis=1)


def inside(folder: Path, run: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Leave out what has no context."""
    card = read_card(folder)
    halo = per_axis(Model(card, read_network(folder, card), "cpu").halo, card.net.ndim)
    return lambda batch: run(batch)[(..., *(slice(n, -n or None) for n in halo))]


def measure(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Take turns and compare."""
    folder = find_model(options.model)
    say("loading")
    field_, racing = tile(folder, options.edge, 0), contenders(folder)
    others = started = 0.0
    for turn in range(options.runs + 1):
        if turn == 1:
            others, started = others_seconds(), time.monotonic()
        for contender in racing:
            say(f"{contender.name}: {'warming up' if turn == 0 else f'run {turn} of {options.runs}'}")
            start = time.perf_counter()
            contender.run(field_)
            if turn:
                contender.seconds.append(time.perf_counter() - start)
    busy = max(0.0, others_seconds() - others) / (time.monotonic() - started)
    exact = inside(folder, racing[0].run)
    fresh, slowest = [tile(folder, options.edge // 2, seed) for seed in (1, 2, 3)], median(racing[0].seconds)
    results = {}
    for contender in racing:
        say(f"{contender.name}: comparing")
        same = agreement(inside(folder, contender.run), exact, fresh)
        middle = median(contender.seconds)
        results[contender.name] = {
            "what": CAPTIONS[contender.name],
            "seconds": round(middle, 4),
            "times_faster": round(slowest / middle, 3),
            "agreement_percent": round(100 * same["foreground"], 4),
            "difference": same["difference"],
            "load_seconds": round(contender.load, 3),
            "runs": [round(seconds, 4) for seconds in contender.seconds],
        }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine() | {"threads": 1, "cores_busy_with_others": round(busy, 2)},
        "versions": {name: version(name) for name in ("torch", "openvino") if find_spec(name)},
        "model": {"name": read_card(folder).name, "sha256": read_card(folder).sha256},
        "tile": {"edge": options.edge, "read": list(field_.shape[2:])},
        "results": results,
    }


def main() -> int:
    """Measure, show and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="nuclei", help="name or folder (default nuclei)")
    parser.add_argument("--edge", type=int, default=1024, help="pixels that a tile writes along an axis (default 1024)")
    parser.add_argument("--runs", type=int, default=9, help="counted runs of each (default 9)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON to write")
    options, console = parser.parse_args(), Console()
    torch.set_num_threads(1)
    with console.status("") as status:
        found = measure(options, status.update)
    shown = Table(title=f"One tile of {options.edge} pixels, one core", box=None, collapse_padding=True)
    for column in ("", "seconds", "times faster", "agreement", "difference"):
        shown.add_column(column, justify="right" if column else "left")
    for row in found["results"].values():
        numbers = f"{row['seconds']:.3f}", f"{row['times_faster']:.2f}", f"{row['agreement_percent']:.3f} %"
        shown.add_row(row["what"], *numbers, f"{row['difference']:.5f}")
    console.print(shown)
    if found["machine"]["cores_busy_with_others"] > 0.1:
        console.print("NOT A QUIET MACHINE: other programs were running; these figures do not count.")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    part = options.output.with_suffix(".part")
    part.write_text(json.dumps(found, indent=2) + "\n")
    part.replace(options.output)
    console.print(f"Written: {options.output}", markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
