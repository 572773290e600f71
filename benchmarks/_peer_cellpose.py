"""Cellpose as a contender: a server that peers_cells.py starts inside Cellpose's own environment.

Usage: ``python _peer_cellpose.py FOLDER`` with ``image.npy`` and ``labels.npy`` in FOLDER. The first line on standard
output tells versions; each line read from standard input runs once and is answered by one line of JSON: seconds for
``prepare``, ``network`` and ``postprocess``, and the number of ``objects``.

The network is the one that carries the cyto3 weights, with random weights, called the way ``CellposeModel.eval`` calls
it when the diameter given is the model's own (no rescaling). What the flow tracking gets is what a perfect network
would say, computed from the true labels before any clock starts.
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
import torch
from cellpose import dynamics, transforms  # type: ignore[import-not-found, import-untyped, unused-ignore]
from cellpose.models import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    CellposeModel,
    normalize_default,
)

# The defaults of CellposeModel.eval, written out so that the record can show them.
NETWORK = {"batch_size": 8, "tile_overlap": 0.1, "bsize": 224, "augment": False, "rescale": 1.0, "resample": True}
POSTPROCESS = {"flow_threshold": 0.4, "cellprob_threshold": 0.0, "min_size": 15, "niter": 200, "interp": True}
FLOW_SCALE = 5.0  # the network is trained to say five times the unit flow
SURE = 6.0  # logit of a confident cell probability


class Contender:
    """Cellpose ready to run: network built, perfect predictions computed.

    Parameters
    ----------
    folder : Path
        Holds ``image.npy`` (y, x), any real type, and ``labels.npy`` (y, x), int, 0 is background.
    """

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.image = np.load(folder / "image.npy")
        labels = np.load(folder / "labels.npy").astype(np.int32)
        self.model = CellposeModel(gpu=False, pretrained_model=False, diam_mean=30.0, nchan=2)
        flows = dynamics.labels_to_flows([labels], device=self.model.device)[0]
        self.flow = (FLOW_SCALE * flows[2:4])[:, np.newaxis].astype(np.float32)  # (2, 1, y, x): one plane
        self.cell = np.where(flows[1] > 0, SURE, -SURE)[np.newaxis].astype(np.float32)

    def about(self) -> dict[str, Any]:
        """Return versions and settings, for the record."""
        names = ("cellpose", "torch", "numpy", "numba", "opencv-python-headless")
        return {
            "versions": {name: version(name) for name in names},
            "parameters": sum(weights.numel() for weights in self.model.net.parameters()),
            "settings": {**NETWORK, **POSTPROCESS, "mkldnn": bool(self.model.mkldnn)},
        }

    def run(self) -> dict[str, float]:
        """Segment once; return seconds of each part and the number of objects."""
        start = perf_counter()
        image = transforms.convert_image(self.image, [0, 0], nchan=self.model.nchan)[np.newaxis]
        image = transforms.normalize_img(image, **normalize_default)
        prepared = perf_counter()
        self.model._run_net(image, **NETWORK)
        predicted = perf_counter()
        labels = self.model._compute_masks(image.shape, self.flow, self.cell, **POSTPROCESS)
        done = perf_counter()
        return {
            "prepare": prepared - start,
            "network": predicted - prepared,
            "postprocess": done - predicted,
            "objects": int(np.count_nonzero(np.unique(labels))),
        }


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
