"""Learners of classes of pixels, which satellite.py and inspection.py compare: each in a process of its own.

Usage: ``python _learn_pixels.py LEARNER FOLDER MINUTES THREADS``. Minutes are those that the processor works. FOLDER
holds ``train/*.npz`` and ``test/*.npz`` (``image`` (y, x) or (y, x, c) of 8 bits, ``labels`` (y, x): 0 to k) and
``how.json`` (task, classes, background, settings of ours); class numbers of the test images go to
``found-LEARNER/*.npy``. A line of JSON tells what was done.

- ``ours`` is ``napari_unet.train(..., task=..., minutes=...)`` with its defaults.
- ``peer`` is segmentation_models_pytorch's U-Net with a ResNet-18 encoder from random weights where that can be
  imported (it needs torchvision), else the same topology written here: ResNet-18 with its stem, and five decoder blocks
  of 256, 128, 64, 32 and 16 channels, each two convolutions with batch normalization after doubling the size (nearest)
  and joining the skip. It learns with Adam (1e-3, falling along a cosine to 0), cross-entropy plus Dice, 8 patches of
  256 pixels a step, quarter turns, mirroring, and changes of brightness and contrast; images are read whole, mirrored
  to multiples of 32.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

PATCH, BATCH, RATE = 256, 8, 1e-3
WIDTHS = (256, 128, 64, 32, 16)


def opened(folder: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return name, image and labels of every file."""
    found = []
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as held:
            found.append((file.stem, held["image"], held["labels"]))
    return found


def learn_ours(folder: Path, how: dict[str, Any], minutes: float, threads: int) -> dict[str, Any]:
    """Train with the defaults of the task, and segment the test images."""
    import napari_unet
    from napari_unet.core.axes import as_image
    from napari_unet.core.examples import Example
    from napari_unet.training import pace

    pace.time = SimpleNamespace(monotonic=time.process_time, sleep=time.sleep)  # type: ignore[assignment]

    def axes(image: np.ndarray) -> str:
        return "yxc" if image.ndim == 3 else "yx"

    examples = [
        Example(as_image(image, axes(image), name=name), as_image(labels, "yx", name=name), group=name, held_out=False)
        for name, image, labels in opened(folder / "train")
    ]
    steps, start = [0], [0.0, 0.0]

    def show(progress: Any) -> None:
        if progress.payload is not None:
            steps[0] = max(steps[0], progress.payload.step)
        if not start[0] and progress.note == "planned":
            start[:] = [time.perf_counter(), time.process_time()]

    target = {"name": "classes", "classes": how["classes"], "background": how["background"]}
    model = napari_unet.train(
        examples, name="learned", task=how["task"], target=target, minutes=minutes, steps=1_000_000, threads=threads,
        folder=folder / "model", show=show, overwrite=True, **how.get("settings", {}),
    )  # fmt: skip
    told = {"steps": steps[0], "seconds": time.perf_counter() - start[0], "cpu": time.process_time() - start[1]}
    for name, image, _ in opened(folder / "test"):
        found = napari_unet.segment(as_image(image, axes(image)), model=str(model), tiling={"workers": threads})
        np.save(folder / "found-ours" / f"{name}.npy", np.asarray(found.labels.data, np.uint8))
    return told | {"what": "napari-unet, defaults of the task", "parameters": _parameters(model)}


def _parameters(model: Path) -> int:
    from safetensors import safe_open

    with safe_open(str(Path(model) / "weights.safetensors"), "np") as weights:
        return sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118


class Residual(nn.Module):
    """The basic block of ResNet (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        alike = stride == 1 and inputs == outputs
        short = (nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.short = nn.Identity() if alike else nn.Sequential(*short)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of ``(b, c, y, x)``."""
        return functional.relu(self.path(x) + self.short(x))


class ResNetUNet(nn.Module):
    """segmentation_models_pytorch's Unet("resnet18"): the same layers."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(inputs, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.pool, sides, before = nn.MaxPool2d(3, 2, 1), [], 64
        for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            sides.append(nn.Sequential(Residual(before, width, stride), Residual(width, width, 1)))
            before = width
        self.stages, blocks = nn.ModuleList(sides), []
        for width, skip in zip(WIDTHS, (256, 128, 64, 64, 0), strict=True):
            blocks.append(nn.Sequential(*_double(before + skip, width), *_double(width, width)))
            before = width
        self.blocks, self.head = nn.ModuleList(blocks), nn.Conv2d(before, outputs, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return raw scores ``(b, k, y, x)``; y and x multiples of 32."""
        seen = [self.stem(x)]
        x = self.pool(seen[0])
        for stage in self.stages:
            x = stage(x)
            seen.append(x)
        skips = [*seen[-2::-1], None]
        for block, skip in zip(self.blocks, skips, strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x if skip is None else torch.cat([x, skip], 1))
        return self.head(x)


def _double(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()


def build_peer(inputs: int, outputs: int) -> tuple[nn.Module, str]:
    """Return the peer's network, and what it is."""
    try:
        import segmentation_models_pytorch as smp
    except (ImportError, RuntimeError):
        return ResNetUNet(inputs, outputs), "U-Net with a ResNet-18 encoder, smp's topology"
    network = smp.Unet("resnet18", encoder_weights=None, in_channels=inputs, classes=outputs)
    return network, f"segmentation_models_pytorch {smp.__version__} Unet(resnet18)"


def learn_peer(folder: Path, how: dict[str, Any], minutes: float, threads: int) -> dict[str, Any]:
    """Train the peer for a time, and let it look at the test images."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    rng, open_ = np.random.default_rng(0), not how["background"]
    held = [(_normalized(image), labels.astype(np.int64) - open_) for _, image, labels in opened(folder / "train")]
    kinds = len(how["classes"]) + how["background"]
    network, what = build_peer(held[0][0].shape[0], kinds)
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), RATE)
    start, before, steps = time.perf_counter(), time.process_time(), 0
    network.train()
    while (share := (time.process_time() - before) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * share))
        images, truth = zip(*(_patch(held, rng) for _ in range(BATCH)), strict=True)
        batch = torch.from_numpy(np.stack(images)).contiguous(memory_format=torch.channels_last)
        loss = _loss(network(batch), torch.from_numpy(np.stack(truth)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    told = {"steps": steps, "seconds": time.perf_counter() - start, "cpu": time.process_time() - before}
    network.eval()
    for name, image, _ in opened(folder / "test"):
        with torch.inference_mode():
            scores = _whole(network, _normalized(image))
        np.save(folder / "found-peer" / f"{name}.npy", (scores.argmax(0).numpy() + open_).astype(np.uint8))
    return told | {"what": what, "parameters": sum(p.numel() for p in network.parameters())}


def _normalized(image: np.ndarray) -> np.ndarray:
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    return (planes.astype(np.float32) / 255 - 0.45) / 0.225


def _patch(held: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    image, labels = held[rng.integers(len(held))]
    short = [max(0, PATCH - n) for n in labels.shape]
    if any(short):
        around = [(0, n) for n in short]
        image, labels = np.pad(image, [(0, 0), *around], "symmetric"), np.pad(labels, around, "symmetric")
    y, x = (int(rng.integers(n - PATCH + 1)) for n in labels.shape)
    image, labels = image[:, y : y + PATCH, x : x + PATCH], labels[y : y + PATCH, x : x + PATCH]
    turns = int(rng.integers(4))
    image, labels = np.rot90(image, turns, (1, 2)), np.rot90(labels, turns)
    if rng.random() < 0.5:
        image, labels = image[:, :, ::-1], labels[:, ::-1]
    changed = image * rng.uniform(0.8, 1.2) + rng.uniform(-0.3, 0.3)
    return np.ascontiguousarray(changed, np.float32), np.ascontiguousarray(labels)


def _loss(scores: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus the Dice loss of each class; pixels of -1 are not known."""
    known = (truth >= 0)[:, None]
    entropy = functional.cross_entropy(scores, truth, ignore_index=-1)
    wanted = functional.one_hot(truth.clamp(min=0), scores.shape[1]).movedim(-1, 1) * known
    found = scores.softmax(1) * known
    both, each = (found * wanted).sum((0, 2, 3)), (found + wanted).sum((0, 2, 3))
    there = wanted.sum((0, 2, 3)) > 0
    return torch.nan_to_num(entropy) + (1 - (2 * both + 1) / (each + 1))[there].sum() / max(1, int(there.sum()))


def _whole(network: nn.Module, image: np.ndarray) -> torch.Tensor:
    height, width = image.shape[1:]
    padded = np.pad(image, [(0, 0), (0, -height % 32), (0, -width % 32)], "symmetric")
    return network(torch.from_numpy(padded)[None])[0, :, :height, :width]


def main() -> None:
    """Train, predict, say what was done."""
    learner, folder, minutes, threads = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    how = json.loads((folder / "how.json").read_text())
    (folder / f"found-{learner}").mkdir(exist_ok=True)
    told = {"ours": learn_ours, "peer": learn_peer}[learner](folder, how, minutes, threads)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
