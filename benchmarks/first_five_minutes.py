"""The first five minutes: how long until training shows that it helps; what a round of corrections costs and brings.

The picture is of a kind that the bundled model has not seen (``_rods.py``). ``preview``: its left half is labeled and
*Train* pressed in the dock of the real viewer. Measured is the time until a preview finds more cells of the right half,
which nobody has labeled (AP50), than what one begins with: the model that is started from; with ``scratch`` nothing.
Measured too is for how long the main thread does not answer: the longest time between two beats of a clock of 5 ms
(what other programs take counts), and the longest that it worked itself. ``--why`` names the places in the code where a
turn of more than 50 ms was spent, seen every few milliseconds. ``alone`` is what to compare with: the same viewer with
the same layers, without the plugin, when a labels layer of half the picture is added, which a preview does once.

``loop``: the picture is segmented by the model, the cells inside a window are corrected (here by the truth), added to
the training data, and the model is fine-tuned on them; then another picture is segmented by both. Measured are the
time from the start of fine-tuning to the model, with its process and everything else, and AP50 before and after.

``python benchmarks/first_five_minutes.py`` does all; on Linux without a screen behind ``scripts/on_screen.sh``.
``--parts loop --minutes 1`` does a part of it; ``--threads`` limits the training. Goals: 60 s, 100 ms, 2 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from _rods import rods
from machine import machine

from napari_unet import workflows
from napari_unet.core.axes import as_image
from napari_unet.core.specs import TrainSpec
from napari_unet.core.steps import finish
from napari_unet.metrics.matching import count, scores

RESULT = Path(__file__).resolve().parent / "results" / "first_five_minutes.json"
MODEL = "nuclei"
PATIENCE = 150.0  # seconds
LONG, LOOK, DEEP = 0.05, 0.004, 14  # seconds of a turn that is told of, between two looks; calls that are named
WINDOW = (slice(130, 380), slice(130, 380))  # that is corrected
ROUNDS = 3  # in which what was found as one with a cell is corrected with it
SEEN, OTHER = 1, 2  # seeds of pictures
PARTS = ("alone", "preview", "scratch", "loop")


class Heart:
    """Beats in the main thread: the longest time between two beats, and the longest that it worked itself."""

    def __init__(self, watch: bool = False) -> None:
        from qtpy.QtCore import QTimer

        self.waited = self.worked = 0.0
        self.long: list[tuple[float, int, list[tuple[str, int]]]] = []  # when, milliseconds, where
        self._seen: Counter[str] = Counter()
        if watch:
            threading.Thread(target=self._watch, args=(threading.main_thread().ident,), daemon=True).start()
        self.begun = self._at = time.monotonic()
        self._done = time.thread_time()
        self._timer = QTimer()
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._beat)
        self._timer.start()

    def _beat(self) -> None:
        at, done = time.monotonic(), time.thread_time()
        self.waited, self.worked = max(self.waited, at - self._at), max(self.worked, done - self._done)
        if done - self._done > LONG:
            self.long.append((round(at - self.begun, 1), round(1000 * (done - self._done)), self._seen.most_common(6)))
        self._seen.clear()
        self._at, self._done = at, done

    def _watch(self, main: int) -> None:
        """Note every few milliseconds where the main thread is, from the outermost call to the innermost."""
        while True:
            time.sleep(LOOK)
            frame, places = sys._current_frames().get(main), []
            while frame is not None:
                name = f"{Path(frame.f_code.co_filename).stem}:{frame.f_lineno} {frame.f_code.co_name}"
                places.append(name)
                frame = frame.f_back
            self._seen[" < ".join(places[:DEEP])] += 1


def ap50(truth: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of cells found: AP at an overlap of a half."""
    return round(float(scores(count(np.ascontiguousarray(truth), np.ascontiguousarray(labels)))["AP50"]), 3)


def right(truth: np.ndarray, labels: Any, window: tuple[slice, slice]) -> float:
    """Judge labels of a window in the right half of the picture."""
    half = truth.shape[1] // 2
    found = np.zeros_like(truth)
    found[window] = np.asarray(labels)
    columns = slice(max(half, window[1].start), window[1].stop)
    return ap50(truth[window[0], columns], found[window[0], columns])


def preview(start: str, threads: int, why: bool = False) -> dict[str, Any]:
    """Press Train in the viewer and wait for a preview that is better than what one begins with."""
    import napari
    from qtpy.QtTest import QTest

    from napari_unet.widgets.train import TrainWidget

    class Limited(TrainWidget):
        def spec(self) -> TrainSpec:
            return TrainSpec.of(**(super().spec().model_dump(exclude_unset=True) | {"threads": threads}))

    image, truth = rods(SEEN)
    half = truth.shape[1] // 2
    everywhere = (slice(0, truth.shape[0]), slice(0, truth.shape[1]))
    before = right(truth, workflows.segment(image, model=start).labels.data, everywhere) if start else 0.0
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1600, 1000)
    viewer.add_image(image, name="rods")
    viewer.add_labels(np.where(np.arange(truth.shape[1]) < half, truth, 0), name="drawn")
    box = np.array([[0, 0], [0, half], [truth.shape[0], half], [truth.shape[0], 0]])
    known = viewer.add_shapes([box], shape_type="rectangle", name="known")
    dock = Limited(viewer)
    viewer.window.add_dock_widget(dock, name="Train")
    dock.data.truth.setCurrentIndex(1)
    dock.data.shapes.choose(known)
    dock.begin_with.choose(start)
    while dock.plan.plan is None:
        QTest.qWait(50)
    heart, pool = Heart(why), ThreadPoolExecutor(1)  # judged elsewhere: the main thread is what is measured
    judged: list[tuple[float, Any]] = []
    last = None
    dock.run()
    while time.monotonic() - heart.begun < PATIENCE and dock.job is not None:
        QTest.qWait(50)
        layer = None if dock.preview is None else dock.preview.layer
        if layer is not None and layer.data is not last:
            last = layer.data
            window = tuple(dock.preview.window[axis] for axis in "yx")
            judged.append((round(time.monotonic() - heart.begun, 1), pool.submit(right, truth, last, window)))
        if any(one.done() and one.result() > before for _, one in judged):
            break
    better = [(at, one.result()) for at, one in judged]
    QTest.qWait(2000)
    dock.cancel()
    QTest.qWait(2000)
    viewer.close()
    for turn in heart.long if why else ():
        sys.stderr.write(json.dumps(turn, indent=1) + "\n")
    seconds = next((at for at, score in better if score > before), None)
    return {
        "seconds": seconds, "AP50 before": before, "previews": better,
        "longest wait of the main thread (ms)": round(1000 * heart.waited),
        "longest work of the main thread (ms)": round(1000 * heart.worked),
    }  # fmt: skip


def alone() -> dict[str, Any]:
    """Measure how long napari itself is busy when it adds a labels layer."""
    import napari
    from qtpy.QtTest import QTest

    image, truth = rods(SEEN)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1600, 1000)
    viewer.add_image(image, name="rods")
    viewer.add_labels(truth, name="drawn")
    QTest.qWait(1000)
    heart = Heart()
    QTest.qWait(200)
    viewer.add_labels(truth[:, truth.shape[1] // 2 :].copy(), name="preview")
    QTest.qWait(1000)
    viewer.close()
    return {
        "longest wait of the main thread (ms)": round(1000 * heart.waited),
        "longest work of the main thread (ms)": round(1000 * heart.worked),
    }  # fmt: skip


def corrected(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return labels in which the cells that the window touches are right, as somebody leaves them who corrects it.

    Nobody takes a cell away: those that were found as one with a cell of the window are corrected too.
    """
    right = np.isin(truth, np.setdiff1d(truth[WINDOW], 0))
    gone = np.unique(found[WINDOW])
    for _ in range(ROUNDS):
        gone = np.setdiff1d(np.union1d(gone, found[right]), 0)
        under = np.bincount(truth[np.isin(found, gone)], minlength=truth.max() + 1)
        right |= np.isin(truth, np.flatnonzero(under > 0.5 * np.bincount(truth.ravel()))) & (truth > 0)
    labels = np.where(np.isin(found, gone), 0, found)
    labels[right] = truth[right] + found.max()
    return labels


def loop(start: str, minutes: float, threads: int) -> dict[str, Any]:
    """Segment, correct, add, fine-tune, segment again."""
    (image, truth), (other, other_truth) = rods(SEEN), rods(OTHER)
    segmented = np.asarray(workflows.segment(image, model=start).labels.data)
    labels = corrected(segmented, truth)
    given = (
        as_image(each, "yx", name=name) for each, name in ((image, "seen"), (labels, "labels"), (segmented, "before"))
    )
    kept = workflows.collect(*given, model=start)
    spec = TrainSpec(name="tuned", start=start, minutes=minutes, steps=1_000_000, threads=threads)
    stages, at = [], time.monotonic()

    def note(progress: Any) -> None:
        stage = "training" if progress.note.startswith(("step", "loss")) else progress.note
        if not stages or stages[-1][0] != stage:
            stages.append((stage, round(time.monotonic() - at, 1)))

    folder = finish(workflows.train_apart_steps(kept.table, spec), note)
    seconds = time.monotonic() - at
    after = np.asarray(workflows.segment(other, model=str(folder)).labels.data)
    before = np.asarray(workflows.segment(other, model=start).labels.data)
    steps = json.loads((folder / "card.json").read_text())["training"]["steps"]
    return {
        "seconds": round(seconds, 1), "minutes given": minutes, "steps": steps, "places corrected": kept.places,
        "AP50 before": ap50(other_truth, before), "AP50 after": ap50(other_truth, after), "stages": stages,
    }  # fmt: skip


def main() -> None:
    """Measure the parts that are wanted and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--minutes", type=float, default=1.0, help="of fine-tuning")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--why", action="store_true", help="tell what the main thread did in turns of more than 50 ms")
    parser.add_argument("--result", type=Path, default=RESULT)
    wish = parser.parse_args()
    found: dict[str, Any] = json.loads(wish.result.read_text()) if wish.result.exists() else {}
    for part in wish.parts:
        with tempfile.TemporaryDirectory() as home:
            os.environ["NAPARI_UNET_MODELS"] = home
            load = round(os.getloadavg()[0], 1)
            if part == "alone":
                told = alone()
            elif part == "loop":
                told = loop(wish.model, wish.minutes, wish.threads)
            else:
                told = preview(wish.model if part == "preview" else "", wish.threads, wish.why)
        found[part] = told | {"machine": machine(), "load before": load, "threads": wish.threads}
        wish.result.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
        sys.stdout.write(json.dumps({part: told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
