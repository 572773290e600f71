"""StarDist as a contender: a server that peers_cells.py starts inside StarDist's own environment.

Usage: ``python _peer_stardist.py FOLDER`` with ``image.npy`` and ``labels.npy`` in FOLDER. The first line on standard
output tells versions; each line read from standard input runs once and is answered by one line of JSON: seconds for
``prepare``, ``network`` and ``postprocess``, and the number of ``objects``.

The network is StarDist's default for 2-D fluorescence with random weights; what the non-maximum suppression gets is
what a perfect network would say, computed from the true labels before any clock starts.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import tensorflow as tf  # type: ignore[import-not-found, import-untyped, unused-ignore]
from csbdeep.utils import normalize  # type: ignore[import-not-found, import-untyped, unused-ignore]
from stardist.geometry import star_dist  # type: ignore[import-not-found, import-untyped, unused-ignore]
from stardist.models import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    Config2D,
    StarDist2D,
)
from stardist.utils import edt_prob  # type: ignore[import-not-found, import-untyped, unused-ignore]

RAYS = 32
GRID = (2, 2)


class Contender:
    """StarDist ready to run: network built, perfect predictions computed.

    Parameters
    ----------
    folder : Path
        Holds ``image.npy`` (y, x), any real type, and ``labels.npy`` (y, x), int, 0 is background.
    """

    def __init__(self, folder: Path) -> None:
        tf.random.set_seed(0)
        self.image = np.load(folder / "image.npy")
        labels = np.load(folder / "labels.npy")
        config = Config2D(
            n_rays=RAYS, grid=GRID, n_channel_in=1, backbone="unet", unet_n_depth=3, unet_n_filter_base=32
        )
        self.model = StarDist2D(config, name=None, basedir=None)
        # As StarDist's own training data: rays of the full image read on the grid, distances on the thinned labels.
        self.distances = np.asarray(star_dist(labels, RAYS, grid=GRID, mode="cpp"), dtype=np.float32)
        self.probability = np.asarray(edt_prob(labels[:: GRID[0], :: GRID[1]]), dtype=np.float32)

    def about(self) -> dict[str, Any]:
        """Return versions and settings, for the record."""
        names = ("stardist", "csbdeep", "tensorflow-cpu", "tensorflow", "keras", "numpy")
        return {
            "versions": {name: found for name in names if (found := _version(name))},
            "parameters": int(self.model.keras_model.count_params()),
            "settings": {"rays": RAYS, "grid": GRID, **self.model.thresholds._asdict(), "tiles": 1},
        }

    def run(self) -> dict[str, float]:
        """Segment once; return seconds of each part and the number of objects."""
        start = perf_counter()
        image = normalize(self.image, 1, 99.8)
        prepared = perf_counter()
        self.model.predict(image, axes="YX")
        predicted = perf_counter()
        labels, _ = self.model._instances_from_prediction(image.shape, self.probability, self.distances, verbose=False)
        done = perf_counter()
        return {
            "prepare": prepared - start,
            "network": predicted - prepared,
            "postprocess": done - predicted,
            "objects": int(np.count_nonzero(np.unique(labels))),
        }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except ModuleNotFoundError:
        return None


def main() -> None:
    """Serve until standard input ends."""
    # Libraries talk on standard output: they get standard error, the answers keep the real one to themselves.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    contender = Contender(Path(sys.argv[1]))
    answers.write(json.dumps(contender.about()) + "\n")
    for _ in sys.stdin:
        answers.write(json.dumps(contender.run()) + "\n")


if __name__ == "__main__":
    main()
