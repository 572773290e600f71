"""Learners of tumors and organs, which tumor.py compares: each in a process of its own.

Usage: ``python _learn_volumes.py LEARNER FOLDER MINUTES THREADS``. FOLDER holds ``train/*.npz`` and ``test/*.npz``
(``image`` and ``labels`` (z, y, x) or (y, x), ``spacing`` in millimeters or pixels) and ``how.json`` (task, classes,
unit, patch); class numbers of the test images go to ``found-LEARNER/*.npy``. A line of JSON tells what was done.

- ``ours`` is ``napari_unet.train(..., task=..., minutes=...)`` with its defaults. Its network then looks at test
  volumes twice more: in windows of the peers' patch, half a window apart, weighted by a Gaussian (``found-windows``),
  and so averaged over all mirrored images, as nnU-Net does by default (``found-sliding``); by MONAI's
  ``sliding_window_inference``. What was not trained on mirrored images, such as organs, is hurt by that average.
- ``dynunet`` is MONAI's DynUNet as in MONAI's dynunet_pipeline: kernels and strides by patch and spacing, deep
  supervision, Dice plus cross-entropy, SGD (0.01, Nesterov 0.99, falling as (1 - t) ** 0.9), two patches a step, two of
  three around foreground, zoom, noise, blur, intensity, mirroring; windows half apart, Gaussian, no mirroring.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

Told = dict[str, Any]


def opened(folder: Path) -> list[tuple[str, np.ndarray, np.ndarray, tuple[float, ...]]]:
    """Return name, image, labels and spacing of every file."""
    found = []
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as held:
            found.append((file.stem, held["image"], held["labels"], tuple(held["spacing"].tolist())))
    return found


class Sliding:
    """A model that is asked in overlapping windows, as nnU-Net asks by default, in the place of the model itself."""

    def __init__(self, model: Any, patch: tuple[int, ...], mirrored: bool) -> None:
        self._model, self._patch, self._mirrored = model, patch, mirrored
        self.card, self.device, self.precision, self.outputs = model.card, "cpu", model.precision, model.outputs
        self.runtime, self.halo, self.multiple = model.runtime, 0, model.multiple

    def predict(self, batch: np.ndarray, ends: Any = ()) -> np.ndarray:
        """Return scores ``(b, k, *s)``: means over windows, and over mirrored images."""
        from monai.inferers import sliding_window_inference

        image = torch.from_numpy(batch)
        axes = range(2, image.ndim) if self._mirrored else ()
        turns = [turn for count in range(len(axes) + 1) for turn in combinations(axes, count)]
        total = torch.zeros(())
        for turn in turns:
            seen = sliding_window_inference(
                image.flip(turn), self._patch, 1, lambda x: torch.from_numpy(self._model.predict(x.numpy())),
                overlap=0.5, mode="gaussian", sigma_scale=0.125,
            )  # fmt: skip
            total = total + seen.flip(turn)
        return (total / len(turns)).numpy()


def learn_ours(folder: Path, how: Told, minutes: float, threads: int) -> Told:
    """Train with the defaults of the task, and segment the test images in both ways."""
    import napari_unet
    from napari_unet.core.axes import Image
    from napari_unet.core.examples import Example
    from napari_unet.core.specs import SegmentSpec
    from napari_unet.core.steps import finish
    from napari_unet.models.segment import segment_image
    from napari_unet.models.zoo import load_model

    def placed(values: np.ndarray, spacing: tuple[float, ...], name: str) -> Image:
        axes = "zyx"[-values.ndim :]
        return Image(values, axes, scale=spacing, units=(how["unit"],) * values.ndim, name=name)

    examples = [
        Example(placed(image, near, name), placed(labels, near, name), group=name, held_out=False)
        for name, image, labels, near in opened(folder / "train")
    ]
    steps, start = [0], [0.0, 0.0]

    def show(progress: Any) -> None:
        if progress.payload is not None:
            steps[0] = max(steps[0], progress.payload.step)
        if not start[0] and progress.note == "planned":
            start[:] = [time.perf_counter(), time.process_time()]

    target = {"target": {"name": "classes", "classes": how["classes"]}} if len(how["classes"]) > 1 else {}
    path = napari_unet.train(
        examples, name="learned", task=how["task"], minutes=minutes, steps=1_000_000, threads=threads,
        folder=folder / "model", show=show, overwrite=True, **target,
    )  # fmt: skip
    told: Told = {"steps": steps[0], "seconds": time.perf_counter() - start[0], "cpu": time.process_time() - start[1]}
    model = load_model(str(path))
    patch = tuple(how["patch"])
    ways: dict[str, tuple[Any, int]] = {"ours": (model, 0)}
    if len(patch) == 3:  # pictures are seen smaller than one window
        ways |= {"windows": (Sliding(model, patch, False), 4096), "sliding": (Sliding(model, patch, True), 4096)}
    seconds: dict[str, dict[str, float]] = {way: {} for way in ways}
    for way in ways:
        (folder / f"found-{way}").mkdir(exist_ok=True)
    for name, image, _, near in opened(folder / "test"):
        for way, (scorer, tile) in ways.items():
            spec = SegmentSpec(model=str(path), tiling={"workers": threads, "tile": _edge(image, tile)})
            begin = time.perf_counter()
            found = finish(segment_image(placed(image, near, name), spec, scorer, preview=False))
            seconds[way][name] = time.perf_counter() - begin
            labels = np.asarray(found.labels.data)
            labels = labels if target else labels > 0
            np.save(folder / f"found-{way}" / f"{name}.npy", labels.astype(np.uint8))
    about = f"napari-unet {napari_unet.__version__}, defaults of the task {how['task']}"
    size = sum(p.numel() for p in _network(model).parameters())
    return told | {"inference": seconds, "what": about, "parameters": size}


def _edge(image: np.ndarray, most: int) -> int:
    """Return an edge that covers the image even where it is magnified; 0 leaves it to the program."""
    return min(most, 6 * max(image.shape))


def _network(model: Any) -> Any:
    from napari_unet.nets import build

    return build(model.card.net)


def kernels_and_strides(patch: tuple[int, ...], spacing: tuple[float, ...]) -> tuple[list[list[int]], list[list[int]]]:
    """Return those of each level, after ``get_kernels_strides`` of MONAI's dynunet_pipeline."""
    sizes, near = list(patch), list(spacing)
    kernels, strides = [], []
    while True:
        ratios = [step / min(near) for step in near]
        stride = [2 if ratio <= 2 and size >= 8 else 1 for ratio, size in zip(ratios, sizes, strict=True)]
        if all(step == 1 for step in stride):
            break
        kernels.append([3 if ratio <= 2 else 1 for ratio in ratios])
        strides.append(stride)
        sizes = [size // step for size, step in zip(sizes, stride, strict=True)]
        near = [space * step for space, step in zip(near, stride, strict=True)]
    return [*kernels, [3] * len(patch)], [[1] * len(patch), *strides]


def build_dynunet(how: Told, spacing: tuple[float, ...]) -> Any:
    """Return the network for a patch and a spacing."""
    from monai.networks.nets import DynUNet

    kernels, strides = kernels_and_strides(tuple(how["patch"]), spacing)
    return DynUNet(
        spatial_dims=len(spacing), in_channels=1, out_channels=len(how["classes"]) + 1, kernel_size=kernels,
        strides=strides, upsample_kernel_size=strides[1:], norm_name="instance", deep_supervision=True,
        deep_supr_num=min(3, len(strides) - 2),
    )  # fmt: skip


def pipeline(patch: tuple[int, ...]) -> Any:
    """Return the random changes of MONAI's dynunet_pipeline."""
    from monai import transforms as t

    both, ways = ["image", "label"], ("trilinear" if len(patch) == 3 else "bilinear", "nearest")
    return t.Compose([
        t.SpatialPadd(both, patch),
        t.RandCropByPosNegLabeld(both, "label", patch, pos=2, neg=1, num_samples=1),
        t.RandZoomd(both, min_zoom=0.9, max_zoom=1.2, mode=ways, align_corners=(True, None), prob=0.15),
        t.RandGaussianNoised("image", std=0.01, prob=0.15),
        t.RandGaussianSmoothd("image", sigma_x=(0.5, 1.15), sigma_y=(0.5, 1.15), sigma_z=(0.5, 1.15), prob=0.15),
        t.RandScaleIntensityd("image", factors=0.3, prob=0.15),
        *(t.RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(len(patch))),
    ]).set_random_state(0)  # fmt: skip


def normalized(image: np.ndarray, factor: list[float]) -> torch.Tensor:
    """Return an image at the common spacing, of mean 0 and deviation 1, ``(1, *s)``."""
    values = ndimage.zoom(image.astype(np.float32), factor, order=1) if any(f != 1 for f in factor) else image
    values = values.astype(np.float32)
    return torch.from_numpy((values - values.mean()) / max(float(values.std()), 1e-6))[None]


def learn_dynunet(folder: Path, how: Told, minutes: float, threads: int) -> Told:
    """Train the peer for a time, and let it look at the test images."""
    import monai
    from monai.losses import DiceCELoss

    from napari_unet.models.devices import bfloat16_is_fast

    torch.set_num_threads(threads)
    monai.utils.set_determinism(0, use_deterministic_algorithms=False)
    known = opened(folder / "train")
    common = np.median([near for *_, near in known], axis=0)
    held = []
    for _, image, labels, near in known:
        factor = (np.array(near) / common).tolist()
        drawn = ndimage.zoom(labels, factor, order=0) if any(f != 1 for f in factor) else labels
        held.append({"image": normalized(image, factor), "label": torch.from_numpy(drawn.astype(np.float32))[None]})
    network, change = build_dynunet(how, tuple(common.tolist())), pipeline(tuple(how["patch"]))
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.99, nesterov=True, weight_decay=3e-5)
    compare, rng = DiceCELoss(to_onehot_y=True, softmax=True, batch=True), np.random.default_rng(0)
    quick = torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast("cpu"))
    start, before, steps = time.perf_counter(), time.process_time(), 0
    while (share := (time.perf_counter() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 0.01 * (1 - share) ** 0.9
        drawn = [change(held[rng.integers(len(held))])[0] for _ in range(2)]
        images, truth = (torch.stack([one[key].as_tensor() for one in drawn]) for key in ("image", "label"))
        with quick:
            answers = network(images)
        loss = sum(0.5**level * compare(answer.float(), truth) for level, answer in enumerate(answers.unbind(1)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 12)
        optimizer.step()
        steps += 1
    told: Told = {"steps": steps, "seconds": time.perf_counter() - start, "cpu": time.process_time() - before}
    seconds = _look(network.eval(), folder, how, common, quick)
    size = sum(p.numel() for p in network.parameters())
    return told | {"inference": {"dynunet": seconds}, "what": f"MONAI {monai.__version__} DynUNet", "parameters": size}


def _look(network: Any, folder: Path, how: Told, common: np.ndarray, quick: Any) -> dict[str, float]:
    """Let a network look at the test images; return the seconds that each took."""
    from monai.inferers import sliding_window_inference
    from torch.nn import functional

    seconds = {}
    for name, image, _, near in opened(folder / "test"):
        begin = time.perf_counter()
        given = normalized(image, (np.array(near) / common).tolist())[None]
        with torch.inference_mode(), quick:
            scores = sliding_window_inference(given, how["patch"], 1, network, overlap=0.5, mode="gaussian").float()
            if scores.shape[2:] != image.shape:
                scores = functional.interpolate(
                    scores, size=image.shape, mode="trilinear" if image.ndim == 3 else "bilinear"
                )
        found = scores[0].argmax(0).numpy().astype(np.uint8)
        seconds[name] = time.perf_counter() - begin
        np.save(folder / "found-dynunet" / f"{name}.npy", found)
    return seconds


def main() -> None:
    """Train, predict, say what was done."""
    learner, folder, minutes, threads = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    how = json.loads((folder / "how.json").read_text())
    (folder / f"found-{learner}").mkdir(exist_ok=True)
    told = {"ours": learn_ours, "dynunet": learn_dynunet}[learner](folder, how, minutes, threads)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
