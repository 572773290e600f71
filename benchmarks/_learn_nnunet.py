"""nnU-Net v2 learning for a time, in an environment of its own: what tumor.py starts.

Usage: ``python _learn_nnunet.py FOLDER MINUTES THREADS``; FOLDER as for ``_learn_volumes.py``. Its own fingerprint,
plan, preprocessing, augmentation, network, loss and optimizer; the schedule alone is another: it ends after the time,
the rate falling as (1 - t) ** 0.9 of the time where nnU-Net counts 1000 epochs, and no time goes to validation. It
learns from all training images (``fold_all``). Test images are seen by its default: half a window apart, Gaussian,
mirrored.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

NAME = "Dataset001_learned"


def prepare(folder: Path, how: dict[str, Any]) -> None:
    """Write the training images as nnU-Net wants them, and say where."""
    import SimpleITK

    for place in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{place}"] = str(folder / f"nnunet-{place}")
    raw = folder / "nnunet-raw" / NAME
    cases = sorted((folder / "train").glob("*.npz"))
    for side in ("imagesTr", "labelsTr"):
        (raw / side).mkdir(parents=True)
    for file in cases:
        with np.load(file) as held:
            spacing = _deep(held["spacing"], 1.0)[::-1].tolist()
            for values, side, end in ((held["image"].astype(np.float32), "imagesTr", "_0000"),
                                      (held["labels"].astype(np.uint8), "labelsTr", "")):  # fmt: skip
                image = SimpleITK.GetImageFromArray(values if values.ndim == 3 else values[None])
                image.SetSpacing(spacing)
                SimpleITK.WriteImage(image, str(raw / side / f"{file.stem}{end}.nii.gz"))
    names = {"background": 0} | {name: number + 1 for number, name in enumerate(how["classes"])}
    about = {
        "channel_names": {"0": how["modality"]}, "labels": names, "numTraining": len(cases), "file_ending": ".nii.gz",
    }  # fmt: skip
    (raw / "dataset.json").write_text(json.dumps(about))


def _deep(values: np.ndarray, first: float) -> np.ndarray:
    """Return three numbers; pictures are volumes of one plane."""
    return np.concatenate([[first] * (3 - len(values)), values])


def learn(folder: Path, how: dict[str, Any], minutes: float, threads: int) -> dict[str, Any]:
    """Plan, preprocess, train for a time, predict."""
    import torch
    from nnunetv2.experiment_planning import plan_and_preprocess_api as planning
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    np.random.seed(0)  # nnU-Net draws from it
    kind = "2d" if len(how["patch"]) == 2 else "3d_fullres"
    planning.extract_fingerprints([1], num_processes=1, verbose=False)
    plans_name = planning.plan_experiments([1])
    planning.preprocess([1], plans_name, (kind,), [1])
    place = folder / "nnunet-preprocessed" / NAME
    plans = json.loads((place / f"{plans_name}.json").read_text()) | {"continue_training": False}
    about = json.loads((place / "dataset.json").read_text())

    class Timed(nnUNetTrainer):
        """Trains until the time is over."""

        def run_training(self) -> None:
            # No process of its own for patches: it would have a core more than the others.
            os.environ.update(nnUNet_n_proc_DA="0")
            self.on_train_start()
            self.network.train()
            start, before, steps = time.perf_counter(), time.process_time(), 0
            while (share := (time.perf_counter() - start) / (60 * minutes)) < 1:
                for group in self.optimizer.param_groups:
                    group["lr"] = self.initial_lr * (1 - share) ** 0.9
                self.train_step(next(self.dataloader_train))
                steps += 1
            self.told = {
                "steps": steps, "seconds": time.perf_counter() - start, "cpu": time.process_time() - before,
            }  # fmt: skip

    trainer = Timed(plans, kind, "all", about, torch.device("cpu"))
    trainer.run_training()
    trainer.set_deep_supervision_enabled(False)
    network = trainer.network.eval()
    predictor = nnUNetPredictor(
        tile_step_size=0.5, use_gaussian=True, use_mirroring=True, perform_everything_on_device=False,
        device=torch.device("cpu"), verbose=False, allow_tqdm=False,
    )  # fmt: skip
    predictor.manual_initialization(
        network, trainer.plans_manager, trainer.configuration_manager, [network.state_dict()], about, "Timed",
        trainer.inference_allowed_mirroring_axes,
    )  # fmt: skip
    seconds = {}
    for file in sorted((folder / "test").glob("*.npz")):
        with np.load(file) as held:
            image, spacing = held["image"].astype(np.float32), _deep(held["spacing"], 1.0).tolist()
        begin = time.perf_counter()
        given = image[None] if image.ndim == 3 else image[None, None]
        found = predictor.predict_single_npy_array(given, {"spacing": spacing}, None, None, False)
        seconds[file.stem] = time.perf_counter() - begin
        np.save(folder / "found-nnunet" / f"{file.stem}.npy", np.asarray(found).reshape(image.shape).astype(np.uint8))
    size = sum(p.numel() for p in network.parameters())
    patch = list(trainer.configuration_manager.patch_size)
    return trainer.told | {
        "inference": {"nnunet": seconds}, "what": f"nnU-Net v2, plan {kind}", "parameters": size, "patch": patch,
        "batch": trainer.configuration_manager.batch_size,
    }  # fmt: skip


def main() -> None:
    """Train, predict, say what was done."""
    folder, minutes, threads = Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    how = json.loads((folder / "how.json").read_text())
    (folder / "found-nnunet").mkdir(exist_ok=True)
    # nnU-Net prints much; the last line of the output is ours.
    os.environ |= {"nnUNet_n_proc_DA": str(threads), "nnUNet_def_n_proc": "1", "nnUNet_compile": "f"}
    with contextlib.redirect_stdout(sys.stderr):
        prepare(folder, how)
        told = learn(folder, how, minutes, threads)
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
