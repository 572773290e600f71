"""An engine that does what the real one promises, at the speed a test wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from napari_unet.core.axes import Image, as_image
from napari_unet.core.model_card import ModelCard
from napari_unet.core.results import Piece, Segmentation
from napari_unet.core.specs import NetSpec, SegmentSpec, TargetSpec
from napari_unet.core.steps import Progress, Steps


class FakeEngine:
    """Fills the labels row by row with ones, and ends with two objects."""

    def __init__(self, rows: int = 4, pause: float = 0.0, error: BaseException | None = None) -> None:
        self.rows, self.pause, self.error = rows, pause, error
        self.image: Image | None = None
        self.spec: SegmentSpec | None = None
        self.thread: threading.Thread | None = None
        self.closed = threading.Event()
        self.go = threading.Event()
        self.go.set()
        self.written: dict[str, Any] = {}

    def list_models(self) -> list[ModelCard]:
        return [ModelCard(name=n, title=n.title(), net=NetSpec(), target=TargetSpec()) for n in ("blobs", "nuclei")]

    def segment_steps(self, image: Image, spec: SegmentSpec | None = None) -> Steps[Segmentation]:
        self.image, self.spec, self.thread = image, spec, threading.current_thread()
        shape, scale, units = image.along(image.label_axes)
        labels = np.zeros(shape, np.int32)
        try:
            yield Progress(0, 0, "Loading the model")
            for row in range(self.rows):
                self.go.wait(10)
                time.sleep(self.pause)
                if self.error is not None and row == self.rows // 2:
                    raise self.error
                part = slice(row * shape[-2] // self.rows, (row + 1) * shape[-2] // self.rows)
                index = (..., part, slice(None))
                labels[index] = 1
                yield Progress(row + 1, self.rows, "Finding objects", Piece(index, labels[index].copy()))
            labels[..., -1] = 2
            final = Image(labels, image.label_axes, scale, units, f"{image.name} labels")
            table = {"index": np.array([1, 2]), "area": np.array([3.0, 4.0])}
            return Segmentation(final, 2, 23.5, 0.1, {"model": "nuclei", "sha256": "0"}, table)
        finally:
            self.closed.set()

    def find_unfinished(self, image: Image, folders: Any = ()) -> list[Any]:
        return []

    def has_draft(self, output: Any) -> bool:
        return False

    def measure(self, labels: Image, image: Image | None = None) -> dict[str, Any]:
        self.thread = threading.current_thread()
        if self.error is not None:
            raise self.error
        self.measured = (labels, image)
        ids = np.unique(np.asarray(labels.data))
        return {"index": ids[ids > 0], "area": np.ones(int((ids > 0).sum()))}

    def measure_steps(self, labels: Image, image: Image | None = None) -> Steps[dict[str, Any]]:
        yield Progress(1, 1, "Measuring the objects")
        return self.measure(labels, image)

    def write_table(self, path: str, table: dict[str, Any]) -> None:
        self.written[path] = table

    def sample(self, name: str, seed: int = 0) -> tuple[Image, Any]:
        image = np.random.default_rng(seed).integers(0, 255, (64, 64), np.uint8)
        return as_image(image, "yx", scale=(0.5, 0.5), units=("micrometer", "micrometer"), name=name), image // 200


@pytest.fixture
def engine() -> FakeEngine:
    """Return an engine that is done at once."""
    return FakeEngine()


def jobs() -> list[threading.Thread]:
    """Return the threads of the widgets that are still there."""
    return [t for t in threading.enumerate() if t.name == "napari-unet"]


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    end = time.monotonic() + 5
    while jobs() and time.monotonic() < end:
        time.sleep(0.01)
    assert not jobs()
