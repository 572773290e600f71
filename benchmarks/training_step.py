"""What a step of a training costs, by its parts, beside a bare step of the same network.

Six simulated pictures of nuclei are learned with the defaults of ``napari-unet train --task cell --minutes 15``. Times
are those of the processor, of one thread: patches (cut, changed, with their targets), the network forward and back with
its loss, the optimizer. A bare step is what any training needs: the same convolutions with torch's own batch
normalization forward and back, and a mean as loss. Bare and whole steps take turns; medians are kept, and the ratio of
the two, which depends less on the machine.

Usage: ``python benchmarks/training_step.py``, about a minute; ``--steps 10`` to see that it works.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import torch
from machine import machine
from torch import nn

from napari_unet.core.axes import as_image
from napari_unet.core.examples import Example
from napari_unet.core.specs import TrainSpec
from napari_unet.core.steps import finish
from napari_unet.models.model import bfloat16_is_fast
from napari_unet.nets import build, patch
from napari_unet.nets._norm import BatchRenorm
from napari_unet.samples.simulated import nuclei
from napari_unet.targets import target
from napari_unet.training.fit import supervised
from napari_unet.training.loss import compare
from napari_unet.training.patches import Batch, Sampler
from napari_unet.training.plan import prepare
from napari_unet.training.ranks import Ranks
from napari_unet.training.state import Run

RESULTS = Path(__file__).resolve().parent / "results" / "training_step.json"
PICTURES, SHAPE, COUNT = 6, (512, 512), 150
WARM = 5  # steps that are not counted


def plain(module: nn.Module) -> nn.Module:
    """Put torch's own normalization in the place of every batch renormalization."""
    for name, child in module.named_children():
        if isinstance(child, BatchRenorm):
            setattr(module, name, nn.BatchNorm2d(len(child.weight)))
        else:
            plain(child)
    return module


class Clock:
    """Adds up the processor time of parts of a step."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}

    def timed(self, name: str, job: Callable[[], Any]) -> Any:
        """Do something and note how long it took, in milliseconds."""
        start = process_time()
        found = job()
        self.spent.setdefault(name, []).append(1000 * (process_time() - start))
        return found


def main() -> None:
    """Measure, print, store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pictures = (nuclei(SHAPE, COUNT, seed=seed) for seed in range(PICTURES))
    examples = [Example(as_image(image, "yx"), as_image(labels, "yx")) for image, labels in pictures]
    plan = finish(prepare(examples, TrainSpec(task="cell", minutes=15, validation=0.0)))
    spec = plan.plan.spec
    if spec.target is None or spec.net is None:
        raise SystemExit("The plan is incomplete.")
    learn = target(spec.target)
    net = spec.net.model_copy(update={"outputs": len(learn.CHANNELS) + 1})
    sampler = Sampler(plan.pairs, spec.model_copy(update={"patch": patch(net, spec.patch)}), learn)
    run, clock, loss = Run(spec, net, "cpu", "", Ranks()), Clock(), compare(learn, spec, "cpu")
    bare = plain(build(net)).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    move = run.optimizer.step
    run.optimizer.step = lambda rate=None: clock.timed("optimizer", lambda: move(rate))  # type: ignore[method-assign]

    def bare_step(batch: Batch) -> None:
        bare.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast("cpu")):
            scores = bare(batch.image.contiguous(memory_format=torch.channels_last))
        supervised(scores, lambda one: one.float().mean()).backward()  # type: ignore[no-untyped-call]

    def whole_step(batch: Batch) -> None:
        run.advance([batch], lambda scores, own: supervised(scores, lambda one: loss(one.float(), own)), 0.5)

    for step in range(WARM + options.steps):
        if step == WARM:
            clock.spent.clear()
        batch = clock.timed("patches", lambda step=step: sampler.batch(step))
        clock.timed("network and optimizer", lambda batch=batch: whole_step(batch))
        clock.timed("bare", lambda batch=batch: bare_step(batch))
    found = {name: round(median(times), 1) for name, times in clock.spent.items()}
    whole = found["patches"] + found["network and optimizer"]
    report = {
        "machine": machine(),
        "bfloat16": bfloat16_is_fast("cpu"),
        "pixels": spec.batch * spec.patch**2,
        "milliseconds": found,
        "whole to bare": round(whole / found["bare"], 3),
    }
    text = json.dumps(report, indent=1) + "\n"
    sys.stdout.write(text)
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
