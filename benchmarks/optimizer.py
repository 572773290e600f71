"""How far a network comes in as many steps, by Muon and by AdamW at several rates: what training/optimizer.py is for.

Every subject is learned with the defaults of its task from random weights, the same patches in the same order for all.
The loss is that of the averaged weights on patches of other images, which are not changed; lower is better. Two
optimizers are compared by the same number of steps, and by what a step takes of the processor.

Usage: ``python benchmarks/optimizer.py``; ``--subjects nuclei --steps 50`` to see that it works. ``--optimizers``
takes others, such as ``muon:0.04``. What is done is kept in the results, and not done again unless ``--again``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_unet.core.axes import as_image
from napari_unet.core.examples import Example
from napari_unet.core.specs import AugmentSpec, TrainSpec
from napari_unet.core.steps import finish
from napari_unet.nets import patch
from napari_unet.targets import target
from napari_unet.training import state
from napari_unet.training.fit import supervised
from napari_unet.training.loss import compare
from napari_unet.training.optimizer import Optimizer
from napari_unet.training.patches import Sampler
from napari_unet.training.plan import prepare
from napari_unet.training.ranks import Ranks

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "recipes"))
RESULTS = HERE / "results" / "optimizer.json"
OPTIMIZERS = ("muon:0.02", "adamw:0.002", "adamw:0.005", "adamw:0.01")
PLAIN = AugmentSpec(
    elastic=0, rotate=False, scale_jitter=0, wide_fraction=0, gamma=0, noise=0, blur=0, contrast=0, invert=0, gray=0,
    shuffle=0,
)  # fmt: skip
Split = tuple[list[Example], list[Example], dict[str, Any]]


class AdamW:
    """AdamW for all weights, with the methods of :class:`napari_unet.training.optimizer.Optimizer`."""

    def __init__(self, network: nn.Module, rate: float, weight_decay: float) -> None:
        self.all = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=weight_decay, fused=True)

    def step(self, rate: float) -> None:
        """Move the weights."""
        self.all.param_groups[0]["lr"] = rate
        self.all.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        self.all.zero_grad(set_to_none=True)


def nuclei() -> Split:
    """Ten images, and 24 others that the nuclei model was not trained on either."""
    from nuclei_data import fields

    def example(field: Any) -> Example:
        gray = field.image if field.image.ndim == 2 else field.image.mean(-1).astype(np.uint8)
        return Example(as_image(gray, "yx", name=field.id), as_image(field.labels, "yx", name=field.id), group=field.id)

    known = [field for field in fields("train", ("fluo",)) if field.diameter > 0]
    chosen = np.random.default_rng(0).permutation(len(known))[:10]
    others = list(fields("dev", ("fluo",)))[:24]
    return [example(known[i]) for i in chosen], [example(field) for field in others], {"task": "cell"}


def pixels(name: str) -> Split:
    """Classes of pixels: the first fold of satellite.py or of inspection.py."""
    import inspection
    import satellite

    if name == "dubai":
        images, how = satellite.dubai(), {"classes": satellite.CLASSES, "background": False}
        out = {min(each.group for each in images)}
    else:
        images, how = inspection.tiles(), {"classes": inspection.CLASSES, "background": True}
        out = inspection.folds(images)[0]
    sides: dict[bool, list[Example]] = {True: [], False: []}
    for each in images:
        shown = as_image(each.image, "yxc" if each.image.ndim == 3 else "yx", name=each.name)
        sides[each.group in out].append(Example(shown, as_image(each.labels, "yx"), group=each.name))
    task = "satellite" if name == "dubai" else "inspection"
    return sides[False], sides[True], {"task": task, "target": {"name": "classes", **how}}


def medical(name: str) -> Split:
    """The first fold of a bundled model of tumors or organs."""
    import bundled

    examples = bundled.folded(bundled.MODELS[name][0](), 0)
    learned, others = ([each for each in examples if each.held_out is side] for side in (False, True))
    return learned, others, {"task": "organ" if name == "hippocampus" else "tumor"}


SUBJECTS: dict[str, Callable[[], Split]] = {
    "nuclei": nuclei,
    "dubai": lambda: pixels("dubai"),
    "magnetic_tile": lambda: pixels("magnetic_tile"),
    "breast-ultrasound": lambda: medical("breast-ultrasound"),
    "hippocampus": lambda: medical("hippocampus"),
}


def learned(split: Split, optimizer: str, wish: argparse.Namespace) -> dict[str, Any]:
    """Do the steps; return the losses on other images, and seconds of the processor a step."""
    kind, _, rate = optimizer.partition(":")
    here, there, how = split
    chosen = {"batch": wish.batch} if wish.batch else {}
    given = TrainSpec.of(**how, **chosen, steps=wish.steps, rate=float(rate), threads=wish.threads)
    made = finish(prepare([replace(each, held_out=False) for each in here], given))
    learn, spec = target(made.plan.spec.target), made.plan.spec
    net = spec.net.model_copy(update={"outputs": len(learn.CHANNELS) + 1})
    spec = spec.model_copy(update={"net": net, "patch": patch(net, spec.patch)})
    loss, looked = compare(learn, spec), spec.model_copy(update={"augment": PLAIN, "batch": 12, "seed": 1})
    held = finish(prepare([replace(each, held_out=False) for each in there], looked)).pairs
    asked = [Sampler(held, looked, learn).batch(number) for number in range(wish.looks)]
    sampler, run = Sampler(made.pairs, spec, learn), state.Run(spec, net, "cpu", "", Ranks())
    move = Optimizer if kind == "muon" else AdamW
    run.optimizer = move(run.network, spec.rate, spec.weight_decay)
    seconds, losses = 0.0, {}
    for step in range(1, wish.steps + 1):
        batch = [sampler.batch(step)]
        began = process_time()
        run.advance(batch, lambda scores, batch: supervised(scores, lambda one: loss(one.float(), batch)))
        seconds += process_time() - began
        if step % wish.every == 0 or step == wish.steps:
            run.average.eval()
            with torch.inference_mode():
                losses[step] = float(np.mean([float(loss(run.average(each.image), each)) for each in asked]))
            sys.stderr.write(f"{optimizer}: step {step}, loss {losses[step]:.4f}\n")
    return {"loss": losses, "seconds a step": seconds / wish.steps, "batch": spec.batch, "patch": spec.patch}


def options(argv: Iterable[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", nargs="+", choices=SUBJECTS, default=list(SUBJECTS))
    parser.add_argument("--optimizers", nargs="+", default=OPTIMIZERS, help="kind:rate")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--every", type=int, default=100, help="steps between two looks")
    parser.add_argument("--batch", type=int, default=2, help="patches a step; 0: what the plan says")
    parser.add_argument("--looks", type=int, default=2, help="dozens of patches of other images")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--result", type=Path, default=RESULTS)
    return parser.parse_args(argv)


def read(results: Path) -> dict[str, Any]:
    """Return what is known."""
    return dict(json.loads(results.read_text())) if results.is_file() else {}


def main() -> None:
    """Compare."""
    from machine import machine

    wish = options()
    torch.set_num_threads(wish.threads)
    for subject in wish.subjects:
        split: Split | None = None
        for optimizer in wish.optimizers:
            row = read(wish.result).get(subject, {}).get(optimizer)
            if row and not wish.again and str(wish.steps) in row["loss"]:
                continue
            split = split or SUBJECTS[subject]()
            sys.stderr.write(f"{subject}\n")
            row = learned(split, optimizer, wish) | {"machine": machine()}
            known = read(wish.result)  # another process may have written meanwhile
            known.setdefault(subject, {})[optimizer] = row
            wish.result.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
