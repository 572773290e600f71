"""A run on two workers beside Cellpose's distributed segmentation on two, with the same network, for ``cluster.py``."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import _cluster_idle as idle
import numpy as np
import peers_cells
import zarr

from napari_unet import read_image, workflows
from napari_unet.core.specs import SegmentSpec
from napari_unet.samples.simulated import nuclei

PEER = "cellpose_cluster"
REQUIREMENTS = (
    *peers_cells.REQUIREMENTS["cellpose"],
    "dask==2024.12.1",  # it calls zarr as zarr was called before version 3
    "distributed==2024.12.1",
    "dask-image==2024.5.3",
    "dask-jobqueue==0.9.0",
    "zarr==2.18.3",
    "numcodecs==0.13.1",
    "imagecodecs==2026.3.6",
    "pyyaml==6.0.3",
)
WORKERS = 2
BLOCK = 1024  # of Cellpose; smaller ones take it longer, as each is read with a border of two diameters
DIAMETER = 24.0  # that of the bundled model: nothing is rescaled on either side
LIMIT = 3600.0


def peers(planes: int, edge: int, runs: int) -> dict[str, Any]:
    """Take turns with Cellpose on the same stored stack, planes in 2D, joined where they overlap."""
    taken: dict[str, list[dict[str, float]]] = {"ours": [], "cellpose": []}
    peers_cells.ENVIRONMENTS.mkdir(exist_ok=True)
    python = peers_cells.install(PEER, LIMIT, REQUIREMENTS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pixels, labels = nuclei((planes, edge, edge), 2000 * edge**2 // 2048**2, DIAMETER, seed=0)
        zarr.create_array(folder / "image.zarr", data=pixels, chunks=(1, 512, 512), zarr_format=2)
        np.save(folder / "labels.npy", labels)
        workflows.export_model("nuclei", folder / "net.pt", "torchscript")
        server = peers_cells.Server(PEER, python, folder, str(WORKERS), str(BLOCK), str(DIAMETER))
        try:
            about = server.read(LIMIT)
            with idle.processes(WORKERS, 1) as (client, _):
                client.run(watch)
                for turn in range(runs + 1):
                    taken["ours"].append(ours(client, folder, turn))
                    taken["cellpose"].append(theirs(server))
        finally:
            server.close()
    told = {who: answers[1:] for who, answers in taken.items()}  # the first turn loads
    return {
        "shape": [planes, edge, edge], "nuclei": int(len(np.unique(labels)) - 1), "workers": WORKERS, "runs": runs,
        "block": BLOCK, "cellpose_to_ours": ratio(told, "seconds"),
        "cellpose_to_ours_beside_network": ratio(told, "beside"),
        "median": {who: {key: round(middle(answers, key), 2) for key in answers[0]} for who, answers in told.items()},
        "versions": about["versions"],
    }  # fmt: skip


def theirs(server: peers_cells.Server) -> dict[str, float]:
    """Have Cellpose segment the stack."""
    if server.process.stdin is None:
        raise peers_cells.PeerError(f"{PEER} does not listen.")
    server.process.stdin.write("run\n")
    server.process.stdin.flush()
    return beside(server.read(LIMIT))


def ours(client: Any, folder: Path, turn: int) -> dict[str, float]:
    """Segment the stack on workers; return seconds, and those inside of the network in all of them."""
    spec = SegmentSpec.of(model="nuclei", diameter=DIAMETER, device="cpu", link_z=0.3, tiling={"tile": 512})
    begun = time.perf_counter()
    found = workflows.segment(
        read_image(folder / "image.zarr", "zyx"), spec, output=folder / f"{turn}.ome.zarr", client=client
    )
    seconds = time.perf_counter() - begun
    return beside({"seconds": seconds, "network": sum(client.run(inside).values()), "objects": found.objects})


def beside(answer: dict[str, float]) -> dict[str, float]:
    """Add what all workers together were busy or idle with beside the network."""
    return answer | {"beside": WORKERS * answer["seconds"] - answer["network"]}


def watch() -> None:
    """Have a worker add up the seconds that it spends inside of the network."""
    from napari_unet.models.model import Model

    real = Model.predict_stored

    def timed(model: Any, *given: Any) -> Any:
        begun = time.perf_counter()
        found = real(model, *given)
        os.environ["INSIDE"] = str(float(os.environ.get("INSIDE", "0")) + time.perf_counter() - begun)
        return found

    Model.predict_stored = timed  # type: ignore[method-assign]


def inside() -> float:
    """Return those seconds since the last time."""
    return float(os.environ.pop("INSIDE", "0"))


def middle(answers: list[dict[str, float]], key: str) -> float:
    """Return the median of a column."""
    return statistics.median(answer[key] for answer in answers)


def ratio(told: dict[str, list[dict[str, float]]], key: str) -> float:
    """Return how many times more it was for Cellpose: the median over turns."""
    pairs = zip(told["ours"], told["cellpose"], strict=True)
    return round(statistics.median(theirs[key] / own[key] for own, theirs in pairs), 2)
