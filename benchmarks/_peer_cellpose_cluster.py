"""Cellpose's distributed segmentation as a contender: a server that cluster.py starts in Cellpose's own environment.

Usage: ``python _peer_cellpose_cluster.py FOLDER WORKERS BLOCK DIAMETER``. FOLDER holds ``image.zarr`` (z, y, x),
``labels.npy`` (the truth) and ``net.pt``, a network as TorchScript. The first line on standard output tells versions;
each line read from standard input runs once and is answered by one line of JSON: ``seconds``, those inside of the
network in all workers (``network``), and the number of ``objects``.

What runs is ``cellpose.contrib.distributed_segmentation.distributed_eval``, as it is, on a dask cluster of WORKERS
processes of one thread: planes in 2D, joined by ``stitch_threshold``. In the place of Cellpose's network stands the
one of ``net.pt``, called with the same tiles and batches as Cellpose's own; it is read for each block, as that reads
its own. What the flow tracking gets is what a perfect network would say, computed from the true labels before any
clock starts.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cellpose.models  # type: ignore[import-not-found, import-untyped, unused-ignore]
import numpy as np
import torch
import zarr
from cellpose import dynamics

FLOW_SCALE = 5.0  # the network is trained to say five times the unit flow
SURE = 6.0  # logit of a confident cell probability
STITCH = 0.3
REAL = cellpose.models.CellposeModel
spent = [0.0]  # seconds of this process inside of the network
place: list[Any] = [None]  # of the block in work


class Net(torch.nn.Module):
    """A network in the place of Cellpose's: three outputs, and a style."""

    nout, mkldnn, device = 3, False, torch.device("cpu")

    def __init__(self, file: str) -> None:
        super().__init__()
        self.script = torch.jit.load(file)

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Take Cellpose's two channels, of which the second is empty."""
        begun = time.perf_counter()
        found = self.script(batch[:, :1].repeat(1, 3, 1, 1))[:, :3]
        spent[0] += time.perf_counter() - begun
        return found, torch.ones(len(batch), 256)


class Peer(REAL):  # type: ignore[misc]
    """Cellpose with another network, which answers as a perfect one would."""

    def __init__(self, file: str, flows: str, diameter: float) -> None:
        self.net = Net(file)
        self.flows = np.load(flows, mmap_mode="r")
        self.diam_mean = self.diam_labels = diameter  # nothing is rescaled
        self.device, self.gpu, self.nchan, self.mkldnn = torch.device("cpu"), False, 2, False

    def _run_net(self, x: Any, **how: Any) -> Any:
        *_, styles = super()._run_net(x, **how)
        true = np.asarray(self.flows[(slice(None), *place[0])])
        return true[:2], true[2], styles


def note(image: Any, crop: Any = None) -> Any:
    """Remember which block it is: the only step before Cellpose that is told."""
    place[0] = crop
    return image


def prepare() -> None:
    """Put the other network in its place, in a worker."""
    torch.set_num_threads(1)
    cellpose.models.CellposeModel = Peer


def inside() -> float:
    """Return the seconds inside of the network since the last time."""
    found, spent[0] = spent[0], 0.0
    return found


def perfect(labels: Any) -> Any:
    """Return what a perfect network would say of each plane: ``(3, z, y, x)`` float32."""
    flows = np.zeros((3, *labels.shape), np.float32)
    for z, plane in enumerate(labels):
        found = dynamics.labels_to_flows([plane.astype(np.int32)], device=torch.device("cpu"))[0]
        flows[:2, z], flows[2, z] = FLOW_SCALE * found[2:4], np.where(found[1] > 0, SURE, -SURE)
    return flows


@contextmanager
def surroundings(scratch: str) -> Iterator[None]:
    """Let it write its logs where they are removed again, and workers find this file and use one core each."""
    os.chdir(scratch)
    os.environ |= {"HOME": scratch, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    yield
    os.chdir("/")


def main() -> None:
    """Serve until standard input ends."""
    # Libraries talk on standard output: they get standard error, the answers keep the real one to themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import _peer_cellpose_cluster as here  # as workers know it, and not as the main program
    from cellpose.contrib.distributed_segmentation import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
        distributed_eval,
    )
    from distributed import Client, LocalCluster

    folder, workers, block, diameter = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    image = zarr.open(str(folder / "image.zarr"), mode="r")
    np.save(folder / "flows.npy", perfect(np.load(folder / "labels.npy")))
    model = {"file": str(folder / "net.pt"), "flows": str(folder / "flows.npy"), "diameter": diameter}
    names = ("cellpose", "torch", "numpy", "zarr", "dask", "distributed", "dask-image")
    options = {"n_workers": workers, "threads_per_worker": 1, "memory_limit": 0, "dashboard_address": None}
    with (
        tempfile.TemporaryDirectory() as scratch,
        surroundings(scratch),
        LocalCluster(**options) as cluster,
        Client(cluster) as client,
    ):
        client.wait_for_workers(workers)
        client.run(here.prepare)
        answers.write(json.dumps({"versions": {name: version(name) for name in names}, "block": block}) + "\n")
        answers.flush()
        for number, _ in enumerate(sys.stdin):
            begun = time.perf_counter()
            _, boxes = distributed_eval(
                input_zarr=image, blocksize=(image.shape[0], block, block), write_path=f"{scratch}/{number}.zarr",
                preprocessing_steps=[(here.note, {})], model_kwargs=model,
                eval_kwargs={"diameter": int(diameter), "channels": [0, 0], "z_axis": 0, "stitch_threshold": STITCH},
                cluster=SimpleNamespace(client=client), temporary_directory=scratch,
            )  # fmt: skip
            seconds = time.perf_counter() - begun
            found = {"seconds": seconds, "network": sum(client.run(here.inside).values()), "objects": len(boxes)}
            answers.write(json.dumps(found) + "\n")
            answers.flush()
            time.sleep(1.0)  # its folder of logs is named by the second


if __name__ == "__main__":
    main()
