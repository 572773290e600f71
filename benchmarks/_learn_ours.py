"""napari-unet learning from few images: what learning_curve.py starts.

Usage: ``python _learn_ours.py FOLDER SECONDS [SETTINGS]``. FOLDER has ``train/*.npz`` and ``val/*.npz`` (``image``
(y, x), ``labels`` (y, x)); labels of the validation images go to ``found/*.npy``. A line of JSON tells what was done.
It is the command ``napari-unet train FOLDER --minutes M`` with its defaults, but that minutes are those of the
processor. SETTINGS are JSON of those that are not to be as the defaults.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter, process_time, sleep
from types import SimpleNamespace
from typing import Any

import numpy as np
from tifffile import imwrite

import napari_unet
from napari_unet.training import pace


def main() -> None:
    """Train, predict."""
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    settings = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    for file in sorted((folder / "train").glob("*.npz")):
        for name in ("image", "labels"):
            (folder / "pairs" / f"{name}{'s' if name == 'image' else ''}").mkdir(parents=True, exist_ok=True)
            place = folder / "pairs" / f"{name}{'s' if name == 'image' else ''}" / f"{file.stem}.tif"
            imwrite(place, np.load(file)[name])
    told: dict[str, Any] = {}
    pace.time = SimpleNamespace(monotonic=process_time, sleep=sleep)  # type: ignore[assignment]
    began = perf_counter()

    def show(progress: napari_unet.Progress) -> None:
        if progress.payload is not None:
            told.update(steps=progress.payload.step, processor=progress.payload.seconds)
            told.update(wall=perf_counter() - began)

    model = napari_unet.train(
        folder / "pairs",
        name="learned",
        minutes=seconds / 60,
        folder=folder / "model",
        show=show,
        overwrite=True,
        **settings,
    )
    (folder / "found").mkdir(exist_ok=True)
    for file in sorted((folder / "val").glob("*.npz")):
        found = napari_unet.segment(np.load(file)["image"], model=str(model)).labels.data
        np.save(folder / "found" / f"{file.stem}.npy", np.asarray(found, np.int32))
    sys.stdout.write(json.dumps({key: round(value, 1) for key, value in told.items()}) + "\n")


if __name__ == "__main__":
    main()
