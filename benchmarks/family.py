"""The U-Net family compared: size, work, speed, and accuracy after equal training.

Every preset of ``networks/`` is made about as wide as costs the same work a pixel (the light one is left as it is:
its point is to cost less), trained for the same number of steps on the same patches, and scored like
``representations.py`` does: thresholds chosen on the ``dev`` fluorescence images, AP50 on the 50 of ``val``, all
brought to the canonical object width by their true objects.

``python benchmarks/family.py`` goes through all members and writes ``results/family.json`` after each; run again it
goes on where it was. ``--members unet light-unet`` takes some of them, ``--tables`` only writes the tables of
``docs/networks.md`` again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from nuclei_data import fields
from representations import pooled, search
from torch import nn
from training_data import pairs_of

from napari_unet.core.axes import as_image
from napari_unet.core.networks import NetSpec, list_networks, load_network
from napari_unet.core.specs import TrainSpec, load_task
from napari_unet.core.steps import Progress, finish
from napari_unet.models.model import Model
from napari_unet.nets import build, halo, multiple, patch
from napari_unet.tiling.grid import per_axis
from napari_unet.training.fit import fit
from napari_unet.training.run import make_card

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "family.json"
PAGE = ROOT / "docs" / "networks.md"
TILE = 1024  # pixels that a tile writes along an edge, as the program chooses it in 2D
TARGET = "heat"
# What a preset is changed to, so that all cost about as much as the default: 46 000 multiplications a pixel.
EQUAL: dict[str, dict[str, Any]] = {
    "unet-2015": {"widths": (16, 32, 64, 128, 256)},
    "unet-3d": {"widths": (16, 32, 64, 128, 256)},
    "dense-unet": {"growth": 9, "widths": (16, 43, 70, 97, 124), "blocks": (3,) * 5},
    "residual-unet": {"widths": (12, 24, 40, 64, 128)},
    "nested-unet": {"widths": (10, 20, 40, 80, 160)},
}
_CONV, _UP = (nn.Conv2d, nn.Conv3d), (nn.ConvTranspose2d, nn.ConvTranspose3d)
_COLUMNS = (
    ("parameters", "Parameters, millions", lambda row: f"{row['parameters'] / 1e6:.2f}"),
    ("macs", "Thousand multiplications a pixel", lambda row: f"{row['macs'] / 1e3:.1f}"),
    ("halo", "Halo", lambda row: f"{row['halo']}"),
    ("cpu_mpx", "Mpx/s, one thread", lambda row: f"{row['cpu_mpx']:.2f}"),
    ("beside_unet", "Beside `unet`", lambda row: f"{row['beside_unet']:.2f}"),
    ("cpu_step", "Seconds a training step", lambda row: f"{row['cpu_step']:.2f}"),
    ("gpu_mpx", "Mpx/s, graphics card", lambda row: f"{row['gpu_mpx']:.1f}"),
    ("gpu_step", "Seconds a training step, graphics card", lambda row: f"{row['gpu_step']:.3f}"),
    ("AP50", "AP50", lambda row: f"{row['AP50']:.3f}"),
    ("mAP", "Mean AP", lambda row: f"{row['mAP']:.3f}"),
)


def net_of(name: str) -> NetSpec:
    """Return a member as it is compared."""
    return load_network(name, 2, 3, 4, **EQUAL.get(name, {}))


def outline(net: NetSpec) -> nn.Module:
    """Build a network without memory for its weights."""
    with torch.device("meta"):
        return build(net).eval()


def parameters(net: NetSpec) -> int:
    """Count the parameters."""
    return sum(values.numel() for values in outline(net).parameters())


def macs(net: NetSpec) -> float:
    """Count the multiplications with a following addition that a pixel costs, in all convolutions."""
    network, total = outline(net), 0.0
    steps = per_axis(multiple(net), net.ndim)
    shape = [4 * step for step in steps]

    def count(layer: Any, entering: Any, leaving: Any) -> None:
        nonlocal total
        places = entering[0] if isinstance(layer, _UP) else leaving
        total += places[0, 0].numel() * layer.weight.numel()

    for layer in network.modules():
        if isinstance(layer, (*_CONV, *_UP)):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.empty(1, net.inputs, *shape, device="meta"))
    return total / math.prod(shape)


def megapixels(model: Model, repeats: int = 3) -> float:
    """Measure the megapixels a second that a tile of the program's own size is scored with, its halo included."""
    net = model.card.net
    sides = zip(per_axis(model.halo, net.ndim), per_axis(model.multiple, net.ndim), strict=True)
    shape = [-(-(TILE + 2 * rim) // step) * step for rim, step in sides]
    batch = np.random.default_rng(0).random((1, net.inputs, *shape), dtype=np.float32)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model.predict_inner(batch)
        seconds.append(time.perf_counter() - start)
    return float(TILE**2 / 1e6 / min(seconds[1:]))


def patch_of(net: NetSpec, wanted: int) -> int:
    """Return the edge of a member's patches: of `wanted` pixels or a little more, what it puts out."""
    # An unpadded network of five levels puts out 184 pixels less than it is given, and learns from what it puts out.
    return patch(net, wanted + (188 if net.padding == "valid" else 0))


def trained(name: str, options: argparse.Namespace, device: str, steps: int) -> tuple[nn.Module, float, TrainSpec]:
    """Train a member; return it and the seconds a step took."""
    net, task = net_of(name), load_task("cell")
    every = max(1, steps // 10)
    edge = patch_of(net, options.patch)
    spec = TrainSpec(name=name, net=net, steps=steps, patch=edge, seed=1, every=every).filled(task)
    times: list[float] = []

    def show(progress: Progress) -> None:
        times.append(time.perf_counter())
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {name} {progress.done}/{progress.total} {progress.note}\n")

    folder = options.folder / f"{name}-{device}"
    network = finish(fit(pairs_of("train", ("fluo",)), spec, folder, device), show)
    spans = [(b - a) / every for a, b in itertools.pairwise(times)]
    return network, statistics.median(spans) if spans else math.nan, spec


def scored(model: Model, split: str, images: int | None) -> list[Any]:
    """Return the fields of a split and their stored scores."""
    from evaluation import score_field

    stored = []
    for field in list(fields(split, ("fluo",)))[:images]:
        factor = model.card.diameter / (field.diameter or model.card.diameter)
        stored.append(
            (field, score_field(as_image(field.image), model.predict, factor, model.card.net)[: model.outputs])
        )
    return stored


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure all that is told of a member."""
    net = net_of(name)
    row: dict[str, Any] = {"parameters": parameters(net), "macs": round(macs(net)), "halo": halo(net)}
    row["machine"] = machine()
    network, row["cpu_step"], spec = trained(name, options, "cpu", options.steps)
    card = make_card(spec, "benchmark")
    if torch.cuda.is_available():
        row["gpu_step"] = trained(name, options, "cuda", min(options.steps, 50))[1]
        row["gpu_mpx"] = megapixels(Model(card, _copy(network, card.net), "cuda"), 10)
    model = Model(card, network, "cpu")
    row["cpu_mpx"], row["precision"] = megapixels(model), str(model.precision).removeprefix("torch.")
    rule = search(TARGET, scored(model, "dev", options.images))
    value, _ = pooled(scored(model, "val", options.images), rule)
    row |= {"AP50": value["AP50"], "mAP": value["mAP"], "threshold": rule.threshold, "persistence": rule.persistence}
    return row


def _copy(network: nn.Module, net: NetSpec) -> nn.Module:
    other = build(net)
    other.load_state_dict(network.state_dict())
    return other.eval()


def table(report: dict[str, Any]) -> str:
    """Return the measured table as Markdown."""
    rows = report["members"]
    if "unet" in rows:
        usual = rows["unet"]["cpu_mpx"]
        rows = {name: row | {"beside_unet": row["cpu_mpx"] / usual} for name, row in rows.items()}
    shown = [column for column in _COLUMNS if all(column[0] in row for row in rows.values())]
    lines = ["| | " + " | ".join(title for _, title, _ in shown) + " |", "| --- |" + " --- |" * len(shown)]
    lines += [f"| `{name}` | " + " | ".join(text(row) for *_, text in shown) + " |" for name, row in rows.items()]
    return "\n".join(lines)


def conditions(report: dict[str, Any]) -> str:
    """Say how and where the members were measured."""
    rows, settings = report["members"], report["settings"]
    edges = {name: patch_of(net_of(name), settings["patch"]) for name in rows}
    usual = max(edges.values(), key=list(edges.values()).count)
    large = [f"`{name}` {edge} × {edge}" for name, edge in edges.items() if edge != usual]
    machines = {row["machine"]["cpu"] for row in rows.values() if "machine" in row}
    unknown = "" if all("machine" in row for row in rows.values()) else "a processor whose name was not written down"
    where = " and ".join([*sorted(machines), *([unknown] if unknown else [])])
    precision = " and ".join(sorted({row["precision"] for row in rows.values()}))
    return (
        f"- Training: {settings['steps']} steps, {TrainSpec().batch} patches a step of {usual} × {usual} pixels"
        + (f" ({', '.join(large)})" if large else "")
        + ", one run with one seed.\n"
        f"- Speed: on {where}, in {precision}. Scores by one thread, training by all cores."
    )


def sizes() -> str:
    """Return the table of the presets as they are."""
    lines = ["| | Parameters, 2D | Halo, 2D | Parameters, 3D | Halo, 3D |", "| --- | --- | --- | --- | --- |"]
    for preset in list_networks():
        nets = [preset.spec(ndim, 3, 4) for ndim in (2, 3)]
        cells = [f"{parameters(net) / 1e6:.2f} million | {halo(net)}" for net in nets]
        lines.append(f"| `{preset.name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def filled(text: str) -> str:
    """Put the present tables between their marks."""
    tables = {"presets": sizes()}
    if RESULTS.exists():
        report = json.loads(RESULTS.read_text())
        tables |= {"family": table(report), "conditions": conditions(report)}
    for name, lines in tables.items():
        mark = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end table -->)", re.DOTALL)
        text = mark.sub(lambda found, lines=lines: f"{found[1]}{lines}\n{found[2]}", text)
    return text


def main() -> None:
    """Measure what is missing, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--members", nargs="*", default=[preset.name for preset in list_networks()])
    parser.add_argument("--images", type=int, help="only so many images of a split, to try it out")
    parser.add_argument("--folder", type=Path, default=ROOT / "runs" / "family")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--tables", action="store_true")
    options = parser.parse_args()
    if not options.tables:
        settings = {"steps": options.steps, "patch": options.patch, "images": options.images}
        report: dict[str, Any] = json.loads(options.output.read_text()) if options.output.exists() else {}
        if report and report["settings"] != settings:
            sys.exit(f"{options.output} holds results of {report['settings']}. Remove it, or give another --output.")
        report = report or {"settings": settings, "members": {}}
        for name in options.members:
            if name in report["members"]:
                continue
            report["members"][name] = measure(name, options)
            part = options.output.with_suffix(".part")
            part.write_text(json.dumps(report, indent=1) + "\n")
            part.replace(options.output)
            sys.stdout.write(f"{name}: {report['members'][name]}\n")
    if options.tables or options.output == RESULTS:
        PAGE.write_text(filled(PAGE.read_text()))


if __name__ == "__main__":
    main()
