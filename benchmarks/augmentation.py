"""How long patches take to be cut and changed, beside kornia doing the same kinds of change.

kornia needs no torch of its own: ``pip install --no-deps --target peers kornia kornia-rs``, then
``PYTHONPATH=src:peers python benchmarks/augmentation.py --peer kornia``. It is given a batch that is cut already, so
that it has less to do: no reading, no scale that follows the objects.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

RESULT = Path(__file__).parent / "results" / "augmentation.json"
EDGE, BATCH = 256, 8


def ours(rounds: int) -> list[float]:
    """Time patches of the product: geometry (one resampling) and intensities of image and labels, no target."""
    from napari_unet.core.specs import AugmentSpec, NetSpec, TargetSpec, TrainSpec
    from napari_unet.samples.simulated import nuclei
    from napari_unet.targets import target
    from napari_unet.training.patches import Sampler, make_pair

    image, labels = nuclei((1024, 1024), count=600, diameter=24, seed=0)
    spec = TrainSpec(
        net=NetSpec(inputs=1), target=TargetSpec(name="foreground"), augment=AugmentSpec(low_resolution=0.1),
        diameter=24.0, patch=EDGE, batch=BATCH,
    )  # fmt: skip
    sampler = Sampler([make_pair(image[None].astype(np.float32), labels, "field")], spec, target("foreground"))
    pair = sampler.pairs[0]
    return timed(lambda n: [sampler.draw(pair, np.random.default_rng((n, i))) for i in range(BATCH)], rounds)


def kornia(rounds: int) -> list[float]:
    """Time the same kinds of change by kornia: affine, elastic, blur, noise, gamma, brightness, contrast."""
    import kornia.augmentation as peer

    changes = peer.AugmentationSequential(
        peer.RandomAffine(180, scale=(0.8, 1.25), p=1.0), peer.RandomHorizontalFlip(), peer.RandomVerticalFlip(),
        peer.RandomElasticTransform(alpha=(0.05, 0.05), sigma=(32.0, 32.0), kernel_size=(63, 63), p=1.0),
        peer.RandomGaussianBlur((7, 7), (0.1, 1.5), p=0.3), peer.RandomGamma((0.6, 1.7), p=1.0),
        peer.RandomContrast((0.7, 1.3), p=1.0), peer.RandomBrightness((0.85, 1.15), p=1.0),
        peer.RandomGaussianNoise(0.0, 0.05, p=0.5), data_keys=["input", "mask"],
    )  # fmt: skip
    image, labels = torch.rand(BATCH, 1, EDGE, EDGE), torch.randint(0, 9, (BATCH, 1, EDGE, EDGE)).float()
    return timed(lambda _: changes(image, labels), rounds)


def timed(job: Callable[[int], object], rounds: int) -> list[float]:
    """Return the seconds of each round, after one that is not counted."""
    job(0)
    seconds = []
    for number in range(1, rounds + 1):
        start = time.perf_counter()
        job(number)
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Measure one of them and keep the number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", choices=("ours", "kornia"), default="ours")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    seconds = {"ours": ours, "kornia": kornia}[arguments.peer](arguments.rounds)
    found = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    found[arguments.peer] = {
        "patches_per_second": round(BATCH / float(np.median(seconds)), 1),
        "patches_per_second_best": round(BATCH / min(seconds), 1),
        "patch": EDGE, "batch": BATCH, "threads": arguments.threads, "rounds": arguments.rounds,
        "torch": torch.__version__,
    }  # fmt: skip
    RESULT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
