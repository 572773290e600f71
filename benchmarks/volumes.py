"""Volumes: how fast a network looks at them, beside windows that slide as nnU-Net's do, and how large they may be.

- *small*: the bundled model ``hippocampus`` on the volumes that it was judged by (about 36 x 50 x 35 voxels), once as
  this program does and once as nnU-Net v2 does by default (``inference/sliding_window_prediction.py``): windows of its
  patch of 40 x 56 x 40 half a window apart, weighted by a Gaussian, and averaged over all mirrored images (*mirrored*),
  or without that (*windows*). The same network, folded, in the same precision, on one thread. Seconds, on the wall and
  of the processor, go from the array to the labels. Ratios are those of the processor's seconds, which other programs
  disturb less. This model was not trained on mirrored images, so nothing can be said of Dice there.
- *large*: the same for 60 x 512 x 512 voxels of 3.27 x 0.98 x 0.98 mm, seen at 1.4 mm, and a network of five
  levels with weights as they are drawn, which are as fast as others; windows of 24 x 128 x 128. Of the mirrored images
  one is measured.
- *long*: 1000 x 512 x 512 voxels in a zarr file, labels into another one, a network of two levels made by hand: seconds
  and the most memory of the process, and the same in memory at once.
- *differing*: voxels that differ between runs of a part of it, cut in several ways, and a run in one piece; must be 0.

Usage: ``python benchmarks/volumes.py`` takes about half an hour on a quiet machine; ``--only`` does a part, which
replaces that part of what is stored; ``--quick`` for a look, which stores nothing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
import zarr
from machine import machine
from scipy import ndimage
from streaming import finished, in_child, peak_memory

from napari_unet.core.axes import Image
from napari_unet.core.model_card import ModelCard
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec
from napari_unet.metrics import overlap
from napari_unet.models.model import Model
from napari_unet.models.segment import decode_stored, object_rule, plan_run, segment_image
from napari_unet.models.stored import store_segmentation
from napari_unet.nets import build
from napari_unet.targets import target
from napari_unet.tiling._quantised import quantised
from napari_unet.tiling.grid import Span
from napari_unet.tiling.resample import apply_taps, interpolation_taps
from napari_unet.tiling.scoring import read_net

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "recipes"))
import bundled  # noqa: E402  # the folds and the data of the models that come along

RESULTS = HERE / "results" / "volumes.json"
PARTS = ("small", "large", "long", "differing")
SMALL_PATCH, LARGE_PATCH = (40, 56, 40), (24, 128, 128)
LARGE_GRID: dict[str, Any] = {"kind": "spacing", "spacing": [3.27, 1.4, 1.4]}
LARGE_NET: dict[str, Any] = {
    "ndim": 3, "inputs": 1, "outputs": 2, "widths": [12, 24, 48, 64, 96],
    "strides": [[1, 2, 2], [2, 2, 2], [2, 2, 2], [1, 2, 2]],
    "kernels": [[1, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3], [3, 3, 3]],
}  # fmt: skip
LARGE, LONG, PART = (60, 512, 512), (1000, 512, 512), (90, 150, 170)
SPACING, UNITS = (3.27, 0.98, 0.98), ("millimeter",) * 3
REPEATED = 100  # planes


def steps_along(length: int, window: int) -> list[int]:
    """Return where windows begin, half a window apart or nearer; ``compute_steps_for_sliding_window`` of nnU-Net."""
    count = math.ceil((length - window) / (window / 2)) + 1
    apart = (length - window) / (count - 1) if count > 1 else 0.0
    return [round(apart * number) for number in range(count)]


def gaussian(window: tuple[int, ...]) -> torch.Tensor:
    """Return the weights of a window; ``compute_gaussian`` of nnU-Net."""
    weights = np.zeros(window)
    weights[tuple(n // 2 for n in window)] = 1
    weights = ndimage.gaussian_filter(weights, [n / 8 for n in window], mode="constant")
    weights *= 10 / weights.max()
    weights[weights == 0] = weights[weights > 0].min()
    return torch.from_numpy(weights.astype(np.float32))


class Windows:
    """A network that is asked in windows that slide."""

    def __init__(self, model: Model, window: tuple[int, ...], mirrored: bool, turns: int = 8) -> None:
        self.model, self.window, self.weights = model, window, gaussian(window)
        ways = [axes for count in range(4) for axes in itertools.combinations((2, 3, 4), count)]
        self.turns = ways[:turns] if mirrored else ways[:1]
        self.network, self.precision = model._engine._inner.network, model.precision

    def raw(self, volume: torch.Tensor) -> torch.Tensor:
        """Return raw scores ``(k, z, y, x)`` of ``(c, z, y, x)``."""
        sizes = [max(n, edge) for n, edge in zip(volume.shape[1:], self.window, strict=True)]
        more = [size - n for size, n in zip(sizes, volume.shape[1:], strict=True)]
        around = [side for n in reversed(more) for side in (n // 2, n - n // 2)]
        padded = torch.nn.functional.pad(volume, around)
        total, weight = torch.zeros(()), torch.zeros(sizes)
        for corner in itertools.product(*map(steps_along, sizes, self.window)):
            place = (..., *(slice(a, a + n) for a, n in zip(corner, self.window, strict=True)))
            found = self.asked(padded[place][None])
            total = total if total.ndim else torch.zeros((len(found), *sizes))
            total[place] += found * self.weights
            weight[place] += self.weights
        kept = (..., *(slice(n // 2, n // 2 + size) for n, size in zip(more, volume.shape[1:], strict=True)))
        return (total / weight)[kept]

    def asked(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean raw scores ``(k, *window)`` of a window, seen from all sides."""
        total = torch.zeros(())
        for axes in self.turns:
            turned = x.flip(axes).to(self.precision).contiguous(memory_format=torch.channels_last_3d)
            total = total + self.network(turned).float().flip(axes)
        return total[0] / len(self.turns)

    @torch.inference_mode()
    def segment(self, image: Image) -> np.ndarray:
        """Return labels, with intensities and spacing as in a run of this program."""
        spec = SegmentSpec(model=self.model.card.name, device="cpu")
        plan, diameter = plan_run(image, spec, self.model)
        plane = plan.select(image.planes(3)[0])
        spans = [Span(0, max(1, math.ceil(n * f))) for n, f in zip(plane.shape, plan.factor, strict=True)]
        raw = self.raw(torch.from_numpy(read_net(plane, spans, plan)))
        scores = target(self.model.card.target).activate(raw[None])[0, : plan.outputs].numpy()
        if set(plan.factor) != {1.0}:
            scores = interpolated(scores, plane.shape, plan.factor)
        rule, smallest = object_rule(spec, self.model, diameter, image)
        return decode_stored(rule, smallest, quantised(scores))


def interpolated(scores: np.ndarray, shape: tuple[int, ...], factor: tuple[float, ...]) -> np.ndarray:
    """Bring scores back to an image."""
    taps = [interpolation_taps(Span(0, n), f) for n, f in zip(shape, factor, strict=True)]
    limits = zip(taps, scores.shape[1:], strict=True)
    return apply_taps(scores, [replace(tap, indices=tap.indices.clip(0, n - 1)) for tap, n in limits])


def ours(model: Model) -> Callable[[Image], np.ndarray]:
    """Return this program, on one thread too."""
    spec = SegmentSpec(model=model.card.name, device="cpu", tiling={"workers": 1})
    return lambda image: finished(segment_image(image, spec, model, preview=False)).labels.data


def clocked(work: Callable[[Image], np.ndarray], image: Image, told: dict[str, list[float]]) -> np.ndarray:
    """Return what work returns of an image, and note the seconds that it took."""
    start, busy = time.perf_counter(), time.process_time()
    found = work(image)
    told["processor"].append(time.process_time() - busy)
    told["seconds"].append(time.perf_counter() - start)
    return found


def small(quick: bool) -> dict[str, Any]:
    """Compare the ways on small volumes, by seconds and Dice."""
    from napari_unet.models.zoo import load_model

    model = load_model("hippocampus", "cpu")
    cases = [case for case in bundled.folded(bundled.hippocampus(), 0) if case.held_out]
    cases = cases[:3] if quick else cases
    ways: dict[str, Callable[[Image], np.ndarray]] = {
        "ours": ours(model),
        "windows": Windows(model, SMALL_PATCH, mirrored=False).segment,
        "mirrored": Windows(model, SMALL_PATCH, mirrored=True).segment,
    }
    told: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in ways}
    for work in ways.values():
        work(cases[0].image)  # the first of all is not counted
    for case in cases:
        for name, work in ways.items():
            found = clocked(work, case.image, told[name])
            if name == "mirrored":
                continue
            truth = replace(case.labels, data=np.asarray(case.labels.data).astype(np.int32))
            classes = overlap.count(truth, replace(truth, data=found)).classes
            for kind in (1, 2):
                told[name][f"dice_{kind}"].append(classes[kind]["dice"][0])
    means = {name: {score: round(fmean(values), 4) for score, values in of.items()} for name, of in told.items()}
    better = [
        fmean(told["ours"][f"dice_{kind}"][n] - told["windows"][f"dice_{kind}"][n] for kind in (1, 2))
        for n in range(len(cases))
    ]
    draws = np.random.default_rng(0).choice(better, (1000, len(better))).mean(1)
    low, high = np.percentile(draws, (2.5, 97.5))
    gain = {"mean": round(fmean(better), 4), "low": round(float(low), 4), "high": round(float(high), 4)}
    return {"patients": len(cases), **means, "dice_ours_less_windows": gain, **ratios(told)}


def ratios(told: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Return how many times as long as ours the others take, image by image, the median."""
    base = told["ours"]["processor"]
    return {
        "times_as_long": {
            name: round(median(a / b for a, b in zip(told[name]["processor"], base, strict=True)), 2)
            for name in ("windows", "mirrored")
        }
    }


def large(quick: bool) -> dict[str, Any]:
    """Compare the ways on a large volume, by seconds."""
    net, shape = NetSpec(**LARGE_NET), (32, 256, 256) if quick else LARGE
    torch.manual_seed(0)
    card = ModelCard(
        name="drawn", net=net, target=TargetSpec(name="foreground", min_fraction=0.0), grid=LARGE_GRID,
        normalize={"kind": "mean_std"},
    )  # fmt: skip
    model = Model(card, build(net).eval(), "cpu")
    data = np.random.default_rng(0).normal(300, 80, shape).astype(np.float32)
    image = Image(ndimage.gaussian_filter(data, 1), "zyx", scale=SPACING, units=UNITS, name="volume")
    # One of eight turns takes an eighth: they are alike.
    ways = {"ours": ours(model), "windows": Windows(model, LARGE_PATCH, mirrored=False).segment}
    told: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in (*ways, "mirrored")}
    for name, work in ways.items():
        clocked(work, image, told[name])
    told["mirrored"] = {score: [8 * value for value in values] for score, values in told["windows"].items()}
    means = {name: {score: round(fmean(values), 2) for score, values in of.items()} for name, of in told.items()}
    return {"shape": list(shape), "precision": str(model.precision).removeprefix("torch."), **means, **ratios(told)}


def by_hand() -> Model:
    """Return a small network that finds what is bright, made by hand."""
    net = NetSpec(ndim=3, inputs=1, outputs=2, widths=(4, 8))
    torch.manual_seed(0)
    network = build(net).eval()
    with torch.no_grad():
        first, second = network.down[0][0].weight, network.down[0][3].weight
        third, fourth = network.merge[0][0].weight, network.merge[0][3].weight
        for weight in (first, second, third, fourth):
            weight[0] = 0
        first[0, 0, 1, 1, 1], second[0, 0], third[0, 0, 1, 1, 1], fourth[0, 0] = 1, 1 / 27, 1, 1 / 27
        # A little of the coarse level, so that a tile off the grid would be noticed.
        third[0, 4:] = 0.01 * torch.randn(4, 3, 3, 3)
        network.head.weight.zero_()
        network.head.weight[0, 0] = 14.0
        network.head.bias.copy_(torch.tensor([-7.0, -9.0]))
    card = ModelCard(
        name="bright", net=net, target=TargetSpec(name="foreground", min_fraction=0.0), grid={"kind": "pixels"}
    )
    return Model(card, network, "cpu")


def slabs(shape: tuple[int, ...]) -> Iterator[tuple[slice, np.ndarray]]:
    """Draw a noisy volume with balls, some planes at a time; they begin anew at the top, as if rolled up."""
    rng, planes = np.random.default_rng(0), REPEATED
    z, y, x = (np.arange(n) for n in (planes, *shape[1:]))
    balls = np.zeros((planes, *shape[1:]), bool)
    for _ in range(max(3, math.prod(balls.shape) // 600_000)):
        middle, radius = rng.uniform(0, balls.shape), rng.uniform(4, 22)
        along = np.abs(z - middle[0])
        far = np.minimum(along, planes - along)[:, None, None] ** 2
        near = far + (y - middle[1])[:, None] ** 2 + (x - middle[2]) ** 2
        balls |= near < radius**2
    for start in range(0, shape[0], planes):
        stop = min(start + planes, shape[0])
        noise = rng.normal(300, 60, (stop - start, *shape[1:]))
        yield slice(start, stop), (noise + 900 * balls[: stop - start]).clip(0, 4095).astype(np.uint16)


def written(place: Path, shape: tuple[int, ...]) -> None:
    """Write the volume."""
    source = zarr.create_array(place, shape=shape, chunks=(32, 128, 128), dtype=np.uint16)
    for planes, slab in slabs(shape):
        source[planes] = slab


def look(place: str, output: str, tiling: dict[str, int]) -> dict[str, Any]:
    """Segment the volume, into a file or in memory; in a process of its own."""
    image, model = Image(zarr.open_array(place, mode="r"), "zyx", name="volume"), by_hand()
    spec = SegmentSpec(model="bright", device="cpu", tiling=tiling)
    before, start = peak_memory(), time.perf_counter()
    if output:
        found = finished(store_segmentation(image, spec, model, Path(output)))
    else:
        found = finished(segment_image(image, spec, model, preview=False))
    seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 1), "megavoxels_a_second": round(math.prod(image.shape) / 1e6 / seconds, 3),
        "objects": found.objects, "hash": found.hash, "peak_mb": round(peak_memory()), "before_mb": round(before),
    }  # fmt: skip


def long(quick: bool) -> dict[str, Any]:
    """Stream a volume that is longer than memory would like."""
    shape = (150, 256, 256) if quick else LONG
    with tempfile.TemporaryDirectory() as folder:
        source = str(Path(folder) / "volume.zarr")
        in_child(written, Path(source), shape)
        streamed = in_child(look, source, str(Path(folder) / "labels.ome.zarr"), {})
        whole = in_child(look, source, "", {"tile": 128})
    same = streamed.pop("hash") == whole.pop("hash")
    size = math.prod(shape)
    return {
        "shape": list(shape), "image_mb": 2 * size // 10**6, "labels_mb": 4 * size // 10**6,
        "streamed": streamed, "in_memory": whole, "same_labels": same,
    }  # fmt: skip


def differing(quick: bool) -> int:
    """Count voxels that differ between several cuttings and a volume in one piece."""
    off = 0
    with tempfile.TemporaryDirectory() as folder:
        written(Path(folder) / "volume.zarr", PART)
        image, model = Image(zarr.open_array(Path(folder) / "volume.zarr", mode="r"), "zyx"), by_hand()
        spec = SegmentSpec(model="bright", device="cpu", tiling={"tile": 4096, "workers": 1})
        whole = finished(segment_image(image, spec, model, preview=False)).labels.data
        for tiling in ({}, {"tile": 32, "batch": 2}, {"tile": 64, "workers": 1}):
            output = Path(folder) / f"labels-{tiling.get('tile', 0)}.ome.zarr"
            how = SegmentSpec(model="bright", device="cpu", tiling=tiling)
            found = finished(store_segmentation(image, how, model, output)).labels.data[:]
            off += int((np.asarray(found) != whole).sum())
            if quick:
                break
    return off


def main() -> int:
    """Measure everything and store it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--quick", action="store_true", help="small volumes, once")
    options = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    parts: dict[str, Callable[[bool], Any]] = {"small": small, "large": large, "long": long, "differing": differing}
    for name in options.only:
        report[name] = parts[name](options.quick)
        report.setdefault("measured", {})[name] = datetime.now(UTC).isoformat(timespec="seconds")
        report["machine"] = machine()
        text = json.dumps(report, indent=1)
        if not options.quick:
            RESULTS.write_text(text + "\n")
    sys.stdout.write(text + "\n")
    return int(bool(report.get("differing")) or not report.get("long", {}).get("same_labels", True))


if __name__ == "__main__":
    sys.exit(main())
