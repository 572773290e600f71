"""Tracks against the truth of simulated movies, beside other programs, and how long linking takes.

Settings were chosen on movies with the seeds 0 to 2, those of other programs too (``trackers.py``); what is stored
comes from other seeds. Other programs (``--peers``) each get an environment of their own on first use, as in
``peers_cells.py``; of those that are not named, the figures stay as they are stored.
"perfect" has all true links between the masks that are left, and no masks drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from doubts import thinned
from peers_cells import ENVIRONMENTS, install
from tifffile import imwrite
from trackers import LIMIT, MOVIES, PEERS, peer, ways_of

from napari_unet.core.axes import Image
from napari_unet.core.graph import assemble, relink
from napari_unet.core.results import Tracks
from napari_unet.core.steps import finish
from napari_unet.samples.movies import simulate
from napari_unet.workflows import follow_ids_steps, relabel, score_tracks, segment, track, write_tracks

RESULTS = Path(__file__).with_name("results") / "tracking.json"
SEEDS = (10, 11)
SHOWN = ("LNK", "CHOTA", "BC", "BC(1)")


def overlap(labels: np.ndarray) -> Tracks:
    """Link greedily: each object goes to the one of the frame before with which it shares most pixels."""
    rows: list[tuple[int, int, int]] = []
    edges = []
    place: dict[tuple[int, int], int] = {}
    for t, frame in enumerate(labels):
        for label in np.unique(frame[frame > 0]).tolist():
            place[t, label] = len(rows)
            rows.append((t, label, len(rows) + 1))
            if t:
                below = np.bincount(labels[t - 1][frame == label])
                below[0] = 0
                if below.max():
                    edges.append((place[t - 1, int(below.argmax())], place[t, label]))
    table = np.array(rows)
    columns = {"t": table[:, 0], "label": table[:, 1], "track": table[:, 2], "y": table[:, 0] * 0.0}
    return assemble(columns | {"x": columns["y"]}, "greedy", np.array(edges)).tracks


def perfect(truth: Tracks, labels: np.ndarray, given: np.ndarray) -> Tracks:
    """Return the true tracks of the masks that are left."""
    t, label = (truth.nodes[name].astype(np.int64) for name in ("t", "label"))
    names = np.zeros(len(t), np.int64)
    for frame in range(len(labels)):
        table = np.zeros(int(labels[frame].max()) + 1, np.int64)
        table[labels[frame]] = given[frame]
        names[t == frame] = table[label[t == frame]]
    left = thinned(truth, 1, names > 0)
    nodes = dict(left.nodes) | {"label": names[names > 0]}
    order = np.lexsort((nodes["label"], nodes["t"]))
    bare = replace(left, nodes={name: column[order] for name, column in nodes.items()}, edges=left.edges[:0])
    return relink(replace(bare, costs=np.zeros(0), margins=np.zeros(0)), np.argsort(order)[left.edges])


def compare(kind: str, peers: dict[str, Path]) -> dict[str, Any]:
    """Score all ways to link the masks of some movies."""
    spec = MOVIES[kind]
    found: dict[str, list[list[float]]] = {}
    objects = divisions = 0
    for seed in SEEDS:
        movie = simulate(spec.model_copy(update={"seed": seed}))
        truth, labels, given = movie.tracks(), np.asarray(movie.labels.data), np.asarray(movie.given.data)
        objects, divisions = objects + truth.counts["objects"], divisions + truth.counts["divisions"]
        ours = track(given)
        ways: dict[str, tuple[Tracks, np.ndarray]] = {"napari-unet": (ours, given), "greedy": (overlap(given), given)}
        filled = np.asarray(relabel(given, ours, fill_gaps=True).data)
        drawn = finish(follow_ids_steps(filled))
        mothers = {child: above[0] for child, above in ours.graph.items()}
        table = dict(drawn.nodes) | {"parent": np.array([mothers.get(i, 0) for i in drawn.nodes["label"].tolist()])}
        table["track"] = drawn.nodes["label"]
        ways["napari-unet, gaps filled"] = (assemble(table, "filled").tracks, filled)
        ways["perfect"] = (perfect(truth, labels, given), given)
        ways |= {name: (peer(name, kind, python, given), given) for name, python in peers.items()}
        for name, (tracks, masks) in ways.items():
            scores = score_tracks(tracks, masks, truth, labels).scores
            found.setdefault(name, []).append([scores[key] for key in SHOWN])
    means = {name: np.mean(rows, axis=0).tolist() for name, rows in found.items()}
    scores = {name: {key: round(v, 4) for key, v in zip(SHOWN, row, strict=True)} for name, row in means.items()}
    return {"movies": len(SEEDS), "objects": objects, "divisions": divisions, **scores}


def end_to_end() -> dict[str, float]:
    """Segment with the bundled model, then track."""
    spec = MOVIES["nuclei"].model_copy(update={"seed": SEEDS[0], "frames": 5})
    movie = simulate(spec)
    labels = segment(Image(np.asarray(movie.image.data), "tyx")).labels
    found = track(labels)
    scores = score_tracks(found, labels, movie.tracks(), movie.labels).scores
    return {key: round(scores[key], 3) for key in ("SEG", "DET", "TRA", "CHOTA")}


def tremble(t: int, side: int = 32) -> np.ndarray:
    """Draw a frame of disks that tremble: 1024, or `side` times `side`."""
    y, x = np.mgrid[-7:8, -7:8]
    disk, rng = np.hypot(y, x) < 7, np.random.default_rng(t)
    frame = np.zeros((30 + 22 * side, 30 + 22 * side), np.int32)
    for i, at in enumerate(np.ndindex(side, side)):
        row, column = 15 + 22 * np.array(at) + rng.integers(-3, 4, 2)
        frame[row - 7 : row + 8, column - 7 : column + 8][disk] = i + 1
    return frame


def speed() -> dict[str, Any]:
    """Time the reading, comparing and linking of disks that tremble."""
    found = {}
    for name, frames in (("20000", 20), ("50000", 50)):
        labels = np.stack([tremble(t) for t in range(frames)])
        start, wall = time.process_time(), time.perf_counter()
        count = track(labels).counts["objects"]
        found[name] = {
            "objects": count, "cpu_seconds": round(time.process_time() - start, 2),
            "seconds": round(time.perf_counter() - wall, 2),
        }  # fmt: skip
    return found


def many(count: int) -> dict[str, float]:
    """Follow very many objects, of frames that are drawn where they are read, and say what memory it took."""
    frames = -(-count // 1024)
    movie = da.map_blocks(
        lambda block_info: tremble(block_info[None]["array-location"][0][0])[None],
        chunks=((1,) * frames, (734,), (734,)), dtype=np.int32, meta=np.zeros((0, 0, 0), np.int32),
    )  # fmt: skip
    some, start = range(0, frames, max(1, frames // 20)), time.process_time()
    for t in some:
        tremble(t)
    drawn = (time.process_time() - start) / len(some) * frames
    before, start = peak(), time.process_time()
    found = track(Image(movie, "tyx"))
    seconds = time.process_time() - start
    return {
        "objects": found.counts["objects"], "tracks": found.counts["tracks"], "cpu_seconds": round(seconds - drawn, 1),
        "drawing_seconds": round(drawn, 1), "added_megabytes": round(peak() - before),
    }  # fmt: skip


def command(count: int) -> dict[str, Any]:
    """Follow very many objects of a file with the command, and say what time and memory that took."""
    side, found = 100, {}
    frames, edge = -(-count // side**2), 30 + 22 * side
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "labels.tif")
        pages = (tremble(t, side) for t in range(frames))
        imwrite(file, pages, shape=(frames, edge, edge), dtype=np.int32, compression="zlib")
        for kind in ("csv", "geff"):
            words = ["track", str(file), "--axes", "tyx", "--output", str(Path(place, f"tracks.{kind}"))]
            start = time.perf_counter()
            with subprocess.Popen([sys.executable, "-m", "napari_unet", *words], stdout=subprocess.DEVNULL) as process:
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise subprocess.CalledProcessError(process.returncode, words)
            found[kind] = {
                "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
                "seconds": round(time.perf_counter() - start, 1),
                "peak_megabytes": round(used.ru_maxrss / 1024),
            }
    return {"objects": frames * side**2, "frames": frames, **found}


def walk(t: int) -> np.ndarray:
    """Draw a frame of 2048 x 2048 pixels with 400 disks that wander."""
    y, x = np.mgrid[-20:21, -20:21]
    disk = np.hypot(y, x) < 18
    frame = np.zeros((2048, 2048), np.uint16)
    for i, at in enumerate(np.ndindex(20, 20)):
        row, column = (60 + 100 * np.array(at) + 25 * np.sin(t / np.array([9, 13]) + i)).astype(int)
        frame[row - 20 : row + 21, column - 20 : column + 21][disk] = i + 1
    return frame


def long(frames: int) -> dict[str, Any]:
    """Follow cells through a long movie of large frames, which are drawn where they are read, and write the tracks."""
    found: dict[str, Any] = {"frames": frames, "megabytes_of_pixels": round(frames * 2048 * 2048 * 2 / 2**20)}
    for name, count in (("tenth_of_it", frames // 10), ("all", frames)):
        words = [sys.executable, __file__, "--wandering", str(count)]
        found[name] = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return found


def follow_wandering(frames: int) -> dict[str, int]:
    """Follow a long movie in a process of its own, and say what memory it took."""
    movie = wandering(frames)
    track(Image(movie[:3], "tyx"))
    before, start = peak(), time.process_time()
    made = track(Image(movie, "tyx"))
    with tempfile.TemporaryDirectory() as place:
        write_tracks(Path(place, "tracks.geff"), made)
    spent = {"added_megabytes": round(peak() - before), "peak_megabytes": round(peak())}
    return made.counts | spent | {"cpu_seconds": round(time.process_time() - start)}


def wandering(frames: int) -> da.Array:
    """Return a long movie that nobody holds."""
    return da.map_blocks(
        lambda block_info: walk(block_info[None]["array-location"][0][0])[None],
        chunks=((1,) * frames, (2048,), (2048,)), dtype=np.uint16, meta=np.zeros((0, 0, 0), np.uint16),
    )  # fmt: skip


def peak() -> float:
    """Return the most memory that this process had, MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=[], help="programs to compare with")
    parser.add_argument("--cells", type=int, help="follow so many objects, and do nothing else: 1000000")
    parser.add_argument(
        "--long", type=int, help="follow cells through so many frames of 2048 x 2048, and no more: 2000"
    )
    parser.add_argument("--command", type=int, help="follow so many objects with the command, and no more: 1000000")
    parser.add_argument("--segmented", action="store_true", help="segment and track a movie, and no more")
    parser.add_argument("--wandering", type=int, help=argparse.SUPPRESS)
    wish = parser.parse_args()
    if wish.wandering:
        sys.stdout.write(json.dumps(follow_wandering(wish.wandering)))
        return
    if wish.cells or wish.long or wish.command or wish.segmented:
        measures = {"many": (many, wish.cells), "long": (long, wish.long), "command": (command, wish.command)}
        more = {name: measure(count) for name, (measure, count) in measures.items() if count}
        more |= {"end_to_end": end_to_end()} if wish.segmented else {}
        said = json.loads(RESULTS.read_text()) | more
        sys.stdout.write(json.dumps(more, indent=1) + "\n")
        RESULTS.write_text(json.dumps(said, indent=1) + "\n")
        return
    ENVIRONMENTS.mkdir(exist_ok=True)
    places = {name: install(name, LIMIT, PEERS[name]) for name in wish.peers}
    peers = {way: place for name, place in places.items() for way in ways_of(name)}
    track(np.eye(8, dtype=np.int32)[None].repeat(2, 0))
    report: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    report["speed"] = speed()
    for name in MOVIES:
        report[name] = report.get(name, {}) | compare(name, peers)
        sys.stderr.write(f"{name}: {report[name]}\n")
    report["end_to_end"] = end_to_end()
    text = json.dumps(report, indent=1)
    sys.stdout.write(text + "\n")
    RESULTS.write_text(text + "\n")


if __name__ == "__main__":
    main()
